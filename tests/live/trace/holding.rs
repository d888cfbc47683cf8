//! Threads of other processes: those that are held until probes are on their C library, and those that must not be
//! held.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use memmap2::MmapOptions;
use rustix::process::Signal;

use crate::{
    asker,
    binary::{self, Running},
    containers::{LOST_RECORDS, end, end_with_warnings, in_time_or_warned, missed_calls_warning, results, tracer},
    endings::has_ended,
    harness::{Test, test},
    patience::wait_until,
    requirements::ring,
    roots::{Asker, IN_ROOT, Root, RootChange},
};

pub(crate) fn tests() -> Vec<Test> {
    let tests = [
        test!(held_thread_continues_when_the_tracer_is_killed),
        test!(held_thread_continues_when_the_tracer_is_stopped),
        test!(holder_process_ends_with_the_tracer),
        test!(ten_new_libraries_are_traced_from_their_first_calls),
        test!(missed_calls_of_files_not_examined_are_reported),
        test!(calls_that_may_be_missed_are_reported),
        test!(lost_records_of_mappings_are_reported),
        test!(no_thread_is_held_without_holding),
        test!(missed_calls_of_an_ended_command_are_reported),
    ];
    tests.map(|test| test.needs(ring).needs(asker::obstacle)).into()
}

/// Returns true if the process that holds threads for the tracer now holds this one.
fn is_held_by(pid: u32, tracer: &Running) -> bool {
    field(pid, "TracerPid:").is_some_and(|holder| holder != 0 && field(holder, "PPid:") == Some(tracer.pid()))
}

/// Returns a number in the status of a thread; `None` if the thread has ended.
fn field(tid: u32, name: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// Starts a tracer, and a program in its own root whose thread is held. `None` if other tests' tracers hold it, or none
/// does.
fn held(node: &str) -> Option<(Running, Asker, Root)> {
    let root = Root::new(node, RootChange::Chroot);
    let tracer = tracer(&[]);
    let asker = root.start();
    let begin = Instant::now();
    while begin.elapsed() < LONG_ENOUGH {
        if is_held_by(asker.pid(), &tracer) {
            return Some((tracer, asker, root));
        }
    }
    None
}

/// A new process is held within this time, if at all.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

/// The tracers of other tests may hold the thread instead.
const TIMES: usize = 10;

fn not_held() -> String {
    format!("in {TIMES} tries the thread was held by other tests' tracers, or not at all")
}

fn held_thread_continues_when_the_tracer_is_killed() -> Option<String> {
    let Some((tracer, mut asker, _root)) = (0..TIMES).find_map(|_| held("127.0.6.1")) else { return Some(not_held()) };
    let holder = children(tracer.pid());
    assert_eq!(holder.len(), 1, "{holder:?}");
    tracer.send(Signal::KILL);
    drop(tracer.end());
    // A held thread would never answer.
    asker.ask(1);
    wait_until("the process that holds threads has ended", || has_ended(holder[0]).then_some(()));
    None
}

/// Returns the children of this process that have not been waited for.
fn children(pid: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let list = fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    children
}

fn held_thread_continues_when_the_tracer_is_stopped() -> Option<String> {
    let Some((tracer, mut asker, _root)) = (0..TIMES).find_map(|_| held("127.0.6.3")) else { return Some(not_held()) };
    tracer.stop();
    let begin = Instant::now();
    asker.ask(1);
    // A hold lasts one second; the machine is busy.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    tracer.send(Signal::CONT);
    end(tracer, &[]);
    None
}

fn holder_process_ends_with_the_tracer() -> Option<String> {
    let tracer = tracer(&[]);
    let holder = children(tracer.pid());
    assert_eq!(holder.len(), 1, "{holder:?}");
    // Its name describes it, and signals of the terminal do not reach it.
    assert_eq!(fs::read(format!("/proc/{}/cmdline", holder[0])).unwrap(), b"cutaway\0hold-threads\0");
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", holder[0])).unwrap(), "cutaway-hold\n");
    // The fields after the name: state, parent, process group, session (proc(5)).
    let stat = fs::read_to_string(format!("/proc/{}/stat", holder[0])).unwrap();
    assert_eq!(stat.rsplit_once(") ").unwrap().1.split(' ').nth(3), Some(holder[0].to_string().as_str()), "{stat}");
    end(tracer, &[]);
    assert_eq!(field(holder[0], "Pid:"), None, "it still exists");
    None
}

fn ten_new_libraries_are_traced_from_their_first_calls() -> Option<String> {
    in_time_or_warned(try_ten_at_once);
    None
}

fn try_ten_at_once() -> Result<(), String> {
    const CALLS: usize = 5;
    let nodes: Vec<String> = (1..=10).map(|number| format!("127.0.7.{number}")).collect();
    let roots: Vec<Root> = nodes.iter().map(|node| Root::new(node, RootChange::Chroot)).collect();
    let tracer = tracer(&[]);
    let run = |root: &Root| {
        let mut asker = root.start();
        asker.ask(CALLS);
        asker.pid()
    };
    let pids: Vec<u32> = thread::scope(|scope| {
        let started: Vec<_> = roots.iter().map(|root| scope.spawn(|| run(root))).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let (events, stderr) = end_with_warnings(tracer, &nodes);
    for (events, pid) in events.iter().zip(pids) {
        if events.len() != CALLS {
            let warning = missed_calls_warning(&stderr, &format!("by process {pid} ")).filter(|_| events.len() < CALLS);
            return Err(warning.unwrap_or_else(|| panic!("{} calls of {pid} arrived: {stderr}", events.len())));
        }
    }
    Ok(())
}

/// Stops the tracer while it attaches to the first of several libraries, until the threads of all have continued and
/// called. Then it receives SIGINT.
fn missed_calls_of_files_not_examined_are_reported() -> Option<String> {
    let roots: Vec<Root> = (1..=8).map(|number| Root::new(&format!("127.0.8.{number}"), RootChange::Chroot)).collect();
    for _ in 0..TIMES {
        let tracer = tracer(&[]);
        let mut askers: Vec<Asker> = roots.iter().map(Root::start).collect();
        let begin = Instant::now();
        while !askers.iter().any(|asker| is_held_by(asker.pid(), &tracer)) && begin.elapsed() < LONG_ENOUGH {}
        tracer.stop();
        askers.iter_mut().for_each(|asker| asker.ask(1));
        let pids: Vec<u32> = askers.iter().map(Asker::pid).collect();
        drop(askers);
        tracer.send(Signal::INT);
        tracer.send(Signal::CONT);
        let nodes: Vec<String> = (1..=8).map(|number| format!("127.0.8.{number}")).collect();
        let (events, stderr) = results(tracer, &nodes.iter().map(String::as_str).collect::<Vec<_>>());
        let missed = events.iter().zip(&pids).filter(|(events, _)| events.is_empty());
        for (_, pid) in missed {
            let warning = missed_calls_warning(&stderr, &format!("by process {pid} "));
            assert!(warning.is_some(), "no warning of process {pid}: {stderr}");
        }
        if stderr.contains("the trace ended before the file could be examined") {
            return None;
        }
    }
    Some(format!("in {TIMES} tries the tracer had examined each file when it ended"))
}

fn calls_that_may_be_missed_are_reported() -> Option<String> {
    // No thread is held for a file of this name unless its process was requested.
    let root = Root::named("127.0.6.4", RootChange::Chroot, "names.so");
    let tracer = tracer(&[]);
    let mut asker = root.start();
    let process = format!("by process {} may be missed", asker.pid());
    let line = tracer.stderr_line("it is reported", |line| line.contains(&process));
    assert!(line.contains("/names.so") && line.ends_with("no thread is held for a file of such a name"), "{line}");
    // From then on each call is reported.
    asker.ask(3);
    let events = &end(tracer, &["127.0.6.4"])[0];
    assert_eq!(events.len(), 3);
    None
}

#[expect(unsafe_code, reason = "mmap(2) of a file")]
fn lost_records_of_mappings_are_reported() -> Option<String> {
    /// The size of a tracer's buffer for records of mappings in bytes, 32 pages
    /// (`cli/src/trace/libraries/mmap_records.rs`).
    const BUFFER: usize = 32 * 4096;
    /// The length of a path. A record contains the path: a few hundred records fill the buffer, and other tests'
    /// tracers have little to read.
    const LONG: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let mut path = folder.path().to_owned();
    while path.as_os_str().len() < LONG {
        path.push("d".repeat(200));
    }
    fs::create_dir_all(&path).unwrap();
    path.push("file");
    fs::write(&path, [0; 4096]).unwrap();
    let file = fs::File::open(&path).unwrap();
    // SAFETY: only this test knows the file and does not write to it while it is mapped; the mapping is not read.
    let map = || drop(unsafe { MmapOptions::new().map_exec(&file) }.unwrap());
    let tracer = tracer(&["--no-hold"]);
    tracer.stop();
    // On any CPU that this thread runs on: one full buffer is enough.
    let cpus = thread::available_parallelism().unwrap().get();
    (0..=cpus * BUFFER / LONG).for_each(|_| map());
    tracer.send(Signal::CONT);
    // The kernel reports a loss in front of the next record of that CPU.
    let is_reported = || {
        map();
        tracer.has_said(LOST_RECORDS).then_some(())
    };
    wait_until("the loss is reported", is_reported);
    let (_, stderr) = end_with_warnings(tracer, &[]);
    assert_eq!(stderr.matches(LOST_RECORDS).count(), 1, "{stderr}");
    None
}

fn no_thread_is_held_without_holding() -> Option<String> {
    let tracer = tracer(&["--no-hold"]);
    let root = Root::new("127.0.6.2", RootChange::Chroot);
    let mut asker = root.start();
    for _ in 0..40 {
        assert!(!is_held_by(asker.pid(), &tracer));
        asker.ask(1);
        thread::sleep(Duration::from_millis(25));
    }
    for thread in fs::read_dir(format!("/proc/{}/task", tracer.pid())).unwrap() {
        // Field 41 is the policy (proc(5)); 0 is the ordinary one.
        let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        assert_eq!(stat.rsplit_once(") ").unwrap().1.split(' ').nth(41 - 3), Some("0"), "{stat}");
    }
    assert_eq!(children(tracer.pid()), [0; 0]);
    let process = format!("by process {} may be missed", asker.pid());
    tracer.stderr_line("it is reported", |line| line.contains(&process) && line.contains("--no-hold"));
    let events = &end(tracer, &["127.0.6.2"])[0];
    // The first calls may be missed.
    assert!(events.len() > 1 && events.len() <= 40, "{}", events.len());
    None
}

fn missed_calls_of_an_ended_command_are_reported() -> Option<String> {
    let root = Root::new("127.0.6.5", RootChange::Chroot);
    let mut command = binary::command(["trace", "--no-hold", "--"]);
    command.arg(std::env::current_exe().unwrap()).arg(IN_ROOT).arg(root.path()).arg("chroot");
    let mut running = Running::start(&mut command);
    running.write("?");
    // It has ended when its library gets its probes, and is no longer followed.
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
    let is_reported = ended.stderr.lines().any(|line| line.contains("may be missed") && line.contains("/libc.so.6"));
    assert!(is_reported || ended.stderr.ends_with("received 1, lost 0\n"), "{ended:?}");
    None
}
