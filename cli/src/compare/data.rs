//! Data as values: tables and plots, before they are formatted.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::stats::Rounds;

/// A table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// Name and unit of a column.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Column {
    pub(super) name: String,
    /// Empty for text and for plain numbers.
    pub(super) unit: &'static str,
}

impl Table {
    pub(super) fn new<N: Into<String>>(
        title: impl Into<String>,
        columns: impl IntoIterator<Item = (N, &'static str)>,
    ) -> Self {
        let columns = columns.into_iter().map(|(name, unit)| Column { name: name.into(), unit }).collect();
        Self { title: title.into(), columns, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// No value.
    None,
    Text(String),
    Number(f64),
    /// A median, and the lower and upper quartile.
    Spread {
        median: f64,
        low: f64,
        high: f64,
    },
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl From<&Rounds> for Cell {
    fn from(rounds: &Rounds) -> Self {
        let (low, high) = rounds.middle_half();
        match rounds.values() {
            [] => Self::None,
            _ => Self::Spread { median: rounds.median(), low, high },
        }
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl From<Option<u64>> for Cell {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::None, Self::from)
    }
}

/// Serializes null, a string, a number, or an object with the numbers `median`, `low` and `high`.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => to.serialize_none(),
            Self::Text(text) => to.serialize_str(text),
            Self::Number(number) => to.serialize_f64(*number),
            Self::Spread { median, low, high } => {
                let mut spread = to.serialize_struct("Spread", 3)?;
                spread.serialize_field("median", median)?;
                spread.serialize_field("low", low)?;
                spread.serialize_field("high", high)?;
                spread.end()
            }
        }
    }
}

/// An axis of a plot.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Axis {
    pub(super) label: String,
    /// Whether the scale is logarithmic.
    pub(super) logarithmic: bool,
}

impl Axis {
    pub(super) fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), logarithmic: false }
    }

    pub(super) fn logarithmic(label: impl Into<String>) -> Self {
        Self { label: label.into(), logarithmic: true }
    }
}

/// A point of a line, and the spread of its height.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Point {
    pub(super) fn exact(x: f64, y: f64) -> Self {
        Self { x, y, low: y, high: y }
    }

    pub(super) fn spread(x: f64, rounds: &Rounds) -> Self {
        let (low, high) = rounds.middle_half();
        Self { x, y: rounds.median(), low, high }
    }
}

/// A plot.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Plot {
    /// Lines over a common scale.
    Lines { title: String, x: Axis, y: Axis, series: Vec<(String, Vec<Point>)> },
    /// Bars side by side: for each group one of each series, `None` for a missing value.
    Bars { title: String, y: Axis, series: Vec<String>, groups: Vec<(String, Vec<Option<Point>>)> },
}

impl Plot {
    pub(super) fn title(&self) -> &str {
        match self {
            Self::Lines { title, .. } | Self::Bars { title, .. } => title,
        }
    }
}

/// Formats a number with three or a little more digits, and thousands separators.
pub(super) fn number(value: f64) -> String {
    with_places(value, if value.fract() == 0.0 { 0 } else { places(value) })
}

/// Returns how many decimal places make three digits in all, or a little more.
fn places(value: f64) -> usize {
    match value.abs() {
        100.0.. => 0,
        10.0..100.0 => 1,
        1.0..10.0 => 2,
        0.0 => 0,
        _ => 3,
    }
}

fn with_places(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{value:.places$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("−", rest));
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut grouped = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

/// Formats a count: `1 record`, `2 records`.
pub(super) fn count(number_of: u64, what: &str) -> String {
    let plural = if number_of == 1 { "" } else { "s" };
    format!("{} {what}{plural}", number(number_of as f64))
}

impl Cell {
    /// Formats the cell. The spread is half the distance between the quartiles.
    pub(super) fn display(&self) -> String {
        match self {
            Self::None => "–".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Number(value) => number(*value),
            Self::Spread { median, low, high } => {
                let places = places(*median);
                format!("{} ± {}", with_places(*median, places), with_places((high - low) / 2.0, places))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_about_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.1234, "0.123"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1,234"),
            (12_345.6, "12,346"),
            (1_048_576.0, "1,048,576"),
            (-5.0, "−5"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!((count(1, "record"), count(2000, "record")), ("1 record".into(), "2,000 records".into()));
    }

    #[test]
    fn cell_in_json_is_a_number_or_a_spread() {
        let json = |cell: Cell| serde_json::to_string(&cell).unwrap();
        assert_eq!(json(Cell::None), "null");
        assert_eq!(json(2.5.into()), "2.5");
        assert_eq!(json((&Rounds::new([1.0, 2.0, 3.0])).into()), r#"{"median":2.0,"low":1.5,"high":2.5}"#);
    }
}
