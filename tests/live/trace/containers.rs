//! Processes whose C library is not the host's: in another root, with musl, in a container, there before the tracer or
//! after.
//!
//! The tracers here trace every process, as a stranger would on a machine full of containers; each test looks at its
//! own hosts' names alone.
#![expect(unsafe_code, reason = "chroot(2), pivot_root(2) and setns(2) between fork and exec")]

use std::{
    ffi::CString,
    fs, io,
    io::{Read, Write},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use libtest_mimic::{Completion, Trial};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    asker,
    binary::{self, Running},
    own_mounts,
    patience::wait_until,
    requirements::Needs,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("every_c_library_in_use_is_traced", every_library),
        trial("a_command_in_another_root_is_traced_from_its_first_call_on", command_in_another_root),
        trial("one_file_in_two_overlays_is_traced_once", overlays),
        trial("a_library_that_vanished_is_let_go", vanished),
        trial("a_call_is_told_with_its_container", container),
        trial("a_named_library_is_the_only_one", named),
        trial("without_tracefs_the_command_alone_is_followed", nothing_mounted),
        trial("a_thousand_processes_are_looked_through_soon", thousand),
    ]
}

pub(crate) fn trial(name: &str, test: fn() -> Option<String>) -> Trial {
    Trial::ignorable_test(name, move || match Needs::Ring.obstacle().or_else(asker::obstacle).or_else(test) {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => Ok(Completion::Completed),
    })
}

/// How a process gets into its root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Chroot,
    Pivot,
    Host,
}

/// A root directory with a C library of its own and a program that asks for a host.
pub(crate) struct Root {
    folder: TempDir,
    /// Where the root is; the folder itself but for overlays.
    path: PathBuf,
    node: String,
    way: Way,
}

/// A file that this process has mapped.
fn mapped(start: &str) -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let path = paths.map(Path::new).find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start));
    path.unwrap_or_else(|| panic!("no {start} in {maps}")).to_owned()
}

impl Root {
    /// With glibc.
    pub(crate) fn new(node: &str, way: Way) -> Self {
        Self::named(node, way, "libc.so.6")
    }

    /// With glibc by another name.
    pub(crate) fn named(node: &str, way: Way, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let libraries = folder.path().join("lib");
        fs::create_dir(&libraries).unwrap();
        fs::copy(mapped("libc.so.6"), libraries.join(name)).unwrap();
        fs::copy(mapped("ld-linux"), libraries.join("ld.so")).unwrap();
        asker::write(&folder.path().join("asker"), "/lib/ld.so", name, node);
        Self { path: folder.path().to_owned(), folder, node: node.to_owned(), way }
    }

    /// The host's musl; `None` if it has none.
    fn musl(node: &str) -> Option<Self> {
        let loader = "/lib/ld-musl-x86_64.so.1";
        if !Path::new(loader).exists() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        asker::write(&folder.path().join("asker"), loader, "libc.so", node);
        Some(Self { path: folder.path().to_owned(), folder, node: node.to_owned(), way: Way::Host })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(if self.way == Way::Host { self.path.join("asker") } else { "/asker".into() });
        command.env("LD_LIBRARY_PATH", "/lib");
        let (root, way) = (CString::new(self.path.as_os_str().as_bytes()).unwrap(), self.way);
        // SAFETY: between fork and exec it makes system calls alone, on a string made before.
        unsafe { command.pre_exec(move || enter(&root, way)) };
        command
    }

    pub(crate) fn start(&self) -> Asker {
        Asker::start(&mut self.command())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn enter(root: &CString, way: Way) -> io::Result<()> {
    let done = |answer: libc::c_long| if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    match way {
        Way::Host => return Ok(()),
        Way::Chroot => {
            // SAFETY: reads a C string.
            done(unsafe { libc::chroot(root.as_ptr()) }.into())?;
        }
        Way::Pivot => {
            // SAFETY: takes flags.
            done(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
            let (none, flags) = (std::ptr::null(), libc::MS_BIND | libc::MS_REC);
            // SAFETY: reads C strings; there are no options.
            done(unsafe { libc::mount(root.as_ptr(), root.as_ptr(), none, flags, none.cast()) }.into())?;
            // SAFETY: reads a C string.
            done(unsafe { libc::chdir(root.as_ptr()) }.into())?;
            // SAFETY: reads two C strings.
            let pivoted = done(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) });
            match pivoted {
                // SAFETY: reads a C string.
                Ok(()) => done(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }.into())?,
                // The root of an initramfs cannot be left so, only be covered (`Documentation/filesystems/
                // ramfs-rootfs-initramfs.rst`).
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    let cover = libc::MS_MOVE;
                    // SAFETY: reads C strings; there are no options.
                    done(unsafe { libc::mount(c".".as_ptr(), c"/".as_ptr(), none, cover, none.cast()) }.into())?;
                    // SAFETY: reads a C string.
                    done(unsafe { libc::chroot(c".".as_ptr()) }.into())?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    // SAFETY: reads a C string.
    done(unsafe { libc::chdir(c"/".as_ptr()) }.into())
}

/// A running program that asks when it is told to.
pub(crate) struct Asker(Child);

impl Asker {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A program that was just written may still be open in another test's new process.
        Self(wait_until("the program can be run", || match command.spawn() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => None,
            answer => Some(answer.unwrap()),
        }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Has it ask so many times, one after the other.
    pub(crate) fn ask(&mut self, times: usize) {
        for _ in 0..times {
            self.0.stdin.as_mut().unwrap().write_all(b"?").unwrap();
            self.0.stdout.as_mut().unwrap().read_exact(&mut [0]).expect("it ended in the call");
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tracer of every process that has looked through them all.
pub(crate) fn tracer(arguments: &[&str]) -> Running {
    // Other tests' calls come as well, by the thousand.
    const ROOMY: [&str; 5] = ["trace", "--format", "json", "--buffer", "16777216"];
    let mut command = binary::command(ROOMY.iter().chain(arguments));
    let running = Running::start(command.env("RUST_LOG", "info"));
    running.stderr_line("it has looked", |line| line.contains("info: looked through"));
    running
}

/// Ends the tracer; gives the events of these hosts, by host.
pub(crate) fn end(tracer: Running, nodes: &[&str]) -> Vec<Vec<Value>> {
    end_with_warnings(tracer, nodes).0
}

/// The same, and what it said.
pub(crate) fn end_with_warnings(tracer: Running, nodes: &[&str]) -> (Vec<Vec<Value>>, String) {
    tracer.send(Signal::INT);
    let ended = tracer.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.lines().last().unwrap().starts_with("received "), "{}", ended.stderr);
    let events: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_node = |node: &&str| events.iter().filter(|event| event["node"] == **node).cloned().collect();
    (nodes.iter().map(of_node).collect(), ended.stderr)
}

/// The warning that calls of this kind may have been missed.
pub(crate) fn told(stderr: &str, which: &str) -> Option<String> {
    let mut lines = stderr.lines().filter(|line| line.contains("may be missed: it is traced from"));
    lines.find(|line| line.contains(which)).map(str::to_owned)
}

/// Tries a few times what a machine can fail to do in time whose CPUs are taken away from it; each time it must have
/// told that it was too late (`Err`). To miss calls without a word is a failure at once.
pub(crate) fn in_time_or_told<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let mut told = Vec::new();
    while told.len() < 3 {
        match attempt() {
            Ok(done) => return done,
            Err(line) => {
                eprintln!("too late: {line}");
                told.push(line);
            }
        }
    }
    panic!("it was too late each time: {told:#?}");
}

/// Every event is there so many times, with its library.
fn check(events: &[Value], times: usize, library: &str) {
    assert_eq!(events.len(), times, "{events:?}");
    for event in events {
        let path = &event["library"];
        // Kernels without cookies do not tell two of them apart.
        let known = cutaway::probe::perf_link().is_yes();
        assert!(!known && path.is_null() || path.as_str().unwrap().ends_with(library), "{event}");
        assert_eq!(event["ret"], 0);
    }
}

fn every_library() -> Option<String> {
    in_time_or_told(try_every_library)
}

fn try_every_library() -> Result<Option<String>, String> {
    let (chroot, pivot) = (Root::new("127.0.1.1", Way::Chroot), Root::new("127.0.1.2", Way::Pivot));
    let (late, musl) = (Root::new("127.0.1.3", Way::Pivot), Root::musl("127.0.1.4"));
    let before: Vec<&Root> = [&chroot, &pivot].into_iter().chain(&musl).collect();
    let mut running: Vec<Asker> = before.iter().map(|root| root.start()).collect();
    // All of them have loaded their libraries.
    running.iter_mut().for_each(|asker| asker.ask(1));
    let tracer = tracer(&[]);
    running.iter_mut().for_each(|asker| asker.ask(3));
    // Never seen before, and it asks at once; then a second process of the same.
    let mut first = late.start();
    first.ask(2);
    late.start().ask(1);
    let nodes = [chroot.node.as_str(), &pivot.node, &late.node, "127.0.1.4"];
    let (events, stderr) = end_with_warnings(tracer, &nodes);
    if events[2].len() < 3
        && let Some(line) = told(&stderr, &format!("by process {} ", first.pid()))
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

fn command_in_another_root() -> Option<String> {
    // A thread is held whatever its library is called.
    for (way, library) in [(Way::Chroot, "libc.so.6"), (Way::Pivot, "libc.so.6"), (Way::Chroot, "names.so")] {
        in_time_or_told(|| {
            let root = Root::named("127.0.2.1", way, library);
            let mut command = binary::command(["trace", "--format", "json", "--"]);
            let me = std::env::current_exe().unwrap();
            command.arg(me).arg(IN_ROOT).arg(&root.path).arg(if way == Way::Chroot { "chroot" } else { "pivot" });
            let mut running = Running::start(&mut command);
            running.write("??");
            let ended = running.end();
            assert!(ended.status.success(), "{ended:?}");
            // The program's own bytes are on the same line.
            if !ended.stderr.ends_with("received 2, lost 0\n") {
                return Err(
                    told(&ended.stderr, &format!("/{library} by process")).unwrap_or_else(|| panic!("{ended:?}"))
                );
            }
            let events: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            check(&events, 2, &format!("/{library}"));
            Ok(())
        });
    }
    None
}

/// The argument that makes this binary the program of a root.
pub(crate) const IN_ROOT: &str = "in-root";

/// If this process is to be such a program, becomes it.
pub(crate) fn be_one_if_asked() {
    let words: Vec<_> = std::env::args_os().collect();
    if let [_, first, root, way] = words.as_slice()
        && first == IN_ROOT
    {
        let way = if way == "chroot" { Way::Chroot } else { Way::Pivot };
        enter(&CString::new(root.as_bytes()).unwrap(), way).unwrap();
        panic!("{}", Command::new("/asker").env("LD_LIBRARY_PATH", "/lib").exec());
    }
}

/// Two containers of one image: to the kernel's mappings two files, to its probes one.
fn overlays() -> Option<String> {
    let image = Root::new("127.0.3.1", Way::Chroot);
    let tops = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let roots: Vec<PathBuf> = tops.iter().map(|top| top.path().join("merged")).collect();
    for (top, merged) in tops.iter().zip(&roots) {
        let name = |name: &str| top.path().join(name).display().to_string();
        for folder in ["upper", "work", "merged"] {
            fs::create_dir(name(folder)).unwrap();
        }
        // The upper directory must not be in an overlay itself.
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
            return Some(format!("this kernel mounts no overlayfs here: {error}"));
        }
    }
    let start = |path: &Path| {
        let mut command = Command::new("/asker");
        command.env("LD_LIBRARY_PATH", "/lib");
        let root = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: between fork and exec it makes system calls alone, on a string made before.
        unsafe { command.pre_exec(move || enter(&root, Way::Chroot)) };
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

fn vanished() -> Option<String> {
    let root = Root::new("127.0.4.1", Way::Pivot);
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
    // Other tests' libraries come and go as well.
    tracer.stderr_line("it lets go", |line| line.contains("no process uses") && line.contains("/lib/libc.so.6"));
    wait_until("its probes are gone", || (events(tracer.pid()) < before + 2).then_some(()));
    check(&end(tracer, &["127.0.4.1"])[0], 1, "/libc.so.6");
    None
}

fn container() -> Option<String> {
    let root = Root::new("127.0.5.1", Way::Pivot);
    let tree = tempfile::tempdir().unwrap();
    if let Err(error) = own_mounts::try_mount("cgroup2", tree.path(), "") {
        return Some(format!("this kernel has no cgroups of version 2: {error}"));
    }
    let id = format!("{:064x}", std::process::id());
    let name = format!("docker-{id}.scope");
    let cgroup = tree.path().join(&name);
    fs::create_dir(&cgroup).unwrap();
    let mut asker = root.start();
    asker.ask(1);
    let tracer = tracer(&[]);
    fs::write(cgroup.join("cgroup.procs"), asker.0.id().to_string()).unwrap();
    asker.ask(2);
    // Its events are printed while the cgroup is there.
    tracer.stdout_line("an event", |line| line.contains("127.0.5.1"));
    drop(asker);
    let events = end(tracer, &[&root.node]);
    wait_until("the cgroup is empty", || fs::remove_dir(&cgroup).ok());
    check(&events[0], 2, "/libc.so.6");
    for event in &events[0] {
        assert_eq!((event["container"].as_str(), event["cgroup"].as_str()), (Some(&*id), Some(&*format!("/{name}"))));
    }
    None
}

fn named() -> Option<String> {
    let roots = [Root::new("127.0.6.1", Way::Pivot), Root::new("127.0.6.2", Way::Chroot)];
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

fn nothing_mounted() -> Option<String> {
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
            // SAFETY: reads a C string. What is not mounted need not be unmounted.
            while unsafe { libc::umount2(folder.as_ptr(), libc::MNT_DETACH) } == 0 {}
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls alone.
    unsafe { command.pre_exec(unmount) };
    let ended = Running::start(&mut command).end();
    assert_eq!(ended.success(), (1, 0), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "it warns: {}", ended.stderr);
    assert_eq!(job.answers().len(), 1);
    None
}

/// What it costs to find the libraries on a full machine; run with `--nocapture`, it prints the figure.
fn thousand() -> Option<String> {
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
        // SAFETY: the child makes system calls alone.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            },
            pid if pid > 0 => crowd.0.push(pid),
            _ => return Some(format!("this machine has no room for {MANY} processes")),
        }
    }
    let tracer = tracer(&[]);
    let line = tracer.stderr_line("it has looked", |line| line.contains("looked through"));
    drop(crowd);
    end(tracer, &[]);
    println!("{line}");
    let number = line.split_whitespace().find_map(|word| word.parse::<usize>().ok()).unwrap();
    assert!(number >= MANY, "{line}");
    let time = line.rsplit_once(" in ").unwrap().1;
    // In a debug build, on a machine that does other things as well. What is ruled out is minutes.
    let soon = time.ends_with("ms") || time.trim_end_matches('s').parse::<f64>().is_ok_and(|seconds| seconds < 5.0);
    assert!(soon, "{line}");
    None
}
