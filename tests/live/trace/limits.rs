//! Limits of a process, and the error when one is reached: the same in every command.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::{
    binary::{self, Running},
    harness::{Test, test},
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![test!(low_fd_limit_is_explained).needs(ring)]
}

/// Returns `cutaway` with this limit of open fds.
fn limited(fds: usize, words: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!(r#"ulimit -n {fds}; exec "$0" "$@""#);
    command.args(["-c", &script]).arg(binary::path()).args(words.split_whitespace()).env_remove("RUST_LOG");
    command
}

fn low_fd_limit_is_explained() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("pages");
    for (words, enough) in [
        ("trace --transport ring --duration 0.01", true),
        ("trace --transport perf-heap --duration 0.01", true),
        ("run --built-in ring --duration 0.01", true),
        ("doctor", false),
        ("compare --quick --only max-entries", false),
        ("peek", true),
        ("man --directory PAGES", true),
    ] {
        let words = words.replace("PAGES", pages.to_str().unwrap());
        let mut refused = 0;
        for fds in (4..60).step_by(3) {
            let ended = Running::start(&mut limited(fds, &words)).end();
            match ended.status.code() {
                // The dynamic loader has no fd to load libraries with.
                Some(127) => continue,
                Some(0) if enough => break,
                _ => {}
            }
            let failures =
                ended.stderr.lines().filter(|line| line.starts_with("cutaway: ") && !line.contains(": warn: "));
            let failures: Vec<_> = failures.filter(|line| !line.starts_with("cutaway: skipped ")).collect();
            assert!(failures.len() == 1 && failures[0].contains("ulimit -n"), "{words}, {fds}: {ended:?}");
            assert_eq!(ended.status.code(), Some(1), "{words}, {fds}");
            refused += 1;
            if !enough && refused > 2 {
                break;
            }
        }
        // The number of fds that `peek` uses depends on the existing maps.
        assert!(refused > 0 || words == "peek", "{words}");
    }
    // Pages written before the fds ran out are complete, and there are no other files.
    for page in fs::read_dir(&pages).unwrap() {
        let path = page.unwrap().path();
        assert!(path.extension().is_some_and(|extension| extension == "1"), "{}", path.display());
    }
}
