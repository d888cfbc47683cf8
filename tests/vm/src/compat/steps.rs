//! Where a guest crashed.
//!
//! If an object ends its guest, the worker loads it once more in a new one: the maps first, then each program alone. It
//! prints a line before and after each step, so that the last line tells in which step the guest ended.

use serde::{Deserialize, Serialize};

use super::verdict::{Program, Verdict};
use crate::report::End;

/// A line of the worker's output.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// The maps are about to be created.
    Maps,
    /// A program is about to be loaded; its name.
    Load(String),
    /// A program was tried.
    Tried(Program),
}

/// Describes the end of a guest: what it did, and why.
pub(super) fn ended(end: &End) -> String {
    match end {
        End::Crashed(_) => "guest crashed",
        End::Hung(_) => "guest hung",
        End::OutOfTime => "guest exceeded its time limit",
        End::Clean | End::Broken(_) | End::Interrupted => "guest ended",
    }
    .to_owned()
}

/// Returns the verdict on an object whose steps are in `output`: in the last of them the guest ended.
pub(super) fn verdict(object: String, output: &str, end: &End, reason: &str) -> Verdict {
    let steps: Vec<Step> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ended = ended(end);
    let mut programs = Vec::new();
    let mut doing = "reading the object".to_owned();
    let mut loading = None;
    for step in steps {
        loading = None;
        match step {
            Step::Maps => doing = "creating the maps".to_owned(),
            Step::Load(name) => {
                doing = format!("loading {name}");
                loading = Some(name);
            }
            Step::Tried(program) => {
                doing = format!("closing {}", program.name);
                programs.push(program);
            }
        }
    }
    let why = format!("{ended} while {doing}: {reason}");
    programs.extend(loading.map(|name| Program { name, why: Some(why.clone()), crashed: true, ..Program::default() }));
    Verdict { object, loads: false, why: Some(why), crashed: true, programs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Crash;

    fn output(steps: &[Step]) -> String {
        let lines = steps.iter().map(|step| serde_json::to_string(step).unwrap());
        format!("noise\n{}\n", lines.collect::<Vec<_>>().join("\n{}\n"))
    }

    #[test]
    fn last_step_names_the_program() {
        let end = End::Crashed(Crash { reason: "Kernel panic".into(), trace: String::new() });
        let first =
            Program { name: "first".into(), loads: true, processed_instructions: Some(7), ..Program::default() };
        let said =
            output(&[Step::Maps, Step::Load("first".into()), Step::Tried(first.clone()), Step::Load("b".into())]);
        let found = verdict("a.o".into(), &said, &end, "Kernel panic");
        assert_eq!(found.why.as_deref(), Some("guest crashed while loading b: Kernel panic"));
        assert_eq!(found.programs[0], first);
        assert!(found.programs[1].crashed && !found.programs[1].loads && found.crashed);
        let found = verdict("a.o".into(), &output(&[Step::Maps]), &End::Hung(None), "no answer");
        assert_eq!(found.why.as_deref(), Some("guest hung while creating the maps: no answer"));
        let found = verdict("a.o".into(), "", &End::OutOfTime, "--timeout");
        assert_eq!(found.why.as_deref(), Some("guest exceeded its time limit while reading the object: --timeout"));
    }
}
