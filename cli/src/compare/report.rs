//! The report: one HTML file that needs nothing else to be read, no network and no script.
//!
//! ```text
//!     report.rs   the file: its space is reserved before the measurements, and a complete file replaces the old one
//!       page.rs   the page: summary, experiments, figures as tables
//!       chart.rs  a plot as SVG
//!       plot.rs   paper, legend, markers and colors
//!       lines.rs  lines over two axes
//!       bars.rs   horizontal bars
//!       scale.rs  from values to coordinates
//! ```

mod bars;
mod chart;
mod lines;
mod page;
mod plot;
mod scale;

use std::path::{Path, PathBuf};

use super::{environment::Environment, result::ExperimentResult, summary::Answer};
use crate::{
    error::CliError,
    output_file::{self, Location, Refused, Unfinished},
};

/// More bytes than any report has. They are reserved before the measurements, so that a full disk is noticed early.
const RESERVED: usize = 512 * 1024;

/// The file that becomes the report. It is removed unless it is finished.
pub(super) struct Draft {
    path: PathBuf,
    file: Unfinished,
}

impl Draft {
    /// Creates the file and reserves its space.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let location = Location::of_regular_file(path).map_err(|refused| failure(path, refused))?;
        let file = location.begin().and_then(|mut file| file.reserve(RESERVED).map(|()| file));
        let file = file.map_err(|error| failure(path, Refused::System(error)))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes the report and renames it into place.
    pub(super) fn finish(
        self,
        environment: &Environment,
        results: &[ExperimentResult],
        answers: &[Answer],
    ) -> Result<(), CliError> {
        let page = page::page(environment, results, answers);
        let Self { path, file } = self;
        file.commit(page.as_bytes()).map_err(|error| failure(&path, Refused::System(error)))
    }
}

fn failure(path: &Path, refused: Refused) -> CliError {
    output_file::failure("write the report to", path, refused)
}
