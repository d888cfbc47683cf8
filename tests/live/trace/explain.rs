//! `--explain` logs every system call that creates programs and buffers, in order.

use cutaway_programs::getaddrinfo::Transport;

use crate::{
    binary::{Running, command},
    child::{Job, Question},
    events, explained,
    harness::{Test, test},
    patience::wait_until,
    supervisor,
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(explain_logs_calls_in_order, transports(), transports::missing).collect();
    tests.extend(test!(explain_logs_every_call, transports(), transports::missing));
    tests
}

/// The system calls behind epoll_wait(3).
const SLEEPS: [libc::c_long; 2] = [
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(not(target_arch = "x86_64"))]
    libc::SYS_epoll_pwait2,
];

fn explained(transport: Transport, job: &Job) -> std::process::Command {
    let mut command = command(["--explain", "trace", "--format", "json", "--transport", transport.name(), "--"]);
    command.args(job.command_line());
    command
}

/// `name(argument=value, …) = answer    # why`
struct LoggedCall<'a> {
    name: &'a str,
    arguments: &'a str,
    answer: &'a str,
}

fn logged_calls(stderr: &str) -> Vec<LoggedCall<'_>> {
    let own = ["received ", "Tracing "];
    let calls = stderr.lines().filter(|line| !own.iter().any(|own| line.starts_with(own)));
    calls
        .map(|line| {
            let (call, why) = line.split_once("    # ").unwrap_or_else(|| panic!("no reason: {line}"));
            let (call, answer) = call.rsplit_once(") = ").unwrap_or_else(|| panic!("no answer: {line}"));
            let (name, arguments) = call.split_once('(').unwrap_or_else(|| panic!("no call: {line}"));
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
            assert!(why.len() > 10 && !answer.is_empty(), "{line}");
            LoggedCall { name, arguments, answer }
        })
        .collect()
}

fn explain_logs_calls_in_order(transport: Transport) {
    let job = Job::new([Question::new("127.0.0.1")]).wait();
    let mut running = Running::start(&mut explained(transport, &job));
    job.ready();
    // A sleep is part of the log.
    wait_until("the reader sleeps", || running.is_in(&SLEEPS).then_some(()));
    running.go();
    let ended = running.end();
    assert_eq!(ended.success(), (1, 0));
    assert_eq!(events::read(&ended.stdout).len(), 1, "stdout has only results");
    let calls = logged_calls(&ended.stderr);
    let index_of = |name: &str, parts: &[&str]| {
        let fits = |call: &LoggedCall<'_>| {
            call.name == name
                && parts.iter().all(|part| call.arguments.contains(part))
                && !call.answer.starts_with("-1")
                && !call.answer.starts_with('E')
        };
        calls.iter().position(fits).unwrap_or_else(|| panic!("no {name} with {parts:?}:\n{}", ended.stderr))
    };
    let map_type = if transport == Transport::Ring { "map_type=RINGBUF" } else { "map_type=PERF_EVENT_ARRAY" };
    let btf = index_of("bpf", &["cmd=BPF_BTF_LOAD"]);
    let events = index_of("bpf", &["cmd=BPF_MAP_CREATE", map_type, "map_name=events"]);
    let losses = index_of("bpf", &["cmd=BPF_MAP_CREATE", "map_type=PERCPU_ARRAY", "map_name=losses"]);
    let freeze = index_of("bpf", &["cmd=BPF_MAP_FREEZE"]);
    let entry = index_of("bpf", &["cmd=BPF_PROG_LOAD", "prog_name=getaddrinfo_ent"]);
    let answer = index_of("bpf", &["cmd=BPF_PROG_LOAD", "prog_name=getaddrinfo_ret"]);
    let page = index_of("mmap", &["prot=PROT_READ|PROT_WRITE", "flags=MAP_SHARED"]);
    let probe = index_of("perf_event_open", &["uprobe_path=", "libc.so.6", "pid=-1"]);
    let fill = index_of("bpf", &["cmd=BPF_MAP_UPDATE_ELEM", "map_fd="]);
    let read = index_of("bpf", &["cmd=BPF_MAP_LOOKUP_ELEM"]);
    let wait = index_of("epoll_wait", &[]);
    let attach = calls[probe..].iter().position(|call| {
        call.name == "bpf" && call.arguments.contains("cmd=BPF_LINK_CREATE") && !call.answer.starts_with("-1")
            || call.arguments.contains("PERF_EVENT_IOC_SET_BPF")
    });
    let attach = probe + attach.expect("a link, or the ioctl of older kernels");
    assert!(btf < losses, "maps refer to types");
    assert!(fill < freeze && freeze < entry, "constants are frozen before the verifier runs");
    assert!(events < entry && losses < entry && entry < answer, "instructions contain fds of maps");
    assert!(events < page && answer < page, "the buffer is open …");
    assert!(page < probe, "… before an event is sent");
    assert!(attach < wait && wait < read, "losses are read at the end");
    if transport != Transport::Ring {
        let buffer = index_of("perf_event_open", &["cpu=0"]);
        assert!(buffer < page && calls[buffer].arguments.contains("pid=-1"));
    }
}

/// Compares the log with the calls that seccomp(2) has seen.
fn explain_logs_every_call(transport: Transport) {
    let job = Job::new([Question::new("127.0.0.1")]);
    let mut command = command(["--explain=json", "trace", "--format", "json", "--transport", transport.name(), "--"]);
    command.args(job.command_line());
    let (ended, seen) = supervisor::watch(command, &explained::WATCHED, |_| None);
    assert_eq!(ended.success(), (1, 0));
    assert!(explained::compare(&ended.stderr, &seen) > 20, "{}", ended.stderr);
}
