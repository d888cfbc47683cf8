//! `cutaway peek` from end to end: the binary, and rings that belong to another process.
//!
//! The owner of a ring is a second process of this binary (`owner.rs`), or a program in Python (`owner/foreign.py`). It
//! creates its maps and programs by direct system calls, and reads its ring by a few lines of its own, so none of this
//! workspace's libraries is involved. It numbers the records that it sends, so it detects missing ones.
//!
//! Needs root.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod drawing;
mod files;
mod kept;
mod list;
mod lost;
mod owner;
mod perf;
mod recorded;
mod screen;
mod snapshot;
mod terminal;
mod types;
mod usage;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod binary;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../support/own_mounts.rs"]
#[expect(dead_code, reason = "other suites mount more")]
mod own_mounts;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/pseudo_terminal.rs"]
mod pseudo_terminal;
#[path = "../support/requirements.rs"]
mod requirements;
#[path = "../run/sender.rs"]
mod sender;

use harness::Suite;

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    owner::be_one_if_asked();
    sender::be_one_if_asked();
    let tables = [
        snapshot::tests(),
        drawing::tests(),
        screen::tests(),
        perf::tests(),
        usage::tests(),
        kept::tests(),
        lost::tests(),
        files::tests(),
        list::tests(),
        recorded::tests(),
        types::tests(),
    ];
    Suite::new(tables).run()
}

/// Runs `cutaway peek` with these words to its end.
fn peek(words: &str) -> binary::Ended {
    binary::Running::start(&mut binary::command(format!("peek {words}").split_whitespace())).end()
}

/// Returns the JSON lines of `cutaway peek`.
fn snapshots(words: &str) -> Vec<serde_json::Value> {
    let ended = peek(&format!("{words} --format json"));
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
