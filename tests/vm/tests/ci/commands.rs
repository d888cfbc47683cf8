//! The commands of a pipeline, and what they must be together.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use clap::Parser;
use cutaway_vm::cli::Args;
use libtest_mimic::Failed;

use super::ensure;

/// Other commands of the examples. They are not checked.
const OTHERS: [&str; 2] = ["apt-get", "echo"];

/// Parses a line of shell: each command of `cutaway-vm` by its own parser, each of cargo by cargo. Returns the words of
/// those of `cutaway-vm`.
pub(crate) fn parse(line: &str) -> Result<Vec<Vec<String>>, Failed> {
    let words = shlex::split(line).ok_or_else(|| format!("no shell command: {line}"))?;
    let mut own = Vec::new();
    for command in words.split(|word| word == "&&") {
        match command.split_first() {
            Some((name, _)) if name == "cutaway-vm" => {
                Args::try_parse_from(command).map_err(|error| format!("{line}: {error}"))?;
                own.push(command.to_vec());
            }
            Some((name, arguments)) if name == "cargo" => {
                // With -h, cargo parses its command line and does nothing.
                let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
                let output = Command::new(cargo).args(arguments).arg("-h").stdin(Stdio::null()).output()?;
                ensure(output.status.success(), || format!("{line}: {}", String::from_utf8_lossy(&output.stderr)))?;
            }
            Some((name, _)) if OTHERS.contains(&name.as_str()) => {}
            _ => return Err(format!("unknown to this test: {line}").into()),
        }
    }
    Ok(own)
}

/// A machine that runs a shard.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its command.
    pub(crate) words: Vec<String>,
    /// The file that it hands to the verdict.
    pub(crate) file: String,
}

/// A pipeline: machines that run tests, and one that merges their reports.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) machines: Vec<Machine>,
    /// The command of the merge.
    pub(crate) merge: Vec<String>,
}

impl Pipeline {
    /// Fails unless each kernel has all shards, once, and the merge requires these kernels.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        let mut shards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut files = BTreeSet::new();
        for Machine { words, file } in &self.machines {
            let (kernel, shard) = (only(words, "--kernel")?, only(words, "--shard")?);
            ensure(shards.entry(kernel).or_default().insert(shard), || {
                format!("{kernel} has the shard {shard} twice")
            })?;
            ensure(only(words, "--junit")? == file, || format!("{file} is not the report of {words:?}"))?;
            ensure(files.insert(file), || format!("two machines write {file}"))?;
        }
        for (kernel, shards) in &shards {
            let all: BTreeSet<String> = (1..=shards.len()).map(|number| format!("{number}/{}", shards.len())).collect();
            let all: BTreeSet<&str> = all.iter().map(String::as_str).collect();
            ensure(*shards == all, || format!("{kernel} has the shards {shards:?}"))?;
        }
        ensure(shards.len() > 1, || "one kernel at most".to_owned())?;
        let merged: BTreeSet<&str> = of(&self.merge, "--kernel").collect();
        ensure(merged == shards.keys().copied().collect(), || format!("the merge requires {merged:?}"))?;
        ensure(self.merge.iter().any(|word| word == "merge-junit"), || format!("no merge: {:?}", self.merge))
    }
}

/// Returns the values of an option.
pub(crate) fn of<'w>(words: &'w [String], option: &str) -> impl Iterator<Item = &'w str> {
    words.windows(2).filter_map(move |pair| match pair {
        [name, value] if name == option => Some(value.as_str()),
        _ => None,
    })
}

fn only<'w>(words: &'w [String], option: &str) -> Result<&'w str, Failed> {
    match of(words, option).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one),
        other => Err(format!("{option} is given {} times in {words:?}", other.len()).into()),
    }
}
