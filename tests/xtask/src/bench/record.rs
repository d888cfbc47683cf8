//! Measures what recording costs: `cutaway run` with and without `--record`, while records come as fast as one thread
//! can cause them.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getpgid, getpid, kill_process};

use crate::tools::{self, Outcome, Result};

/// Calls of a round, each of which causes a record.
const CALLS: u64 = 3_000_000;

/// Rounds of each kind, in turn.
const ROUNDS: usize = 5;

/// How much more of the records may be lost with `--record`: noise.
const NOISE: f64 = 0.01;

/// The numbers of a round.
struct Round {
    sent: u64,
    lost: u64,
    time: Duration,
    /// The bytes of the recording.
    bytes: u64,
}

/// Runs the rounds and prints the medians.
pub(super) fn run() -> Result {
    tools::run(Command::new(env!("CARGO")).args(["build", "--quiet", "--release", "-p", "cutaway-cli"]))?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let recording = folder.path().join("run.rec");
    let mut rounds: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (recorded, rounds) in [None, Some(recording.as_path())].into_iter().zip(&mut rounds) {
            let _ = std::fs::remove_file(&recording);
            rounds.push(round(recorded)?);
        }
    }
    println!("{:<12}{:>14}{:>12}{:>10}{:>16}", "", "records/s", "lost", "lost %", "bytes/record");
    let mut shares = Vec::new();
    for (what, rounds) in ["plain", "--record"].into_iter().zip(&mut rounds) {
        rounds.sort_by_key(|round| round.lost);
        let Some(Round { sent, lost, time, bytes }) = rounds.get(ROUNDS / 2) else { continue };
        let share = *lost as f64 / *sent as f64;
        let each = *bytes as f64 / sent.saturating_sub(*lost).max(1) as f64;
        let rate = *sent as f64 / time.as_secs_f64();
        println!("{what:<12}{rate:>14.0}{lost:>12}{:>10.2}{each:>16.1}", share * 100.0);
        shares.push(share);
    }
    match shares[..] {
        [plain, recorded] if recorded > plain + NOISE => Err(format!(
            "--record loses {:.2} % of the records, and without it {:.2} % are lost",
            recorded * 100.0,
            plain * 100.0
        )),
        _ => Ok(Outcome::Done),
    }
}

/// Sends the records to a `cutaway run` of its own.
fn round(recording: Option<&Path>) -> std::result::Result<Round, String> {
    let root = tools::root();
    let failed = |error: std::io::Error| error.to_string();
    let mut command = Command::new(root.join("target/release/cutaway"));
    command.arg("run").arg(root.join("tests/corpus/events/integers.o"));
    command.args(["--format", "hex", "--buffer", "16M", "--set"]).arg(format!("own={}", getpid().as_raw_nonzero()));
    if let Some(path) = recording {
        command.arg("--record").arg(path);
    }
    let to = File::options().write(true).open("/dev/null").map_err(failed)?;
    let mut child = command.stdin(Stdio::null()).stdout(to).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
    let mut said = String::new();
    for line in lines.by_ref().map_while(std::result::Result::ok) {
        let is_attached = line.starts_with("attached ");
        said.push_str(&line);
        said.push('\n');
        if is_attached {
            break;
        }
    }
    let start = Instant::now();
    for _ in 0..CALLS {
        getpgid(None).map_err(|error| error.to_string())?;
    }
    let time = start.elapsed();
    kill_process(Pid::from_child(&child), Signal::INT).map_err(|error| error.to_string())?;
    for line in lines.map_while(std::result::Result::ok) {
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait().map_err(failed)?;
    let last = said.lines().last().unwrap_or_default();
    let numbers = last.strip_prefix("received ").and_then(|rest| rest.split_once(", lost "));
    let numbers = numbers.and_then(|(received, lost)| Some((received.parse::<u64>().ok()?, lost.parse::<u64>().ok()?)));
    let (true, Some((received, lost))) = (status.success(), numbers) else {
        return Err(format!("`cutaway run` ended with {status}:\n{said}"));
    };
    let bytes = recording.map_or(Ok(0), |path| path.metadata().map(|file| file.len())).map_err(failed)?;
    Ok(Round { sent: received + lost, lost, time, bytes })
}
