//! Prints the results: text for people, lines of JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    data::{Cell, Table},
    environment::Environment,
    experiment::Verdict,
    result::ExperimentResult,
    summary::Answer,
};
use crate::{
    args::Format,
    columns::{self, display_width, left, right},
    outlet, terminal,
};

/// Width of running text in columns.
const WIDTH: usize = 100;

/// Prints to stdout, each result as soon as it is known.
pub(super) struct Output {
    format: Format,
    colored: bool,
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line<'a> {
    Machine(&'a Environment),
    Experiment(&'a ExperimentResult),
    Summary { answers: &'a [Answer] },
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format, colored: terminal::is_colored() }
    }

    pub(super) fn environment(&self, environment: &Environment) -> io::Result<()> {
        match self.format {
            Format::Json => json(&Line::Machine(environment)),
            Format::Table => {
                let mut text = String::new();
                if environment.control {
                    text.push_str("Control run: every experiment is broken on purpose, and none should hold.\n\n");
                }
                for (name, value) in environment.rows() {
                    text.push_str(&format!("{name:<14}{value}\n"));
                }
                print(&text)
            }
        }
    }

    pub(super) fn experiment(&self, outcome: &ExperimentResult) -> io::Result<()> {
        match self.format {
            Format::Json => json(&Line::Experiment(outcome)),
            Format::Table => print(&self.block(outcome)),
        }
    }

    pub(super) fn summary(&self, results: &[ExperimentResult], answers: &[Answer]) -> io::Result<()> {
        match self.format {
            Format::Json => json(&Line::Summary { answers }),
            Format::Table => {
                let mut text = String::from("\n");
                for outcome in results {
                    text.push_str(&format!("{:<18}{}\n", outcome.name, self.verdict(outcome.verdict())));
                }
                for (kind, title) in [("likeness", "In common:"), ("difference", "Differences:")] {
                    let mut answers = answers.iter().filter(|answer| answer.kind == kind).peekable();
                    if answers.peek().is_some() {
                        text.push_str(&format!("\n{title}\n"));
                    }
                    for answer in answers {
                        let verdict = self.verdict(answer.verdict);
                        text.push_str(&format!("  {:<16}{verdict}\n", answer.name));
                        text.push_str(&wrapped(answer.statement, "    "));
                    }
                }
                print(&text)
            }
        }
    }

    fn block(&self, outcome: &ExperimentResult) -> String {
        let (bold, plain) = if self.colored { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let mut text = format!("\n{bold}{}{plain}: {}\n", outcome.name, self.verdict(outcome.verdict()));
        text.push_str(&wrapped(outcome.claim, "  claim  "));
        text.push_str(&wrapped(&outcome.sentence, "  result "));
        for note in &outcome.notes {
            text.push_str(&wrapped(note, "  note   "));
        }
        for table in &outcome.tables {
            text.push_str(&format!("\n  {}\n", table.title));
            text.push_str(&in_columns(table));
        }
        text
    }

    fn verdict(&self, verdict: Verdict) -> String {
        let color = match verdict {
            Verdict::Holds => "\x1b[32m",
            Verdict::DoesNotHold => "\x1b[31m",
            Verdict::TooNoisy | Verdict::CannotBeTried => "\x1b[33m",
        };
        if self.colored { format!("{color}{}\x1b[0m", verdict.text()) } else { verdict.text().to_owned() }
    }
}

/// Wraps text after a heading, in lines of at most [`WIDTH`] columns.
fn wrapped(text: &str, head: &str) -> String {
    columns::wrapped(&terminal::clean(text), head, WIDTH)
}

/// Formats a table with columns as wide as their content: numbers aligned right, text left.
fn in_columns(table: &Table) -> String {
    let heads = [
        table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>(),
        table.columns.iter().map(|column| column.unit.to_owned()).collect(),
    ];
    let body =
        table.rows.iter().map(|row| row.iter().map(|cell| terminal::clean(&cell.display()).into_owned()).collect());
    let lines: Vec<Vec<String>> = heads.into_iter().chain(body).collect();
    let is_text = |column: usize| table.rows.iter().any(|row| matches!(row.get(column), Some(Cell::Text(_))));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|text| display_width(text)).max();
    let shapes: Vec<_> = (0..table.columns.len()).map(|column| (width(column).unwrap_or(0), is_text(column))).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::from("   ");
        for (word, &(width, is_text)) in line.iter().zip(&shapes) {
            row.push_str(&format!(" {} ", if is_text { left(word, width) } else { right(word, width) }));
        }
        if !row.trim().is_empty() {
            text.push_str(row.trim_end());
            text.push('\n');
        }
    }
    text
}

fn json(line: &Line<'_>) -> io::Result<()> {
    let mut text = Vec::new();
    terminal::write_json(&mut text, line)?;
    text.push(b'\n');
    outlet::stdout().write_all(&text)
}

fn print(text: &str) -> io::Result<()> {
    outlet::stdout().write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_after_its_heading() {
        let text = "word ".repeat(30);
        let lines = wrapped(&text, "  result ");
        assert!(lines.lines().all(|line| line.len() <= WIDTH), "{lines}");
        assert!(lines.starts_with("  result word word"), "{lines}");
        assert!(lines.lines().nth(1).unwrap().starts_with("         word"), "{lines}");
    }

    #[test]
    fn numbers_are_aligned_right_and_text_left() {
        let mut table = Table::new("t", [("arm", ""), ("time", "ns")]);
        table.row([Cell::text("ring"), 5.0.into()]);
        table.row([Cell::text("a"), 1234.0.into()]);
        assert_eq!(in_columns(&table), "    arm    time\n             ns\n    ring      5\n    a     1,234\n");
    }

    #[test]
    fn wide_letters_shift_no_columns() {
        let mut table = Table::new("t", [("漢字", ""), ("time", "ns")]);
        table.row([Cell::text("a"), 5.0.into()]);
        table.row([Cell::text("größe"), 12.0.into()]);
        assert_eq!(in_columns(&table), "    漢字   time\n             ns\n    a         5\n    größe    12\n");
        let lines = wrapped(&"漢字漢字 ".repeat(30), "  result ");
        assert!(lines.lines().count() > 2 && lines.lines().all(|line| display_width(line) <= WIDTH), "{lines}");
    }
}
