//! Builds and runs the examples of the loader as an embedder would. `cargo xtask objects` writes the same objects.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../live/support/harness.rs"]
#[expect(dead_code, reason = "others use more of it")]
mod harness;
#[path = "../../live/support/own_mounts.rs"]
#[expect(dead_code, reason = "others mount more")]
mod own_mounts;
#[path = "../../live/support/requirements.rs"]
mod requirements;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::ToSocketAddrs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use cutaway_programs::getaddrinfo::Transport;
use harness::{Suite, test};
use own_mounts::Mounted;
use requirements::{ring, root};
use tempfile::TempDir;

fn main() {
    own_mounts::enter(&[]);
    let tests = vec![
        test!(embed_prints_who_asked_for_what).needs(ring),
        test!(ring_prints_who_executes_a_file).needs(ring),
        test!(perf_prints_who_executes_a_file).needs(root),
        test!(from_aya_prints_who_executes_a_file).needs(ring),
        test!(poller_reads_a_ring).needs(ring),
        test!(poller_reads_perf_buffers).needs(root),
        test!(global_sets_the_step).needs(root),
        test!(pin_keeps_its_count).needs(root),
        test!(uprobe_counts_one_call).needs(root),
        test!(batch_adds_up_squares).needs(root),
        test!(maps_uses_its_own_map).needs(root),
    ];
    Suite::new([tests]).run()
}

/// An object in a file, and the command that runs an example with it.
struct Example {
    command: Command,
    _directory: TempDir,
}

impl Example {
    /// Returns the example `name` with the object that `cargo xtask objects` writes as `example-OBJECT.o`.
    fn new(name: &str, object: &str) -> Self {
        let objects = xtask::examples::objects().unwrap();
        let found = objects.iter().find(|known| known.0 == object).expect("the name of an object");
        Self::with(name, &found.1)
    }

    fn with(name: &str, object: &[u8]) -> Self {
        static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
            // With the features that the command asks for, as in the workspace: the library is built once.
            let features = "aya-obj,debugdata";
            let build = ["build", "--quiet", "--package", "cutaway", "--features", features, "--examples"];
            assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
            // target/debug/deps/THIS beside target/debug/examples
            let own = std::env::current_exe().unwrap();
            own.ancestors().nth(2).expect("a test is in deps").join("examples")
        });
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("object.o");
        fs::write(&path, object).unwrap();
        let mut command = Command::new(BUILT.join(name));
        command.arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { command, _directory: directory }
    }

    /// Runs the example to its end and returns the one line that it prints.
    fn line(&mut self) -> String {
        let output = self.command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        match (lines.next(), lines.next()) {
            (Some(line), None) => line.to_owned(),
            _ => panic!("not one line: {text:?}"),
        }
    }

    /// Runs the example until it prints the line that `cause` returns. It repeats `cause`, because the example may not
    /// have attached its programs yet.
    fn prints(&mut self, mut cause: impl FnMut() -> String) {
        let mut child = Running(self.command.spawn().unwrap());
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let (sender, printed) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut expected = Vec::new();
        while Instant::now() < deadline {
            expected.push(cause());
            loop {
                match printed.recv_timeout(Duration::from_millis(200)) {
                    Ok(line) if expected.contains(&line) => return,
                    Ok(_) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => panic!("the example ended: {:?}", child.0.wait()),
                }
            }
        }
        panic!("none of {} lines was printed, such as {:?}", expected.len(), expected.first());
    }
}

/// An example that runs until it is killed.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn embed_prints_who_asked_for_what() {
    Example::with("embed", &Transport::Ring.object().unwrap()).prints(|| {
        // A name that no other process resolves. The program reads the name of the thread.
        let _ = ("this-example.invalid", 80).to_socket_addrs();
        let thread = fs::read_to_string("/proc/thread-self/comm").unwrap();
        format!("{} asked for this-example.invalid", thread.trim_end())
    });
}

fn ring_prints_who_executes_a_file() {
    Example::new("ring", "ring").prints(executes_a_file);
}

fn perf_prints_who_executes_a_file() {
    Example::new("perf", "perf").prints(executes_a_file);
}

fn from_aya_prints_who_executes_a_file() {
    Example::new("from_aya", "ring").prints(executes_a_file);
}

fn poller_reads_a_ring() {
    Example::new("poller", "ring").prints(executes_a_file);
}

fn poller_reads_perf_buffers() {
    Example::new("poller", "perf").prints(executes_a_file);
}

fn executes_a_file() -> String {
    let mut child = Command::new("true").spawn().unwrap();
    assert!(child.wait().unwrap().success());
    format!("PID {}", child.id())
}

fn global_sets_the_step() {
    let line = Example::new("global", "global").line();
    let total: u64 = line.strip_prefix("total = ").unwrap().parse().unwrap();
    assert!(total > 0 && total.is_multiple_of(7), "{line}");
}

fn uprobe_counts_one_call() {
    assert_eq!(Example::new("uprobe", "uprobe").line(), "getaddrinfo was called 1 times");
}

fn pin_keeps_its_count() {
    let pins = Mounted::new("bpf").unwrap();
    let mut example = Example::new("pin", "pin");
    example.command.arg(pins.path());
    let mut before = || {
        let line = example.line();
        line.strip_suffix(" system calls before").unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(before(), 0, "the map is new");
    let second = before();
    assert!(second > 0, "the map is reused");
    assert!(before() > second);
}

fn batch_adds_up_squares() {
    let sum: u64 = (500..1000).map(|n| n * n).sum();
    let line = Example::new("batch", "batch").line();
    assert_eq!(line, format!("the squares of 500 to 999 add up to {sum}"));
}

fn maps_uses_its_own_map() {
    let sum: u64 = (1001..2000).map(|n| n * n).sum();
    let line = Example::new("maps", "batch").line();
    assert_eq!(line, format!("the squares of 1001 to 1999 add up to {sum}"));
}
