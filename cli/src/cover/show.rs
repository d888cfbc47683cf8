//! The report as text: the source with the count of each line, and the numbers of each file.

use std::fmt::Write as _;

use cutaway::{CoverageReport, FunctionCoverage, NotMeasured, Run, Totals};

use super::{
    measure::Unattached,
    source::{self, Row},
};
use crate::{
    columns::{hung, right},
    terminal,
};

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
    let Row::Line { line, runs, partial, text } = row else { return format!("{:>8}", "…") };
    let text =
        text.as_deref().map(|text| terminal::one_line(&text.replace('\t', &" ".repeat(TAB)))).unwrap_or_default();
    let (count, color) = match runs {
        None => ("-".to_owned(), ""),
        Some(Run::Ran(count)) => (format!("{count}{}", if *partial { "*" } else { "" }), colors.green),
        Some(Run::NotRun) => ("#####".to_owned(), colors.red),
        Some(Run::NotMeasured) => ("?".to_owned(), colors.yellow),
    };
    let plain = if color.is_empty() { "" } else { colors.plain };
    let row = format!("{color}{}{plain} {line:>5}  {text}", right(&count, 8));
    row.trim_end().to_owned()
}

/// Returns the numbers of each file, the functions that were not measured, and the programs that were not attached.
pub(super) fn summary(report: &CoverageReport, unattached: &[Unattached]) -> String {
    let mut text = format!("{:>8} {:>7} {:>8} {:>13}  file\n", "covered", "ran", "not run", "not measured");
    for file in &report.files {
        text.push_str(&row(file.line_totals(), &terminal::one_line(&file.path)));
    }
    text.push_str(&row(report.line_totals(), "all lines"));
    text.push_str(&row(report.function_totals(), "all functions"));
    match report.line_totals().ran_in_part {
        0 => {}
        1 => text.push_str("1 line ran in part (*)\n"),
        many => {
            let _ = writeln!(text, "{many} lines ran in part (*)");
        }
    }
    for FunctionCoverage { name, runs, .. } in &report.functions_without_lines {
        let what = match runs {
            Run::Ran(_) => "ran",
            Run::NotRun => "did not run",
            Run::NotMeasured => "was not measured",
        };
        let _ = writeln!(text, "`{}` {what}; it has no line information", terminal::one_line(name));
    }
    for NotMeasured { function, why, .. } in &report.not_measured {
        text.push_str(&reason("not measured", function, why));
    }
    for Unattached { name, why } in unattached {
        text.push_str(&reason("not attached, so not run", name, why));
    }
    text
}

/// Formats why a program or a function has no count, in lines of 80 columns.
fn reason(what: &str, name: &str, why: &str) -> String {
    hung(&terminal::one_line(&format!("{what}: `{name}`: {why}")), 2, terminal::WIDTH)
}

fn row(totals: Totals, name: &str) -> String {
    let Totals { ran, not_run, not_measured, .. } = totals;
    let numbers = format!("{} {ran:>7} {not_run:>8} {not_measured:>13}  ", right(&percent(totals), 8));
    terminal::fit_path(&numbers, name) + "\n"
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &str) -> CoverageReport {
        CoverageReport::from_lcov(&format!("SF:/nonexistent/a.c\n{lines}end_of_record\n")).unwrap()
    }

    #[test]
    fn each_state_of_a_line_has_its_mark() {
        let row_of = |runs, partial, text: &str| {
            line(&Row::Line { line: 7, runs, partial, text: Some(text.to_owned()) }, &Colors::NONE)
        };
        let row = |runs, text: &str| row_of(runs, false, text);
        assert_eq!(row_of(Some(Run::Ran(12)), true, "}"), "     12*     7  }");
        assert_eq!(row(Some(Run::Ran(12)), "\treturn 0;"), "      12     7      return 0;");
        assert_eq!(row(Some(Run::NotRun), "}"), "   #####     7  }");
        assert_eq!(row(Some(Run::NotMeasured), "}"), "       ?     7  }");
        assert_eq!(row(None, ""), "       -     7");
        assert_eq!(row(None, "a\u{1b}[2J"), "       -     7  a\\u{1b}[2J", "a terminal does not obey the source");
        let colored = line(&Row::Line { line: 7, runs: Some(Run::NotRun), partial: false, text: None }, &Colors::ANSI);
        assert_eq!(colored, "\x1b[31m   #####\x1b[0m     7");
        assert_eq!(line(&Row::Gap, &Colors::NONE), "       …");
    }

    #[test]
    fn summary_has_a_row_for_each_file_and_the_unmeasured_functions() {
        let in_part = "# cutaway: lines that ran in part: 1\n";
        let mut report =
            report(&format!("FN:1,f\nFNDA:1,f\nDA:1,1\nDA:2,0\n{in_part}# cutaway: lines not measured: 3\n"));
        report.add_not_measured([NotMeasured::new("g", "no room")]);
        let unattached = [Unattached { name: "p".to_owned(), why: "pass --interface NAME".to_owned() }];
        let text = summary(&report, &unattached);
        let expected = " covered     ran  not run  not measured  file\n\
                        \x20 50.0 %       1        1             1  /nonexistent/a.c\n\
                        \x20 50.0 %       1        1             1  all lines\n\
                        \x20100.0 %       1        0             0  all functions\n\
                        1 line ran in part (*)\n\
                        not measured: `g`: no room\n\
                        not attached, so not run: `p`: pass --interface NAME\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn hundred_percent_is_all() {
        let lines = |ran: u32, not_run: u32| {
            let lines = (1..=ran).map(|line| format!("DA:{line},1\n"));
            let others = (1..=not_run).map(|line| format!("DA:{},0\n", ran + line));
            percent(report(&lines.chain(others).collect::<String>()).line_totals())
        };
        assert_eq!([lines(1, 0), lines(2999, 1), lines(2, 1)], ["100.0 %", "99.9 %", "66.6 %"]);
        assert_eq!(lines(0, 0), "-");
    }
}
