//! Writes a report in the format of lcov, which `genhtml` and most services for coverage read.
//!
//! A `DA` record says that a line ran or did not, so a line that was not measured has none. A comment names such lines
//! and functions, and the lines that ran in part, for [`CoverageReport::from_lcov`]. Other comments have the texts of
//! lines, because the source may change, and the reasons why functions were not measured. `lcov` 2 ignores comments,
//! `lcov` 1 ignores any unknown line; in what `lcov -a` writes, lines that were not measured are missing.
//!
//! ```text
//! TN:
//! # cutaway: not measured: leave<TAB>there is no free register
//! SF:/src/program.bpf.c
//! FN:10,enter
//! FNDA:1,enter
//! FNF:1
//! FNH:1
//! DA:10,1
//! DA:11,0
//! LF:2
//! LH:1
//! # cutaway: text of line 10: int enter(void *ctx)
//! # cutaway: lines that ran in part: 10
//! # cutaway: lines not measured: 12,13
//! # cutaway: function not measured: 20,leave
//! end_of_record
//! ```
//!
//! Format: lcov, `man/geninfo.1`, "TRACEFILE FORMAT" (in lcov 1, "FILES").

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use super::values::{CoverageReport, FileCoverage, FunctionCoverage, LineCoverage, NotMeasured, Run};
use crate::btf::shown;

/// The beginning of the comment for a function that was not measured. Its name, a tab and the reason follow.
pub(super) const REASON: &str = "# cutaway: not measured: ";
/// The beginning of the comment with the text of a line. The line, `: ` and the text follow.
pub(super) const TEXT: &str = "# cutaway: text of line ";
/// The beginning of the comment that lists the lines that ran in part.
pub(super) const LINES_IN_PART: &str = "# cutaway: lines that ran in part: ";
/// The beginning of the comment that lists the lines that were not measured.
pub(super) const LINES_NOT_MEASURED: &str = "# cutaway: lines not measured: ";
/// The beginning of the comment for a function that was not measured. The function's line and name follow.
pub(super) const FUNCTION_NOT_MEASURED: &str = "# cutaway: function not measured: ";

impl CoverageReport {
    /// Returns the report as a tracefile of lcov.
    ///
    /// Lines and functions that were not measured, lines that ran in part, texts of lines and reasons are in comments,
    /// which [`Self::from_lcov`] reads. Functions without line information are not part of the format.
    pub fn to_lcov(&self) -> String {
        let mut text = String::from("TN:\n");
        for NotMeasured { function, why } in &self.not_measured {
            let _ = writeln!(text, "{REASON}{}\t{}", one_line(function), one_line(why));
        }
        for file in &self.files {
            // Writing to a string does not fail.
            let _ = write_file(&mut text, file);
        }
        text
    }
}

fn write_file(to: &mut String, file: &FileCoverage) -> fmt::Result {
    writeln!(to, "SF:{}", one_line(&file.path))?;
    write_functions(to, &file.functions)?;
    for LineCoverage { line, runs, .. } in &file.lines {
        match runs {
            Run::Ran(count) => writeln!(to, "DA:{line},{count}")?,
            Run::NotRun => writeln!(to, "DA:{line},0")?,
            Run::NotMeasured => {}
        }
    }
    let totals = file.line_totals();
    writeln!(to, "LF:{}\nLH:{}", totals.measured(), totals.ran)?;
    for LineCoverage { line, text, .. } in &file.lines {
        if let Some(text) = text {
            // Other control characters are kept: the text is compared with the source.
            writeln!(to, "{TEXT}{line}: {}", text.replace(['\n', '\r'], "\u{fffd}"))?;
        }
    }
    write_list(to, LINES_IN_PART, file.lines.iter().filter(|line| line.partial))?;
    write_list(to, LINES_NOT_MEASURED, file.lines.iter().filter(|line| line.runs == Run::NotMeasured))?;
    for FunctionCoverage { name, line, .. } in file.functions.iter().filter(|one| one.runs == Run::NotMeasured) {
        writeln!(to, "{FUNCTION_NOT_MEASURED}{},{}", line.unwrap_or(0), one_line(name))?;
    }
    writeln!(to, "end_of_record")
}

/// Writes a comment with the numbers of these lines, if there are any.
fn write_list<'a>(to: &mut String, head: &str, lines: impl Iterator<Item = &'a LineCoverage>) -> fmt::Result {
    let numbers: Vec<_> = lines.map(|line| line.line.to_string()).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    writeln!(to, "{head}{}", numbers.join(","))
}

fn write_functions(to: &mut String, functions: &[FunctionCoverage]) -> fmt::Result {
    let measured = || functions.iter().filter(|function| function.runs != Run::NotMeasured);
    for FunctionCoverage { name, line, .. } in measured() {
        if let Some(line) = line {
            writeln!(to, "FN:{line},{}", one_line(name))?;
        }
    }
    for FunctionCoverage { name, runs, .. } in measured() {
        let count = if let Run::Ran(count) = runs { *count } else { 0 };
        writeln!(to, "FNDA:{count},{}", one_line(name))?;
    }
    let ran = measured().filter(|function| function.runs.ran()).count();
    writeln!(to, "FNF:{}\nFNH:{ran}", measured().count())
}

/// Returns the name without characters that would end the line.
fn one_line(name: &str) -> Cow<'_, str> {
    shown(name.as_bytes())
}
