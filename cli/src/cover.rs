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

pub(crate) use self::arguments::Arguments;
use self::{arguments::Format, lcov::LcovFile, measure::Measured};
use crate::{diagnostics, error::CliError, terminal};

/// Measures the object, adds the results of earlier runs, and prints the report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    arguments.check()?;
    // Fails before anything is loaded.
    let earlier = arguments.merge.iter().map(|path| lcov::read(path)).collect::<Result<Vec<_>, _>>()?;
    let output = arguments.output.as_deref().map(LcovFile::open).transpose()?;
    let Measured { mut report, not_measured } =
        if arguments.object.is_given() { measure::measure(arguments)? } else { Measured::default() };
    for earlier in earlier {
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
        Format::Table if has_output => terminal::print(&show::summary(&report, &not_measured)),
        Format::Table => terminal::print(&(show::lines(&report) + &show::summary(&report, &not_measured))),
        Format::Json => terminal::print(&json::text(&report, &not_measured)?),
        Format::Lcov if has_output => Ok(()),
        Format::Lcov => terminal::print(&report.to_lcov()),
    }?;
    let (lines, functions) = (report.line_totals(), report.function_totals());
    match not_measured.first() {
        Some(first) if lines.measured() == 0 && functions.measured() == 0 => {
            Err(CliError::new(format!("nothing was measured: `{}`: {}", first.function, first.why)))
        }
        _ => Ok(()),
    }
}
