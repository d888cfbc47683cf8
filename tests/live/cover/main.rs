//! `cutaway cover` from end to end: which lines of the corpus run, as table, JSON and lcov.
//!
//! Needs root, except for wrong usage and for merging.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod lcov;
mod lines;
mod refusals;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod binary;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/requirements.rs"]
mod requirements;

use std::{ffi::OsStr, path::PathBuf};

use harness::Suite;
use serde_json::Value;

fn main() {
    Suite::new([lines::tests(), lcov::tests(), refusals::tests()]).run()
}

/// Returns the path of the object with branches.
fn branches() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../tests/corpus/cover/branches.o"].iter().collect()
}

/// Runs `cutaway cover` with these arguments to its end.
fn cover<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> binary::Ended {
    let mut command = binary::command(["cover"]);
    // Without the source files, only the object has the texts of the lines.
    command.args(arguments).current_dir("/");
    binary::Running::start(&mut command).end()
}

/// Returns the words of a test run of `filter` on a packet that begins with this byte.
fn packet(first: u8) -> [String; 2] {
    ["--test-run".to_owned(), format!("filter=hex:{first:02x}{}", "00".repeat(19))]
}

/// The report of `--format json`.
struct Report(Vec<Value>);

impl Report {
    fn of(ended: &binary::Ended) -> Self {
        assert!(ended.status.success(), "{ended:?}");
        Self(ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn file(&self, name: &str) -> &Value {
        self.0.iter().find(|file| file["file"].as_str().is_some_and(|path| path.ends_with(name))).unwrap()
    }

    /// Returns the count of the only line of `branches.c` that contains this text.
    fn runs(&self, text: &str) -> Option<u64> {
        let lines = self.file("branches.c")["lines"].as_array().unwrap();
        let found: Vec<_> = lines.iter().filter(|line| line["text"].as_str().unwrap().contains(text)).collect();
        let [line] = found[..] else { panic!("{} lines contain {text}: {lines:?}", found.len()) };
        line["runs"].as_u64()
    }

    /// Returns the count of a function.
    fn function(&self, name: &str) -> Option<u64> {
        let functions = self.file("branches.c")["functions"].as_array().unwrap();
        functions.iter().find(|function| function["name"] == name).unwrap()["runs"].as_u64()
    }
}
