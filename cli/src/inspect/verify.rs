//! `--verify`: loads the programs without attaching them, for the verifier's figures.
//!
//! Maps are created for the time of the verification, and none is pinned.

use std::fmt::{self, Write as _};

use cutaway::{Error, FailedProgram, LoadOptions, Loaded, LogLevel, Object, Pinning, Program};
use serde::Serialize;

use crate::{
    columns::wrapped,
    error::CliError,
    terminal::{WIDTH, one_line},
};

/// The indent of running text.
const INDENT: &str = "    ";

/// The verdict on one program. Its fields are those of the JSON.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) program: String,
    /// Whether the kernel accepts the program.
    pub(super) accepted: bool,
    /// Why it does not, or why the program is not loaded.
    pub(super) why: Option<String>,
    /// The instructions that the verifier processed, on all paths. `None` if this kernel does not print it; the same
    /// holds for the other figures.
    pub(super) processed_instructions: Option<u64>,
    /// The number of processed instructions above which the verifier refuses a program.
    pub(super) limit: Option<u64>,
    pub(super) total_states: Option<u64>,
    pub(super) peak_states: Option<u64>,
    /// The stack of the program and of each function that it calls, in bytes.
    pub(super) stack_depths: Option<Vec<u32>>,
    /// The duration of the verification in microseconds.
    pub(super) microseconds: Option<u64>,
}

/// Loads the programs of these names, or those that loading takes by default if there are none.
pub(super) fn verdicts(path: &str, mut object: Object, chosen: &[String]) -> Result<Vec<Verdict>, CliError> {
    let maps: Vec<_> = object.maps().iter().map(|map| map.name.clone()).collect();
    for map in maps {
        object.map_mut(&map)?.pinning = Pinning::None;
    }
    for program in object.programs_mut() {
        if !chosen.is_empty() {
            program.section.autoload = chosen.contains(&program.name);
        }
    }
    let mut options = LoadOptions::new();
    options.verifier_log(LogLevel::Stats);
    let failed = |error: Error| CliError::new(format!("cannot load `{path}` for --verify: {error}"));
    let (loaded, refused) = object.load_partial_with(&options).map_err(failed)?;
    Ok(collected(&loaded, &refused, chosen))
}

fn collected(loaded: &Loaded, refused: &[FailedProgram], chosen: &[String]) -> Vec<Verdict> {
    let is_refused = |name: &str| refused.iter().any(|refused| refused.name == name);
    let skipped = loaded.skipped().iter().filter(|skipped| {
        // Programs that are loaded only on request are not mentioned unless they are selected.
        let by_default = chosen.is_empty() && !skipped.is_optional() && !skipped.section_name.starts_with('?');
        let is_program = !skipped.section_name.is_empty();
        is_program && !is_refused(&skipped.name) && (by_default || chosen.contains(&skipped.name))
    });
    let accepted = loaded.programs().map(accepted);
    let refused = refused.iter().map(|refused| not_loaded(&refused.name, refused.why.to_string()));
    let skipped = skipped.map(|skipped| not_loaded(&skipped.name, skipped.why.clone()));
    accepted.chain(refused).chain(skipped).collect()
}

fn accepted(program: &Program) -> Verdict {
    let figures = program.verifier_stats().unwrap_or_default();
    Verdict {
        program: program.name().to_owned(),
        accepted: true,
        why: None,
        processed_instructions: figures.processed_insns,
        limit: figures.limit,
        total_states: figures.total_states,
        peak_states: figures.peak_states,
        stack_depths: figures.stack_depths.or_else(|| figures.max_stack_depth.map(|depth| vec![depth])),
        microseconds: figures.verification_time.and_then(|time| u64::try_from(time.as_micros()).ok()),
    }
}

fn not_loaded(name: &str, why: String) -> Verdict {
    Verdict {
        program: name.to_owned(),
        accepted: false,
        why: Some(why),
        processed_instructions: None,
        limit: None,
        total_states: None,
        peak_states: None,
        stack_depths: None,
        microseconds: None,
    }
}

/// Writes the verdicts, one line for each program.
pub(super) fn write(to: &mut String, verdicts: &[Verdict]) -> fmt::Result {
    writeln!(to, "\nverifier of this kernel")?;
    for verdict in verdicts {
        let name = one_line(&verdict.program);
        match &verdict.why {
            Some(why) => {
                writeln!(to, "  {name}: not loaded")?;
                to.push_str(&wrapped(&one_line(why), INDENT, WIDTH));
            }
            None => {
                writeln!(to, "  {name}: accepted")?;
                to.push_str(&wrapped(&figures(verdict), INDENT, WIDTH));
            }
        }
    }
    if verdicts.is_empty() {
        writeln!(to, "  the object has no program that is loaded by default; select one with --program")?;
    }
    Ok(())
}

/// Returns the figures that the kernel has printed.
fn figures(verdict: &Verdict) -> String {
    let figure = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
    let depths = verdict.stack_depths.as_ref().map(|depths| depths.iter().map(u32::to_string).collect::<Vec<_>>());
    let stack = depths.map_or_else(|| "unknown".to_owned(), |depths| format!("{} bytes", depths.join("+")));
    format!(
        "{} instructions processed (limit {}), {} states in total (peak {}), stack {stack}",
        figure(verdict.processed_instructions),
        figure(verdict.limit),
        figure(verdict.total_states),
        figure(verdict.peak_states),
    )
}
