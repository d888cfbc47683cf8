//! `--verifier-log`: writes the verifier's log of each program, accepted or refused.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use cutaway::{FailedProgram, Loaded};

use crate::{
    error::CliError,
    output_file::{self, OutputFile, Refused},
    terminal,
};

/// The file that the logs are written to.
#[derive(Debug)]
pub(super) struct VerifierLog {
    path: PathBuf,
    file: OutputFile,
}

impl VerifierLog {
    /// Opens the file, which must not be one of `inputs`.
    pub(super) fn open(path: &Path, inputs: &[&Path]) -> Result<Self, CliError> {
        let file = OutputFile::open_apart(path, inputs).map_err(|refused| failure(path, refused))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes the logs: those of the accepted programs in the order of the object, then those of the refused ones.
    pub(super) fn write(&mut self, loaded: &Loaded, refused: &[FailedProgram]) -> Result<(), CliError> {
        let accepted = loaded.programs().map(|program| (program.name(), "accepted", program.verifier_log()));
        let refused = refused.iter().map(|refused| (refused.name.as_str(), "refused", refused.why.verifier_log()));
        let mut text = String::new();
        for (name, verdict, log) in accepted.chain(refused) {
            // Formatting into a string cannot fail.
            let _ = writeln!(text, "=== `{}`: {verdict}", terminal::one_line(name));
            match log {
                Some(log) => text.push_str(&terminal::clean(log.trim_end())),
                None => text.push_str("(no log: the program did not reach the verifier)"),
            }
            text.push_str("\n\n");
        }
        self.file.write(text.as_bytes()).map_err(|error| failure(&self.path, Refused::System(error)))
    }
}

fn failure(path: &Path, refused: Refused) -> CliError {
    output_file::failure("write the verifier's log to", path, refused)
}
