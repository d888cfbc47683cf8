//! Finds the global variables by which an object's programs may select what they record, and that are not set.
//!
//! Many objects record only one process, user or interface, whose id user space writes to a variable. If it stays 0,
//! the programs run and record nothing.

use cutaway::{Loaded, VariableSpec};

use super::{program_args::pairs, record_type::abbreviated};
use crate::error::CliError;

/// Words in the names of such variables.
const WORDS: [&str; 17] = [
    "cgid", "cgroup", "dev", "filter", "gid", "ifindex", "mntns", "netns", "own", "pid", "port", "ppid", "self",
    "target", "tgid", "tid", "uid",
];

/// Words in the names of switches and counters, which select nothing.
const OTHERS: [&str; 12] =
    ["count", "enable", "enabled", "has", "is", "last", "max", "min", "next", "no", "num", "with"];

/// Returns the hint that no record arrived because such a variable is 0; `None` if there is none.
pub(super) fn hint(loaded: &Loaded, settings: &[String]) -> Result<Option<String>, CliError> {
    let mut names = Vec::new();
    for variable in loaded.variables() {
        let spec = variable.spec();
        // An option may set a part of a variable, too.
        let is_set = pairs(settings).any(|(name, _)| name.split(['.', '[']).next() == Some(&*spec.name));
        if selects(spec) && !is_set && variable.bytes()?.iter().all(|byte| *byte == 0) {
            names.push(spec.name.clone());
        }
    }
    Ok(sentence(&names))
}

fn sentence(names: &[String]) -> Option<String> {
    let first = names.first()?;
    let shown: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let (verb, which) = if names.len() == 1 { ("is", "it") } else { ("are", "one") };
    Some(format!(
        "no record arrived, perhaps because {} {verb} 0: if the programs record only what matches {which}, set {which}: \
         --set {first}=VALUE",
        abbreviated(&shown, ", ")
    ))
}

/// Returns whether the name and the size of a variable are those of an id.
fn selects(variable: &VariableSpec) -> bool {
    // The name of a static variable in a function follows the function's name.
    let name = variable.name.rsplit('.').next().unwrap_or_default();
    matches!(variable.size, 2 | 4 | 8) && is_name_of_id(name)
}

fn is_name_of_id(name: &str) -> bool {
    let has = |words: &[&str]| name.split('_').any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)));
    has(&WORDS) && !has(&OTHERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ids_are_recognized() {
        for name in ["own", "pid", "my_pid", "target_tgid", "TARGET"] {
            assert!(is_name_of_id(name), "{name}");
        }
        for name in ["limit", "with_pid", "rapid", "pid_count", ""] {
            assert!(!is_name_of_id(name), "{name}");
        }
    }

    #[test]
    fn hint_names_the_variables_and_the_option() {
        assert_eq!(sentence(&[]), None);
        let one = sentence(&["own".to_owned()]).unwrap();
        assert!(one.contains("`own` is 0") && one.ends_with("--set own=VALUE"), "{one}");
        let two = sentence(&["my_pid".to_owned(), "uid".to_owned()]).unwrap();
        assert!(two.contains("`my_pid`, `uid` are 0") && two.ends_with("--set my_pid=VALUE"), "{two}");
    }
}
