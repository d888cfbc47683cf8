//! The page: a summary, then each experiment with its plots and tables.

use super::chart;
use crate::{
    compare::{
        data::{Cell, Table},
        environment::Environment,
        experiment::Verdict,
        result::ExperimentResult,
        summary::Answer,
    },
    draw::escaped,
};

/// Formats the whole file.
pub(super) fn page(environment: &Environment, results: &[ExperimentResult], answers: &[Answer]) -> String {
    let mut body = String::from("<h1>Perf buffer and ring buffer, side by side</h1>\n");
    if environment.control {
        body.push_str(
            "<p class=\"control\">Control run: every experiment is broken on purpose, and none should hold.</p>\n",
        );
    }
    body.push_str(
        "<p>Common claims about the two buffers through which eBPF programs send events to user space, tested on one \
         machine by <code>cutaway compare</code>.</p>\n",
    );
    body.push_str(&claims(answers));
    body.push_str(&contents(results));
    body.push_str(&conditions(environment));
    for outcome in results {
        body.push_str(&section(outcome));
    }
    body.push_str(
        "<footer><p>Figures with ± are medians of all rounds and half the distance between their quartiles; \
         in plots, the thin lines reach from quartile to quartile. Machines differ: compare figures within one report.</p></footer>\n",
    );
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Perf buffer and ring buffer on {}</title>\n<style>\n{}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escaped(&environment.kernel),
        include_str!("style.css"),
    )
}

/// Formats the table of likenesses and differences.
fn claims(answers: &[Answer]) -> String {
    if answers.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for answer in answers {
        let links: Vec<_> = answer.experiments.iter().map(|name| format!("<a href=\"#{name}\">{name}</a>")).collect();
        rows.push_str(&format!(
            "<tr><td>{}: {}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            answer.kind,
            escaped(answer.name),
            prose(answer.statement),
            verdict(answer.verdict),
            links.join(", "),
        ));
    }
    format!(
        "<div class=\"scroll\"><table class=\"prose\">\n<caption>Likenesses and differences</caption>\n\
         <thead><tr><th></th><th>claim</th><th>here</th><th>tested by</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// Formats the table of all experiments.
fn contents(results: &[ExperimentResult]) -> String {
    let mut rows = String::new();
    for outcome in results {
        let name = outcome.name;
        rows.push_str(&format!(
            "<tr><td><a href=\"#{name}\">{name}</a></td><td>{}</td><td>{}</td></tr>\n",
            verdict(outcome.verdict()),
            prose(&outcome.sentence)
        ));
    }
    format!(
        "<div class=\"scroll\"><table class=\"prose\">\n<caption>Experiments</caption>\n\
         <thead><tr><th></th><th>verdict</th><th>result</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// Formats the environment of the measurement.
fn conditions(environment: &Environment) -> String {
    let rows = environment.rows().into_iter();
    let rows: String = rows
        .map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escaped(&value)))
        .collect();
    format!("<div class=\"scroll\"><table>\n<caption>Environment</caption>\n<tbody>\n{rows}</tbody></table></div>\n")
}

fn section(outcome: &ExperimentResult) -> String {
    let name = outcome.name;
    let mut text = format!(
        "<section>\n<h2 id=\"{name}\">{name}</h2>\n<p class=\"claim\">{}</p>\n<p>{}. {}</p>\n",
        prose(outcome.claim),
        verdict(outcome.verdict()),
        prose(&outcome.sentence)
    );
    for (index, drawing) in outcome.plots.iter().enumerate() {
        let svg = chart::svg(&format!("{name}-{}", index + 1), drawing);
        text.push_str(&format!("<figure>\n<figcaption>{}</figcaption>\n{svg}</figure>\n", escaped(drawing.title())));
    }
    for table in &outcome.tables {
        text.push_str(&figures(table));
    }
    for note in &outcome.notes {
        text.push_str(&format!("<p class=\"note\">{}</p>\n", prose(note)));
    }
    text.push_str("</section>\n");
    text
}

fn figures(table: &Table) -> String {
    let is_text = |index: usize| table.rows.iter().any(|row| matches!(row.get(index), Some(Cell::Text(_))));
    let heads: String = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let class = if is_text(index) { "" } else { " class=\"number\"" };
            format!("<th{class}>{}<small>{}</small></th>", escaped(&column.name), escaped(column.unit))
        })
        .collect();
    let row = |row: &Vec<Cell>| -> String {
        let cells: String = row
            .iter()
            .map(|cell| match cell {
                // A name stays on one line, a sentence need not.
                Cell::Text(text) if text.chars().count() < 26 => format!("<td class=\"name\">{}</td>", escaped(text)),
                Cell::Text(text) => format!("<td>{}</td>", escaped(text)),
                _ => format!("<td class=\"number\">{}</td>", escaped(&cell.display())),
            })
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = table.rows.iter().map(row).collect();
    format!(
        "<div \
             class=\"scroll\"><table>\n<caption>{}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n",
        escaped(&table.title)
    )
}

/// Formats a verdict in words and with a sign, so that color alone does not carry it.
fn verdict(verdict: Verdict) -> String {
    let (sign, class) = match verdict {
        Verdict::Holds => ("✓", "holds"),
        Verdict::DoesNotHold => ("✗", "does-not-hold"),
        Verdict::TooNoisy => ("≈", "too-noisy"),
        Verdict::CannotBeTried => ("–", "cannot-be-tried"),
    };
    format!("<span class=\"verdict {class}\">{sign} {}</span>", verdict.text())
}

/// Escapes text, and binds each number to its unit by a no-break space.
fn prose(text: &str) -> String {
    let mut bound = String::with_capacity(text.len());
    let mut before = ' ';
    for character in escaped(text).chars() {
        bound.push(if character == ' ' && before.is_ascii_digit() { '\u{a0}' } else { character });
        before = character;
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_unit_stay_together() {
        assert_eq!(prose("wasted work 0 % of 4,096, <all"), "wasted work 0\u{a0}% of 4,096, &lt;all");
    }
}
