//! Programs attached by `Program::attach_with`: each setting, missing settings, and settings without effect.

use std::{
    fs::File,
    io::{Read, Write},
    net::UdpSocket,
    sync::Barrier,
    thread,
};

use cutaway::{AttachContext, AttachField, Error, Link, Loaded, Netfilter, NetfilterHook, PerfEvent, Program, XdpMode};

use crate::{
    cgroups::Own,
    harness::{Test, test},
    kernel::{read, wait, writing},
    network::{self, LO},
    sample::{self, Also, load, runs},
    sockets::{SK_PASS, pair, put, with_sockets},
    unsupported,
    user::call,
    waiting::Waiting,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(uprobe_takes_target_process_and_cookie).unless(unsupported::cookies),
        test!(uprobe_of_another_process_is_not_hit),
        test!(uprobe_multi_sets_one_cookie).unless(unsupported::cookies),
        test!(raw_tracepoint_takes_a_target),
        test!(interface_is_taken_by_name_or_index),
        test!(classifier_is_attached_by_tcx_or_netlink).unless(unsupported::tc),
        test!(cgroup_is_taken_by_path_or_fd).unless(unsupported::cgroups),
        test!(perf_event_takes_a_frequency),
        test!(socket_filter_takes_a_socket),
        test!(sockmap_program_takes_its_map),
        test!(network_namespace_is_taken_by_path_or_fd).unless(unsupported::sk_lookup),
        test!(netfilter_program_takes_a_hook).unless(unsupported::netfilter),
        test!(map_iterator_takes_its_map).unless(unsupported::map_iterators),
        test!(task_iterator_takes_a_process).unless(unsupported::one_process_iterators),
        test!(missing_setting_is_named),
        test!(setting_without_effect_is_refused),
    ]
}

fn count(loaded: &Loaded) -> &Program {
    loaded.program("count").unwrap()
}

fn attach(loaded: &Loaded, context: &AttachContext<'_>) -> Link {
    count(loaded).attach_with(context).unwrap()
}

fn refused(answer: Result<Link, Error>) -> String {
    let line = answer.unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

fn context() -> AttachContext<'static> {
    AttachContext::new()
}

fn uprobe_takes_target_process_and_cookie() {
    let loaded = sample::object("uprobe", 0, Also::NotesCookie).load().unwrap();
    let context = context().target("libc.so.6:a64l").pid(std::process::id()).cookie(3 << 33);
    let link = attach(&loaded, &context);
    call();
    drop(link);
    call();
    assert_eq!((runs(&loaded), sample::cookie(&loaded)), (1, 3 << 33));
    let line = refused(count(&loaded).attach_with(&AttachContext::new().target("nothing")));
    assert!(line.contains("`nothing`") && line.contains("LIBRARY:SYMBOL"), "{line}");
    // The target of the section is replaced, for this call only.
    let loaded = load("uprobe/libc.so.6:no_such_function");
    drop(attach(&loaded, &AttachContext::new().target("libc.so.6:a64l")));
    let line = refused(count(&loaded).attach());
    assert!(line.contains("no_such_function"), "{line}");
}

fn uprobe_of_another_process_is_not_hit() {
    let loaded = load("uprobe/libc.so.6:a64l");
    let other = Waiting::start();
    let link = attach(&loaded, &context().pid(other.id()));
    call();
    drop(link);
    assert_eq!(runs(&loaded), 0);
}

fn uprobe_multi_sets_one_cookie() {
    let loaded = sample::object("uprobe.multi/libc.so.6:a64*", 0, Also::NotesCookie).load().unwrap();
    let link = attach(&loaded, &context().pid(std::process::id()).cookie(77));
    call();
    drop(link);
    assert_eq!((runs(&loaded), sample::cookie(&loaded)), (1, 77));
}

fn raw_tracepoint_takes_a_target() {
    let loaded = load("raw_tracepoint");
    let link = attach(&loaded, &context().target("sys_enter"));
    wait(&loaded);
    drop(link);
}

fn interface_is_taken_by_name_or_index() {
    const XDP_DROP: i32 = 1;
    network::leave();
    let loaded = sample::answering("xdp", XDP_DROP).unwrap();
    for context in [context().interface("lo"), context().interface_index(LO).xdp_mode(XdpMode::Generic)] {
        let link = attach(&loaded, &context);
        assert!(!network::send_to_self());
        drop(link);
        assert!(network::send_to_self());
    }
    let line = refused(count(&loaded).attach_with(&AttachContext::new().interface("absent")));
    assert!(line.contains("find the network device `absent`"), "{line}");
}

fn classifier_is_attached_by_tcx_or_netlink() {
    const TC_ACT_SHOT: i32 = 2;
    network::leave();
    for section in ["tc", "tc/ingress", "tc/egress", "classifier"] {
        let loaded = sample::answering(section, TC_ACT_SHOT).unwrap();
        let link = attach(&loaded, &context().interface("lo"));
        assert!(!network::send_to_self(), "{section}");
        drop(link);
        assert!(network::send_to_self(), "{section}");
    }
}

fn cgroup_is_taken_by_path_or_fd() {
    let own = Own::new();
    let directory = File::open(own.path()).unwrap();
    let loaded = sample::answering("cgroup/sock_create", 1).unwrap();
    for (context, seen) in
        [(AttachContext::new().cgroup(&directory), 1), (AttachContext::new().cgroup_path(own.path()), 2)]
    {
        let link = attach(&loaded, &context);
        drop(UdpSocket::bind("127.0.0.1:0").unwrap());
        drop(link);
        drop(UdpSocket::bind("127.0.0.1:0").unwrap());
        assert_eq!(runs(&loaded), seen);
    }
    let line = refused(count(&loaded).attach_with(&AttachContext::new().cgroup_path("/absent")));
    assert!(line.starts_with("cannot open the cgroup /absent: ENOENT"), "{line}");
}

fn perf_event_takes_a_frequency() {
    let loaded = load("perf_event");
    for context in [
        context().frequency(997),
        context().perf_event(PerfEvent::cpu_clock().period(1_000_000)).pid(std::process::id()).cookie(0),
    ] {
        let before = runs(&loaded);
        let link = attach(&loaded, &context);
        let begin = std::time::Instant::now();
        while runs(&loaded) == before {
            assert!(begin.elapsed() < std::time::Duration::from_secs(20), "the program does not run");
        }
        drop(link);
    }
}

fn socket_filter_takes_a_socket() {
    network::leave();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let loaded = sample::answering("socket", 0).unwrap();
    let link = attach(&loaded, &AttachContext::new().socket(&receiver));
    assert!(!network::send_to(&receiver));
    drop(link);
    assert!(network::send_to(&receiver));
}

fn sockmap_program_takes_its_map() {
    network::leave();
    let loaded = with_sockets("sk_msg", SK_PASS);
    let link = attach(&loaded, &AttachContext::new().sockmap(loaded.map("sockets").unwrap()));
    assert_eq!(link.as_link_fd().is_some(), cutaway::features::sockmap_link().is_yes());
    let (mut near, mut far) = pair();
    put(&loaded, &near);
    near.write_all(b"words").unwrap();
    far.read_exact(&mut [0; 5]).unwrap();
    assert!(runs(&loaded) > 0);
    let line = refused(count(&loaded).attach_with(&AttachContext::new().sockmap(loaded.map("seen").unwrap())));
    assert!(line.contains("attach the program `count` to the socket map"), "{line}");
}

fn network_namespace_is_taken_by_path_or_fd() {
    network::leave();
    let loaded = sample::answering("sk_lookup", 1).unwrap();
    let own = File::open("/proc/thread-self/ns/net").unwrap();
    for context in [AttachContext::new().netns(&own), AttachContext::new().netns_path("/proc/thread-self/ns/net")] {
        let before = runs(&loaded);
        let link = attach(&loaded, &context);
        assert!(network::send_to_self());
        drop(link);
        assert!(runs(&loaded) > before);
    }
}

fn netfilter_program_takes_a_hook() {
    network::leave();
    let loaded = sample::answering("netfilter", 0).unwrap();
    let link = attach(&loaded, &context().netfilter(Netfilter::ipv4(NetfilterHook::LocalIn)));
    assert!(!network::send_to_self());
    drop(link);
    assert!(network::send_to_self());
}

fn map_iterator_takes_its_map() {
    let loaded = writing("iter/bpf_map_elem");
    let map = loaded.map("some").unwrap();
    map.update(&1_u32.to_ne_bytes(), &1_u64.to_ne_bytes()).unwrap();
    let program = loaded.program("write").unwrap();
    assert_eq!(program.spec().needs(), Some(AttachField::Map));
    let link = program.attach_with(&AttachContext::new().map(map)).unwrap();
    // The program also runs once at the end.
    assert_eq!(read(&link), 2);
    let line = refused(program.attach());
    assert!(line.contains("set `AttachContext::map`"), "{line}");
    // Among other programs it is skipped, with the reason.
    let line = loaded.attach().unwrap_err().to_string();
    assert!(line.contains("AttachContext::map"), "{line}");
}

fn task_iterator_takes_a_process() {
    let loaded = writing("iter/task");
    let link = loaded.program("write").unwrap().attach_with(&context().pid(std::process::id())).unwrap();
    let alone = read(&link);
    let (threads, both) = (Barrier::new(3), Barrier::new(3));
    let three = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                threads.wait();
                both.wait();
            });
        }
        threads.wait();
        let three = read(&link);
        both.wait();
        three
    });
    assert_eq!(three, alone + 2);
}

/// Each program needs a setting, and the error names it.
fn missing_setting_is_named() {
    for (section, field) in [
        ("xdp", AttachField::Interface),
        ("tc", AttachField::Interface),
        ("cgroup/sock_create", AttachField::Cgroup),
        ("sockops", AttachField::Cgroup),
        ("socket", AttachField::Socket),
        ("sk_msg", AttachField::Sockmap),
        ("perf_event", AttachField::PerfEvent),
    ] {
        let loaded = load(section);
        assert_eq!(count(&loaded).spec().needs(), Some(field), "{section}");
        for answer in [count(&loaded).attach(), count(&loaded).attach_with(&context())] {
            let line = refused(answer);
            assert!(line.contains(&format!("set `{field}`")), "{section}: {line}");
        }
    }
    for section in ["uprobe", "raw_tracepoint", "uprobe/nothing"] {
        let loaded = load(section);
        assert_eq!(count(&loaded).spec().needs(), Some(AttachField::Target), "{section}");
        let line = refused(count(&loaded).attach());
        assert!(line.contains("attach the program by hand"), "{section}: {line}");
    }
}

fn setting_without_effect_is_refused() {
    let null = File::open("/dev/null").unwrap();
    let settings = [
        (AttachField::Target, AttachContext::new().target("a:b")),
        (AttachField::Interface, AttachContext::new().interface("lo")),
        (AttachField::XdpMode, AttachContext::new().xdp_mode(XdpMode::Generic)),
        (AttachField::Cgroup, AttachContext::new().cgroup(&null)),
        (AttachField::Netns, AttachContext::new().netns(&null)),
        (AttachField::Socket, AttachContext::new().socket(&null)),
        (AttachField::Sockmap, AttachContext::new().sockmap(&null)),
        (AttachField::Lirc, AttachContext::new().lirc(&null)),
        (AttachField::Map, AttachContext::new().map(&null)),
        (AttachField::Netfilter, AttachContext::new().netfilter(Netfilter::ipv4(NetfilterHook::LocalIn))),
        (AttachField::PerfEvent, AttachContext::new().frequency(1)),
        (AttachField::Pid, AttachContext::new().pid(1)),
        (AttachField::Cookie, AttachContext::new().cookie(0)),
    ];
    for (section, taken) in [
        ("xdp", &[AttachField::Interface, AttachField::XdpMode] as &[_]),
        ("socket", &[AttachField::Socket]),
        ("raw_tracepoint/sys_enter", &[AttachField::Target, AttachField::Cookie]),
    ] {
        let loaded = load(section);
        let program = count(&loaded);
        for (field, context) in &settings {
            assert_eq!(program.spec().takes(*field), taken.contains(field), "{section}: {field}");
            if taken.contains(field) {
                continue;
            }
            let line = refused(program.attach_with(context));
            assert!(line.contains(&format!("`{field}` has no effect on it")), "{section}: {line}");
        }
    }
}
