//! What a command could not do: one line for whoever typed it.

use std::{fmt, io, os::fd::AsFd};

use cutaway::Errno;

/// Why a command ends with status 1. Displayed as one line.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    /// More than fits a line, for `RUST_LOG=debug`: a verifier's log.
    details: Option<String>,
    /// Nobody reads the results any more: a reason to stop, and none to complain.
    unheard: bool,
    /// The command line contradicts itself in a way that only the command finds out: status 2.
    usage: bool,
}

/// How many names a line of an error lists.
const MOST_NAMES: usize = 30;

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), details: None, unheard: false, usage: false }.advise_on_descriptors()
    }

    /// A failed operation of the system: what was attempted, and the errno by name.
    pub(crate) fn system(attempt: &str, error: &io::Error) -> Self {
        Self::new(match error.raw_os_error() {
            Some(_) => format!("cannot {attempt}: {}", Errno::of(error)),
            None => format!("cannot {attempt}: {error}"),
        })
    }

    /// Says what to do if there were not enough descriptors, unless that is said already. Some errors quote the reason
    /// of another one; its text is all there is to go by then.
    fn advise_on_descriptors(self) -> Self {
        match Self::advice_on_descriptors(&self.line) {
            Some(advice)
                if !["ulimit -n", "file-max"].iter().any(|said| advice.contains(said) && self.line.contains(said)) =>
            {
                self.advise(advice)
            }
            _ => self,
        }
    }

    /// What to do if this says that there were not enough descriptors.
    pub(crate) fn advice_on_descriptors(line: &str) -> Option<&'static str> {
        let says = |name: &str, text: &str| line.contains(name) || line.contains(text);
        if says("EMFILE", "Too many open files (os error 24)") {
            Some("the process has too many open files: raise `ulimit -n`")
        } else if says("ENFILE", "Too many open files in system") {
            Some("the system has too many open files: raise fs.file-max")
        } else {
            None
        }
    }

    /// Options that contradict each other, where only their values tell: the command ends with status 2.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { usage: true, ..Self::new(line) }
    }

    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        self.usage
    }

    /// Whoever read stdout has gone.
    pub(crate) fn unheard() -> Self {
        Self { unheard: true, ..Self::new("stdout is closed: its reader has ended") }
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

/// Fails if there are not so many descriptors left. A command that tries one thing after the other, and says of each
/// whether it works here, would say of everything that it does not.
pub(crate) fn enough_descriptors(attempt: &str, count: usize) -> Result<(), Failure> {
    let taken: Result<Vec<_>, _> = (0..count).map(|_| io::stderr().as_fd().try_clone_to_owned()).collect();
    taken.map(drop).map_err(|error| Failure::system(attempt, &error))
}

/// The first 30 of some names, and how many more there are; `none` if there is not one.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    listed_by(names, ", ")
}

/// The same with another word between them.
pub(crate) fn listed_by<S: AsRef<str>>(names: &[S], between: &str) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<_> = names.iter().take(MOST_NAMES).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    shown.join(between) + &if more > 0 { format!(" and {more} more") } else { String::new() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_say_what_to_raise() {
        let said = |errno| Failure::system("open it", &io::Error::from_raw_os_error(errno)).to_string();
        assert_eq!(
            said(libc::EMFILE),
            "cannot open it: EMFILE (Too many open files); the process has too many open files: raise `ulimit -n`"
        );
        assert!(said(libc::ENFILE).contains("fs.file-max"));
        let quoted = Failure::from(cutaway::Error::Library {
            library: "libc.so.6".to_owned(),
            why: "/proc/self/maps cannot be read: EMFILE (Too many open files)".to_owned(),
        });
        assert_eq!(quoted.to_string().matches("ulimit -n").count(), 1, "{quoted}");
        assert_eq!(said(libc::ENOENT), "cannot open it: ENOENT (No such file or directory)");
    }

    #[test]
    fn names_are_listed_in_bounded_number() {
        assert_eq!(listed::<&str>(&[]), "none");
        assert_eq!(listed(&["a", "b"]), "a, b");
        let many: Vec<_> = (0..100_000).map(|number| number.to_string()).collect();
        let text = listed(&many);
        assert!(text.ends_with("28, 29 and 99970 more"), "{text}");
    }
}
