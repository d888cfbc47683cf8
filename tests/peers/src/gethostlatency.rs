//! The cost of tracing `getaddrinfo`: `cutaway trace` and a tool like bcc's gethostlatency, each as a process, in turn.
//!
//! ```text
//!     probes.rs    the tool's BPF programs, written for this comparison with the same helpers and maps
//!     tool.rs      the tool: libbpf loads, attaches and reads, printf prints
//! ```
//!
//! A process calls `getaddrinfo` for a numeric host, which asks no server. The CPU time of a call without a tracer is
//! subtracted from that with one: it contains the probes and the programs, and does not depend on other load. The CPU
//! time of a tracer is that of the thread that reads and prints, while the calls are made (`/proc/PID/schedstat`). Both
//! tracers write each line at once, as to a terminal. The other threads of `cutaway trace` wait for new libraries: what
//! they do depends on the processes that start meanwhile, not on the calls.
//!
//! The tool does less: it has neither the result nor the addresses of a call, and knows one library.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::ptr;
use std::time::Duration;

use crate::table::{self, Table};

mod probes;
pub mod tool;

const OVERHEAD: &str = "a traced getaddrinfo call, above an untraced one";
const READER: &str = "reading and printing a call";
const TOTAL: &str = "both together";

/// The time after which a tracer has done what it was woken for.
const SETTLE: Duration = Duration::from_millis(200);

/// The largest ratio to the tool's figures.
const MOST: f64 = 1.0;

/// The pause after a burst of calls: no tracer loses events of so few, and each has time to sleep.
const PAUSE: Duration = Duration::from_millis(2);
const BURST: u32 = 50;

/// Calls that are made before: by then, a tracer has examined the new process.
const WARM_UP: u32 = 500;

#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Untraced,
    Gethostlatency,
    Cutaway,
}

impl Peer {
    const ALL: [Self; 3] = [Self::Untraced, Self::Gethostlatency, Self::Cutaway];

    fn name(self) -> &'static str {
        match self {
            Self::Untraced => "untraced",
            Self::Gethostlatency => "gethostlatency's probes, libbpf, printf",
            Self::Cutaway => "cutaway trace",
        }
    }

    fn command(self, cutaway: &Path, library: &Path) -> Command {
        if self == Self::Cutaway {
            let mut command = Command::new(cutaway);
            command.arg("trace");
            return command;
        }
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.arg("gethostlatency-tool").arg(library);
        command
    }
}

/// Returns the CPU time of this thread.
fn cpu_time() -> Duration {
    // SAFETY: a plain C struct, for which all zeroes are valid.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: writes to a local.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Makes `calls` calls. Returns the nanoseconds of CPU time of each on average.
fn make_calls(calls: u32) -> f64 {
    let host = CString::new("127.0.0.1").expect("a name without NUL");
    // SAFETY: a plain C struct, for which all zeroes are valid.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_flags = libc::AI_NUMERICHOST;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut time = Duration::ZERO;
    for _ in 0..calls / BURST {
        let start = cpu_time();
        for _ in 0..BURST {
            let mut found = ptr::null_mut();
            // SAFETY: C strings and structs that outlive the call.
            let answer = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &hints, &mut found) };
            assert_eq!(answer, 0, "a numeric host is found");
            // SAFETY: the list of the call, which is freed once.
            unsafe { libc::freeaddrinfo(found) };
        }
        time += cpu_time() - start;
        std::thread::sleep(PAUSE);
    }
    time.as_nanos() as f64 / f64::from(calls / BURST * BURST)
}

/// Makes calls in this process, for the parent: some to warm up; after a line on stdin those that count. Prints the
/// nanoseconds of each.
pub fn callee(calls: &str) {
    println!("{}", make_calls(WARM_UP));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line on stdin");
    println!("{}", make_calls(calls.parse().expect("a number of calls")));
}

/// A running tracer.
struct Tracer {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Tracer {
    /// Starts a tracer, and waits until it traces.
    fn start(mut command: Command, to: &Path) -> Self {
        let stdout = File::create(to).expect("a file for the tracer's output");
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().expect("a tracer");
        let mut stderr = BufReader::new(child.stderr.take().expect("a piped stderr"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("a line of the tracer");
        assert!(line.to_lowercase().starts_with("tracing"), "the tracer does not trace: {line}");
        // It may attach to further libraries after its first line.
        std::thread::sleep(Duration::from_millis(500));
        Self { child, stderr }
    }

    /// Returns the nanoseconds that its first thread has run.
    fn cpu(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).expect("a running tracer");
        text.split(' ').next().and_then(|time| time.parse().ok()).expect("the time that a thread has run")
    }

    /// Ends the tracer. Returns the numbers of received and lost events.
    fn end(mut self) -> (u64, u64) {
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).expect("the stderr of the tracer");
        self.child.wait().expect("the tracer ends");
        let counts = text.lines().rev().find_map(|line| {
            let (received, lost) = line.strip_prefix("received ")?.split_once(", lost ")?;
            Some((received.parse().ok()?, lost.parse().ok()?))
        });
        counts.unwrap_or_else(|| panic!("the tracer does not count: {text}"))
    }
}

/// Runs a process that makes calls, and calls `begin` before those that count. Returns the nanoseconds of each call.
fn calls(calls: u32, begin: impl FnOnce()) -> f64 {
    let own = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(own);
    command.args(["gethostlatency-calls", &calls.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    let mut stdout = BufReader::new(child.stdout.take().expect("a piped stdout"));
    let mut time = || {
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line of the process");
        line.trim().parse::<f64>().expect("the time of a call")
    };
    time();
    std::thread::sleep(SETTLE);
    begin();
    drop(child.stdin.take());
    let time = time();
    child.wait().expect("the process ends");
    time
}

/// Returns the path of this process's C library.
fn libc_path() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").expect("the mappings of this process");
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| {
        path.rsplit('/').next().is_some_and(|name| name.starts_with("libc.so") || name.starts_with("libc-"))
    });
    path.expect("this process has a C library").into()
}

/// Measures all peers in turn. `cutaway` is the path of the command.
pub fn main(quick: bool, cutaway: &Path, table: &mut Table) {
    let (rounds, number) = if quick { (3, 2_000) } else { (15, 20_000) };
    let library = libc_path();
    let to = std::env::temp_dir().join(format!("peers-gethostlatency-{}", std::process::id()));
    let mut untraced = calls(number, || {});
    for peer in table::in_turn(rounds, &Peer::ALL) {
        if peer == Peer::Untraced {
            untraced = calls(number, || {});
            table.add("an untraced getaddrinfo call", peer.name(), "ns", untraced);
            continue;
        }
        let (traced, cpu) = measure(|| Tracer::start(peer.command(cutaway, &library), &to), peer.name(), number);
        table.add(OVERHEAD, peer.name(), "ns", traced - untraced);
        table.add(READER, peer.name(), "ns", cpu);
        table.add(TOTAL, peer.name(), "ns", traced - untraced + cpu);
    }
    let _ = fs::remove_file(to);
}

/// Measures a tracer. Returns the nanoseconds of a traced call, and those that reading and printing it takes. On a busy
/// machine a tracer may lose events, and lost ones cost less: then it is measured again.
fn measure(start: impl Fn() -> Tracer, name: &str, number: u32) -> (f64, f64) {
    const ATTEMPTS: usize = 10;
    for _ in 0..ATTEMPTS {
        let tracer = start();
        let mut before = 0;
        let traced = calls(number, || before = tracer.cpu());
        // The tracer has read the last burst by then.
        std::thread::sleep(SETTLE);
        let cpu = (tracer.cpu() - before) as f64 / f64::from(number);
        let (received, lost) = tracer.end();
        assert!(received + lost >= u64::from(WARM_UP + number), "{name}: received {received}, lost {lost}");
        if lost == 0 {
            return (traced, cpu);
        }
        eprintln!("{name} lost {lost} events and is measured again");
    }
    panic!("{name} loses events in each of {ATTEMPTS} attempts: the machine is too busy");
}

/// Prints each ratio with its target. Returns true if all targets were met.
pub fn verdict(table: &Table) -> bool {
    let mut all = true;
    println!();
    for what in [OVERHEAD, READER, TOTAL] {
        let ratio = table.ratio(what, Peer::Cutaway.name(), Peer::Gethostlatency.name());
        let Some(ratio) = ratio else { continue };
        let met = ratio <= MOST;
        all &= met;
        let verdict = if met { "met" } else { "MISSED" };
        println!("{what}: {ratio:.2} of that of gethostlatency's probes, target: at most {MOST:.2}, {verdict}");
    }
    all
}
