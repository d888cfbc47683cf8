//! Files in the format of lcov.

use std::path::{Path, PathBuf};

use cutaway::CoverageReport;

use crate::{
    error::CliError,
    object_arg::read_whole_as,
    output_file::{self, OutputFile, Refused},
};

/// Reads the report in a file.
pub(super) fn read(path: &Path) -> Result<CoverageReport, CliError> {
    let shown = path.display();
    let bytes = read_whole_as(path, &format!("read `{shown}`"), "lcov file")?;
    if bytes.starts_with(b"\x7fELF") {
        return Err(CliError::usage(format!("`{shown}` is an object, not lcov; give OBJECT before --merge")));
    }
    CoverageReport::from_lcov(&String::from_utf8_lossy(&bytes))
        .map_err(|error| CliError::new(format!("cannot read `{shown}` as lcov: {error}")))
}

/// The file that the report is written to.
#[derive(Debug)]
pub(super) struct LcovFile {
    path: PathBuf,
    file: OutputFile,
}

impl LcovFile {
    /// Opens the file. It may be one of those that are merged, and must not be one of `inputs`.
    pub(super) fn open(path: &Path, inputs: &[&Path]) -> Result<Self, CliError> {
        let file = OutputFile::open_apart(path, inputs).map_err(|refused| failure(path, refused))?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(super) fn write(&mut self, report: &CoverageReport) -> Result<(), CliError> {
        let written = self.file.write(report.to_lcov().as_bytes());
        written.map_err(|error| failure(&self.path, Refused::System(error)))
    }
}

fn failure(path: &Path, refused: Refused) -> CliError {
    output_file::failure("write coverage to", path, refused)
}
