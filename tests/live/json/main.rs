//! The JSON of every command against its schema in `docs/schema`: no output has a field that its schema does not
//! describe, or lacks one that it requires.
//!
//! ```text
//!     schema.rs     the schemas, and the check of an output
//!     trace.rs      trace, and --explain
//!     run.rs        run, with maps, variables, prints and losses
//!     peek.rs       peek: the list, rings, perf buffers, recordings
//!     reports.rs    inspect, doctor, compare, cover
//! ```
//!
//! `docs/json.md` has its tables from the same schemas. Needs root, except for objects that are only read.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod peek;
mod reports;
mod run;
mod schema;
mod trace;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod binary;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../peek"]
mod of_peek {
    #[expect(dead_code, reason = "other suites use more of it")]
    pub(crate) mod owner;
}
#[path = "../support/own_mounts.rs"]
#[expect(dead_code, reason = "other suites mount more")]
mod own_mounts;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/requirements.rs"]
mod requirements;
#[path = "../run/sender.rs"]
mod sender;

use std::path::PathBuf;

use harness::Suite;
use of_peek::owner;

fn main() {
    owner::be_one_if_asked();
    sender::be_one_if_asked();
    own_mounts::enter(&[own_mounts::BPFFS]);
    Suite::new([schema::tests(), trace::tests(), run::tests(), peek::tests(), reports::tests()]).run()
}

/// Runs `cutaway` with these words to its end, and returns what it has printed on stdout. The words have no spaces.
fn stdout(words: &str) -> String {
    let ended = binary::Running::start(&mut binary::command(words.split_whitespace())).end();
    assert!(ended.status.success(), "{words}: {ended:?}");
    ended.stdout
}

/// Returns the path of an object of the corpus.
fn corpus(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../tests/corpus", &format!("{name}.o")].iter().collect()
}
