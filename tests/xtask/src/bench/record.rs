//! Measures the cost of recordings, while a million records come each second: the losses of `cutaway run` with and
//! without `--record`, and the time that a call takes the sender with and without `cutaway peek --record`.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getpgid, getpid, kill_process};

use crate::tools::{self, Outcome, Result};

/// Calls of a round, each of which causes a record.
const CALLS: u64 = 3_000_000;

/// Calls a second, and the calls between two readings of the clock.
const RATE: f64 = 1e6;
const PART: u64 = 100;

/// Rounds of each kind, in turn.
const ROUNDS: usize = 5;

/// How much more of the records may be lost with `--record`: noise.
const NOISE: f64 = 0.01;

/// The least share of the sender's rate while an observer records.
const OBSERVED: f64 = 0.98;

/// The recording of a round.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    /// By `run` itself.
    Record,
    /// By an observer.
    Observer,
}

const KINDS: [(Kind, &str); 3] =
    [(Kind::None, "plain"), (Kind::Record, "run --record"), (Kind::Observer, "peek --record")];

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
    let mut rounds = KINDS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((kind, _), rounds) in KINDS.into_iter().zip(&mut rounds) {
            let _ = std::fs::remove_file(&recording);
            rounds.push(round(kind, &recording)?);
        }
    }
    println!("{:<16}{:>14}{:>12}{:>10}{:>16}", "", "at most/s", "lost", "lost %", "bytes/record");
    let (mut shares, mut rates) = (Vec::new(), Vec::new());
    for ((_, what), rounds) in KINDS.into_iter().zip(&mut rounds) {
        rounds.sort_by_key(|round| round.time);
        let time = rounds.get(ROUNDS / 2).map_or(Duration::ZERO, |round| round.time);
        rounds.sort_by_key(|round| round.lost);
        let Some(Round { sent, lost, bytes, .. }) = rounds.get(ROUNDS / 2) else { continue };
        let share = *lost as f64 / *sent as f64;
        let each = *bytes as f64 / sent.saturating_sub(*lost).max(1) as f64;
        let rate = *sent as f64 / time.as_secs_f64();
        println!("{what:<16}{rate:>14.0}{lost:>12}{:>10.2}{each:>16.1}", share * 100.0);
        shares.push(share);
        rates.push(rate);
    }
    let mut misses = Vec::new();
    if let [plain, recorded, ..] = shares[..]
        && recorded > plain + NOISE
    {
        let [recorded, plain] = [recorded, plain].map(|share| share * 100.0);
        misses.push(format!("--record loses {recorded:.2} % of the records, and without it {plain:.2} % are lost"));
    }
    if let [plain, _, observed] = rates[..]
        && observed < plain * OBSERVED
    {
        misses.push(format!("the sender has {:.1} % of its rate while peek records", observed * 100.0 / plain));
    }
    if misses.is_empty() { Ok(Outcome::Done) } else { Err(format!("missed: {}", misses.join("; "))) }
}

/// Sends the records to a `cutaway run` of its own.
fn round(kind: Kind, recording: &Path) -> std::result::Result<Round, String> {
    let root = tools::root();
    let failed = |error: std::io::Error| error.to_string();
    let mut command = Command::new(root.join("target/release/cutaway"));
    command.arg("run").arg(root.join("tests/corpus/events/integers.o"));
    command.args(["--format", "hex", "--buffer", "16M", "--set"]).arg(format!("own={}", getpid().as_raw_nonzero()));
    if kind == Kind::Record {
        command.arg("--record").arg(recording);
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
    let observer = (kind == Kind::Observer).then(|| observe(child.id(), recording)).transpose()?;
    let start = Instant::now();
    // The time of the calls alone, without the waits that pace them.
    let mut time = Duration::ZERO;
    for part in 1..=CALLS / PART {
        let begun = Instant::now();
        for _ in 0..PART {
            getpgid(None).map_err(|error| error.to_string())?;
        }
        time += begun.elapsed();
        let due = Duration::from_secs_f64((part * PART) as f64 / RATE);
        while start.elapsed() < due {
            std::hint::spin_loop();
        }
    }
    if let Some(mut observer) = observer {
        kill_process(Pid::from_child(&observer), Signal::INT).map_err(|error| error.to_string())?;
        let status = observer.wait().map_err(failed)?;
        if !status.success() {
            return Err(format!("`cutaway peek` ended with {status}"));
        }
    }
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
    let bytes = match kind {
        Kind::None => 0,
        Kind::Record | Kind::Observer => recording.metadata().map_err(failed)?.len(),
    };
    if received + lost < CALLS {
        return Err(format!("{} of {CALLS} records are accounted for", received + lost));
    }
    Ok(Round { sent: received + lost, lost, time, bytes })
}

/// Starts an observer of the rings of a process, and waits until it records.
fn observe(pid: u32, recording: &Path) -> std::result::Result<Child, String> {
    let mut command = Command::new(tools::root().join("target/release/cutaway"));
    command
        .args(["peek", "--interval", "10ms", "--records", "0", "--pid", &pid.to_string(), "--record"])
        .arg(recording);
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let mut line = String::new();
    let stderr = child.stderr.as_mut().ok_or("no stderr")?;
    BufReader::new(stderr).read_line(&mut line).map_err(|error| error.to_string())?;
    if line.starts_with("Recording ") { Ok(child) } else { Err(format!("`cutaway peek` says: {line}")) }
}
