//! Nothing is left, whatever ends the command: no probe in any code, no program, map or link in the kernel.
//!
//! A probe is a breakpoint in the function's first byte, in every process that has the library mapped. A test must see
//! its own probe come and go, and no other. So each test has its own copy of the C library, and maps it without
//! PROT_EXEC: tracers of every process ignore such a mapping. The kernel still writes its breakpoint there, because the
//! mapping could be made executable (`valid_vma` of `kernel/events/uprobes.c`).
#![expect(unsafe_code, reason = "maps a library without executing it")]

use std::{
    ffi::OsString,
    fs::{self, File},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::PathBuf,
    process::{Command, Stdio},
    ptr,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    binary::{self, Running},
    child::{Job, Question},
    harness::{Test, test},
    kernel_objects::Held,
    patience::wait_until,
    requirements::root,
    transports::{self, transports},
};
use cutaway_programs::getaddrinfo::Transport;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(nothing_is_left_after_sigkill, transports(), transports::missing).collect();
    tests.extend(test!(nothing_is_left_after_ctrl_c, transports(), transports::missing));
    tests.extend([
        test!(nothing_is_left_after_the_commands_end).needs(root),
        test!(nothing_is_left_after_a_failure).needs(root),
    ]);
    tests
}

fn nothing_is_left_after_sigkill(transport: Transport) {
    after(transport, Signal::KILL);
}

fn nothing_is_left_after_ctrl_c(transport: Transport) {
    after(transport, Signal::INT);
}

/// The number of bytes of the function that are compared; no breakpoint is longer.
const CODE: usize = 8;
/// Mappings begin at a multiple of this, the largest page size of any machine. They are twice as long, because the
/// function may cross a boundary.
const PART: u64 = 1 << 16;
const BYTES: usize = 2 << 16;

/// A C library that no other test uses, and this process's mapping of the part with the function.
struct Watched {
    folder: TempDir,
    part: usize,
    /// The function's offset in that part, in bytes.
    function: u64,
    untouched: [u8; CODE],
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps.split_whitespace().find(|word| word.ends_with("/libc.so.6")).unwrap();
        let library = folder.path().join("libc.so.6");
        fs::copy(libc, &library).unwrap();
        let (_, offset) = cutaway::Uprobe::new(library.to_str().unwrap(), "getaddrinfo").locate().unwrap();
        let file = File::open(&library).unwrap();
        let mut untouched = [0; CODE];
        file.read_exact_at(&mut untouched, offset).unwrap();
        let function = offset % PART;
        let start = i64::try_from(offset - function).unwrap();
        let (access, kind) = (libc::PROT_READ, libc::MAP_PRIVATE);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let part = unsafe { libc::mmap(ptr::null_mut(), BYTES, access, kind, file.as_raw_fd(), start) };
        assert_ne!(part, libc::MAP_FAILED);
        let watched = Self { folder, part: part.expose_provenance(), function, untouched };
        assert!(!watched.is_probed(), "there is a probe before the tracer starts");
        watched
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("libc.so.6")
    }

    /// Reads through /proc/self/mem: the kernel changes the memory, so it must not be borrowed.
    fn is_probed(&self) -> bool {
        let mut code = [0; CODE];
        let memory = File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut code, self.part as u64 + self.function).unwrap();
        code != self.untouched
    }

    /// Returns a trace of this library, without a command.
    fn tracer(&self, transport: &str) -> Command {
        binary::command([
            "trace".into(),
            "--transport".into(),
            transport.into(),
            "--library".into(),
            OsString::from(self.library()),
        ])
    }

    /// Makes a command line's process use this library.
    fn used_by<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LD_LIBRARY_PATH", self.folder.path())
    }

    /// Waits until the probe is gone. A traced command has executed the library, so another test's tracer of every
    /// process may have found it. Such a tracer detaches from a deleted file.
    fn wait_until_untouched(&self) {
        let _ = fs::remove_file(self.library());
        wait_until("the probe is gone", || (!self.is_probed()).then_some(()));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and used by this value only.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.part), BYTES) };
    }
}

fn after(transport: Transport, signal: Signal) {
    let watched = Watched::new();
    let running = Running::start(&mut watched.tracer(transport.name()));
    let held = wait_until("the probe and both programs are there", || {
        let held = Held::by(running.pid());
        (watched.is_probed() && held.programs() >= 2).then_some(held)
    });
    running.send(signal);
    let ended = running.end();
    assert_eq!(ended.status.success(), signal != Signal::KILL, "{ended:?}");
    held.wait_until_gone();
    watched.wait_until_untouched();
}

fn nothing_is_left_after_the_commands_end() {
    let watched = Watched::new();
    let job = Job::new([Question::hopeless("traced")]).wait();
    let mut command = watched.tracer("perf-heap");
    command.args(["--format", "json", "--"]).args(job.command_line());
    let mut running = Running::start(watched.used_by(&mut command));
    job.ready();
    assert!(watched.is_probed());
    let held = Held::by(running.pid());
    assert!(held.programs() >= 3, "and those that follow processes: {held:?}");
    running.go();
    assert_eq!(running.end().success(), (1, 0));
    held.wait_until_gone();
    watched.wait_until_untouched();
}

/// One run fails after everything is attached, another while attaching.
fn nothing_is_left_after_a_failure() {
    let watched = Watched::new();
    let mut missing = watched.tracer("perf-heap");
    let ended = Running::start(missing.args(["--", "/no/such/command"])).end();
    assert!(ended.complaint().starts_with("cannot run `/no/such/command`: ENOENT"), "{ended:?}");
    wait_until("the probe is gone", || (!watched.is_probed()).then_some(()));

    let job = Job::new([]).wait().beacon(Question::hopeless("traced"));
    let mut unwritable = watched.tracer("perf-heap");
    unwritable.arg("--").args(job.command_line());
    let full = File::options().write(true).open("/dev/full").unwrap();
    let running = Running::start_without_stdout(watched.used_by(&mut unwritable).stdout(Stdio::from(full)));
    running.stderr_line("it ends", |line| line.starts_with("cutaway: "));
    assert!(running.end().complaint().contains("ENOSPC"));
    watched.wait_until_untouched();
}
