//! Compares `--explain=json` with the real system calls: each call that creates, opens, maps or polls must be logged,
//! in order and with its arguments.

use serde_json::Value;

use crate::supervisor::Call;

/// The calls that are compared.
pub(crate) const WATCHED: [libc::c_long; 9] = [
    libc::SYS_bpf,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_perf_event_open,
    libc::SYS_ioctl,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_mmap,
];

/// Returns the logged calls: the lines of stderr that are objects.
pub(crate) fn logged(stderr: &str) -> Vec<Value> {
    let objects = stderr.lines().filter(|line| line.starts_with('{'));
    objects.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Compares both, in order. Returns the number of calls.
pub(crate) fn compare(stderr: &str, seen: &[Call]) -> usize {
    // Only the calls of one thread: the one that creates maps also makes the other calls.
    let thread = seen.iter().find(|call| call.number == libc::SYS_bpf).unwrap().thread;
    let seen: Vec<String> = seen.iter().filter(|call| call.thread == thread).filter_map(real_form).collect();
    let logged = logged(stderr);
    for call in &logged {
        assert!(call["why"].as_str().unwrap().len() > 8 && call["return_value"] != "", "{call}");
    }
    let logged: Vec<String> = logged.iter().filter_map(logged_form).collect();
    for (index, (logged, seen)) in logged.iter().zip(&seen).enumerate() {
        assert_eq!(logged, seen, "call {index}, of {logged:#?}");
    }
    assert_eq!(logged.len(), seen.len());
    seen.len()
}

/// `enum bpf_cmd`, the commands that the loader uses.
const COMMANDS: [(u64, &str); 30] = [
    (0, "BPF_MAP_CREATE"),
    (1, "BPF_MAP_LOOKUP_ELEM"),
    (2, "BPF_MAP_UPDATE_ELEM"),
    (3, "BPF_MAP_DELETE_ELEM"),
    (4, "BPF_MAP_GET_NEXT_KEY"),
    (5, "BPF_PROG_LOAD"),
    (6, "BPF_OBJ_PIN"),
    (7, "BPF_OBJ_GET"),
    (8, "BPF_PROG_ATTACH"),
    (9, "BPF_PROG_DETACH"),
    (10, "BPF_PROG_TEST_RUN"),
    (11, "BPF_PROG_GET_NEXT_ID"),
    (12, "BPF_MAP_GET_NEXT_ID"),
    (13, "BPF_PROG_GET_FD_BY_ID"),
    (14, "BPF_MAP_GET_FD_BY_ID"),
    (15, "BPF_OBJ_GET_INFO_BY_FD"),
    (17, "BPF_RAW_TRACEPOINT_OPEN"),
    (18, "BPF_BTF_LOAD"),
    (19, "BPF_BTF_GET_FD_BY_ID"),
    (20, "BPF_TASK_FD_QUERY"),
    (21, "BPF_MAP_LOOKUP_AND_DELETE_ELEM"),
    (22, "BPF_MAP_FREEZE"),
    (23, "BPF_BTF_GET_NEXT_ID"),
    (24, "BPF_MAP_LOOKUP_BATCH"),
    (25, "BPF_MAP_LOOKUP_AND_DELETE_BATCH"),
    (26, "BPF_MAP_UPDATE_BATCH"),
    (27, "BPF_MAP_DELETE_BATCH"),
    (28, "BPF_LINK_CREATE"),
    (32, "BPF_ENABLE_STATS"),
    (33, "BPF_ITER_CREATE"),
];

/// `PERF_EVENT_IOC_…`, by the lowest byte of the request.
const REQUESTS: [(u64, &str); 5] = [(0, "ENABLE"), (5, "SET_OUTPUT"), (7, "ID"), (8, "SET_BPF"), (9, "PAUSE_OUTPUT")];

fn name(names: &[(u64, &'static str)], number: u64) -> &'static str {
    names.iter().find(|(known, _)| *known == number).unwrap_or_else(|| panic!("no name for {number}")).1
}

/// Returns a real call in the common form; `None` if it need not be logged.
fn real_form(call: &Call) -> Option<String> {
    let [first, second, third, fourth, fifth, sixth] = call.arguments;
    // Arguments of 32 bits, whatever the register's upper half contains.
    let int = |argument: u64| argument as u32 as i32;
    let word = |at| call.word(at).unwrap();
    Some(match call.number {
        libc::SYS_bpf => {
            let details = match first {
                0 => format!("{} {} {}", word(4), word(8), word(12)),
                5 => format!("{}", word(4)),
                1..=3 | 22 => format!("{}", word(0)),
                28 => format!("{} {}", word(0), word(4) as i32),
                _ => String::new(),
            };
            format!("bpf {} {details} {third}", name(&COMMANDS, first))
        }
        libc::SYS_perf_event_open => {
            format!("perf_event_open {} {} {} {}", word(4), int(second), int(third), int(fourth))
        }
        libc::SYS_ioctl if second >> 8 & 0xff == u64::from(b'$') => {
            format!("ioctl {} PERF_EVENT_IOC_{}", int(first), name(&REQUESTS, second & 0xff))
        }
        libc::SYS_fsopen => "fsopen".to_owned(),
        libc::SYS_fsconfig => format!("fsconfig {}", int(first)),
        libc::SYS_fsmount => format!("fsmount {}", int(first)),
        libc::SYS_epoll_create1 => "epoll_create1".to_owned(),
        libc::SYS_epoll_ctl => format!("epoll_ctl {} {} {}", int(first), int(second), int(third)),
        // A mapping that is shared with the kernel.
        libc::SYS_mmap if fourth & libc::MAP_SHARED as u64 != 0 && int(fifth) >= 0 => {
            format!("mmap {second} {third} {} {sixth}", int(fifth))
        }
        _ => return None,
    })
}

/// Returns a logged call in the common form.
fn logged_form(call: &Value) -> Option<String> {
    let arguments = &call["arguments"];
    let number = |name: &str| match &arguments[name] {
        // Zero is not logged.
        Value::Null => 0,
        value => value.as_i64().unwrap_or_else(|| panic!("{name} is not a number: {call}")),
    };
    let text =
        |name: &str| arguments[name].as_str().unwrap_or_else(|| panic!("{name} is not a string: {call}")).to_owned();
    Some(match call["syscall"].as_str().unwrap() {
        "bpf" => {
            let command = text("cmd");
            let details = match command.as_str() {
                "BPF_MAP_CREATE" => {
                    format!("{} {} {}", number("key_size"), number("value_size"), number("max_entries"))
                }
                "BPF_PROG_LOAD" => number("insn_cnt").to_string(),
                "BPF_MAP_LOOKUP_ELEM" | "BPF_MAP_UPDATE_ELEM" | "BPF_MAP_DELETE_ELEM" | "BPF_MAP_FREEZE" => {
                    number("map_fd").to_string()
                }
                "BPF_LINK_CREATE" => {
                    assert!(text("attach_type").starts_with("BPF_"), "{call}");
                    format!("{} {}", number("prog_fd"), number("target_fd"))
                }
                _ => String::new(),
            };
            format!("bpf {command} {details} {}", number("size"))
        }
        "perf_event_open" => {
            format!("perf_event_open {} {} {} {}", number("size"), number("pid"), number("cpu"), number("group_fd"))
        }
        "ioctl" => format!("ioctl {} {}", number("fd"), text("op")),
        "fsopen" => "fsopen".to_owned(),
        "fsconfig" | "fsmount" => format!("{} {}", call["syscall"].as_str().unwrap(), number("fd")),
        "epoll_create1" => "epoll_create1".to_owned(),
        "epoll_ctl" => {
            let op = match text("op").as_str() {
                "EPOLL_CTL_ADD" => libc::EPOLL_CTL_ADD,
                "EPOLL_CTL_DEL" => libc::EPOLL_CTL_DEL,
                other => panic!("{other}"),
            };
            format!("epoll_ctl {} {op} {}", number("epfd"), number("fd"))
        }
        // The kernel's BTF: a private mapping like those of every program, and not watched.
        "mmap" if text("flags") == "MAP_PRIVATE" => return None,
        "mmap" => {
            let prot: i32 = text("prot")
                .split('|')
                .map(|name| match name {
                    "PROT_READ" => libc::PROT_READ,
                    "PROT_WRITE" => libc::PROT_WRITE,
                    other => panic!("{other}"),
                })
                .sum();
            assert_eq!(text("flags"), "MAP_SHARED");
            format!("mmap {} {prot} {} {}", number("length"), number("fd"), number("offset"))
        }
        _ => return None,
    })
}
