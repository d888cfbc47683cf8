//! The kernel's information about links: what this crate reads is what the test has attached.

use std::{
    fs::{self, File},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use cutaway::{
    AttachType, Cgroup, Errno, Iter, IterScope, Kprobe, KprobeMulti, Link, LinkInfo, LinkTarget, LinkType, Netfilter,
    NetfilterHook, Netns, PerfEvent, Program, RawTracepoint, Sockmap, Tcx, Tracepoint, Uprobe, UprobeMulti, Xdp,
    system,
};

use crate::{
    cgroups,
    harness::{Test, older_than, test},
    kernel::writing,
    network::{self, LO},
    own_mounts, sample,
    sockets::with_sockets,
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(info_of_a_raw_tracepoint),
        test!(info_of_a_typed_tracepoint).unless(unsupported::btf),
        test!(info_of_a_traced_function).unless(unsupported::trampolines),
        test!(info_of_a_uprobe).since(5, 15, "links on perf events"),
        test!(info_of_a_kprobe).unless(unsupported::kprobes).since(5, 15, "links on perf events"),
        test!(info_of_a_tracepoint).since(5, 15, "links on perf events"),
        test!(info_of_a_counter).since(5, 15, "links on perf events"),
        test!(info_of_many_kernel_functions).unless(unsupported::kprobe_multi),
        test!(info_of_many_locations).since(6, 6, "links on many locations of a file"),
        test!(info_of_iterators).unless(unsupported::one_process_iterators),
        test!(info_of_a_cgroup).unless(unsupported::cgroups),
        test!(info_of_a_network_namespace).unless(unsupported::sk_lookup),
        test!(info_of_network_devices),
        test!(info_of_a_netfilter_hook).unless(unsupported::netfilter),
        test!(info_of_a_socket_map).since(6, 10, "links on socket maps"),
        test!(links_of_the_machine_are_listed),
        test!(links_are_listed_while_others_come_and_go),
        test!(info_without_a_kernel_link_is_refused),
        test!(without_procfs_no_target_is_read),
    ]
}

/// Returns the id of a program, as the kernel shows it in procfs.
pub(crate) fn program_id(program: &Program) -> u32 {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd())).unwrap();
    let id = about.lines().find_map(|line| line.strip_prefix("prog_id:")).unwrap();
    id.trim().parse().unwrap()
}

/// Reads the information, checks its ids, and returns the target.
fn target(link: &Link, link_type: LinkType, program: &Program) -> LinkTarget {
    let info = link.info().unwrap();
    assert_eq!((info.link_type, info.program), (link_type, Some(program_id(program))));
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_link_fd().unwrap().as_raw_fd())).unwrap();
    assert!(about.contains(&format!("link_id:\t{}\n", info.id)), "{about}");
    info.target
}

/// Checks a value that kernels report since a version: it is unknown before, and not 0.
#[track_caller]
fn since<T: PartialEq + std::fmt::Debug>(major: u32, minor: u32, reported: Option<T>, value: T) {
    let expected = older_than(major, minor, "the field").is_none().then_some(value);
    assert_eq!(reported, expected, "reported since Linux {major}.{minor}");
}

fn info_of_a_raw_tracepoint() {
    let loaded = sample::load("raw_tp");
    let program = loaded.program("count").unwrap();
    let cookies = unsupported::raw_cookies().is_none();
    let probe = RawTracepoint::new("sys_enter").cookie(if cookies { 77 } else { 0 });
    let link = probe.attach(program).unwrap();
    let LinkTarget::RawTracepoint { name, cookie, .. } = target(&link, LinkType::RAW_TRACEPOINT, program) else {
        panic!("another target");
    };
    assert_eq!(name.as_deref(), Some("sys_enter"));
    since(6, 17, cookie, 77);
}

/// The link of such a program is that of a raw tracepoint, though it was verified for its target.
fn info_of_a_typed_tracepoint() {
    let loaded = sample::load("tp_btf/sys_enter");
    let program = loaded.program("count").unwrap();
    let link = program.attach().unwrap();
    let found = target(&link, LinkType::RAW_TRACEPOINT, program);
    assert!(matches!(&found, LinkTarget::RawTracepoint { name: Some(name), .. } if name == "sys_enter"), "{found:?}");
}

fn info_of_a_traced_function() {
    let loaded = sample::load("fentry/do_exit");
    let program = loaded.program("count").unwrap();
    let link = program.attach().unwrap();
    let LinkTarget::Tracing { attach_type, cookie, target_btf_id, target_object, .. } =
        target(&link, LinkType::TRACING, program)
    else {
        panic!("another target");
    };
    assert_eq!(attach_type, AttachType::TRACE_FENTRY);
    let reported = older_than(5, 13, "the traced function").is_none();
    assert_eq!((target_btf_id.is_some(), target_object.is_some()), (reported, reported));
    since(6, 17, cookie, 0);
}

/// Returns true if this kernel does not report the targets of links on perf events.
fn hidden(target: &LinkTarget) -> bool {
    let hidden = older_than(6, 6, "targets of perf events").is_some();
    assert_eq!(*target == LinkTarget::Unknown, hidden);
    hidden
}

fn info_of_a_uprobe() {
    for retprobe in [false, true] {
        let loaded = sample::load("uprobe");
        let program = loaded.program("count").unwrap();
        let probe = Uprobe::new("libc.so.6", "a64l").retprobe(retprobe).cookie(5);
        let (file, file_offset) = probe.locate().unwrap();
        let link = probe.attach(program).unwrap();
        let target = target(&link, LinkType::PERF_EVENT, program);
        if hidden(&target) {
            continue;
        }
        let LinkTarget::Uprobe { retprobe: returns, path, offset, cookie, ref_ctr_offset, .. } = target else {
            panic!("{target:?}");
        };
        assert_eq!((returns, u64::from(offset)), (retprobe, file_offset));
        // The kernel stores the path without symbolic links.
        assert_eq!(fs::canonicalize(path.unwrap()).unwrap(), fs::canonicalize(file).unwrap());
        since(6, 9, cookie, 5);
        since(6, 16, ref_ctr_offset, 0);
    }
}

fn info_of_a_kprobe() {
    let loaded = sample::load("kprobe");
    let program = loaded.program("count").unwrap();
    let link = Kprobe::new("do_exit").cookie(6).attach(program).unwrap();
    let target = target(&link, LinkType::PERF_EVENT, program);
    if hidden(&target) {
        return;
    }
    let LinkTarget::Kprobe { retprobe, function, offset, address, missed, cookie, .. } = target else {
        panic!("{target:?}");
    };
    assert_eq!((retprobe, function.as_deref(), offset), (false, Some("do_exit"), 0));
    if let Some(address) = address {
        let symbols = fs::read_to_string("/proc/kallsyms").unwrap();
        let line = symbols.lines().find(|line| line.ends_with(" do_exit")).unwrap();
        let symbol = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
        // The probe may be behind an instruction that marks the target of indirect calls.
        assert!((symbol..symbol + 16).contains(&address), "{address:#x} {line}");
    }
    since(6, 7, missed, 0);
    since(6, 9, cookie, 6);
}

fn info_of_a_tracepoint() {
    let loaded = sample::load("tracepoint");
    let program = loaded.program("count").unwrap();
    let link = Tracepoint::new("syscalls", "sys_enter_getpgid").cookie(8).attach(program).unwrap();
    let target = target(&link, LinkType::PERF_EVENT, program);
    if hidden(&target) {
        return;
    }
    let LinkTarget::Tracepoint { name, cookie, .. } = target else { panic!("{target:?}") };
    assert_eq!(name.as_deref(), Some("sys_enter_getpgid"));
    since(6, 9, cookie, 8);
}

fn info_of_a_counter() {
    let loaded = sample::load("perf_event");
    let program = loaded.program("count").unwrap();
    /// `PERF_TYPE_SOFTWARE`, `PERF_COUNT_SW_PAGE_FAULTS`
    const FAULTS: (u32, u64) = (1, 2);
    let faults = PerfEvent::new(FAULTS.0, FAULTS.1).period(1000).pid(std::process::id());
    let link = faults.cookie(9).attach(program).unwrap();
    let target = target(&link, LinkType::PERF_EVENT, program);
    if hidden(&target) {
        return;
    }
    let LinkTarget::PerfEvent { event_type, config, cookie, .. } = target else { panic!("{target:?}") };
    assert_eq!((event_type, config), FAULTS);
    since(6, 9, cookie, 9);
    drop(link);
    let link = PerfEvent::cpu_clock().frequency(1).attach(program).unwrap();
    let line = link.info().unwrap_err().to_string();
    assert!(line.contains("ask those, `Link::parts`"), "{line}");
    assert_eq!(link.parts().first().unwrap().info().unwrap().program, Some(program_id(program)));
}

fn info_of_many_kernel_functions() {
    let loaded = sample::load("kprobe.multi");
    let program = loaded.program("count").unwrap();
    let link = KprobeMulti::new("do_exit").cookie(4).attach(program).unwrap();
    let target = target(&link, LinkType::KPROBE_MULTI, program);
    if hidden(&target) {
        return;
    }
    let LinkTarget::KprobeMulti { count, flags, cookies, missed, .. } = target else { panic!("{target:?}") };
    assert_eq!((count, flags), (1, 0));
    since(6, 7, missed, 0);
    since(6, 9, cookies, vec![4]);
}

fn info_of_many_locations() {
    let loaded = sample::load("uprobe.multi");
    let program = loaded.program("count").unwrap();
    let (file, locations) = UprobeMulti::new("libc.so.6", "?64?").locate().unwrap();
    let numbers: Vec<u64> = (1..=locations.len() as u64).collect();
    let link = UprobeMulti::at_file_offsets(&file, &locations).cookies(&numbers).attach(program).unwrap();
    let target = target(&link, LinkType::UPROBE_MULTI, program);
    if older_than(6, 8, "information about many locations").is_some() {
        return assert_eq!(target, LinkTarget::Unknown);
    }
    let LinkTarget::UprobeMulti { path, count, flags, pid, offsets, ref_ctr_offsets, cookies, .. } = target else {
        panic!("{target:?}");
    };
    assert_eq!(path.unwrap(), fs::canonicalize(file).unwrap());
    assert_eq!((count as usize, flags, pid), (locations.len(), 0, None));
    assert_eq!(ref_ctr_offsets, Some(vec![0; locations.len()]));
    assert_eq!((offsets, cookies), (Some(locations), Some(numbers)));
}

fn info_of_iterators() {
    let loaded = writing("iter/task");
    let program = loaded.program("write").unwrap();
    let all = Iter::new().attach(program).unwrap();
    let own = Iter::process(std::process::id()).attach(program).unwrap();
    for (link, restricted) in [(all, IterScope::All), (own, IterScope::Process(std::process::id()))] {
        let LinkTarget::Iter { name, scope, .. } = target(&link, LinkType::ITER, program) else {
            panic!("another target");
        };
        assert_eq!(name.as_deref(), Some("task"));
        // Linux 6.1 does not report the process.
        assert!(scope == restricted || (scope == IterScope::All && older_than(6, 2, "the process").is_some()));
    }
    let loaded = writing("iter/bpf_map_elem");
    let program = loaded.program("write").unwrap();
    let map = loaded.map("some").unwrap();
    let link = Iter::map(map).attach(program).unwrap();
    let LinkTarget::Iter { scope, .. } = target(&link, LinkType::ITER, program) else { panic!("another target") };
    assert_eq!(scope, IterScope::Map(map.id()));
}

fn info_of_a_cgroup() {
    let own = cgroups::Own::new();
    let loaded = sample::answering("cgroup/sock_create", 1).unwrap();
    let program = loaded.program("count").unwrap();
    let link = Cgroup::new(&own.open()).attach(program).unwrap();
    let LinkTarget::Cgroup { cgroup, attach_type, .. } = target(&link, LinkType::CGROUP, program) else {
        panic!("another target");
    };
    assert_eq!(cgroup, Some(fs::metadata(own.path()).unwrap().ino()));
    assert_eq!(attach_type, AttachType::CGROUP_INET_SOCK_CREATE);
}

fn info_of_a_network_namespace() {
    network::leave();
    let loaded = sample::answering("sk_lookup", 1).unwrap();
    let program = loaded.program("count").unwrap();
    let namespace = File::open("/proc/thread-self/ns/net").unwrap();
    let link = Netns::new(&namespace).attach(program).unwrap();
    let LinkTarget::Netns { inode, attach_type, .. } = target(&link, LinkType::NETNS, program) else {
        panic!("another target");
    };
    assert_eq!(inode.map(u64::from), Some(namespace.metadata().unwrap().ino()));
    assert_eq!(attach_type, AttachType::SK_LOOKUP);
}

fn info_of_network_devices() {
    network::leave();
    let loaded = sample::answering("xdp", 2).unwrap();
    let program = loaded.program("count").unwrap();
    let link = Xdp::new(LO).attach(program).unwrap();
    let found = target(&link, LinkType::XDP, program);
    assert!(matches!(found, LinkTarget::Xdp { ifindex: Some(LO), .. }), "{found:?}");
    if unsupported::tcx().is_some() {
        return;
    }
    let loaded = sample::answering("tcx/egress", 0).unwrap();
    let program = loaded.program("count").unwrap();
    let link = Tcx::egress(LO).attach(program).unwrap();
    let found = target(&link, LinkType::TCX, program);
    let expected = AttachType::TCX_EGRESS;
    assert!(
        matches!(found, LinkTarget::Tcx { ifindex: Some(LO), attach_type, .. } if attach_type == expected),
        "{found:?}"
    );
}

fn info_of_a_netfilter_hook() {
    network::leave();
    let loaded = sample::answering("netfilter", 1).unwrap();
    let program = loaded.program("count").unwrap();
    let link = Netfilter::ipv4(NetfilterHook::LocalIn).priority(-5).attach(program).unwrap();
    let found = target(&link, LinkType::NETFILTER, program);
    assert!(matches!(found, LinkTarget::Netfilter { family: 2, hook: 1, priority: -5, flags: 0, .. }), "{found:?}");
}

fn info_of_a_socket_map() {
    let loaded = with_sockets("sk_msg", 1);
    let program = loaded.program("count").unwrap();
    let map = loaded.map("sockets").unwrap();
    let link = Sockmap::new(map).attach(program).unwrap();
    let LinkTarget::Sockmap { map: id, attach_type, .. } = target(&link, LinkType::SOCKMAP, program) else {
        panic!("another target");
    };
    assert_eq!((id, attach_type), (Some(map.id()), AttachType::SK_MSG_VERDICT));
}

fn listed(id: u32) -> Option<LinkInfo> {
    let all: Vec<LinkInfo> = system::links().collect::<Result<_, _>>().unwrap();
    assert!(all.is_sorted_by_key(|info| info.id));
    all.into_iter().find(|info| info.id == id)
}

fn links_of_the_machine_are_listed() {
    let loaded = sample::load("raw_tp/sys_enter");
    let link = loaded.program("count").unwrap().attach().unwrap();
    let info = link.info().unwrap();
    assert_eq!(listed(info.id).as_ref(), Some(&info));
    let opened = Link::from_id(info.id).unwrap();
    drop(link);
    assert_eq!(opened.info().unwrap(), info);
    let passed = Link::from_fd(opened.as_link_fd().unwrap().try_clone_to_owned().unwrap()).unwrap();
    drop(opened);
    assert_eq!(passed.info().unwrap(), info);
    drop(passed);
    // The kernel frees a link a little after its last fd is closed.
    crate::kernel::wait_until(|| listed(info.id).is_none());
    let line = Link::from_id(info.id).unwrap_err().to_string();
    assert!(line.contains(&format!("open the link with the id {}: ENOENT", info.id)), "{line}");
    let file = File::open(Path::new("/dev/null")).unwrap();
    let line = Link::from_fd(file).unwrap_err().to_string();
    assert!(line.contains("it is not the fd of a link"), "{line}");
}

/// A link that is being created has an id, by which the kernel does not open it yet (EAGAIN).
fn links_are_listed_while_others_come_and_go() {
    let loaded = sample::load("raw_tp/sys_enter");
    let program = loaded.program("count").unwrap();
    let stays = program.attach().unwrap();
    let id = stays.info().unwrap().id;
    let end = Instant::now() + Duration::from_secs(2);
    thread::scope(|scope| {
        for name in ["sched_switch", "sys_exit", "task_rename"] {
            scope.spawn(move || {
                while Instant::now() < end {
                    match RawTracepoint::new(name).attach(program) {
                        Ok(link) => drop(link),
                        // The list still holds the link before. Older kernels attach a program once.
                        Err(error) => assert_eq!(error.errno(), Some(Errno::new(libc::EEXIST)), "{error}"),
                    }
                }
            });
        }
        while Instant::now() < end {
            assert!(listed(id).is_some());
        }
    });
}

fn info_without_a_kernel_link_is_refused() {
    network::leave();
    let loaded = sample::answering("xdp", 2).unwrap();
    let link = Xdp::new(LO).by_netlink().attach(loaded.program("count").unwrap()).unwrap();
    let line = link.info().unwrap_err().to_string();
    assert!(line.contains("the kernel has no link for it"), "{line}");
}

/// Without procfs nothing tells whether an fd is that of a link. The kernel would write a program's code over the lists
/// that a link of many uprobes has: both types have the number 12.
fn without_procfs_no_target_is_read() {
    let loaded = sample::load("lwt_xmit");
    let program = loaded.program("count").unwrap().as_fd().try_clone_to_owned().unwrap();
    let infos = thread::spawn(|| {
        own_mounts::of_this_thread().unwrap();
        own_mounts::try_mount("tmpfs", Path::new("/proc"), "").unwrap();
        let link = sample::load("raw_tp/sys_enter").program("count").unwrap().attach().unwrap();
        (link.info(), Link::from_fd(program).and_then(|link| link.info()))
    });
    let (link, program) = infos.join().unwrap();
    let link = link.unwrap();
    assert_eq!((link.link_type, link.target), (LinkType::RAW_TRACEPOINT, LinkTarget::Unknown));
    assert_eq!(program.unwrap().target, LinkTarget::Unknown);
}
