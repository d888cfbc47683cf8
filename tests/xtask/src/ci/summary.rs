//! The table at the end of all checks.

use std::time::Duration;

use crate::tools::{Outcome, Result};

/// A check that has run.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) outcome: Result,
    pub(super) took: Duration,
}

/// Returns the table: the slowest check first, and the total last.
pub(super) fn table(rows: &mut [Row], total: Duration) -> String {
    rows.sort_by_key(|row| std::cmp::Reverse(row.took));
    let mut lines: Vec<String> = rows.iter().map(Row::line).collect();
    let minutes = total.as_secs_f64() / 60.0;
    lines.push(line("total", total, &format!("{minutes:.1} min")));
    lines.concat()
}

impl Row {
    fn line(&self) -> String {
        let text = match &self.outcome {
            Ok(Outcome::Done) => "passed".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(why) => format!("FAILED: {why}"),
        };
        line(self.name, self.took, &text)
    }
}

fn line(name: &str, took: Duration, text: &str) -> String {
    format!("{name:<28} {:>4} s  {text}\n", took.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowest_check_is_first_and_the_total_last() {
        let row = |name, outcome, seconds| Row { name, outcome, took: Duration::from_secs(seconds) };
        let mut rows = [
            row("formatting", Ok(Outcome::Done), 2),
            row("tests", Err("exit status 101".to_owned()), 600),
            row("miri", Ok(Outcome::Skipped("no nightly".to_owned())), 0),
        ];
        assert_eq!(
            table(&mut rows, Duration::from_secs(630)),
            "tests                         600 s  FAILED: exit status 101\n\
             formatting                      2 s  passed\n\
             miri                            0 s  skipped: no nightly\n\
             total                         630 s  10.5 min\n"
        );
    }
}
