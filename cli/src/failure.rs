//! What a command could not do: one line for whoever typed it.

use std::{fmt, io};

use cutaway::Errno;

/// Why a command ends with status 1. Displayed as one line.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    /// More than fits a line, for `RUST_LOG=debug`: a verifier's log.
    details: Option<String>,
    /// Nobody reads the results any more: a reason to stop, and none to complain.
    unheard: bool,
}

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), details: None, unheard: false }
    }

    /// A failed operation of the system: what was attempted, and the errno by name.
    pub(crate) fn system(attempt: &str, error: &io::Error) -> Self {
        Self::new(match error.raw_os_error() {
            Some(_) => format!("cannot {attempt}: {}", Errno::of(error)),
            None => format!("cannot {attempt}: {error}"),
        })
    }

    /// Whoever read stdout has gone.
    pub(crate) fn unheard() -> Self {
        Self { unheard: true, ..Self::new("nobody reads stdout any more") }
    }

    /// Whether the command ends because nobody reads its results any more, which is as good as done.
    pub(crate) fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// Adds what to do about it.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.line.push_str("; ");
        self.line.push_str(advice);
        self
    }

    /// Adds what is for `RUST_LOG=debug` alone.
    pub(crate) fn with_details(self, details: Option<String>) -> Self {
        Self { details, ..self }
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
        Self { details: error.verifier_log().map(str::to_owned), ..Self::new(error.to_string()) }
    }
}
