//! Every section's name: the program is loaded, attached by its name if that says where, and runs.
#![expect(unsafe_code, reason = "calls the functions that are probed")]

use std::{io::Read, thread};

use cutaway::Run;
use libtest_mimic::Trial;

use crate::{counter, lacks, load, object, parse, system_call, trial};

/// What comes of a program once it is loaded.
#[derive(Clone, Copy)]
enum Then {
    /// Attached by its section's name, it runs when something happens here.
    Runs,
    /// Attached by its section's name, it waits for what does not happen here.
    Attaches,
    /// An iterator is attached by its name, and runs when it is read.
    IsRead,
    /// It is attached by hand, as this sentence says.
    Hand(&'static str),
    /// It is not loaded, for this reason.
    Refused(&'static str),
    /// It is set aside while the rest is loaded, for this reason.
    SetAside(&'static str),
    /// It hangs on nothing, and is run by us.
    IsRun,
    /// That, or it is not loaded for this reason by a kernel that lacks this function.
    Lacking(&'static Then, &'static str, &'static str),
}

use Then::{Attaches, Hand, IsRead, IsRun, Lacking, Refused, Runs, SetAside};

/// Of the kernel's functions, only those may have programs that sleep into which errors can be injected, system calls among them.
/// Few distributions build that (CONFIG_FUNCTION_ERROR_INJECTION), and newer kernels take system calls without it.
const SLEEPING_FUNCTION: Then = Lacking(&Runs, "is not sleepable", "within_error_injection_list");

/// Infrared receivers have programs by CONFIG_BPF_LIRC_MODE2.
const LIRC: Then = Lacking(&Hand("`Lirc`"), "lirc", "lirc_prog_attach");

struct Row(&'static str, fn() -> Option<String>, Then);

const ROWS: &[Row] = &[
    Row("socket", lacks::nothing, Hand("`SocketFilter`")),
    Row("socket_named", lacks::nothing, Hand("`SocketFilter`")),
    Row("reuseport", lacks::nothing, Hand("`SocketFilter`")),
    Row("reuseport_migrate", || lacks::at_least(5, 14, "moving sockets"), Hand("`SocketFilter`")),
    Row("kprobe", lacks::kprobes, Runs),
    Row("kprobe_offset", lacks::kprobes, Runs),
    Row("kretprobe", lacks::kprobes, Runs),
    Row("uprobe", lacks::nothing, Runs),
    Row("uprobe_offset", lacks::nothing, Runs),
    Row("uprobe_path", lacks::nothing, Attaches),
    Row("uprobe_sleeps", sleeping_uprobes, Runs),
    Row("uprobe_bare", lacks::nothing, Hand("its name does not say where")),
    Row("uretprobe", lacks::nothing, Runs),
    Row("uretprobe_sleeps", sleeping_uprobes, Runs),
    Row("uretprobe_no_library", lacks::nothing, Hand("there is no colon")),
    Row("kprobe_multi", lacks::kprobes, Runs),
    Row("kretprobe_multi", lacks::kprobes, Runs),
    Row("kprobe_session", lacks::kprobe_session, Runs),
    Row("uprobe_multi", lacks::nothing, Runs),
    Row("uprobe_multi_sleeps", sleeping_uprobes, Runs),
    Row("uretprobe_multi", lacks::nothing, Runs),
    Row("uretprobe_multi_sleeps", sleeping_uprobes, Runs),
    Row("uprobe_session", lacks::uprobe_session, Runs),
    Row("uprobe_session_sleeps", lacks::uprobe_session, Runs),
    Row("ksyscall", lacks::kprobes, Runs),
    Row("kretsyscall", lacks::kprobes, Runs),
    Row("usdt", lacks::nothing, Hand("its name does not say where")),
    Row("usdt_sleeps", sleeping_uprobes, Hand("its name does not say where")),
    Row("tc", lacks::nothing, Hand("`Tc` or `Tcx`")),
    Row("tc_ingress", lacks::nothing, Hand("`Tc` or `Tcx`")),
    Row("tc_egress", lacks::nothing, Hand("`Tc` or `Tcx`")),
    Row("tcx_ingress", lacks::nothing, Hand("`Tc` or `Tcx`")),
    Row("tcx_egress", lacks::nothing, Hand("`Tc` or `Tcx`")),
    Row("netkit_primary", lacks::nothing, Hand("`Tc` or `Tcx`")),
    Row("netkit_peer", lacks::nothing, Hand("`Tc` or `Tcx`")),
    Row("classifier", lacks::nothing, Hand("`Tc` or `Tcx`")),
    Row("action", lacks::nothing, Hand("object-pinned")),
    Row("tracepoint", lacks::nothing, Runs),
    Row("tp", lacks::nothing, Runs),
    Row("tp_no_category", lacks::nothing, Hand("CATEGORY/NAME")),
    Row("raw_tracepoint", lacks::nothing, Runs),
    Row("raw_tp", lacks::nothing, Runs),
    Row("raw_tracepoint_writes", lacks::nothing, Runs),
    Row("raw_tp_writes", lacks::nothing, Runs),
    Row("tp_btf", lacks::btf, Runs),
    Row("fentry", lacks::trampolines, Runs),
    Row("fentry_sleeps", lacks::trampolines, SLEEPING_FUNCTION),
    Row("fexit", lacks::trampolines, Runs),
    Row("fexit_sleeps", lacks::trampolines, SLEEPING_FUNCTION),
    Row("fmod_ret", lacks::trampolines, Runs),
    Row("freplace", lacks::nothing, Refused("say of which one, with `LoadOptions::replace`")),
    Row("lsm", lacks::lsm, Runs),
    Row("lsm_sleeps", lacks::lsm, Runs),
    Row("lsm_cgroup", || lacks::lsm().or_else(|| lacks::at_least(6, 0, "LSM on cgroups")), Hand("`Cgroup`")),
    Row("iter", lacks::iterators, IsRead),
    Row("iter_sleeps", || lacks::at_least(6, 1, "iterators that sleep"), IsRead),
    Row("syscall", lacks::syscall_programs, IsRun),
    Row("xdp", lacks::nothing, Hand("`Xdp`")),
    Row("xdp_named", lacks::nothing, Hand("`Xdp`")),
    Row("xdp_fragments", || lacks::at_least(5, 18, "packets in fragments"), Hand("`Xdp`")),
    Row("xdp_devmap", || lacks::at_least(5, 8, "programs in device maps"), Hand("`Xdp`")),
    Row("xdp_devmap_fragments", || lacks::at_least(5, 18, "packets in fragments"), Hand("`Xdp`")),
    Row("xdp_cpumap", || lacks::at_least(5, 9, "programs in CPU maps"), Hand("`Xdp`")),
    Row("xdp_cpumap_fragments", || lacks::at_least(5, 18, "packets in fragments"), Hand("`Xdp`")),
    Row("perf_event", lacks::nothing, Hand("`PerfEvent`")),
    Row("lwt_in", lacks::nothing, Hand("ip route")),
    Row("lwt_out", lacks::nothing, Hand("ip route")),
    Row("lwt_xmit", lacks::nothing, Hand("ip route")),
    Row("lwt_seg6local", seg6, Hand("ip route")),
    Row("sockops", lacks::nothing, Hand("`Cgroup`")),
    Row("sk_skb", lacks::nothing, Hand("`Sockmap`")),
    Row("sk_skb_parser", lacks::nothing, Hand("`Sockmap`")),
    Row("sk_skb_stream_verdict", lacks::nothing, Hand("`Sockmap`")),
    Row("sk_skb_verdict", lacks::verdicts_alone, Hand("`Sockmap`")),
    Row("sk_msg", lacks::nothing, Hand("`Sockmap`")),
    Row("sk_lookup", lacks::sk_lookup, Hand("`Netns`")),
    Row("lirc", lacks::nothing, LIRC),
    Row("flow_dissector", lacks::nothing, Hand("`Netns`")),
    Row("cgroup_skb_ingress", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_skb_egress", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_skb", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_sock_create", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_sock_release", || lacks::at_least(5, 9, "the end of sockets"), Hand("`Cgroup`")),
    Row("cgroup_sock", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_post_bind4", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_post_bind6", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_bind4", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_bind6", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_connect4", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_connect6", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_connect_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_sendmsg4", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_sendmsg6", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_sendmsg_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_recvmsg4", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_recvmsg6", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_recvmsg_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_getpeername4", names_of_sockets, Hand("`Cgroup`")),
    Row("cgroup_getpeername6", names_of_sockets, Hand("`Cgroup`")),
    Row("cgroup_getpeername_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_getsockname4", names_of_sockets, Hand("`Cgroup`")),
    Row("cgroup_getsockname6", names_of_sockets, Hand("`Cgroup`")),
    Row("cgroup_getsockname_unix", unix, Hand("`Cgroup`")),
    Row("cgroup_sysctl", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_getsockopt", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_setsockopt", lacks::nothing, Hand("`Cgroup`")),
    Row("cgroup_dev", lacks::nothing, Hand("`Cgroup`")),
    Row("netfilter", lacks::netfilter, Hand("`Netfilter`")),
    Row("nobody_knows", lacks::nothing, SetAside("its name begins with no kind of program")),
];

fn sleeping_uprobes() -> Option<String> {
    lacks::at_least(6, 0, "uprobes whose programs sleep")
}

fn unix() -> Option<String> {
    lacks::at_least(6, 7, "cgroups on unix sockets")
}

fn names_of_sockets() -> Option<String> {
    lacks::at_least(5, 8, "names of sockets")
}

/// Programs at the segments of a route.
fn seg6() -> Option<String> {
    let why = "this kernel has no programs at the segments of routes (CONFIG_IPV6_SEG6_BPF)";
    (!lacks::has_symbol("bpf_lwt_seg6_action")).then(|| why.to_owned())
}

pub(crate) fn tests() -> Vec<Trial> {
    let rows = ROWS.iter().map(|Row(program, lacks, then)| {
        trial(format!("section_of_{program}"), *lacks, || run(object!("sections"), program, *then))
    });
    // Without debugging information nothing is missing.
    let stripped = ROWS.iter().filter(|Row(_, _, then)| matches!(then, Runs | Lacking(Runs, ..))).map(
        |Row(program, lacks, then)| {
            trial(format!("stripped_section_of_{program}"), *lacks, || {
                run(object!("sections_stripped"), program, *then)
            })
        },
    );
    rows.chain(stripped).chain([trial("every_section_has_a_row", lacks::nothing, complete)]).collect()
}

fn run(bytes: &[u8], program: &str, then: Then) {
    let mut object = parse(bytes);
    if let SetAside(why) = then {
        let aside = object.set_aside();
        let found = aside.iter().find(|aside| aside.name == program).unwrap_or_else(|| panic!("{aside:?}"));
        return assert!(found.why.contains(why), "{}", found.why);
    }
    assert!(object.programs().iter().all(|program| !program.section.wanted), "each begins with `?`");
    object.program_mut(program).unwrap().section.wanted = true;
    if let Refused(why) = then {
        let line = object.load().unwrap_err().to_string();
        return assert!(line.contains(why), "{line}");
    }
    let (then, loaded) = match then {
        Lacking(then, why, function) => match object.load() {
            Ok(loaded) => (*then, loaded),
            Err(error) => {
                let line = error.to_string();
                return assert!(line.contains(why) && !lacks::has_symbol(function), "{line}");
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
            program.test_run(&Run::default()).unwrap();
            assert_eq!(counter(&loaded), 1);
        }
        Refused(_) | SetAside(_) | Lacking(..) => {}
    }
}

/// All that the programs wait for.
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

fn complete() {
    let object = parse(object!("sections"));
    let names = object.programs().iter().map(|program| program.name.as_str());
    let mut names: Vec<_> = names.chain(object.set_aside().iter().map(|aside| aside.name.as_str())).collect();
    let mut rows: Vec<_> = ROWS.iter().map(|Row(program, ..)| *program).collect();
    names.sort_unstable();
    rows.sort_unstable();
    assert_eq!(names, rows);
}
