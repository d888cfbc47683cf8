//! Processes whose C library is not the host's: in another root, with musl, in a container, started before or after the
//! tracer.
//!
//! The tracers here trace every process, as on a machine full of containers. Each test checks only the events of its
//! own host names.
#![expect(unsafe_code, reason = "chroot(2) and setns(2) between fork and exec")]

use std::{
    ffi::CString,
    fs, io,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    asker,
    binary::{self, Running},
    harness::{Test, test},
    own_mounts,
    patience::{PATIENCE, wait_until},
    requirements::ring,
    roots::{Asker, IN_ROOT, Root, RootChange, enter},
};

pub(crate) fn tests() -> Vec<Test> {
    let tests = [
        test!(every_c_library_in_use_is_traced),
        test!(command_in_another_root_is_traced_from_its_first_call),
        test!(one_file_in_two_overlays_is_traced_once),
        test!(deleted_library_is_detached),
        test!(call_is_shown_with_its_container),
        test!(library_option_limits_the_trace),
        test!(missing_tracefs_limits_the_trace_to_the_command),
        test!(thousand_processes_are_searched_quickly),
    ];
    tests.map(|test| test.needs(ring).needs(asker::obstacle)).into()
}

/// Starts a tracer of every process, and waits until it has searched all processes.
pub(crate) fn tracer(arguments: &[&str]) -> Running {
    // The calls of other tests arrive as well, by the thousand.
    const ROOMY: [&str; 5] = ["trace", "--format", "json", "--buffer", "16777216"];
    let mut command = binary::command(ROOMY.iter().chain(arguments));
    let running = Running::start(command.env("RUST_LOG", "info"));
    running.stderr_line("it has searched all processes", |line| line.contains("info: scanned "));
    running
}

/// Ends the tracer. Returns the events of these hosts, by host.
pub(crate) fn end(tracer: Running, nodes: &[&str]) -> Vec<Vec<Value>> {
    end_with_warnings(tracer, nodes).0
}

/// Does the same, and also returns the tracer's warnings.
pub(crate) fn end_with_warnings(tracer: Running, nodes: &[&str]) -> (Vec<Vec<Value>>, String) {
    tracer.send(Signal::INT);
    results(tracer, nodes)
}

/// Waits for a tracer that has received SIGINT. Returns the events of these hosts, by host, and its warnings.
pub(crate) fn results(tracer: Running, nodes: &[&str]) -> (Vec<Vec<Value>>, String) {
    let ended = tracer.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.lines().last().unwrap().starts_with("received "), "{}", ended.stderr);
    let events: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_node = |node: &&str| events.iter().filter(|event| event["node"] == **node).cloned().collect();
    (nodes.iter().map(of_node).collect(), ended.stderr)
}

/// The warning that a tracer lost records of mappings. Without these records it does not find a process that has ended.
pub(crate) const LOST_RECORDS: &str = "records of mappings were lost: ";

/// Returns the warning that calls of this kind may have been missed, whatever its reason.
pub(crate) fn missed_calls_warning(stderr: &str, which: &str) -> Option<String> {
    let is_it = |line: &&str| line.contains("may be missed: ") && line.contains(which) || line.contains(LOST_RECORDS);
    stderr.lines().find(is_it).map(str::to_owned)
}

/// Retries what can be too late on a machine whose CPUs are taken away. Each time it was too late, the tracer must have
/// warned (`Err`). Missed calls without a warning fail the test at once. After a flood of mappings a tracer runs at
/// ordinary priority for 5 seconds, in which each attempt can be too late.
pub(crate) fn in_time_or_warned<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let mut warnings = Vec::new();
    while warnings.len() < 6 {
        match attempt() {
            Ok(done) => return done,
            Err(line) => {
                eprintln!("too late: {line}");
                warnings.push(line);
            }
        }
    }
    panic!("it was too late each time: {warnings:#?}");
}

/// Checks that there are this many events, each with its library.
fn check(events: &[Value], times: usize, library: &str) {
    assert_eq!(events.len(), times, "{events:?}");
    for event in events {
        let path = &event["library"];
        // Kernels without cookies cannot tell two libraries apart.
        let known = cutaway::features::perf_link().is_yes();
        assert!(!known && path.is_null() || path.as_str().unwrap().ends_with(library), "{event}");
        assert_eq!(event["ret"], 0);
    }
}

fn every_c_library_in_use_is_traced() -> Option<String> {
    in_time_or_warned(try_every_library)
}

fn try_every_library() -> Result<Option<String>, String> {
    let (chroot, pivot) = (Root::new("127.0.1.1", RootChange::Chroot), Root::new("127.0.1.2", RootChange::Pivot));
    let (late, musl) = (Root::new("127.0.1.3", RootChange::Pivot), Root::musl("127.0.1.4"));
    let before: Vec<&Root> = [&chroot, &pivot].into_iter().chain(&musl).collect();
    let mut running: Vec<Asker> = before.iter().map(|root| root.start()).collect();
    // All of them have loaded their libraries after the first call.
    running.iter_mut().for_each(|asker| asker.ask(1));
    let tracer = tracer(&[]);
    running.iter_mut().for_each(|asker| asker.ask(3));
    // New to the tracer, and it calls at once; then a second process with the same library.
    let mut first = late.start();
    first.ask(2);
    late.start().ask(1);
    let nodes = [chroot.node.as_str(), &pivot.node, &late.node, "127.0.1.4"];
    let (events, stderr) = end_with_warnings(tracer, &nodes);
    if events[2].len() < 3
        && let Some(line) = missed_calls_warning(&stderr, &format!("by process {} ", first.pid()))
    {
        return Err(line);
    }
    for events in &events[..3] {
        check(events, 3, "/libc.so.6");
    }
    Ok(match musl {
        Some(_) => {
            check(&events[3], 3, "/libc.so");
            None
        }
        None => Some("musl is not on this machine (package musl); glibc in other roots was tried".to_owned()),
    })
}

fn command_in_another_root_is_traced_from_its_first_call() -> Option<String> {
    // A thread is held whatever its library's file name is.
    for (change, library) in
        [(RootChange::Chroot, "libc.so.6"), (RootChange::Pivot, "libc.so.6"), (RootChange::Chroot, "names.so")]
    {
        in_time_or_warned(|| {
            let root = Root::named("127.0.2.1", change, library);
            let mut command = binary::command(["trace", "--format", "json", "--"]);
            let me = std::env::current_exe().unwrap();
            command.arg(me).arg(IN_ROOT).arg(&root.path).arg(if change == RootChange::Chroot {
                "chroot"
            } else {
                "pivot"
            });
            let mut running = Running::start(&mut command);
            running.write("??");
            let ended = running.end();
            assert!(ended.status.success(), "{ended:?}");
            // The program's own bytes are on the same line.
            if !ended.stderr.ends_with("received 2, lost 0\n") {
                return Err(missed_calls_warning(&ended.stderr, &format!("/{library} by process"))
                    .unwrap_or_else(|| panic!("{ended:?}")));
            }
            let events: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            check(&events, 2, &format!("/{library}"));
            Ok(())
        });
    }
    None
}

/// Starts two containers of one image: two files in the kernel's mappings, one file for its probes.
fn one_file_in_two_overlays_is_traced_once() -> Option<String> {
    let image = Root::new("127.0.3.1", RootChange::Chroot);
    let tops = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let roots: Vec<PathBuf> = tops.iter().map(|top| top.path().join("merged")).collect();
    for (top, merged) in tops.iter().zip(&roots) {
        let name = |name: &str| top.path().join(name).display().to_string();
        for folder in ["upper", "work", "merged"] {
            fs::create_dir(name(folder)).unwrap();
        }
        // The upper directory must not be on an overlay.
        if let Err(error) = own_mounts::try_mount("tmpfs", &top.path().join("upper"), "") {
            return Some(format!("tmpfs cannot be mounted: {error}"));
        }
        for folder in ["upper/upper", "upper/work"] {
            fs::create_dir(name(folder)).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            image.folder.path().display(),
            name("upper/upper"),
            name("upper/work")
        );
        if let Err(error) = own_mounts::try_mount("overlay", merged, &options) {
            return Some(format!("overlayfs cannot be mounted: {error}"));
        }
    }
    let start = |path: &Path| {
        let mut command = Command::new("/asker");
        command.env("LD_LIBRARY_PATH", "/lib");
        let root = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: between fork and exec it only makes system calls, on a string made before.
        unsafe { command.pre_exec(move || enter(&root, RootChange::Chroot)) };
        Asker::start(&mut command)
    };
    let mut first = start(&roots[0]);
    first.ask(1);
    let tracer = tracer(&[]);
    first.ask(2);
    start(&roots[1]).ask(2);
    first.ask(1);
    check(&end(tracer, &[&image.node])[0], 5, "/libc.so.6");
    None
}

fn deleted_library_is_detached() -> Option<String> {
    let root = Root::new("127.0.4.1", RootChange::Pivot);
    let mut asker = root.start();
    asker.ask(1);
    let tracer = tracer(&[]);
    asker.ask(1);
    let events = |pid: u32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        fds.filter(|fd| {
            let target = fs::read_link(fd.as_ref().unwrap().path()).unwrap_or_default();
            target.to_str().is_some_and(|target| target.contains("perf_event"))
        })
        .count()
    };
    let before = events(tracer.pid());
    drop((asker, root));
    // The libraries of other tests come and go as well.
    tracer.stderr_line("it detaches", |line| line.contains("no process uses") && line.contains("/lib/libc.so.6"));
    wait_until("its probes are gone", || (events(tracer.pid()) < before + 2).then_some(()));
    check(&end(tracer, &["127.0.4.1"])[0], 1, "/libc.so.6");
    None
}

/// A cgroup, removed on drop: a killed process leaves it a little later.
struct Cgroup(PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn call_is_shown_with_its_container() -> Option<String> {
    let root = Root::new("127.0.5.1", RootChange::Pivot);
    let tree = match own_mounts::Mounted::new("cgroup2") {
        Ok(tree) => tree,
        Err(error) => return Some(format!("cgroup v2 is not available: {error}")),
    };
    let id = format!("{:064x}", std::process::id());
    let name = format!("docker-{id}.scope");
    let cgroup = Cgroup(tree.path().join(&name));
    fs::create_dir(&cgroup.0).unwrap();
    let mut asker = root.start();
    asker.ask(1);
    let tracer = tracer(&[]);
    fs::write(cgroup.0.join("cgroup.procs"), asker.0.id().to_string()).unwrap();
    asker.ask(2);
    // The event must be printed while the cgroup exists.
    tracer.stdout_line("an event", |line| line.contains("127.0.5.1"));
    drop(asker);
    let events = end(tracer, &[&root.node]);
    drop(cgroup);
    assert!(!tree.path().join(&name).exists(), "the cgroup is empty");
    check(&events[0], 2, "/libc.so.6");
    for event in &events[0] {
        assert_eq!((event["container"].as_str(), event["cgroup"].as_str()), (Some(&*id), Some(&*format!("/{name}"))));
    }
    None
}

fn library_option_limits_the_trace() -> Option<String> {
    let roots = [Root::new("127.0.6.1", RootChange::Pivot), Root::new("127.0.6.2", RootChange::Chroot)];
    let [mut one, mut other] = [roots[0].start(), roots[1].start()];
    one.ask(1);
    other.ask(1);
    let library = format!("/proc/{}/root/lib/libc.so.6", one.0.id());
    let tracer = Running::start(&mut binary::command(["trace", "--format", "json", "--library", &library]));
    wait_until("it is attached", || {
        one.ask(1);
        (tracer.stdout_lines() > 0).then_some(())
    });
    other.ask(1);
    one.ask(1);
    let events = end(tracer, &["127.0.6.1", "127.0.6.2"]);
    assert!(events[0].len() >= 2 && events[0].iter().all(|event| event["library"] == *library), "{events:?}");
    assert_eq!(events[1].len(), 0);
    None
}

fn missing_tracefs_limits_the_trace_to_the_command() -> Option<String> {
    use crate::child::{Job, Question};
    let job = Job::new([Question::hopeless("bare")]);
    let mut command = binary::command(["trace", "--format", "json", "--"]);
    command.args(job.command_line());
    let unmount = || {
        // SAFETY: takes flags.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(io::Error::last_os_error());
        }
        for folder in [c"/sys/kernel/tracing", c"/sys/kernel/debug", c"/sys/fs/bpf"] {
            // SAFETY: reads a C string. The loop ends when nothing is mounted there.
            while unsafe { libc::umount2(folder.as_ptr(), libc::MNT_DETACH) } == 0 {}
        }
        Ok(())
    };
    // SAFETY: between fork and exec it only makes system calls.
    unsafe { command.pre_exec(unmount) };
    let ended = Running::start(&mut command).end();
    assert_eq!(ended.success(), (1, 0), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 2, "it warns: {}", ended.stderr);
    assert_eq!(job.answers().len(), 1);
    None
}

/// Measures the search for libraries on a full machine; prints the time with `--nocapture`.
fn thousand_processes_are_searched_quickly() -> Option<String> {
    const MANY: usize = 1_000;
    struct Crowd(Vec<libc::pid_t>);
    impl Drop for Crowd {
        fn drop(&mut self) {
            for pid in &self.0 {
                // SAFETY: takes numbers; the process is a child that was not waited for.
                unsafe { libc::kill(*pid, libc::SIGKILL) };
                // SAFETY: as above; no status is asked for.
                unsafe { libc::waitpid(*pid, std::ptr::null_mut(), 0) };
            }
        }
    }
    let mut crowd = Crowd(Vec::new());
    for _ in 0..MANY {
        // SAFETY: the child only makes system calls.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            },
            pid if pid > 0 => crowd.0.push(pid),
            _ => return Some(format!("this machine cannot run {MANY} processes")),
        }
    }
    let tracer = tracer(&[]);
    let line = tracer.stderr_line("it has searched all processes", |line| line.contains("info: scanned "));
    drop(crowd);
    end(tracer, &[]);
    println!("{line}");
    let number = line.split_whitespace().find_map(|word| word.parse::<usize>().ok()).unwrap();
    assert!(number >= MANY, "{line}");
    let time = line.rsplit_once(" in ").unwrap().1;
    // A debug build on a busy machine. The limit only excludes minutes.
    let soon = time.ends_with("ms") || time.trim_end_matches('s').parse::<f64>().is_ok_and(|seconds| seconds < 5.0);
    assert!(soon, "{line}");
    None
}
