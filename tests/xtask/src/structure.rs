//! Checks that no files of a crate import each other in a circle, and that stages import only earlier stages.
//!
//! `imports.rs` reads the crates; this file has the rules.

mod imports;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use xtask::tools::{Outcome, Result};

use self::imports::{Imports, imports};

/// The root files of the checked crates.
const ROOTS: &[&str] = &[
    "sys/src/lib.rs",
    "mmap-ring/src/lib.rs",
    "perf-reader/src/lib.rs",
    "programs/src/lib.rs",
    "recording/src/lib.rs",
    "loader/src/lib.rs",
    "cli/src/main.rs",
    "tests/vm/src/lib.rs",
];

/// The loader's stages in order. A file or directory imports only from its own row and from the rows above.
///
/// Data passes down the rows: bytes become sections (`elf`), an object that is a plain value (`object`), its resolution
/// against one kernel (`resolve`), instructions (`link`). From `map` and `program` on the stages create objects in the
/// kernel, each of which works without the rows below. `load` creates them in order, `attach` takes loaded programs.
const STAGES: &[&[&str]] = &[
    &["privileges", "sorted", "gate"],
    &["error"],
    &["text", "sys", "pin"],
    // Rights for the calls that create kernel objects.
    &["token"],
    &["elf"],
    &["btf"],
    &["object"],
    // Reads an object and its types, and nothing of any kernel.
    &["bindgen"],
    // Features of the running kernel, tested by system calls.
    &["features"],
    &["resolve"],
    &["link"],
    &["map", "program", "link_info"],
    // Changes linked programs, and creates the maps that the inserted instructions write to.
    &["instrument"],
    // Readers of maps, and all maps and programs of the machine.
    &["variable", "buffers", "system"],
    &["load", "dry_run"],
    // The results of two readers for one object.
    &["readers"],
    &["attach"],
];

/// The directory with the stages.
const STAGED: &str = "loader/src";

/// Runs the check and prints each circle and each import against the order.
pub(crate) fn check() -> Result {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut faults = Vec::new();
    for root in ROOTS {
        faults.extend(self::faults(&repository, root)?);
    }
    match faults.as_slice() {
        [] => Ok(Outcome::Done),
        faults => Err(faults.join("\n")),
    }
}

/// Finds the circles of the crate with this root file, and its imports against the order, one a line.
fn faults(repository: &Path, root: &str) -> std::result::Result<Vec<String>, String> {
    let imports = imports(&repository.join(root))?;
    let name = |file: &Path| file.strip_prefix(repository).unwrap_or(file).display().to_string();
    let mut faults = Vec::new();
    for circle in circles(&imports) {
        faults.push(format!("circle of {} files:", circle.len()));
        let within = |file: &PathBuf| circle.contains(file);
        for ((from, to), path) in imports.iter().filter(|((from, to), _)| within(from) && within(to)) {
            faults.push(format!("    {} imports {path} of {}", name(from), name(to)));
        }
    }
    for ((from, to), path) in &imports {
        let (from, to) = (name(from), name(to));
        match (stage(&from), stage(&to)) {
            (Staged::At(early), Staged::At(late)) if early < late => {
                faults.push(format!("{from} imports {path} of {to}, a later stage"));
            }
            (Staged::Unknown, _) | (_, Staged::Unknown) => {
                faults.push(format!(
                    "{from} imports {path} of {to}: one of them is in no stage (STAGES in structure.rs)"
                ));
            }
            _ => {}
        }
    }
    Ok(faults)
}

/// The row of a file among the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Staged {
    At(usize),
    /// The crate has no stages, or the file is the root, which imports all of them.
    Free,
    /// A new file or directory of a crate that has stages.
    Unknown,
}

fn stage(file: &str) -> Staged {
    let Some(file) = file.strip_prefix(STAGED).and_then(|rest| rest.strip_prefix('/')) else { return Staged::Free };
    let first = file.split('/').next().unwrap_or(file);
    let first = first.strip_suffix(".rs").unwrap_or(first);
    if first == "lib" {
        return Staged::Free;
    }
    STAGES.iter().position(|row| row.contains(&first)).map_or(Staged::Unknown, Staged::At)
}

/// Finds the sets of files that import each other, directly or through others.
fn circles(imports: &Imports) -> Vec<BTreeSet<PathBuf>> {
    let mut next: BTreeMap<&PathBuf, Vec<&PathBuf>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        next.entry(from).or_default().push(to);
    }
    let reached = |from: &PathBuf| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            for &to in next.get(file).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<PathBuf, BTreeSet<PathBuf>> = next.keys().map(|&file| (file.clone(), reached(file))).collect();
    let mut circles: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, reached) in &reach {
        if reached.contains(file) && !circles.iter().any(|circle| circle.contains(file)) {
            let back = |other: &&PathBuf| reach.get(*other).is_some_and(|theirs| theirs.contains(file));
            circles.push(reached.iter().filter(back).cloned().collect());
        }
    }
    circles
}
