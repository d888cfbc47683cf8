//! The accepted findings: a count for each rule and file, which may only fall.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
};

use super::{Finding, rule_names};
use crate::tools::root;

/// Where the counts are kept.
const FILE: &str = "tests/xtask/style-baseline.txt";

/// The head of the file.
const HEAD: &str = "\
# Findings of `cargo xtask style` that are accepted: rule, file, number.
# No number rises. `cargo xtask style --update` writes the lower ones. After a rule has become stricter, delete this
# file before the update.
";

/// The file that stands for the whole tree.
const TOTAL: &str = "*";

/// Numbers of findings, by rule and file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Baseline(BTreeMap<(String, String), usize>);

impl Baseline {
    /// Counts the findings. A rule without findings has the total 0.
    pub(super) fn of(findings: &[Finding]) -> Self {
        let mut counts: BTreeMap<_, _> = rule_names().map(|rule| ((rule.to_owned(), TOTAL.to_owned()), 0)).collect();
        for Finding { rule, file, .. } in findings {
            for file in [TOTAL, file] {
                *counts.entry(((*rule).to_owned(), file.to_owned())).or_default() += 1;
            }
        }
        Self(counts)
    }

    /// Reads the file; without it, no finding is accepted.
    pub(super) fn read() -> Result<Self, String> {
        match fs::read_to_string(root().join(FILE)) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("cannot read {FILE}: {error}")),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut counts = BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let parts: Vec<_> = line.split('\t').collect();
            let [rule, file, count] = parts[..] else { return Err(format!("{FILE}:{}: not three parts", number + 1)) };
            let count = count.parse().map_err(|error| format!("{FILE}:{}: {count}: {error}", number + 1))?;
            counts.insert((rule.to_owned(), file.to_owned()), count);
        }
        Ok(Self(counts))
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = HEAD.to_owned();
        for ((rule, file), count) in &self.0 {
            let _ = writeln!(text, "{rule}\t{file}\t{count}");
        }
        text
    }

    /// Writes the file.
    pub(super) fn write(&self) -> Result<(), String> {
        fs::write(root().join(FILE), self.to_text()).map_err(|error| format!("cannot write {FILE}: {error}"))
    }

    fn count(&self, key: &(String, String)) -> usize {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// Returns the rules and files whose numbers differ from the accepted ones: the higher and the lower ones.
    pub(super) fn against(&self, accepted: &Self) -> (Vec<Change>, Vec<Change>) {
        let keys: BTreeSet<_> = self.0.keys().chain(accepted.0.keys()).filter(|(_, file)| file != TOTAL).collect();
        let changes = keys.into_iter().map(|key| Change {
            rule: key.0.clone(),
            file: key.1.clone(),
            accepted: accepted.count(key),
            found: self.count(key),
        });
        changes.filter(|change| change.accepted != change.found).partition(|change| change.found > change.accepted)
    }

    /// Returns the totals that are higher than the accepted ones. A new rule has no accepted total.
    ///
    /// A file may be renamed, so the totals are compared and not the files.
    pub(super) fn higher_totals(&self, accepted: &Self) -> Vec<String> {
        let totals = self.0.iter().filter(|((_, file), _)| file == TOTAL);
        let higher = totals.filter_map(|(key, found)| {
            let before = accepted.0.get(key)?;
            (found > before).then(|| format!("{}: {found}, accepted are {before}", key.0))
        });
        higher.collect()
    }

    /// Returns the total of each rule.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().filter(|((_, file), _)| file == TOTAL).map(|((rule, _), count)| (rule.as_str(), *count))
    }
}

/// A number that has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) rule: String,
    pub(super) file: String,
    pub(super) accepted: usize,
    pub(super) found: usize,
}
