//! Every section name: the program is loaded, attached by the name if that gives the target, and runs.
#![expect(unsafe_code, reason = "calls the functions that are probed")]

use std::{io::Read, thread};

use cutaway::{Object, TestRun};

use crate::{
    counter,
    harness::{Test, older_than, test},
    load, object, parse, system_call, unsupported,
};

/// The test of a program after loading.
#[derive(Clone, Copy)]
enum Then {
    /// It is attached by its section's name, and runs on an event here.
    Runs,
    /// It is attached by its section's name, and waits for an event that does not occur here.
    Attaches,
    /// It is an iterator: attached by its name, it runs when it is read.
    IsRead,
    /// It must be attached by hand, as this sentence says.
    Hand(&'static str),
    /// It is not loaded, for this reason.
    Refused(&'static str),
    /// It is skipped while the rest is loaded, for this reason.
    Skipped(&'static str),
    /// It is attached to nothing; the test runs it.
    IsRun,
    /// The first, or not loaded for this reason by a kernel that lacks this function.
    Lacking(&'static Then, &'static str, &'static str),
}

use Then::{Attaches, Hand, IsRead, IsRun, Lacking, Refused, Runs, Skipped};

/// Sleepable programs can be attached only to kernel functions that allow error injection, among them system calls. Few
/// distributions build that (CONFIG_FUNCTION_ERROR_INJECTION). Newer kernels allow system calls without it.
const SLEEPING_FUNCTION: Then = Lacking(&Runs, "is not sleepable", "within_error_injection_list");

/// Infrared receivers run programs with CONFIG_BPF_LIRC_MODE2.
const LIRC: Then = Lacking(&Hand("`Lirc`"), "lirc", "lirc_prog_attach");

struct Row(&'static str, fn() -> Option<String>, Then);

const ROWS: &[Row] = &[
    Row("socket", unsupported::nothing, Hand("`SocketFilter`")),
    Row("socket_named", unsupported::nothing, Hand("`SocketFilter`")),
    Row("reuseport", unsupported::nothing, Hand("`SocketFilter`")),
    Row("reuseport_migrate", || older_than(5, 14, "moving sockets"), Hand("`SocketFilter`")),
    Row("kprobe", unsupported::kprobes, Runs),
    Row("kprobe_offset", unsupported::kprobes, Runs),
    Row("kretprobe", unsupported::kprobes, Runs),
    Row("uprobe", unsupported::nothing, Runs),
    Row("uprobe_offset", unsupported::nothing, Runs),
    Row("uprobe_path", unsupported::nothing, Attaches),
    Row("uprobe_sleeps", sleeping_uprobes, Runs),
    Row("uprobe_bare", unsupported::nothing, Hand("its name does not say where")),
    Row("uretprobe", unsupported::nothing, Runs),
    Row("uretprobe_sleeps", sleeping_uprobes, Runs),
    Row("uretprobe_no_library", unsupported::nothing, Hand("there is no colon")),
    Row("kprobe_multi", unsupported::kprobes, Runs),
    Row("kretprobe_multi", unsupported::kprobes, Runs),
    Row("kprobe_session", unsupported::kprobe_session, Runs),
    Row("uprobe_multi", unsupported::nothing, Runs),
    Row("uprobe_multi_sleeps", sleeping_uprobes, Runs),
    Row("uretprobe_multi", unsupported::nothing, Runs),
    Row("uretprobe_multi_sleeps", sleeping_uprobes, Runs),
    Row("uprobe_session", unsupported::uprobe_session, Runs),
    Row("uprobe_session_sleeps", unsupported::uprobe_session, Runs),
    Row("ksyscall", unsupported::kprobes, Runs),
    Row("kretsyscall", unsupported::kprobes, Runs),
    Row("usdt", unsupported::nothing, Hand("its name does not say where")),
    Row("usdt_sleeps", sleeping_uprobes, Hand("its name does not say where")),
    Row("tc", unsupported::nothing, Hand("`Tc` or `Tcx`")),
    Row("tc_ingress", unsupported::nothing, Hand("`Tc` or `Tcx`")),
    Row("tc_egress", unsupported::nothing, Hand("`Tc` or `Tcx`")),
    Row("tcx_ingress", unsupported::nothing, Hand("`Tc` or `Tcx`")),
    Row("tcx_egress", unsupported::nothing, Hand("`Tc` or `Tcx`")),
    Row("netkit_primary", unsupported::nothing, Hand("`Tc` or `Tcx`")),
    Row("netkit_peer", unsupported::nothing, Hand("`Tc` or `Tcx`")),
    Row("classifier", unsupported::nothing, Hand("`Tc` or `Tcx`")),
    Row("action", unsupported::nothing, Hand("object-pinned")),
    Row("tracepoint", unsupported::nothing, Runs),
    Row("tp", unsupported::nothing, Runs),
    Row("tp_no_category", unsupported::nothing, Hand("CATEGORY/NAME")),
    Row("raw_tracepoint", unsupported::nothing, Runs),
    Row("raw_tp", unsupported::nothing, Runs),
    Row("raw_tracepoint_writes", unsupported::nothing, Runs),
    Row("raw_tp_writes", unsupported::nothing, Runs),
    Row("tp_btf", unsupported::btf, Runs),
    Row("fentry", unsupported::trampolines, Runs),
    Row("fentry_sleeps", unsupported::trampolines, SLEEPING_FUNCTION),
    Row("fexit", unsupported::trampolines, Runs),
    Row("fexit_sleeps", unsupported::trampolines, SLEEPING_FUNCTION),
    Row("fmod_ret", unsupported::trampolines, Runs),
    Row("freplace", unsupported::nothing, Refused("choose the program with `LoadOptions::replace`")),
    Row("lsm", unsupported::lsm, Runs),
    Row("lsm_sleeps", unsupported::lsm, Runs),
    Row("lsm_cgroup", || unsupported::lsm().or_else(|| older_than(6, 0, "LSM on cgroups")), Hand("`Cgroup`")),
    Row("iter", unsupported::iterators, IsRead),
    Row("iter_sleeps", || older_than(6, 1, "iterators that sleep"), IsRead),
    Row("syscall", unsupported::syscall_programs, IsRun),
    Row("xdp", unsupported::nothing, Hand("`Xdp`")),
    Row("xdp_named", unsupported::nothing, Hand("`Xdp`")),
    Row("xdp_fragments", || older_than(5, 18, "packets in fragments"), Hand("`Xdp`")),
    Row("xdp_devmap", || older_than(5, 8, "programs in device maps"), Hand("`Xdp`")),
    Row("xdp_devmap_fragments", || older_than(5, 18, "packets in fragments"), Hand("`Xdp`")),
    Row("xdp_cpumap", || older_than(5, 9, "programs in CPU maps"), Hand("`Xdp`")),
    Row("xdp_cpumap_fragments", || older_than(5, 18, "packets in fragments"), Hand("`Xdp`")),
    Row("perf_event", unsupported::nothing, Hand("`PerfEvent`")),
    Row("lwt_in", unsupported::nothing, Hand("ip route")),
    Row("lwt_out", unsupported::nothing, Hand("ip route")),
    Row("lwt_xmit", unsupported::nothing, Hand("ip route")),
    Row("lwt_seg6local", seg6, Hand("ip route")),
    Row("sockops", unsupported::nothing, Hand("`Cgroup`")),
    Row("sk_skb", unsupported::nothing, Hand("`Sockmap`")),
    Row("sk_skb_parser", unsupported::nothing, Hand("`Sockmap`")),
    Row("sk_skb_stream_verdict", unsupported::nothing, Hand("`Sockmap`")),
    Row("sk_skb_verdict", unsupported::verdicts_alone, Hand("`Sockmap`")),
    Row("sk_msg", unsupported::nothing, Hand("`Sockmap`")),
    Row("sk_lookup", unsupported::sk_lookup, Hand("`Netns`")),
    Row("lirc", unsupported::nothing, LIRC),
    Row("flow_dissector", unsupported::nothing, Hand("`Netns`")),
    Row("cgroup_skb_ingress", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_skb_egress", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_skb", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_sock_create", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_sock_release", || older_than(5, 9, "the end of sockets"), Hand("`Cgroup`")),
    Row("cgroup_sock", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_post_bind4", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_post_bind6", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_bind4", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_bind6", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_connect4", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_connect6", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_connect_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_sendmsg4", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_sendmsg6", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_sendmsg_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_recvmsg4", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_recvmsg6", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_recvmsg_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_getpeername4", names_of_sockets, Hand("`Cgroup`")),
    Row("cgroup_getpeername6", names_of_sockets, Hand("`Cgroup`")),
    Row("cgroup_getpeername_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_getsockname4", names_of_sockets, Hand("`Cgroup`")),
    Row("cgroup_getsockname6", names_of_sockets, Hand("`Cgroup`")),
    Row("cgroup_getsockname_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_sysctl", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_getsockopt", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_setsockopt", unsupported::nothing, Hand("`Cgroup`")),
    Row("cgroup_dev", unsupported::nothing, Hand("`Cgroup`")),
    Row("netfilter", unsupported::netfilter, Hand("`Netfilter`")),
    Row("nobody_knows", unsupported::nothing, Skipped("its name gives no known program type")),
];

fn sleeping_uprobes() -> Option<String> {
    older_than(6, 0, "uprobes whose programs sleep")
}

fn unix() -> Option<String> {
    older_than(6, 7, "cgroups on unix sockets")
}

fn names_of_sockets() -> Option<String> {
    older_than(5, 8, "names of sockets")
}

/// Programs for segment routing.
fn seg6() -> Option<String> {
    let why = "this kernel has no programs at the segments of routes (CONFIG_IPV6_SEG6_BPF)";
    (!unsupported::has_symbol("bpf_lwt_seg6_action")).then(|| why.to_owned())
}

pub(crate) fn tests() -> Vec<Test> {
    let rows = ROWS.iter().map(|row| (row.0, row));
    // Without debugging information, nothing is missing.
    let stripped = rows.clone().filter(|(_, Row(_, _, then))| matches!(then, Runs | Lacking(Runs, ..)));
    let mut tests: Vec<_> = test!(section, rows, |row: &Row| (row.1)()).collect();
    tests.extend(test!(section_of_a_stripped_object, stripped, |row: &Row| (row.1)()));
    tests.push(test!(every_section_has_a_row));
    tests
}

fn section(Row(program, _, then): &Row) {
    run(object!("sections"), program, *then);
}

fn section_of_a_stripped_object(Row(program, _, then): &Row) {
    run(object!("sections_stripped"), program, *then);
}

/// Changes the function of a system call in a program's section from x86's to this architecture's.
fn name_own_function(object: &mut Object, program: &str) {
    let section = object.program_mut(program).unwrap().section_name.clone();
    if cfg!(target_arch = "aarch64") && section.contains("/__x64_") {
        object.set_section(program, &section.trim_start_matches('?').replace("/__x64_", "/__arm64_")).unwrap();
    }
}

fn run(bytes: &[u8], program: &str, then: Then) {
    let mut object = parse(bytes);
    if let Skipped(why) = then {
        let aside = object.unknown_programs();
        let found = aside.iter().find(|aside| aside.name == program).unwrap_or_else(|| panic!("{aside:?}"));
        return assert!(found.why.contains(why), "{}", found.why);
    }
    assert!(object.programs().iter().all(|program| !program.section.autoload), "each section begins with `?`");
    object.program_mut(program).unwrap().section.autoload = true;
    name_own_function(&mut object, program);
    if let Refused(why) = then {
        let line = object.load().unwrap_err().to_string();
        return assert!(line.contains(why), "{line}");
    }
    let (then, loaded) = match then {
        Lacking(then, why, function) => match object.load() {
            Ok(loaded) => (*then, loaded),
            Err(error) => {
                let line = error.to_string();
                return assert!(line.contains(why) && !unsupported::has_symbol(function), "{line}");
            }
        },
        then => (then, load(object)),
    };
    assert_eq!(loaded.programs().count(), 1);
    let program = loaded.program(program).unwrap();
    match then {
        Hand(how) => {
            let line = program.attach().unwrap_err().to_string();
            assert!(line.contains(how) && !line.contains('\n'), "{line}");
        }
        Runs => {
            assert_eq!(counter(&loaded), 0);
            let links = loaded.attach().unwrap();
            happen();
            assert!(counter(&loaded) > 0);
            drop(links);
        }
        Attaches => drop(loaded.attach().unwrap()),
        IsRead => {
            let link = program.attach().unwrap();
            let mut text = Vec::new();
            link.read_iterator().unwrap().read_to_end(&mut text).unwrap();
            assert!(counter(&loaded) > 1, "this process, and the end");
        }
        IsRun => {
            program.test_run(&TestRun::default()).unwrap();
            assert_eq!(counter(&loaded), 1);
        }
        Refused(_) | Skipped(_) | Lacking(..) => {}
    }
}

/// Triggers every event that the programs wait for.
fn happen() {
    unsafe extern "C" {
        fn a64l(text: *const libc::c_char) -> libc::c_long;
        fn l64a(value: libc::c_long) -> *mut libc::c_char;
    }
    // SAFETY: reads a string.
    assert_eq!(unsafe { a64l(c"./".as_ptr()) }, 64);
    // SAFETY: writes a string that no other test reads.
    assert!(!unsafe { l64a(64) }.is_null());
    system_call();
    thread::spawn(|| ()).join().unwrap();
    assert!(std::fs::File::open("/proc/self/status").is_ok());
}

fn every_section_has_a_row() {
    let object = parse(object!("sections"));
    let names = object.programs().iter().map(|program| program.name.as_str());
    let mut names: Vec<_> = names.chain(object.unknown_programs().iter().map(|aside| aside.name.as_str())).collect();
    let mut rows: Vec<_> = ROWS.iter().map(|Row(program, ..)| *program).collect();
    names.sort_unstable();
    rows.sort_unstable();
    assert_eq!(names, rows);
}
