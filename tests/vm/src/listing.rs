//! Answers a harness's `--list` without a guest, as `cargo nextest` asks twice for each binary.
//!
//! The names in a standard harness are compiled in, so its list is the same on every kernel, and it is made on the
//! host. Other harnesses may decide by the running kernel which tests they list, so their list is made in a guest.

use std::process::{Command, Stdio};

use crate::plan::{Binary, Plan};

/// A variable that the standard harness reads, and libtest-mimic does not.
const STANDARD: &[u8] = b"RUST_TEST_SHUFFLE_SEED";

/// Returns true if the list of an executable's tests does not depend on the kernel.
#[must_use]
pub fn is_fixed(executable: &[u8]) -> bool {
    memchr::memmem::find(executable, STANDARD).is_some()
}

/// Returns the output of a list on the host. `None` if the command is not a list of a standard harness, or fails here,
/// for instance because the binary is for another architecture.
#[must_use]
pub fn on_host(plan: &Plan) -> Option<Vec<u8>> {
    let [Binary { harness: true, path, directory, arguments, .. }] = plan.binaries.as_slice() else { return None };
    if !arguments.iter().any(|word| word == "--list") || !std::fs::read(path).is_ok_and(|bytes| is_fixed(&bytes)) {
        return None;
    }
    let list = Command::new(path)
        .args(arguments)
        .current_dir(directory)
        .envs(&plan.environment)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    list.ok().filter(|output| output.status.success()).map(|output| output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_harness_is_listed_on_the_host() {
        let me = std::env::current_exe().unwrap();
        let of = |words: &[&str], harness| Plan {
            binaries: vec![Binary {
                path: me.display().to_string(),
                directory: "/".into(),
                arguments: words.iter().map(|&word| word.to_owned()).collect(),
                harness,
                ..Binary::default()
            }],
            ..Plan::default()
        };
        let list = on_host(&of(&["--list", "--format", "terse"], true)).unwrap();
        assert!(String::from_utf8(list).unwrap().contains("standard_harness_is_listed_on_the_host: test\n"));
        assert_eq!(on_host(&of(&["--exact", "no_such_test"], true)), None, "no list");
        assert_eq!(on_host(&of(&["--list"], false)), None);
        assert!(!is_fixed(b"\x7fELF test result: RUST_TEST_THREADS"));
    }
}
