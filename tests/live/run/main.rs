//! `cutaway run` from end to end: objects of the corpus, a process that makes their programs send, and the output.
//!
//! Needs root, except for wrong usage and garbage. Each test has its own process (`sender.rs`), whose id its object is
//! given, so all tests run in parallel.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod attach_args;
mod compiled;
mod counted;
mod damage;
mod decoded;
mod effects;
mod endings;
mod everyday;
mod explain;
mod given_btf;
mod honest;
mod pinned;
mod printed;
mod readers;
mod recorded;
mod refusals;
mod selected;
mod sender;
mod state;
mod token;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod binary;
#[path = "../support/crafted.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod crafted;
#[path = "../support/explained.rs"]
mod explained;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../support/kernel_objects.rs"]
mod kernel_objects;
#[path = "../support/mapped.rs"]
mod mapped;
#[path = "../attach/network.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod network;
#[path = "../support/own_mounts.rs"]
mod own_mounts;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/pseudo_terminal.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod pseudo_terminal;
#[path = "../support/requirements.rs"]
mod requirements;
#[path = "../support/supervisor.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod supervisor;
#[path = "../support/unsupported.rs"]
#[expect(dead_code, reason = "these tests have other requirements")]
mod unsupported;

#[path = "../support/user_namespace.rs"]
mod user_namespace;

use std::path::PathBuf;

use harness::Suite;
use sender::Sender;
use serde_json::Value;

fn main() {
    sender::be_one_if_asked();
    own_mounts::enter(&[own_mounts::BPFFS]);
    let tables = [
        decoded::tests(),
        compiled::tests(),
        counted::tests(),
        state::tests(),
        endings::tests(),
        refusals::tests(),
        explain::tests(),
        attach_args::tests(),
        damage::tests(),
        honest::tests(),
        pinned::tests(),
        effects::tests(),
        given_btf::tests(),
        readers::tests(),
        token::tests(),
        everyday::tests(),
        selected::tests(),
        recorded::tests(),
        printed::tests(),
    ];
    Suite::new(tables).run()
}

/// Returns the path of an object of the corpus.
fn corpus(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../tests/corpus", &format!("{name}.o")].iter().collect()
}

/// The result of a run.
struct Ran {
    ended: binary::Ended,
    /// The process that made the programs send.
    pid: u32,
}

impl Ran {
    /// Returns the lines of stdout as JSON. Asserts success without losses.
    fn lines(&self) -> Vec<Value> {
        self.ended.received();
        self.ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the map's name and the value of each record.
    fn values(&self) -> Vec<(String, Value)> {
        let lines = self.lines();
        let records = lines.iter().filter(|line| line.get("size").is_some());
        records.map(|line| (line["map"].as_str().unwrap().to_owned(), line["value"].clone())).collect()
    }
}

/// Runs an object with `--pid`, for a process that makes `calls` calls and so ends the run.
fn run(object: &str, calls: u32) -> Ran {
    let mut sender = Sender::start(calls);
    let mut command = binary::command(["run", "--format", "json", "--pid", &sender.pid().to_string()]);
    let running = binary::Running::start(command.arg(corpus(object)));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    sender.go();
    Ran { ended: running.end(), pid: sender.end() }
}

/// Runs an object that is given the process whose calls count, and ends it after these calls. The format is JSON by
/// default.
fn run_own(object: &str, words: &[&str], calls: u32) -> Ran {
    let mut sender = Sender::start(calls);
    let own = format!("own={}", sender.pid());
    let mut command = binary::command(["run"]);
    command.arg(corpus(object)).args(["--set", &own]).args(words);
    if !words.contains(&"--format") {
        command.args(["--format", "json"]);
    }
    let running = binary::Running::start(&mut command);
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    sender.go();
    let pid = sender.end();
    running.send(rustix::process::Signal::INT);
    Ran { ended: running.end(), pid }
}
