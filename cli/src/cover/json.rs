//! The report as JSON: one object for each file, and one for all of them.

use cutaway::{CoverageReport, FunctionCoverage, LineCoverage, NotMeasured, Run, Totals};
use serde_json::{Value, json};

use crate::{error::CliError, terminal};

/// Returns the lines of JSON.
pub(super) fn text(report: &CoverageReport, not_measured: &[NotMeasured]) -> Result<String, CliError> {
    let files = report.files.iter().map(|file| {
        json!({
            "file": &*file.path,
            "lines": file.lines.iter().map(line).collect::<Vec<_>>(),
            "functions": file.functions.iter().map(function).collect::<Vec<_>>(),
            "line_totals": totals(file.line_totals()),
            "function_totals": totals(file.function_totals()),
        })
    });
    let all = json!({
        "line_totals": totals(report.line_totals()),
        "function_totals": totals(report.function_totals()),
        "functions_without_lines": report.functions_without_lines.iter().map(function).collect::<Vec<_>>(),
        "not_measured": not_measured
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
    json!({ "line": line.line, "runs": runs(line.runs), "text": line.text.as_deref() })
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

fn totals(totals: Totals) -> Value {
    let Totals { ran, not_run, not_measured, .. } = totals;
    json!({ "ran": ran, "not_run": not_run, "not_measured": not_measured, "percent": totals.percent() })
}
