//! Events that end a comparison, and its message.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::PermissionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    process::Command,
};

use rustix::{
    process::Signal,
    thread::{CpuSet, sched_setaffinity},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    MEASURES,
    binary::{self, Running, command},
    experiments::{ALL, lines},
    harness::{Test, test},
    patience::wait_until,
    requirements::{ring, root},
    stalled,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(compare_without_privileges_is_refused).needs(root),
        test!(right_to_create_maps_is_not_enough).needs(root),
        test!(one_cpu_is_named_as_the_reason).needs(ring).alone(MEASURES),
        test!(signal_ends_compare_without_a_report).needs(ring).alone(MEASURES),
        test!(signals_end_compare_whose_stdout_is_not_read).needs(ring).alone(MEASURES),
        test!(closed_stdout_ends_compare).needs(ring).alone(MEASURES),
        test!(claims_are_listed_by_name).needs(ring).alone(MEASURES),
    ]
}

fn compare_without_privileges_is_refused() {
    const NOBODY: u32 = 65534;
    // The user `nobody` may have no access to the directory of the binary.
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("cutaway");
    fs::copy(binary::path(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(["compare", "--quick"]).env_remove("RUST_LOG").uid(NOBODY).gid(NOBODY).current_dir("/");
    let ended = Running::start(&mut command).end();
    let line = ended.complaint();
    assert!(line.contains("not permitted") && line.contains("run it as root"), "{line}");
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1));
}

/// Root in a container with `CAP_BPF` and no other capability.
#[expect(unsafe_code, reason = "runs a function between fork and exec")]
fn right_to_create_maps_is_not_enough() {
    /// Loading a tracing program needs these; the first includes the second (`include/uapi/linux/capability.h`).
    const CAP_SYS_ADMIN: libc::c_ulong = 21;
    const CAP_PERFMON: libc::c_ulong = 38;
    let mut command = command(["compare", "--quick"]);
    let drop = || {
        for capability in [CAP_SYS_ADMIN, CAP_PERFMON] {
            // SAFETY: one system call without memory: no lock, no allocation.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: as in `drop`.
    unsafe { command.pre_exec(drop) };
    let ended = Running::start(&mut command).end();
    let line = ended.complaint();
    assert!(line.contains("not permitted") && line.contains("CAP_PERFMON"), "{line}");
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1));
}

/// With one CPU, each experiment that needs two gives that reason; the others run.
#[expect(unsafe_code, reason = "runs a function between fork and exec")]
fn one_cpu_is_named_as_the_reason() {
    let mut command = command(["compare", "--quick", "--format", "json"]);
    for quick in ALL.iter().filter(|experiment| experiment.two_cpus || experiment.name == "stack-limit") {
        command.args(["--only", quick.name]);
    }
    let mut first = CpuSet::new();
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    first.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap());
    // SAFETY: one system call, on a value that was copied: no lock, no allocation.
    unsafe { command.pre_exec(move || Ok(sched_setaffinity(None, &first)?)) };
    let ended = Running::start(&mut command).end();
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["cpus"], 1);
    for outcome in lines.iter().filter(|line| line["kind"] == "experiment") {
        let verdict = outcome["verdict"].as_str().unwrap();
        if outcome["name"] == "stack-limit" {
            assert_eq!(verdict, "holds");
        } else {
            assert_eq!(verdict, "cannot_be_tried", "{outcome}");
            assert!(outcome["sentence"].as_str().unwrap().contains("this process may use one CPU"), "{outcome}");
        }
    }
}

fn signal_ends_compare_without_a_report() {
    let folder = TempDir::new().unwrap();
    let mut command = command(["compare", "--only", "copies", "--only", "throughput", "--report"]);
    let running = Running::start(command.arg(folder.path().join("report.html")));
    running.stdout_line("it has begun", |line| line.starts_with("kernel"));
    running.send(Signal::INT);
    let ended = running.end();
    let line = ended.complaint();
    assert!(line.starts_with("stopped after ") && line.ends_with("of 2 experiments; no report was written"), "{line}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no report, and no part of one");
}

/// One signal ends it with cleanup, two end it at once. Neither leaves a part of the report.
fn signals_end_compare_whose_stdout_is_not_read() {
    let folder = TempDir::new().unwrap();
    for twice in [false, true] {
        let (_reader, writer) = stalled::pipe();
        let mut command = command(["compare", "--quick", "--only", "stack-limit", "--format", "json", "--report"]);
        command.arg(folder.path().join("report.html")).stdout(writer);
        let running = Running::start_without_stdout(&mut command);
        wait_until("it waits for its reader", || running.is_in(stalled::POLLS).then_some(()));
        running.send(Signal::TERM);
        if twice {
            std::thread::sleep(std::time::Duration::from_millis(20));
            running.send(Signal::INT);
        }
        let ended = running.end();
        if twice {
            assert_eq!(ended.status.signal(), Some(Signal::INT.as_raw()), "{ended:?}");
        } else {
            assert_eq!(ended.complaint(), "cannot write to stdout: its reader has stopped reading");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

fn closed_stdout_ends_compare() {
    let mut command = command(["compare", "--quick", "--only", "stack-limit", "--only", "max-entries"]);
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let ended = Running::start_without_stdout(command.stdout(write)).end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

/// Claims that can be tested quickly have a verdict; others are omitted.
fn claims_are_listed_by_name() {
    let lines = lines("--only shared-memory --only variable-length --only stack-limit");
    let summary = lines.last().unwrap();
    let answers = summary["answers"].as_array().unwrap();
    let names: Vec<_> = answers.iter().map(|answer| answer["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shared memory", "variable length"], "`copies` needs two more experiments");
    for answer in answers {
        assert_eq!((&answer["kind"], &answer["verdict"]), (&"likeness".into(), &"holds".into()), "{answer}");
    }
}
