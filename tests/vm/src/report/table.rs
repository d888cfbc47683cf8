//! The table at the end of a matrix: one row per test, one column per kernel.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, TableComponent, presets};

use super::{Matrix, Outcome, Test};
use crate::requirements;

/// Draws the table; `color` for a terminal.
#[must_use]
pub fn draw(matrix: &Matrix, color: bool) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    for line in [
        TableComponent::HorizontalLines,
        TableComponent::MiddleIntersections,
        TableComponent::LeftBorderIntersections,
        TableComponent::RightBorderIntersections,
    ] {
        table.remove_style(line);
    }
    if color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let mut head = vec![Cell::new("test")];
    head.extend(matrix.guests.iter().map(|guest| Cell::new(&guest.name).set_alignment(CellAlignment::Right)));
    table.set_header(head);
    let mut binary = None;
    for (row, cells) in matrix.rows() {
        // A binary's name is printed once, above its tests.
        if binary.as_ref() != Some(&row.binary) {
            if !row.name.is_empty() {
                table.add_row([Cell::new(&row.binary).add_attribute(Attribute::Bold)]);
            }
            binary = Some(row.binary.clone());
        }
        let name = if row.name.is_empty() { row.binary.clone() } else { format!("  {}", row.name) };
        let mut line = vec![Cell::new(name)];
        line.extend(cells.into_iter().map(cell));
        table.add_row(line);
    }
    table.to_string()
}

fn cell(test: Option<&Test>) -> Cell {
    let Some(test) = test else { return Cell::new("-").set_alignment(CellAlignment::Right) };
    let (text, color) = match &test.outcome {
        Outcome::Passed => (format!("{:.2} s", test.seconds), Color::Green),
        Outcome::Skipped(reason) => {
            let why = requirements::needed_version(reason)
                .map_or_else(|| "skipped".to_owned(), |version| format!("needs {version}"));
            (why, Color::Yellow)
        }
        Outcome::Failed(_) => ("FAILED".to_owned(), Color::Red),
        Outcome::TimedOut(_) => ("TIMED OUT".to_owned(), Color::Red),
        Outcome::Died => ("GUEST DIED".to_owned(), Color::Red),
        Outcome::NotRun => ("not run".to_owned(), Color::Red),
    };
    Cell::new(text).fg(color).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{guest, test};
    use super::*;

    #[test]
    fn one_row_per_test_and_one_column_per_kernel() {
        let matrix = Matrix {
            guests: vec![
                guest(
                    "5.10",
                    vec![test("ring", Outcome::Passed), test("links", Outcome::Skipped("needs 5.15: x".into()))],
                ),
                guest(
                    "6.1",
                    vec![
                        test("ring", Outcome::Failed("no".into())),
                        test("links", Outcome::Passed),
                        test("new", Outcome::NotRun),
                    ],
                ),
            ],
            ..Matrix::default()
        };
        let text = draw(&matrix, false);
        let row = |name: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("test"), "5.10 6.1");
        assert_eq!(row("ring"), "0.25 s FAILED");
        assert_eq!(row("links"), "needs 5.15 0.25 s");
        assert_eq!(row("new"), "- not run");
        assert!(!text.contains('\x1b'));
        assert!(draw(&matrix, true).contains('\x1b'));
    }
}
