//! Runs `cutaway compare --quick` in a guest of each kernel of the matrix. Each experiment has to give a verdict.
//!
//! Claims that do not depend on time have to hold there. The emulator may disturb claims that do: their experiments
//! only have to run.

use std::fs;

use serde_json::Value;

use crate::{
    tools::{self, Outcome, Result},
    vm,
};

/// Experiments whose verdict depends on time.
const TIMED: [&str; 5] = ["copies", "full-buffer", "wake-ups", "throughput", "real-work"];

/// Runs the comparison on every available kernel of the matrix, two at a time.
pub(crate) fn compare() -> Result {
    if let Some(why) = vm::no_emulator() {
        return Ok(Outcome::Skipped(why));
    }
    tools::programs()?;
    // Cargo puts all programs into one directory.
    let me = std::env::current_exe().map_err(|error| format!("cannot find this executable: {error}"))?;
    let cutaway = me.with_file_name("cutaway").display().to_string();
    let results = tempfile::tempdir().map_err(|error| format!("cannot create a directory for the figures: {error}"))?;
    let directory = results.path().display().to_string();
    let script = format!("exec {cutaway} compare --quick --format json > $CUTAWAY_VM_RESULTS/{FIGURES}");
    // It takes two minutes on an idle machine. A guest uses one CPU, and every test machine has two.
    let limits = ["--timeout=1200", "--test-timeout=1100", "--parallel=2"];
    let guest = ["--results", &directory, "--bring", &cutaway, "--", "sh", "-c", &script];
    if let Outcome::Skipped(why) = vm::on_all_kernels(&[&limits[..], &guest].concat())? {
        return Ok(Outcome::Skipped(why));
    }
    let mut complaints = Vec::new();
    for kernel in fs::read_dir(results.path()).map_err(|error| format!("cannot list the results: {error}"))?.flatten() {
        let name = kernel.file_name().to_string_lossy().into_owned();
        let path = kernel.path().join("files").join(FIGURES);
        let figures = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let verdicts = verdicts(&figures)?;
        eprintln!("{name}: {}", verdicts.iter().map(Verdict::words).collect::<Vec<_>>().join(", "));
        complaints.extend(judge(&verdicts, &expected()?).into_iter().map(|complaint| format!("{name}: {complaint}")));
    }
    if complaints.is_empty() { Ok(Outcome::Done) } else { Err(complaints.join("; ")) }
}

/// The file that a guest writes.
const FIGURES: &str = "figures.jsonl";

/// The verdict of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    name: String,
    verdict: String,
    sentence: String,
}

impl Verdict {
    fn words(&self) -> String {
        format!("{} {}", self.name, self.verdict)
    }
}

/// Returns the verdict of each experiment in the lines that `cutaway compare --format json` prints.
fn verdicts(figures: &str) -> std::result::Result<Vec<Verdict>, String> {
    let mut verdicts = Vec::new();
    for line in figures.lines() {
        let line: Value = serde_json::from_str(line).map_err(|error| format!("a line is not JSON: {error}"))?;
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("kind") == "experiment" {
            verdicts.push(Verdict { name: text("name"), verdict: text("verdict"), sentence: text("sentence") });
        }
    }
    Ok(verdicts)
}

/// Returns the experiments that the book covers.
fn expected() -> std::result::Result<Vec<String>, String> {
    let path = tools::root().join("docs/compare/figures.jsonl");
    let figures = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(verdicts(&figures)?.into_iter().map(|verdict| verdict.name).collect())
}

/// Returns a complaint for each experiment whose verdict is missing or unexpected.
fn judge(verdicts: &[Verdict], expected: &[String]) -> Vec<String> {
    let find = |name: &String| verdicts.iter().find(|verdict| verdict.name == *name);
    let complaint = |name: &String| match find(name) {
        None => Some(format!("{name} gave no verdict")),
        Some(Verdict { verdict, .. }) if verdict == "holds" => None,
        Some(Verdict { verdict, .. }) if verdict != "cannot_be_tried" && TIMED.contains(&name.as_str()) => None,
        Some(Verdict { verdict, sentence, .. }) => Some(format!("{name} {verdict}: {sentence}")),
    };
    expected.iter().filter_map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_timed_experiments_may_fail() {
        let lines = |order: &str, speed: &str| {
            format!(
                "{{\"kind\":\"machine\"}}\n\
                 {{\"kind\":\"experiment\",\"name\":\"order\",\"verdict\":\"{order}\",\"sentence\":\"So.\"}}\n\
                 {{\"kind\":\"experiment\",\"name\":\"throughput\",\"verdict\":\"{speed}\",\"sentence\":\"So.\"}}\n"
            )
        };
        let expected = ["order".to_owned(), "throughput".to_owned()];
        let complaints = |order, speed| judge(&verdicts(&lines(order, speed)).unwrap(), &expected).len();
        assert_eq!(complaints("holds", "holds"), 0);
        assert_eq!(complaints("holds", "too_noisy"), 0);
        assert_eq!(complaints("holds", "cannot_be_tried"), 1);
        assert_eq!(complaints("does_not_hold", "does_not_hold"), 1);
        assert_eq!(judge(&[], &expected), ["order gave no verdict", "throughput gave no verdict"]);
    }

    #[test]
    fn timed_experiments_exist() {
        let all = expected().unwrap();
        assert!(TIMED.iter().all(|name| all.iter().any(|known| known == name)), "{all:?}");
    }
}
