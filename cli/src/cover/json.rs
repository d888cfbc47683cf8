//! The report as JSON: one object for each file, and one for all of them.

use cutaway::{CoverageReport, FunctionCoverage, LineCoverage, Run, Totals};
use serde_json::{Value, json};

use crate::{error::CliError, terminal};

/// Returns the lines of JSON.
pub(super) fn text(report: &CoverageReport) -> Result<String, CliError> {
    let files = report.files.iter().map(|file| {
        json!({
            "file": &*file.path,
            "lines": file.lines.iter().map(line).collect::<Vec<_>>(),
            "functions": file.functions.iter().map(function).collect::<Vec<_>>(),
            "line_totals": line_totals(file.line_totals()),
            "function_totals": totals(file.function_totals()),
        })
    });
    let all = json!({
        "line_totals": line_totals(report.line_totals()),
        "function_totals": totals(report.function_totals()),
        "functions_without_lines": report.functions_without_lines.iter().map(function).collect::<Vec<_>>(),
        "not_measured": report
            .not_measured
            .iter()
            .map(|one| json!({ "function": one.function, "why": one.why }))
            .collect::<Vec<_>>(),
    });
    let mut text = String::new();
    for value in files.chain([all]) {
        text.push_str(&terminal::json(&value)?);
        text.push('\n');
    }
    Ok(text)
}

fn line(line: &LineCoverage) -> Value {
    json!({ "line": line.line, "runs": runs(line.runs), "ran_in_part": line.partial, "text": line.text.as_deref() })
}

fn function(function: &FunctionCoverage) -> Value {
    json!({ "name": function.name, "line": function.line, "runs": runs(function.runs) })
}

/// Returns the count, 0 for a line that did not run, null for one that was not measured.
fn runs(runs: Run) -> Option<u64> {
    match runs {
        Run::Ran(count) => Some(count),
        Run::NotRun => Some(0),
        Run::NotMeasured => None,
    }
}

/// Returns the totals of lines, which can run in part.
fn line_totals(lines: Totals) -> Value {
    let mut all = totals(lines);
    if let Value::Object(all) = &mut all {
        all.insert("ran_in_part".to_owned(), lines.ran_in_part.into());
    }
    all
}

fn totals(totals: Totals) -> Value {
    let Totals { ran, not_run, not_measured, .. } = totals;
    json!({ "ran": ran, "not_run": not_run, "not_measured": not_measured, "percent": totals.percent() })
}
