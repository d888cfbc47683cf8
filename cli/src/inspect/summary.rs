//! `--summary`: the report in a few lines.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde::Serialize;

use super::{
    report::{Program, Report},
    verify,
};
use crate::{
    columns::wrapped,
    terminal::{WIDTH, one_line},
};

/// The summary. Its fields are those of the JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'r> {
    object: &'r str,
    license: &'r str,
    /// The number of programs of each type.
    programs: BTreeMap<&'r str, usize>,
    /// The number of maps of each type.
    maps: BTreeMap<&'r str, usize>,
    /// Slots of all programs in the file.
    slots: usize,
    needs: &'r [String],
    /// `None` if this machine is not examined.
    missing: Option<&'r [String]>,
    /// Programs that cannot be loaded, each with the reason.
    refused: Vec<Refused<'r>>,
    /// Why the object cannot be linked as a whole.
    failure: Option<&'r str>,
    warnings: &'r [String],
    /// The verdicts of --verify; `None` without it.
    verifier: Option<&'r [verify::Verdict]>,
}

#[derive(Debug, Serialize)]
struct Refused<'r> {
    program: &'r str,
    why: &'r str,
}

impl<'r> Summary<'r> {
    pub(super) fn of(report: &'r Report) -> Self {
        let refused = |program: &'r Program| Some(Refused { program: &program.name, why: program.refused.as_deref()? });
        Self {
            object: &report.object,
            license: &report.license,
            programs: counts(report.programs.iter().map(|program| program.program_type.as_str())),
            maps: counts(report.maps.iter().map(|map| map.map_type.as_str())),
            slots: report.programs.iter().map(|program| program.slots).sum(),
            needs: &report.needs,
            missing: report.missing.as_deref(),
            refused: report.programs.iter().filter_map(refused).collect(),
            failure: report.failure.as_deref(),
            warnings: &report.warnings,
            verifier: report.verifier.as_deref(),
        }
    }

    /// Formats the summary for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) -> fmt::Result {
        let license = if self.license.is_empty() { "none" } else { self.license };
        writeln!(to, "{}", one_line(&format!("object {}, license {license}", self.object)))?;
        let instructions = format!("; {} instructions in the file", self.slots);
        row(to, "programs", &(listed(&self.programs) + if self.programs.is_empty() { "" } else { &instructions }));
        row(to, "maps", &listed(&self.maps));
        row(
            to,
            "needs",
            &if self.needs.is_empty() { "no particular feature".to_owned() } else { self.needs.join(", ") },
        );
        match self.missing {
            None => row(to, "missing", "not examined: only for objects and types of this machine"),
            Some([]) => row(to, "missing", "nothing"),
            Some(missing) => missing.iter().for_each(|missing| row(to, "missing", missing)),
        }
        if let Some(why) = self.failure {
            row(to, "fails", why);
        } else {
            for refused in &self.refused {
                row(to, "refused", &format!("{}: {}", refused.program, refused.why));
            }
        }
        self.warnings.iter().for_each(|warning| row(to, "warning", warning));
        match self.verifier {
            Some(verdicts) => verify::write(to, verdicts),
            None => Ok(()),
        }
    }
}

fn row(to: &mut String, head: &str, text: &str) {
    to.push_str(&wrapped(&one_line(text), &format!("  {head:<9} "), WIDTH));
}

fn counts<'r>(names: impl Iterator<Item = &'r str>) -> BTreeMap<&'r str, usize> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

/// Lists the numbers: `3: 2 KPROBE, 1 XDP`.
fn listed(counts: &BTreeMap<&str, usize>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let each: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!("{}: {}", counts.values().sum::<usize>(), each.join(", "))
}
