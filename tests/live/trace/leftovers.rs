//! Nothing stays behind, however it ends: no probe in anybody's code, no program, map or link in the kernel.
//!
//! A probe is a breakpoint in the function's first byte, in every process that has the library mapped. To see it come and
//! go without other tests' probes in the way, each test has a copy of the C library to itself, and a bystander that uses it.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use libtest_mimic::Trial;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    binary::{self, Running},
    child::{Job, Question},
    each_way,
    kernel_objects::Held,
    patience::wait_until,
    requirements::Needs,
    trial,
};
use cutaway_programs::getaddrinfo::Transport;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = each_way("nothing_is_left_after_sigkill", |way| after(way, Signal::KILL)).collect();
    trials.extend(each_way("nothing_is_left_after_ctrl_c", |way| after(way, Signal::INT)));
    trials.extend([
        trial("nothing_is_left_after_the_commands_end", Needs::Root, after_the_command),
        trial("nothing_is_left_after_a_failure", Needs::Root, after_a_failure),
    ]);
    trials
}

/// A C library that nobody else uses, and a process that does.
struct Bystander {
    folder: TempDir,
    process: Running,
    pid: u32,
    function: u64,
    untouched: [u8; 8],
}

impl Bystander {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps.split_whitespace().find(|word| word.ends_with("/libc.so.6")).unwrap();
        fs::copy(libc, folder.path().join("libc.so.6")).unwrap();
        let job = Job::new([Question::hopeless("bystander")]).wait();
        let process = Running::start(job.command().env("LD_LIBRARY_PATH", folder.path()));
        let (pid, function) = job.pid_and_function();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        assert!(maps.contains(folder.path().to_str().unwrap()), "it uses another library:\n{maps}");
        let mut bystander = Self { folder, process, pid, function, untouched: [0; 8] };
        bystander.untouched = bystander.untouched_code();
        bystander
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("libc.so.6")
    }

    /// The function's first bytes.
    fn code(&self) -> [u8; 8] {
        let mut code = [0; 8];
        let memory = File::open(format!("/proc/{}/mem", self.pid)).unwrap();
        memory.read_exact_at(&mut code, self.function).unwrap();
        code
    }

    /// Those in the file: in memory another test's tracer of every process may have put a probe already.
    fn untouched_code(&self) -> [u8; 8] {
        let (_, place) = cutaway::Uprobe::new(self.library().to_str().unwrap(), "getaddrinfo").locate().unwrap();
        let mut code = [0; 8];
        File::open(self.library()).unwrap().read_exact_at(&mut code, place).unwrap();
        code
    }

    fn is_probed(&self) -> bool {
        self.code() != self.untouched
    }

    /// Traces this library, without a command.
    fn tracer(&self, transport: &str) -> Command {
        binary::command([
            "trace".into(),
            "--transport".into(),
            transport.into(),
            "--library".into(),
            OsString::from(self.library()),
        ])
    }

    /// Nothing is there any more, and the bystander lives on.
    fn finish(mut self) {
        wait_until("the probe is gone", || (!self.is_probed()).then_some(()));
        self.process.go();
        assert!(self.process.end().status.success());
    }
}

fn after(transport: Transport, signal: Signal) {
    let bystander = Bystander::start();
    let running = Running::start(&mut bystander.tracer(transport.name()));
    // The probe may be another test's, whose tracer traces every process; the programs are not.
    let held = wait_until("the probe and both programs are there", || {
        let held = Held::by(running.pid());
        (bystander.is_probed() && held.programs() >= 2).then_some(held)
    });
    running.send(signal);
    let ended = running.end();
    assert_eq!(ended.status.success(), signal != Signal::KILL, "{ended:?}");
    held.wait_until_gone();
    bystander.finish();
}

fn after_the_command() {
    let bystander = Bystander::start();
    let job = Job::new([Question::hopeless("traced")]).wait();
    let mut command = bystander.tracer("perf-heap");
    command.args(["--format", "json", "--"]).args(job.command_line()).env("LD_LIBRARY_PATH", bystander.folder.path());
    let mut running = Running::start(&mut command);
    job.ready();
    assert!(bystander.is_probed());
    let held = Held::by(running.pid());
    assert!(held.programs() >= 3, "and those that follow: {held:?}");
    running.go();
    assert_eq!(running.end().success(), (1, 0));
    held.wait_until_gone();
    bystander.finish();
}

fn after_a_failure() {
    let bystander = Bystander::start();
    // One that fails after everything is attached, and one that fails in the middle of it.
    let mut missing = bystander.tracer("perf-heap");
    let ended = Running::start(missing.args(["--", "/no/such/command"])).end();
    assert!(ended.complaint().starts_with("cannot run `/no/such/command`: ENOENT"), "{ended:?}");
    // Another test's tracer of every process may have found this library, too.
    wait_until("the probe is gone", || (!bystander.is_probed()).then_some(()));

    let job = Job::new([]).wait().beacon(Question::hopeless("traced"));
    let mut unwritable = bystander.tracer("perf-heap");
    unwritable.arg("--").args(job.command_line()).env("LD_LIBRARY_PATH", bystander.folder.path());
    let full = File::options().write(true).open("/dev/full").unwrap();
    let running = Running::start_without_stdout(unwritable.stdout(Stdio::from(full)));
    running.stderr_line("it ends", |line| line.starts_with("cutaway: "));
    assert!(running.end().complaint().contains("ENOSPC"));
    bystander.finish();
}
