//! The error of a command: one line for the user.

use std::{fmt, io, os::fd::AsFd};

use cutaway::Errno;

/// An error that ends a command with status 1 or 2. Displayed as one line.
#[derive(Debug)]
pub(crate) struct CliError {
    line: String,
    /// Details for `RUST_LOG=debug`: the verifier's log.
    details: Option<String>,
    /// Stdout is closed: the command ends without an error message.
    broken_pipe: bool,
    /// The command detected an error of usage that clap cannot detect: status 2.
    usage: bool,
}

/// Largest number of names in a list.
const MOST_NAMES: usize = 30;

impl CliError {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        let failure = Self::plain(line.into());
        let hint = Self::hint_of_quoted(&failure.line);
        failure.hint(hint)
    }

    /// Makes an error of a failed operation of the system: what was attempted, and the errno by name.
    pub(crate) fn system(attempt: &str, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(_) => {
                let errno = Errno::of(error);
                Self::plain(format!("cannot {attempt}: {errno}")).hint(errno.hint())
            }
            None => Self::new(format!("cannot {attempt}: {error}")),
        }
    }

    fn plain(line: String) -> Self {
        Self { line, details: None, broken_pipe: false, usage: false }
    }

    /// Adds what to do about an errno, unless the line says so already.
    fn hint(self, hint: Option<&str>) -> Self {
        match hint {
            Some(hint)
                if !["ulimit -n", "file-max"].iter().any(|said| hint.contains(said) && self.line.contains(said)) =>
            {
                self.advise(hint)
            }
            _ => self,
        }
    }

    /// Returns a hint if `line` quotes the error that no fd is left. A quoted error has its errno only in its text.
    pub(crate) fn hint_of_quoted(line: &str) -> Option<&'static str> {
        let is_quoted = |errno: &Errno| {
            errno.name().is_some_and(|name| line.contains(name))
                || line.contains(&io::Error::from_raw_os_error(errno.raw()).to_string())
        };
        [libc::EMFILE, libc::ENFILE].map(Errno::new).iter().find(|errno| is_quoted(errno))?.hint()
    }

    /// Makes an error of usage: the command ends with status 2.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { usage: true, ..Self::new(line) }
    }

    /// Returns whether it is an error of usage.
    pub(crate) fn is_usage(&self) -> bool {
        self.usage
    }

    /// Makes the error of a closed stdout.
    pub(crate) fn broken_pipe() -> Self {
        Self { broken_pipe: true, ..Self::new("stdout is closed: its reader has ended") }
    }

    /// Returns whether the command ends because stdout is closed, which is not a failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// Adds what to do about it.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.line.push_str("; ");
        self.line.push_str(advice);
        self
    }

    /// Adds details for `RUST_LOG=debug`.
    pub(crate) fn with_details(self, details: Option<String>) -> Self {
        Self { details, ..self }
    }

    pub(crate) fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }
}

/// Fails if fewer than `count` fds are left. Without this check, a command that tests features would report them as
/// unsupported.
pub(crate) fn enough_fds(attempt: &str, count: usize) -> Result<(), CliError> {
    let taken: Result<Vec<_>, _> = (0..count).map(|_| io::stderr().as_fd().try_clone_to_owned()).collect();
    taken.map(drop).map_err(|error| CliError::system(attempt, &error))
}

/// Lists the first 30 names and the number of the others; `none` for an empty list.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    listed_by(names, ", ")
}

/// Lists names like [`listed`], with `between` as the separator.
pub(crate) fn listed_by<S: AsRef<str>>(names: &[S], between: &str) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<_> = names.iter().take(MOST_NAMES).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    shown.join(between) + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An error is always one line.
        for (index, part) in self.line.split('\n').map(str::trim).filter(|part| !part.is_empty()).enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl From<cutaway::Error> for CliError {
    fn from(error: cutaway::Error) -> Self {
        let hint = error.errno().and_then(Errno::hint);
        Self { details: error.verifier_log().map(str::to_owned), ..Self::new(error.to_string()).hint(hint) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emfile_names_the_limit() {
        let said = |errno| CliError::system("open it", &io::Error::from_raw_os_error(errno)).to_string();
        assert_eq!(
            said(libc::EMFILE),
            "cannot open it: EMFILE (Too many open files); the process has no file descriptor left: raise `ulimit -n`"
        );
        assert!(said(libc::ENFILE).contains("fs.file-max"));
        let quoted = CliError::from(cutaway::Error::Library {
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
