//! Reads tracefiles of lcov: those of this crate, and those of other tools.
//!
//! Records without a meaning for a report are skipped: branches, checksums, versions, totals. A text that is no
//! tracefile, and a tracefile that was cut off, are refused: an empty report would say that nothing has to run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{
    lcov::{FUNCTION_NOT_MEASURED, LINES_IN_PART, LINES_NOT_MEASURED, REASON, TEXT},
    values::{CoverageReport, FileCoverage, FunctionCoverage, LineCoverage, NotMeasured, Run},
};
use crate::btf::shown;

/// The error of a text that is not a tracefile of lcov.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LcovError {
    /// The line of the text; the first line is 1.
    pub line: usize,
    /// The defect.
    pub why: String,
}

impl fmt::Display for LcovError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for LcovError {}

impl CoverageReport {
    /// Reads a tracefile of lcov.
    ///
    /// If a file or line is in it more than once, its counts are added. The paths are not changed. The texts of the
    /// lines are known only if this crate wrote the file.
    ///
    /// # Errors
    /// A line that no tracefile has, a number out of range, or a missing `end_of_record`. The error names the line.
    pub fn from_lcov(text: &str) -> Result<Self, LcovError> {
        let mut parser = Parser::default();
        let mut number = 0;
        for line in text.lines() {
            number += 1;
            parser.line(line).map_err(|why| LcovError { line: number, why })?;
        }
        parser.end().map_err(|why| LcovError { line: number.max(1), why })
    }
}

#[derive(Default)]
struct Parser {
    report: CoverageReport,
    /// The file whose records follow, until `end_of_record`.
    file: Option<Section>,
    /// A record was found, so the text is a tracefile.
    any: bool,
}

/// The records between `SF` and `end_of_record`.
struct Section {
    file: FileCoverage,
    /// The first lines of functions by the functions' index, from `FNL` records (since lcov 2.2).
    function_lines: BTreeMap<u32, u32>,
    /// The lines that ran in part.
    partial: BTreeSet<u32>,
    texts: BTreeMap<u32, Arc<str>>,
}

impl Section {
    fn of(path: &str) -> Self {
        let file = FileCoverage { path: Arc::from(shown(path.as_bytes())), lines: Vec::new(), functions: Vec::new() };
        Self { file, function_lines: BTreeMap::new(), partial: BTreeSet::new(), texts: BTreeMap::new() }
    }

    /// Returns the file. Comments may be about lines that precede them.
    fn end(mut self) -> FileCoverage {
        for line in &mut self.file.lines {
            line.partial = line.runs.ran() && self.partial.contains(&line.line);
            line.text = self.texts.get(&line.line).cloned();
        }
        self.file
    }
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(list) = line.strip_prefix(LINES_NOT_MEASURED) {
            return self.lines_not_measured(list);
        }
        if let Some(list) = line.strip_prefix(LINES_IN_PART) {
            let section = self.section()?;
            for line in list.split(',') {
                section.partial.extend(line_number(line)?);
            }
            return Ok(());
        }
        if let Some(text) = line.strip_prefix(TEXT) {
            let (line, text) = text.split_once(": ").ok_or("the text of a line is missing")?;
            let (line, text) = (line_number(line)?, Some(text).filter(|text| !text.is_empty()));
            self.section()?.texts.extend(line.zip(text.map(Arc::from)));
            return Ok(());
        }
        if let Some(reason) = line.strip_prefix(REASON) {
            let (function, why) = reason.split_once('\t').ok_or("the reason is missing")?;
            self.report.add_not_measured([NotMeasured::new(shown(function.as_bytes()), shown(why.as_bytes()))]);
            return Ok(());
        }
        if let Some(not_measured) = line.strip_prefix(FUNCTION_NOT_MEASURED) {
            let (line, name) = field(not_measured, "function not measured")?;
            let line = line_number(line)?;
            self.section()?.file.functions.push(function(name, line, Run::NotMeasured));
            return Ok(());
        }
        if line.trim_ascii().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if line.trim_ascii_end() == "end_of_record" {
            let section = self.file.take().ok_or("`end_of_record` without `SF:` before it")?;
            self.report.files.push(section.end());
            return Ok(());
        }
        let (kind, rest) = line.split_once(':').filter(|(kind, _)| is_kind(kind)).ok_or_else(|| {
            format!("`{}` is not a record of lcov", shown(line.chars().take(40).collect::<String>().as_bytes()))
        })?;
        self.any = true;
        self.record(kind, rest)
    }

    fn record(&mut self, kind: &str, rest: &str) -> Result<(), String> {
        match kind {
            "SF" => self.begin(rest),
            "DA" => {
                let (line, count) = field(rest, "DA")?;
                // A checksum of the line can follow.
                let count = count.split(',').next().unwrap_or(count);
                let (line, runs) = (line_number(line)?, run(count)?);
                self.section()?.file.lines.extend(line.map(|line| LineCoverage {
                    line,
                    runs,
                    partial: false,
                    text: None,
                }));
                Ok(())
            }
            "FN" => {
                let (line, name) = field(rest, "FN")?;
                // Since lcov 2.0 the function's last line can precede its name.
                let name =
                    name.split_once(',').filter(|(end, _)| end.parse::<u32>().is_ok()).map_or(name, |(_, name)| name);
                let line = line_number(line)?;
                self.section()?.file.functions.push(function(name, line, Run::NotRun));
                Ok(())
            }
            "FNDA" => {
                let (count, name) = field(rest, "FNDA")?;
                let runs = run(count)?;
                self.section()?.file.functions.push(function(name, None, runs));
                Ok(())
            }
            "FNL" => {
                let (index, lines) = field(rest, "FNL")?;
                let line = line_number(lines.split(',').next().unwrap_or(lines))?;
                let index = index_number(index)?;
                self.section()?.function_lines.extend(line.map(|line| (index, line)));
                Ok(())
            }
            "FNA" => {
                let (index, rest) = field(rest, "FNA")?;
                let (count, name) = field(rest, "FNA")?;
                let (index, runs) = (index_number(index)?, run(count)?);
                let section = self.section()?;
                let line = section.function_lines.get(&index).copied();
                section.file.functions.push(function(name, line, runs));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, path: &str) -> Result<(), String> {
        if let Some(section) = &self.file {
            return Err(format!("`end_of_record` of `{}` is missing before it", section.file.path));
        }
        if path.is_empty() {
            return Err("`SF:` has no path".to_owned());
        }
        self.file = Some(Section::of(path));
        Ok(())
    }

    fn section(&mut self) -> Result<&mut Section, String> {
        self.file.as_mut().ok_or_else(|| "`SF:` is missing before it".to_owned())
    }

    fn lines_not_measured(&mut self, list: &str) -> Result<(), String> {
        let section = self.section()?;
        for line in list.split(',') {
            let line = line_number(line)?;
            let not_measured = |line| LineCoverage { line, runs: Run::NotMeasured, partial: false, text: None };
            section.file.lines.extend(line.map(not_measured));
        }
        Ok(())
    }

    fn end(mut self) -> Result<CoverageReport, String> {
        if let Some(section) = &self.file {
            return Err(format!("the text ends before the `end_of_record` of `{}`", section.file.path));
        }
        if !self.any {
            return Err("the text has no record of lcov".to_owned());
        }
        self.report.sort(Run::add);
        Ok(self.report)
    }
}

/// Returns whether a record of lcov can begin with this name.
fn is_kind(kind: &str) -> bool {
    (2..=8).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Splits a record at its first comma.
fn field<'a>(text: &'a str, kind: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once(',').ok_or_else(|| format!("`{kind}` needs two values with a comma between them"))
}

/// Parses the number of a line. `None` for 0, which stands for code without a line.
fn line_number(text: &str) -> Result<Option<u32>, String> {
    let number: u32 = text.trim_ascii().parse().map_err(|_| "a line is a number from 0 to 4294967295".to_owned())?;
    Ok(Some(number).filter(|&number| number > 0))
}

fn index_number(text: &str) -> Result<u32, String> {
    text.trim_ascii().parse().map_err(|_| "the index of a function is a number from 0 to 4294967295".to_owned())
}

fn run(count: &str) -> Result<Run, String> {
    match count.trim_ascii().parse::<u64>() {
        Ok(0) => Ok(Run::NotRun),
        Ok(count) => Ok(Run::Ran(count)),
        Err(_) => Err("a count is a number from 0 to 18446744073709551615".to_owned()),
    }
}

fn function(name: &str, line: Option<u32>, runs: Run) -> FunctionCoverage {
    FunctionCoverage { name: shown(name.as_bytes()).into_owned(), line, runs }
}
