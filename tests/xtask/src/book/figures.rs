//! Makes the tables and quotes of `docs/compare.md` from the figures of one run.

use std::fs;

use serde_json::Value;

use crate::tools::root;

/// The output of `cutaway compare --format json`.
const FILE: &str = "docs/compare/figures.jsonl";

/// The lines of the file.
#[derive(Debug)]
pub(super) struct Figures(Vec<Value>);

impl Figures {
    pub(super) fn read() -> Result<Self, String> {
        let text = fs::read_to_string(root().join(FILE)).map_err(|error| format!("cannot read {FILE}: {error}"))?;
        let lines: Result<_, _> = text.lines().map(serde_json::from_str).collect();
        lines.map(Self).map_err(|error| format!("{FILE}: {error}"))
    }

    fn experiment(&self, name: &str) -> Result<&Value, String> {
        self.0.iter().find(|line| line["name"] == name).ok_or_else(|| format!("{FILE} has no experiment `{name}`"))
    }

    /// Returns a table in Markdown, without the columns named in `without`.
    pub(super) fn table(&self, experiment: &str, title: &str, without: &[String]) -> Result<String, String> {
        let tables = self.experiment(experiment)?["tables"].as_array().into_iter().flatten();
        let table = tables.into_iter().find(|table| text(&table["title"]) == title);
        let table = table.ok_or_else(|| format!("the experiment `{experiment}` has no table `{title}`"))?;
        let columns: Vec<&Value> = table["columns"].as_array().into_iter().flatten().collect();
        for name in without {
            if !columns.iter().any(|column| text(&column["name"]) == name) {
                return Err(format!("the table `{title}` has no column `{name}` to omit"));
            }
        }
        let kept: Vec<usize> = (0..columns.len())
            .filter(|&index| {
                columns.get(index).is_some_and(|column| !without.iter().any(|name| text(&column["name"]) == name))
            })
            .collect();
        let rows: Vec<&Value> = table["rows"].as_array().into_iter().flatten().collect();
        let head = kept.iter().filter_map(|&index| columns.get(index)).map(|column| {
            match (text(&column["name"]), text(&column["unit"])) {
                (name, "") => name.to_owned(),
                (name, unit) => format!("{name} ({unit})"),
            }
        });
        let sides = kept.iter().map(|&index| {
            if rows.iter().any(|row| row[index].is_string()) { "---".to_owned() } else { "---:".to_owned() }
        });
        let mut made = line(head) + &line(sides);
        for row in rows {
            made += &line(kept.iter().map(|&index| cell(&row[index])));
        }
        Ok(made)
    }

    /// Returns the verdict of an experiment and its sentence.
    pub(super) fn quote(&self, experiment: &str) -> Result<String, String> {
        let line = self.experiment(experiment)?;
        Ok(format!("> **{}.** {}\n", verdict(&line["verdict"], true), text(&line["sentence"])))
    }

    /// Returns the table of likenesses and differences: each claim, its verdict, and the experiments that test it.
    pub(super) fn answers(&self) -> Result<String, String> {
        let summary = self.0.iter().find(|line| line["kind"] == "summary").ok_or(format!("{FILE} has no summary"))?;
        let mut made = String::from("| | claim | here | tested by |\n| --- | --- | --- | --- |\n");
        for answer in summary["answers"].as_array().into_iter().flatten() {
            let experiments = answer["experiments"].as_array().into_iter().flatten();
            let experiments: Vec<_> = experiments.map(|name| format!("`{}`", text(name))).collect();
            made += &line([
                format!("{}: {}", text(&answer["kind"]), text(&answer["name"])),
                text(&answer["statement"]).to_owned(),
                verdict(&answer["verdict"], false),
                experiments.join(", "),
            ]);
        }
        Ok(made)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns a verdict as the command prints it, with a capital letter if it begins a sentence.
fn verdict(value: &Value, begins: bool) -> String {
    let words = match text(value) {
        "too_noisy" => "too noisy to tell".to_owned(),
        other => other.replace('_', " "),
    };
    let mut letters = words.chars();
    match letters.next().filter(|_| begins) {
        Some(first) => first.to_uppercase().collect::<String>() + letters.as_str(),
        None => words,
    }
}

fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<_> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |")
}

/// Formats a value as `cutaway compare` does (`cli/src/compare/figures.rs`): three digits or more, with commas between
/// thousands.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(_) => value
            .as_f64()
            .map_or_else(String::new, |number| grouped(number, if number.fract() == 0.0 { 0 } else { places(number) })),
        spread => {
            let of = |key: &str| spread[key].as_f64().unwrap_or(f64::NAN);
            let (median, half) = (of("median"), (of("high") - of("low")) / 2.0);
            format!("{} ± {}", grouped(median, places(median)), grouped(half, places(median)))
        }
    }
}

/// Returns the number of decimals that gives three digits in all, or more for large values.
fn places(value: f64) -> usize {
    match value.abs() {
        0.0 | 100.0.. => 0,
        10.0..100.0 => 1,
        1.0..10.0 => 2,
        _ => 3,
    }
}

fn grouped(value: f64, places: usize) -> String {
    let text = format!("{:.places$}", value.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let mut made = String::from(if value < 0.0 { "−" } else { "" });
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            made.push(',');
        }
        made.push(digit);
    }
    if fraction.is_empty() { made } else { format!("{made}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::cell;

    #[test]
    fn cells_are_formatted_as_by_the_command() {
        for (value, shown) in [
            (json!(null), "–"),
            (json!("ring"), "ring"),
            (json!(0.0), "0"),
            (json!(0.54), "0.540"),
            (json!(1_048_576.0), "1,048,576"),
            (json!({"median": 340.2, "low": 339.0, "high": 341.4}), "340 ± 1"),
            (json!({"median": 6.636, "low": 5.98, "high": 7.3}), "6.64 ± 0.66"),
        ] {
            assert_eq!(cell(&value), shown);
        }
    }
}
