//! `cutaway cover`: measures which lines of an object's source run.
//!
//! ```text
//!     arguments.rs   the options, as clap reads them
//!     test_run.rs    --test-run NAME=DATA: text ──▶ the input of one run
//!     measure.rs     loads the object with marks, runs it, and reads the marks
//!     lcov.rs        files of lcov: --merge and --output
//!     source.rs      the text of the source lines, and which lines are shown
//!     show.rs        the report as text
//!     json.rs        the report as JSON
//! ```
//!
//! A line that was not measured is shown as such, and is not part of the percentages.

mod arguments;
mod json;
mod lcov;
mod measure;
mod show;
mod source;
mod test_run;

use std::{
    fs,
    path::{Path, PathBuf},
};

use cutaway::CoverageReport;

pub(crate) use self::arguments::Arguments;
use self::{arguments::Format, lcov::LcovFile, measure::Measured};
use crate::{diagnostics, error::CliError, terminal};

/// Measures the object, adds the results of earlier runs, and prints the report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    arguments.check()?;
    // Fails before anything is loaded.
    let earlier = arguments.merge.iter().map(|path| lcov::read(path)).collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<_> = arguments.object.path().into_iter().chain(arguments.program.btf.as_deref()).collect();
    let output = arguments.output.as_deref().map(|path| LcovFile::open(path, &inputs)).transpose()?;
    let Measured { mut report, unattached } =
        if arguments.object.is_given() { measure::measure(arguments)? } else { Measured::default() };
    for (path, earlier) in arguments.merge.iter().zip(earlier) {
        warn_of_other_texts(&report, &earlier, path);
        report.merge(earlier);
    }
    if report.files.is_empty() && !report.functions_without_lines.is_empty() {
        diagnostics::say("the object has no line information: compile it with -g");
    }
    let has_output = output.is_some();
    if let Some(mut output) = output {
        output.write(&report)?;
    }
    match arguments.format {
        Format::Table if has_output => terminal::print(&show::summary(&report, &unattached)),
        Format::Table => {
            warn_of_newer_sources(&report, arguments);
            terminal::print(&(show::lines(&report) + &show::summary(&report, &unattached)))
        }
        Format::Json => terminal::print(&json::text(&report)?),
        Format::Lcov if has_output => Ok(()),
        Format::Lcov => terminal::print(&report.to_lcov()),
    }?;
    let (lines, functions) = (report.line_totals(), report.function_totals());
    match report.not_measured.first() {
        Some(first) if lines.measured() == 0 && functions.measured() == 0 => {
            Err(CliError::new(format!("nothing was measured: `{}`: {}", first.function, first.why)))
        }
        _ => Ok(()),
    }
}

/// Warns of source files that were changed after the results, where no text shows whether the lines are the same.
fn warn_of_newer_sources(report: &CoverageReport, arguments: &Arguments) {
    let inputs = arguments.object.path().into_iter().chain(arguments.merge.iter().map(PathBuf::as_path));
    let oldest = inputs.filter_map(|path| fs::metadata(path).ok()?.modified().ok()).min();
    for file in report.files.iter().filter(|file| source::may_have_changed(file, oldest)) {
        diagnostics::say(&format!(
            "`{}` is newer than the results: the text of its lines may be another one",
            terminal::one_line(&file.path)
        ));
    }
}

/// Warns if an earlier result is of another version of a source file: counts of different lines are then added.
fn warn_of_other_texts(report: &CoverageReport, earlier: &CoverageReport, path: &Path) {
    for file in &report.files {
        let other = earlier.files.iter().find(|other| other.path == file.path);
        let text = |line: u32| {
            let lines = &other?.lines;
            lines.get(lines.binary_search_by_key(&line, |line| line.line).ok()?)?.text.as_deref()
        };
        let differs = file
            .lines
            .iter()
            .find(|line| text(line.line).zip(line.text.as_deref()).is_some_and(|(theirs, ours)| theirs != ours));
        if let Some(line) = differs {
            diagnostics::say(&format!(
                "`{}`: line {} of `{}` has another text there, so counts of different lines are added",
                path.display(),
                line.line,
                terminal::one_line(&file.path)
            ));
        }
    }
}
