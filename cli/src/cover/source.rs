//! The rows of a source file that are shown: the lines with code, and a few lines around them.
//!
//! The text of a line with code is in the object's BTF. The lines without code are only in the file itself. It is read
//! if it exists here and its lines are those of the object: it may have changed since, or be another file.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::SystemTime,
};

use cutaway::{FileCoverage, LineCoverage, Run};

/// The number of lines without code that are shown before and after a line with code.
const CONTEXT: u32 = 2;
/// Maximum size in bytes of a source file.
const MAX_SOURCE: u64 = 16 << 20;

/// A row of the listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A line. `runs` is `None` if it has no code; `partial` says that it ran in part.
    /// `text` is `None` if it is unknown.
    Line { line: u32, runs: Option<Run>, partial: bool, text: Option<String> },
    /// Lines that are not shown.
    Gap,
}

/// Returns the rows of a file.
pub(super) fn rows(file: &FileCoverage) -> Vec<Row> {
    let source = read(&file.path).filter(|source| is_source_of(source, &file.lines));
    rows_of(file, source.as_deref())
}

fn rows_of(file: &FileCoverage, source: Option<&[String]>) -> Vec<Row> {
    let text = |line: u32| source.and_then(|source| source.get(line as usize - 1)).cloned();
    let mut shown: BTreeSet<u32> = file.lines.iter().map(|line| line.line).collect();
    if let Some(source) = source {
        let most = u32::try_from(source.len()).unwrap_or(u32::MAX);
        let around = |line: &LineCoverage| {
            line.line.saturating_sub(CONTEXT).max(1)..=line.line.saturating_add(CONTEXT).min(most)
        };
        shown.extend(file.lines.iter().flat_map(around));
    }
    let mut rows = Vec::new();
    let mut next = None;
    let mut left = file.lines.iter().peekable();
    for line in shown {
        if source.is_some() && next.is_some_and(|next| next < line) {
            rows.push(Row::Gap);
        }
        next = Some(line.saturating_add(1));
        let found = left.next_if(|found| found.line == line);
        let text = text(line).or_else(|| found.and_then(|found| found.text.as_deref().map(str::to_owned)));
        rows.push(Row::Line {
            line,
            runs: found.map(|found| found.runs),
            partial: found.is_some_and(|found| found.partial),
            text,
        });
    }
    rows
}

/// Returns whether the file may not be the source of the results: it has changed since the oldest of them, and no line
/// has a text to compare. Then it is shown anyway.
pub(super) fn may_have_changed(file: &FileCoverage, oldest: Option<SystemTime>) -> bool {
    let is_unchecked = !file.lines.is_empty() && file.lines.iter().all(|line| line.text.is_none());
    let changed = || open(&file.path)?.metadata().ok()?.modified().ok();
    is_unchecked && changed().zip(oldest).is_some_and(|(changed, oldest)| changed > oldest)
}

/// Opens a source file. The path is from an object or an lcov file. `None` if it is no regular file.
fn open(path: &str) -> Option<File> {
    // Without O_NONBLOCK, open(2) of a FIFO blocks until another process opens it.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(Path::new(path)).ok()?;
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}

/// Reads the lines of a source file. `None` if it cannot be read.
fn read(path: &str) -> Option<Vec<String>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    let length = file.take(MAX_SOURCE + 1).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    (length as u64 <= MAX_SOURCE).then(|| text.lines().map(str::to_owned).collect())
}

/// Returns whether these are the lines that the object was compiled from. Lines of other tools' lcov have no text to
/// compare.
fn is_source_of(source: &[String], lines: &[LineCoverage]) -> bool {
    lines.iter().all(|line| {
        let there = (line.line as usize).checked_sub(1).and_then(|index| source.get(index));
        there.is_some_and(|there| line.text.as_deref().is_none_or(|text| text == there.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use cutaway::CoverageReport;

    use super::*;

    fn file(lines: &str) -> FileCoverage {
        let text = format!("SF:/nonexistent/a.c\n{lines}end_of_record\n");
        CoverageReport::from_lcov(&text).unwrap().files.remove(0)
    }

    fn lines(rows: &[Row]) -> Vec<Option<u32>> {
        rows.iter().map(|row| if let Row::Line { line, .. } = row { Some(*line) } else { None }).collect()
    }

    #[test]
    fn lines_without_code_are_shown_near_lines_with_code() {
        let source: Vec<_> = (1..=20).map(|line| format!("\ttext {line}")).collect();
        let rows = rows_of(&file("DA:2,1\nDA:9,0\nDA:20,0\n"), Some(&source));
        let expected = [1, 2, 3, 4, 0, 7, 8, 9, 10, 11, 0, 18, 19, 20].map(|line| Some(line).filter(|&line| line > 0));
        assert_eq!(lines(&rows), expected);
        assert_eq!(rows[0], Row::Line { line: 1, runs: None, partial: false, text: Some("\ttext 1".to_owned()) });
        assert_eq!(
            rows[1],
            Row::Line { line: 2, runs: Some(Run::Ran(1)), partial: false, text: Some("\ttext 2".to_owned()) }
        );
    }

    #[test]
    fn without_the_file_only_lines_with_code_are_shown() {
        let mut file = file("DA:2,1\nDA:9,0\nDA:4294967295,0\n");
        file.lines[1].text = Some("from BTF".into());
        let rows = rows(&file);
        assert_eq!(lines(&rows), [Some(2), Some(9), Some(u32::MAX)]);
        assert_eq!(
            rows[1],
            Row::Line { line: 9, runs: Some(Run::NotRun), partial: false, text: Some("from BTF".to_owned()) }
        );
    }

    #[test]
    fn file_without_texts_that_is_newer_than_the_results_may_have_changed() {
        let source = tempfile::NamedTempFile::new().unwrap();
        let mut file = file("DA:1,1\n");
        file.path = source.path().to_str().unwrap().into();
        let changed = source.as_file().metadata().unwrap().modified().unwrap();
        let before = changed - std::time::Duration::from_secs(1);
        assert!(may_have_changed(&file, Some(before)) && !may_have_changed(&file, Some(changed)));
        file.lines[0].text = Some("x".into());
        assert!(!may_have_changed(&file, Some(before)), "the text is compared");
    }

    #[test]
    fn fifo_is_no_source() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.c");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(read(path.to_str().unwrap()), None);
    }

    #[test]
    fn file_with_other_lines_is_not_the_source() {
        let source = ["first".to_owned(), "\tsecond".to_owned()];
        let mut file = file("DA:2,1\n");
        assert!(is_source_of(&source, &file.lines));
        file.lines[0].text = Some("second".into());
        assert!(is_source_of(&source, &file.lines));
        file.lines[0].text = Some("third".into());
        assert!(!is_source_of(&source, &file.lines));
        file.lines[0].text = None;
        assert!(!is_source_of(&source[..1], &file.lines), "the file is too short");
    }
}
