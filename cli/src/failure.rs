//! What a command could not do: one line for whoever typed it.

use std::{fmt, io};

use cutaway::Errno;

/// Why a command ends with status 1. Displayed as one line.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    /// More than fits a line, for `RUST_LOG=debug`: a verifier's log.
    details: Option<String>,
}

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), details: None }
    }

    /// A failed operation of the system: what was attempted, and the errno by name.
    pub(crate) fn system(attempt: &str, error: &io::Error) -> Self {
        Self::new(match error.raw_os_error() {
            Some(_) => format!("cannot {attempt}: {}", Errno::of(error)),
            None => format!("cannot {attempt}: {error}"),
        })
    }

    /// Adds what to do about it.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.line.push_str("; ");
        self.line.push_str(advice);
        self
    }

    pub(crate) fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever an error has to say, it says it on one line.
        for (index, part) in self.line.split('\n').map(str::trim).filter(|part| !part.is_empty()).enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl From<cutaway::Error> for Failure {
    fn from(error: cutaway::Error) -> Self {
        Self { line: error.to_string(), details: error.verifier_log().map(str::to_owned) }
    }
}
