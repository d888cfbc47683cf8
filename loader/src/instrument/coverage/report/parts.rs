//! Joins the parts of a line: the compiler can give one line to several blocks, and to copies in several functions.

use std::{collections::BTreeSet, sync::Arc};

use super::values::{FileCoverage, LineCoverage, Run};

/// Instructions of one function that belong to one line.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: Arc<str>,
    pub(super) line: u32,
    /// The column; 0 if it is unknown.
    pub(super) column: u32,
    pub(super) text: Option<Arc<str>>,
    /// The function's number.
    pub(super) function: usize,
    pub(super) runs: Run,
    /// Code without a line of its own follows the part, and it is not known to have run.
    pub(super) is_partial: bool,
}

/// Returns the lines of these parts, in files with one line each.
pub(super) fn lines(mut parts: Vec<Part>) -> impl Iterator<Item = FileCoverage> {
    parts.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    let lines: Vec<_> = parts.chunk_by(|a, b| (&a.path, a.line) == (&b.path, b.line)).filter_map(line).collect();
    lines.into_iter().map(|(path, line)| FileCoverage { path, lines: vec![line], functions: Vec::new() })
}

/// Joins the parts of one line.
///
/// A copy in a function in which no part of the line ran is skipped: if one inlined copy ran as a whole, the line did.
/// But if the copy has a column that ran nowhere, it is more than a copy. For example, it is a closure.
fn line(parts: &[Part]) -> Option<(Arc<str>, LineCoverage)> {
    let first = parts.first()?;
    let ran = || parts.iter().filter(|part| part.runs.ran());
    let functions: BTreeSet<_> = ran().map(|part| part.function).collect();
    let columns: BTreeSet<_> = ran().map(|part| part.column).collect();
    let is_open = |part: &Part| match part.runs {
        Run::Ran(_) => part.is_partial,
        _ => functions.contains(&part.function) || !columns.contains(&part.column),
    };
    let runs = parts.iter().map(|part| part.runs).reduce(Run::join)?;
    let partial = runs.ran() && parts.iter().any(is_open);
    let text = parts.iter().find_map(|part| part.text.clone());
    Some((Arc::clone(&first.path), LineCoverage { line: first.line, runs, partial, text }))
}
