//! Computes the report of an object: a line ran if one of its instructions is in a block that ran.

use std::{ops::Range, sync::Arc};

use super::{CoverageReport, FileCoverage, FunctionCoverage, LineCoverage, Run};
use crate::Line;

/// The blocks of one function, each with the result of the measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FunctionRun<'a> {
    pub(crate) name: &'a str,
    /// The source lines of its instructions, in ascending order of their slots.
    pub(crate) lines: &'a [Line],
    /// The number of its instruction slots.
    pub(crate) size: usize,
    /// The slots of each block, and whether it ran. `None` if it was not measured. Slots in no block are not measured.
    pub(crate) blocks: &'a [(Range<usize>, Option<bool>)],
}

impl CoverageReport {
    /// Returns the report of one run of an object with these functions.
    pub(crate) fn of<'a>(functions: impl Iterator<Item = FunctionRun<'a>>) -> Self {
        let mut report = Self::default();
        for function in functions {
            report.add(function);
        }
        // A header's line can be part of several functions.
        report.sort(Run::join);
        report
    }

    fn add(&mut self, function: FunctionRun<'_>) {
        let runs = function.blocks.iter().map(|(_, ran)| run(*ran)).reduce(Run::join).unwrap_or(Run::NotMeasured);
        let coverage = |line| FunctionCoverage { name: function.name.to_owned(), line, runs };
        let Some(first) = function.lines.iter().find(|line| is_source(line)) else {
            self.functions_without_lines.push(coverage(None));
            return;
        };
        self.push(&first.file, None, Some(coverage(Some(first.line))));
        let slots = slots(function);
        let ends = function.lines.iter().skip(1).map(|line| line.slot).chain([function.size]);
        for (line, end) in function.lines.iter().zip(ends).filter(|(line, _)| is_source(line)) {
            // Without an instruction, the line has nothing to run.
            let Some(runs) = slots.get(line.slot..end).and_then(|slots| slots.iter().copied().reduce(Run::join)) else {
                continue;
            };
            let text = Some(&line.text).filter(|text| !text.is_empty()).cloned();
            self.push(&line.file, Some(LineCoverage { line: line.line, runs, text }), None);
        }
    }

    /// Adds a line or function of this file. [`Self::sort`] combines files of the same path.
    fn push(&mut self, path: &Arc<str>, line: Option<LineCoverage>, function: Option<FunctionCoverage>) {
        match self.files.last_mut().filter(|last| last.path == *path) {
            Some(last) => {
                last.lines.extend(line);
                last.functions.extend(function);
            }
            None => self.files.push(FileCoverage {
                path: Arc::clone(path),
                lines: line.into_iter().collect(),
                functions: function.into_iter().collect(),
            }),
        }
    }
}

/// Returns whether it is a line of the source. Line 0 is code that the compiler made.
fn is_source(line: &Line) -> bool {
    line.line > 0 && !line.file.is_empty()
}

/// Returns for each instruction slot of a function whether it ran.
fn slots(function: FunctionRun<'_>) -> Vec<Run> {
    let mut slots = vec![Run::NotMeasured; function.size];
    for (range, ran) in function.blocks {
        if let Some(slots) = slots.get_mut(range.start..range.end.min(function.size)) {
            slots.fill(run(*ran));
        }
    }
    slots
}

fn run(ran: Option<bool>) -> Run {
    match ran {
        Some(true) => Run::Ran(1),
        Some(false) => Run::NotRun,
        None => Run::NotMeasured,
    }
}
