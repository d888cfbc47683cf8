//! The report as text: the source with the count of each line, and the numbers of each file.

use std::fmt::Write as _;

use cutaway::{CoverageReport, FunctionCoverage, NotMeasured, Run, Totals};

use super::source::{self, Row};
use crate::{columns::right, terminal};

/// Columns of a tab.
const TAB: usize = 4;

/// Returns the lines of all files.
pub(super) fn lines(report: &CoverageReport) -> String {
    let colors = Colors::of_stdout();
    let mut text = String::new();
    for file in &report.files {
        let _ = writeln!(text, "{}{}{}", colors.bold, terminal::one_line(&file.path), colors.plain);
        for row in source::rows(file) {
            text.push_str(&terminal::fit(&line(&row, &colors)));
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

fn line(row: &Row, colors: &Colors) -> String {
    let Row::Line { line, runs, text } = row else { return format!("{:>8}", "…") };
    let text =
        text.as_deref().map(|text| terminal::one_line(&text.replace('\t', &" ".repeat(TAB)))).unwrap_or_default();
    let (count, color) = match runs {
        None => ("-".to_owned(), ""),
        Some(Run::Ran(count)) => (count.to_string(), colors.green),
        Some(Run::NotRun) => ("#####".to_owned(), colors.red),
        Some(Run::NotMeasured) => ("?".to_owned(), colors.yellow),
    };
    let plain = if color.is_empty() { "" } else { colors.plain };
    let row = format!("{color}{}{plain} {line:>5}  {text}", right(&count, 8));
    row.trim_end().to_owned()
}

/// Returns the numbers of each file, and the functions that were not measured.
pub(super) fn summary(report: &CoverageReport, not_measured: &[NotMeasured]) -> String {
    let mut text = format!("{:>8} {:>7} {:>8} {:>13}  file\n", "covered", "ran", "not run", "not measured");
    for file in &report.files {
        text.push_str(&row(file.line_totals(), &terminal::one_line(&file.path)));
    }
    text.push_str(&row(report.line_totals(), "all lines"));
    text.push_str(&row(report.function_totals(), "all functions"));
    for FunctionCoverage { name, runs, .. } in &report.functions_without_lines {
        let what = match runs {
            Run::Ran(_) => "ran",
            Run::NotRun => "did not run",
            Run::NotMeasured => "was not measured",
        };
        let _ = writeln!(text, "`{}` {what}; it has no line information", terminal::one_line(name));
    }
    for NotMeasured { function, why, .. } in not_measured {
        let _ = writeln!(text, "not measured: `{}`: {}", terminal::one_line(function), terminal::one_line(why));
    }
    text
}

fn row(totals: Totals, name: &str) -> String {
    let Totals { ran, not_run, not_measured, .. } = totals;
    let row = format!("{} {ran:>7} {not_run:>8} {not_measured:>13}  ", right(&percent(totals), 8));
    terminal::fit(&(row + name)).into_owned() + "\n"
}

/// Returns the percentage, rounded down: 100 % means all.
fn percent(totals: Totals) -> String {
    match totals.percent() {
        Some(percent) => format!("{:.1} %", (percent * 10.0).floor() / 10.0),
        None => "-".to_owned(),
    }
}

/// Sequences that color text on a terminal.
struct Colors {
    bold: &'static str,
    green: &'static str,
    red: &'static str,
    yellow: &'static str,
    plain: &'static str,
}

impl Colors {
    const NONE: Self = Self { bold: "", green: "", red: "", yellow: "", plain: "" };
    const ANSI: Self =
        Self { bold: "\x1b[1m", green: "\x1b[32m", red: "\x1b[31m", yellow: "\x1b[33m", plain: "\x1b[0m" };

    fn of_stdout() -> Self {
        if terminal::is_colored() { Self::ANSI } else { Self::NONE }
    }
}
