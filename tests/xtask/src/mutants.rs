//! Weakens each memory ordering and removes each fence of a reader's protocol, one at a time. A test of its memory
//! model has to fail each time.
//!
//! The mutants are made in a copy of the source, so none can be forgotten: each line outside the tests with an ordering
//! stronger than relaxed gives one mutant, or two if it is a full fence.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::tools::{self, Outcome, Result};

/// Files without the protocol: its tests, the fake kernel, and the memories, whose callers choose the orderings.
const NOT_THE_PROTOCOL: [&str; 6] = ["tests", "tests.rs", "memory", "memory.rs", "fake", "fake.rs"];
/// The orderings stronger than relaxed, the strongest first, as the source spells them.
const ORDERINGS: [&str; 4] = ["Ordering::SeqCst", "Ordering::AcqRel", "Ordering::Acquire", "Ordering::Release"];

/// A change of one line.
struct Mutant {
    file: PathBuf,
    line: usize,
    from: String,
    to: String,
}

/// Tries all mutants of the package in the directory `package` with its tests called `tests`.
pub(crate) fn run(package: &str, tests: &str) -> Result {
    let root = tools::root();
    let copy = root.join("target/mutants").join(package);
    copy_workspace(&root, &copy, package).map_err(|error| format!("{}: {error}", copy.display()))?;
    let source = copy.join(package).join("src");
    let mutants = mutants_in(&source).map_err(|error| format!("{}: {error}", source.display()))?;
    if !passes(&copy, package, tests)? {
        return Err(format!("the tests {tests} of {package} fail without any mutant"));
    }
    let mut survivors = 0;
    for mutant in &mutants {
        let Mutant { file, line, from, to } = mutant;
        let original = fs::read_to_string(file).map_err(|error| error.to_string())?;
        let changed: Vec<&str> =
            original.lines().enumerate().map(|(at, text)| if at == *line { to.as_str() } else { text }).collect();
        fs::write(file, changed.join("\n") + "\n").map_err(|error| error.to_string())?;
        let survived = passes(&copy, package, tests)?;
        fs::write(file, original).map_err(|error| error.to_string())?;
        survivors += usize::from(survived);
        let name = file.strip_prefix(&copy).unwrap_or(file).display();
        let verdict = if survived { "SURVIVED" } else { "killed" };
        let to = if to.trim().is_empty() { "nothing" } else { to.trim() };
        println!("{verdict:8}  {name}:{}  {} -> {to}", line + 1, from.trim());
    }
    println!("{} mutants of {package}, {survivors} survived", mutants.len());
    if survivors == 0 && !mutants.is_empty() {
        return Ok(Outcome::Done);
    }
    Err(format!("{package}: no test fails for {survivors} of {} weakened orderings", mutants.len()))
}

/// The package that both readers depend on.
const SHARED: &str = "sys";

/// Copies the package and `sys` alone into a workspace with the same dependencies.
fn copy_workspace(root: &Path, copy: &Path, package: &str) -> std::io::Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    for directory in [package, SHARED] {
        copy_directory(&root.join(directory), &copy.join(directory))?;
    }
    for file in ["Cargo.lock", "clippy.toml"] {
        fs::copy(root.join(file), copy.join(file))?;
    }
    let manifest: Vec<String> = fs::read_to_string(root.join("Cargo.toml"))?
        .lines()
        .filter(|line| !line.starts_with("default-members"))
        .map(|line| match line.starts_with("members") {
            true => format!("members = [\"{package}\", \"{SHARED}\"]"),
            false => line.to_owned(),
        })
        .collect();
    fs::write(copy.join("Cargo.toml"), manifest.join("\n"))
}

fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Returns the mutants of the protocol's files in a directory.
fn mutants_in(directory: &Path) -> std::io::Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    let mut entries = fs::read_dir(directory)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let name = entry.file_name();
        if NOT_THE_PROTOCOL.iter().any(|not| name == *not) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            mutants.extend(mutants_in(&entry.path())?);
            continue;
        }
        let text = fs::read_to_string(entry.path())?;
        for (line, from) in text.lines().enumerate() {
            let code = !from.trim_start().starts_with("//");
            for to in weakened(from).into_iter().filter(|_| code) {
                mutants.push(Mutant { file: entry.path(), line, from: from.to_owned(), to });
            }
        }
    }
    Ok(mutants)
}

/// Returns the line with a weaker ordering, or without its fence.
fn weakened(line: &str) -> Vec<String> {
    let Some(ordering) = ORDERINGS.into_iter().find(|ordering| line.contains(ordering)) else {
        return Vec::new();
    };
    if !line.contains("fence(") {
        return vec![line.replace(ordering, "Ordering::Relaxed")];
    }
    let mut weaker = vec![String::new()];
    if ordering == "Ordering::SeqCst" {
        weaker.push(line.replace(ordering, "Ordering::AcqRel"));
    }
    weaker
}

/// Returns whether the tests pass. A mutant that does not compile is an error.
fn passes(copy: &Path, package: &str, tests: &str) -> std::result::Result<bool, String> {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--package", package, "--lib", tests])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    // Cargo's exit status is 101, as for a test that fails.
    if ["could not compile", "failed to load", "failed to parse"].iter().any(|failure| errors.contains(failure)) {
        return Err(format!("cannot build the mutant:\n{errors}"));
    }
    Ok(output.status.success())
}
