//! The values of a coverage report, and how reports are merged.

use std::sync::Arc;

/// Whether a line or function ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It ran, in this many of the merged reports. In lcov files of other tools, the count is the number of executions.
    Ran(u64),
    /// It did not run. All of it was measured.
    NotRun,
    /// It is unknown whether it ran: a part of it was not measured, and no other part ran.
    NotMeasured,
}

impl Run {
    /// Returns whether it ran.
    pub fn ran(self) -> bool {
        matches!(self, Self::Ran(_))
    }

    /// Joins two parts of the same line or function in the same run.
    pub(super) fn join(self, part: Self) -> Self {
        match (self, part) {
            (Self::Ran(a), Self::Ran(b)) => Self::Ran(a.max(b)),
            (ran @ Self::Ran(_), _) | (_, ran @ Self::Ran(_)) => ran,
            (Self::NotMeasured, _) | (_, Self::NotMeasured) => Self::NotMeasured,
            (Self::NotRun, Self::NotRun) => Self::NotRun,
        }
    }

    /// Adds the same line or function in another run.
    pub(super) fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Ran(a), Self::Ran(b)) => Self::Ran(a.saturating_add(b)),
            (one, other) => one.join(other),
        }
    }
}

/// A line of source that has instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineCoverage {
    /// The line; the first line is 1.
    pub line: u32,
    /// Whether any instruction of the line ran.
    pub runs: Run,
    /// The line ran in part: some of its code did not run, or it is unknown whether it did. This includes code without
    /// a line of its own to which the line leads. False if the line did not run or was not measured, and for lcov files
    /// of other tools.
    pub partial: bool,
    /// The text of the line, without leading and trailing space. `None` if it is unknown: lcov files of other
    /// tools have no texts.
    pub text: Option<Arc<str>>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionCoverage {
    /// Its name in the source.
    pub name: String,
    /// Its first line that has instructions. `None` if it is unknown.
    pub line: Option<u32>,
    /// Whether any instruction of the function ran.
    pub runs: Run,
}

/// A source file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileCoverage {
    /// The path, as the compiler recorded it.
    pub path: Arc<str>,
    /// Its lines that have instructions, in ascending order. Functions that are inlined from a header have their lines
    /// in the header's file.
    pub lines: Vec<LineCoverage>,
    /// Its functions, sorted by name.
    pub functions: Vec<FunctionCoverage>,
}

/// A function that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct NotMeasured {
    /// The function's name.
    pub function: String,
    /// The reason, for example the verifier's.
    pub why: String,
}

impl NotMeasured {
    /// Returns the function with this name, and the reason.
    pub fn new(function: impl Into<String>, why: impl Into<String>) -> Self {
        Self { function: function.into(), why: why.into() }
    }
}

/// The lines and functions that ran, by source file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoverageReport {
    /// The source files, sorted by path.
    pub files: Vec<FileCoverage>,
    /// The functions without line information, sorted by name. lcov has no record for them.
    pub functions_without_lines: Vec<FunctionCoverage>,
    /// The functions that were not measured, sorted by name. In a merged report, those that were not measured in one of
    /// the reports.
    pub not_measured: Vec<NotMeasured>,
}

impl CoverageReport {
    /// Adds the lines and functions of another report, of the same or another object.
    ///
    /// Counts of the same line are added. A line that ran in one of the reports ran, even if the other one did not
    /// measure it. A line that did not run in one report and was not measured in the other is not measured. A line ran
    /// in part if it ran in part in each report in which it ran.
    pub fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
        self.functions_without_lines.extend(other.functions_without_lines);
        self.add_not_measured(other.not_measured);
        self.sort(Run::add);
    }

    /// Adds functions that were not measured, for example of programs that were not loaded. Each is listed once with
    /// the same reason.
    pub fn add_not_measured(&mut self, functions: impl IntoIterator<Item = NotMeasured>) {
        self.not_measured.extend(functions);
        self.not_measured.sort();
        self.not_measured.dedup();
    }

    /// Sorts the report, and combines entries for the same file, line or function.
    pub(super) fn sort(&mut self, combine: fn(Run, Run) -> Run) {
        let files = &mut self.files;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|file, kept| {
            let same = file.path == kept.path;
            if same {
                kept.lines.append(&mut file.lines);
                kept.functions.append(&mut file.functions);
            }
            same
        });
        for file in files {
            sort_lines(&mut file.lines, combine);
            sort_functions(&mut file.functions, combine);
        }
        sort_functions(&mut self.functions_without_lines, combine);
    }
}

fn sort_lines(lines: &mut Vec<LineCoverage>, combine: fn(Run, Run) -> Run) {
    lines.retain(|line| line.line > 0);
    lines.sort_by_key(|line| line.line);
    lines.dedup_by(|line, kept| {
        let same = line.line == kept.line;
        if same {
            // All of the line ran if all of it ran in one of them.
            kept.partial = [&*kept, &*line].into_iter().filter(|one| one.runs.ran()).all(|one| one.partial)
                && (kept.runs.ran() || line.runs.ran());
            kept.runs = combine(kept.runs, line.runs);
            kept.text = kept.text.take().or_else(|| line.text.take());
        }
        same
    });
}

/// Sorts functions. lcov knows a function of a file by its name alone, so two functions of the same name are the same.
fn sort_functions(functions: &mut Vec<FunctionCoverage>, combine: fn(Run, Run) -> Run) {
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    functions.dedup_by(|function, kept| {
        let same = function.name == kept.name;
        if same {
            kept.runs = combine(kept.runs, function.runs);
            kept.line = [kept.line, function.line].into_iter().flatten().min();
        }
        same
    });
}
