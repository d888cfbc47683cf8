//! BPF tokens: an unprivileged user in a user namespace loads and attaches what was delegated to it.
//!
//! Each test runs in a process of its own, which becomes that user (`user_namespace.rs`).
#![expect(unsafe_code, reason = "sets an environment variable")]

use std::{
    fs,
    net::UdpSocket,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use cutaway::{
    AttachContext, AttachType, BpfToken, Error, LoadOptions, Loaded, MapType, Object, ProgramType, UprobeMulti, Wake,
    features::{self, Support},
};
use cutaway_programs::{MapDef, MapType as Kind, ObjectBuilder};
use rustix::thread::{CapabilitySet as Set, CapabilitySets, set_capabilities};

use crate::{
    attaching::call,
    corpus,
    harness::{Test, older_than, test},
    journal,
    requirements::root,
    sample,
    user_namespace::{self, Delegator},
};

pub(crate) fn tests() -> Vec<Test> {
    let needs = || root().or_else(|| older_than(6, 9, "BPF tokens")).or_else(user_namespace::missing);
    vec![
        test!(unprivileged_user_loads_and_attaches_by_a_token).needs(needs),
        test!(undelegated_requests_are_refused_with_one_sentence).needs(needs),
        test!(missing_token_is_explained).needs(needs),
        test!(capability_in_the_user_namespace_is_needed_too).needs(needs),
        test!(token_is_found_where_the_environment_says).needs(needs),
        test!(given_token_is_used).needs(needs),
        test!(what_a_token_delegates_is_read).needs(needs),
        test!(probes_use_the_token_and_are_not_kept_without).needs(needs),
        test!(attaching_needs_no_capability_except_for_perf_events).needs(needs),
        test!(kernels_types_are_found_with_a_token).needs(needs),
        #[cfg(feature = "instrument")]
        test!(losses_are_counted_with_a_token).needs(needs),
        test!(initial_user_namespace_has_no_tokens).needs(root).since(6, 9, "BPF tokens"),
    ]
}

const BPFFS: &str = "/sys/fs/bpf";
const ANY: [(&str, &str); 4] =
    [("delegate_cmds", "any"), ("delegate_maps", "any"), ("delegate_progs", "any"), ("delegate_attachs", "any")];
/// Exactly the needs of the object of [`sending`].
const UPROBES: [(&str, &str); 4] = [
    ("delegate_cmds", "map_create:prog_load:btf_load"),
    ("delegate_maps", "array:ringbuf"),
    ("delegate_progs", "kprobe"),
    ("delegate_attachs", "trace_uprobe_multi"),
];

/// Enters a user namespace with a BPF file system that delegates this.
fn enter(options: &[(&str, &str)]) -> Delegator {
    let mut delegator = user_namespace::enter(1000);
    delegator.mount(BPFFS, options);
    delegator
}

/// Returns an object whose program sends the ids of its thread and process to a ring.
fn sending(section: &str) -> Object {
    use cutaway_programs::prelude::*;
    let mut object = ObjectBuilder::new("GPL");
    let ring = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
    object.variable(".rodata", "unused", Variable::new(1_u64));
    let mut asm = Assembler::new();
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.store(DW, R10, -8, R0);
    asm.load_map(R1, ring);
    asm.mov(R2, R10);
    asm.add(R2, -8);
    asm.mov(R3, 8);
    asm.mov(R4, 0);
    asm.call(Helper::bpf_ringbuf_output);
    asm.mov(R0, 0);
    asm.exit();
    object.program(section, "send", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

/// Attaches the program to a function in this process, calls the function, and reads the record.
fn attach_and_read(loaded: &Loaded) {
    let probes = UprobeMulti::new("libc.so.6", "a64l").pid(std::process::id());
    let link = probes.attach(loaded.program("send").unwrap()).unwrap();
    let mut ring = loaded.map("events").unwrap().ring().unwrap();
    call();
    assert_eq!(ring.wait(Some(Duration::from_secs(5))).unwrap(), Wake::Ready);
    let mut records = Vec::new();
    for record in &mut ring.batch().unwrap() {
        records.push(u64::from_ne_bytes(record.to_vec().try_into().unwrap()) as u32);
    }
    let thread = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    // The program sees the ids of the initial namespace of process ids, which is this one's too.
    assert_eq!(records, [thread]);
    drop(link);
    call();
    assert_eq!((&mut ring.batch().unwrap()).into_iter().count(), 0, "detached");
}

fn unprivileged_user_loads_and_attaches_by_a_token() {
    let _delegator = enter(&UPROBES);
    let loaded = sending("uprobe.multi").load().unwrap();
    // The token is created once, after the first refusal, and closed after the load.
    let calls = journal::system_calls();
    let has = |entry: &&journal::Entry, name: &str, part: &str| {
        entry.pairs.iter().any(|(key, value)| key == name && value.contains(part))
    };
    assert_eq!(calls.iter().filter(|entry| has(entry, "cmd", "BPF_TOKEN_CREATE")).count(), 1);
    for (command, flags) in
        [("BPF_BTF_LOAD", "btf_flags"), ("BPF_MAP_CREATE", "map_flags"), ("BPF_PROG_LOAD", "prog_flags")]
    {
        let with_token =
            calls.iter().filter(|entry| has(entry, "cmd", command) && has(entry, flags, "BPF_F_TOKEN_FD")).count();
        assert!(with_token > 0, "{command}");
    }
    assert!(crate::harness::open_fds().iter().all(|(_, target)| !target.contains("token")), "the token is closed");
    attach_and_read(&loaded);
}

/// Returns the error, which must be one sentence.
fn refusal(object: Object, options: &LoadOptions<'_>) -> String {
    let error = object.load_with(options).unwrap_err();
    assert!(matches!(error, Error::Syscall { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("EPERM") && !text.contains('\n') && !text.ends_with('.'), "{text}");
    text
}

fn map(kind: Kind) -> Object {
    let mut object = ObjectBuilder::new("GPL");
    object.map("map", MapDef::new(kind).key_size(4).value_size(4).max_entries(1));
    Object::parse(&object.write().unwrap()).unwrap()
}

fn undelegated_requests_are_refused_with_one_sentence() {
    let mut delegator = enter(&UPROBES);
    let plain = LoadOptions::new();
    let text = refusal(sending("xdp"), &plain);
    assert!(text.starts_with("cannot load the program `send` (XDP): EPERM"), "{text}");
    assert!(
        text.ends_with(
            "; the token at /sys/fs/bpf does not delegate programs of the type xdp and the attach type xdp: mount with \
             delegate_progs=xdp,delegate_attachs=xdp"
        ),
        "{text}"
    );
    let text = refusal(map(Kind::LRU_HASH), &plain);
    assert!(
        text.ends_with(
            "; the token at /sys/fs/bpf does not delegate maps of the type lru_hash: mount with delegate_maps=lru_hash"
        ),
        "{text}"
    );
    // An ordinary uprobe has another attach type than one of many.
    let text = refusal(sending("uprobe"), &plain);
    assert!(text.ends_with("mount with delegate_attachs=cgroup_inet_ingress"), "{text}");
    // A command.
    delegator.mount("/tmp", &[("delegate_cmds", "map_create"), ("delegate_maps", "any")]);
    let token = BpfToken::from_bpffs("/tmp").unwrap();
    let mut options = LoadOptions::new();
    options.token(&token);
    let text = refusal(sending("uprobe.multi"), &options);
    assert!(
        text.contains("the token at /tmp does not delegate the command prog_load and programs of the type kprobe and"),
        "{text}"
    );
}

fn missing_token_is_explained() {
    let mut delegator = user_namespace::enter(1000);
    let cannot =
        "this process is in a user namespace, whose capabilities do not count for this without a BPF token, and ";
    let needs = "; this needs delegate_cmds=prog_load,delegate_progs=kprobe,delegate_attachs=trace_uprobe_multi";
    // Maps of the sample may be created by any process where the administrator allows it.
    let refused = |options: &LoadOptions<'_>, why: &str| {
        let text = refusal(program_alone(), options);
        assert!(text.contains(&format!("; {cannot}{why}")) && text.ends_with(needs), "{text}");
    };
    // The BPF file system of the initial namespace is still mounted here.
    refused(&LoadOptions::new(), "/sys/fs/bpf gives none, because ");
    delegator.mount(BPFFS, &[]);
    refused(&LoadOptions::new(), "/sys/fs/bpf gives none, because it is mounted without delegation");
    delegator.mount(BPFFS, &ANY);
    let mut options = LoadOptions::new();
    options.no_token();
    refused(&options, "the load was asked to use no BPF token");
    program_alone().load().unwrap();
    for (path, part) in [
        ("/no/such/directory", "ENOENT (No such file or directory); there is no such directory"),
        ("/sys", "EINVAL (Invalid argument); it is not a BPF file system"),
    ] {
        let text = BpfToken::from_bpffs(path).unwrap_err().to_string();
        assert_eq!(text, format!("cannot create a BPF token from {path}: {part}"));
    }
    fs::create_dir("/sys/fs/bpf/directory").unwrap();
    let text = BpfToken::from_bpffs("/sys/fs/bpf/directory").unwrap_err().to_string();
    assert!(text.contains("EINVAL") && text.contains("it is not the root directory of a BPF file system"), "{text}");
}

/// Returns an object without maps.
fn program_alone() -> Object {
    use cutaway_programs::prelude::*;
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    asm.mov(R0, 0);
    asm.exit();
    object.program("uprobe.multi", "nothing", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

fn capability_in_the_user_namespace_is_needed_too() {
    let _delegator = enter(&ANY);
    let permitted = rustix::thread::capabilities(None).unwrap().permitted;
    let keep = |kept: Set| {
        set_capabilities(None, CapabilitySets { effective: kept, permitted, inheritable: Set::empty() }).unwrap();
    };
    keep(Set::BPF);
    let text = refusal(program_alone(), &LoadOptions::new());
    assert!(
        text.ends_with("; this process lacks CAP_PERFMON in its user namespace, which a token does not replace"),
        "{text}"
    );
    keep(Set::PERFMON);
    let text = refusal(program_alone(), &LoadOptions::new());
    assert!(text.contains("this process lacks CAP_BPF: "), "{text}");
    keep(Set::BPF | Set::PERFMON);
    program_alone().load().unwrap();
}

fn token_is_found_where_the_environment_says() {
    const VARIABLE: &str = "LIBBPF_BPF_TOKEN_PATH";
    let mut delegator = enter(&[("delegate_cmds", "any")]);
    delegator.mount("/tmp", &UPROBES);
    let set = |value: &str| {
        // SAFETY: the process has one thread.
        unsafe { std::env::set_var(VARIABLE, value) };
    };
    let text = refusal(program_alone(), &LoadOptions::new());
    assert!(text.contains("the token at /sys/fs/bpf does not delegate programs of the type kprobe"), "{text}");
    assert!(BpfToken::is_needed());
    set("/tmp");
    assert_eq!(BpfToken::from_env().unwrap().to_string(), "the token at /tmp");
    attach_and_read(&sending("uprobe.multi").load().unwrap());
    set("");
    let text = refusal(program_alone(), &LoadOptions::new());
    assert!(
        text.contains(
            "and the environment variable LIBBPF_BPF_TOKEN_PATH is empty, which disables BPF tokens; this needs "
        ),
        "{text}"
    );
    let text = BpfToken::from_env().unwrap_err().to_string();
    assert!(text.starts_with("cannot create a BPF token: the environment variable"), "{text}");
    set("/no/such/directory");
    let text = refusal(program_alone(), &LoadOptions::new());
    assert!(
        text.contains(
            "/no/such/directory (from the environment variable LIBBPF_BPF_TOKEN_PATH) gives none, because there is no \
             such directory"
        ),
        "{text}"
    );
}

fn given_token_is_used() {
    let mut delegator = enter(&[]);
    delegator.mount("/tmp", &UPROBES);
    let token = BpfToken::from_bpffs("/tmp").unwrap();
    let mut options = LoadOptions::new();
    let loaded = sending("uprobe.multi").load_with(options.token(&token)).unwrap();
    attach_and_read(&loaded);
    // Its fd, as another process might have sent it.
    let token = BpfToken::from_fd(OwnedFd::from(token)).unwrap();
    let mut options = LoadOptions::new();
    let loaded = sending("uprobe.multi").load_with(options.token(&token)).unwrap();
    attach_and_read(&loaded);
    let text = refusal(sending("xdp"), &options);
    assert!(text.contains("; the token with the fd ") && text.contains(" does not delegate programs"), "{text}");
    let map = loaded.map("events").unwrap().as_fd().try_clone_to_owned().unwrap();
    let text = BpfToken::from_fd(map).unwrap_err().to_string();
    assert!(text.contains("as a BPF token: it is not one"), "{text}");
}

fn what_a_token_delegates_is_read() {
    let mut delegator = enter(&UPROBES);
    let token = BpfToken::from_bpffs(BPFFS).unwrap();
    let delegation = token.delegation().unwrap();
    assert_eq!(
        delegation.to_string(),
        "delegate_cmds=map_create:prog_load:btf_load,delegate_maps=array:ringbuf,delegate_progs=kprobe,\
         delegate_attachs=trace_uprobe_multi"
    );
    assert!(delegation.allows_btf() && delegation.allows_map(MapType::RINGBUF));
    assert!(!delegation.allows_map(MapType::HASH));
    assert!(delegation.allows_program(ProgramType::KPROBE, AttachType::TRACE_UPROBE_MULTI));
    assert!(!delegation.allows_program(ProgramType::KPROBE, AttachType::default()));
    // By /proc/self/fdinfo, as before 6.17.
    assert_eq!(BpfToken::from_fd(token.into()).unwrap().delegation().unwrap(), delegation);
    delegator.mount("/tmp", &ANY);
    let token = BpfToken::from_bpffs("/tmp").unwrap();
    let any = "delegate_cmds=any,delegate_maps=any,delegate_progs=any,delegate_attachs=any";
    assert_eq!(token.delegation().unwrap().to_string(), any);
    assert_eq!(BpfToken::from_fd(token.into()).unwrap().delegation().unwrap().to_string(), any);
}

fn probes_use_the_token_and_are_not_kept_without() {
    let mut delegator = user_namespace::enter(1000);
    assert_eq!(features::uprobe_multi(), Support::NotPermitted);
    delegator.mount(BPFFS, &UPROBES);
    assert_eq!(features::uprobe_multi(), Support::Yes);
    assert!(features::uprobe_multi_pid().is_yes() && features::ring_buffer().is_yes() && features::btf().is_yes());
    // Not delegated.
    assert_eq!(features::tcx_link(), Support::NotPermitted);
    assert_eq!(features::max_entries(MapType::RINGBUF, 4096), Ok(4096));
}

fn attaching_needs_no_capability_except_for_perf_events() {
    let _delegator = enter(&ANY);
    let loaded = sample::object("raw_tracepoint/sys_enter").load().unwrap();
    let links = loaded.attach().unwrap();
    fs::read_to_string("/proc/self/status").unwrap();
    assert!(sample::runs(&loaded) >= 1);
    drop(links);

    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    for (section, context) in [
        ("socket", AttachContext::new().socket(&socket)),
        // The loopback device of the namespace's own network.
        ("tcx/ingress", AttachContext::new().interface_index(1)),
        ("xdp", AttachContext::new().interface_index(1)),
    ] {
        let loaded = sample::object(section).load().unwrap();
        drop(loaded.program(sample::names::PROGRAM).unwrap().attach_with(&context).unwrap());
    }

    // Perf events are checked against the initial user namespace.
    let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    let paranoid: i32 = paranoid.trim().parse().unwrap();
    let loaded = sample::object("uprobe/libc.so.6:a64l").load().unwrap();
    match loaded.attach() {
        Ok(_) => assert!(paranoid < 2, "{paranoid}"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("EACCES") || text.contains("EPERM"), "{text}");
            assert!(text.contains("this process is in a user namespace, whose capabilities do not count"), "{text}");
        }
    }
}

/// CO-RE relocations, BTF targets and externs.
fn kernels_types_are_found_with_a_token() {
    let _delegator = enter(&ANY);
    let object = |folder, name| Object::parse(&corpus::read(folder, name)).unwrap();
    let loaded = object("externs", "all_types.o").load().unwrap();
    drop(loaded.program("types").unwrap().attach().unwrap());
    let loaded = sample::object("tp_btf/sys_enter").load().unwrap();
    let links = loaded.attach().unwrap();
    fs::read_to_string("/proc/self/status").unwrap();
    assert!(sample::runs(&loaded) >= 1);
    drop(links);
    // No addresses are shown to an unprivileged user.
    let error = object("externs", "ksyms.o").load().unwrap_err().to_string();
    assert!(error.contains("/proc/kallsyms shows no addresses"), "{error}");
}

#[cfg(feature = "instrument")]
fn losses_are_counted_with_a_token() {
    let _delegator = enter(&ANY);
    let mut object = crate::losses::reserving();
    object.count_losses();
    let loaded = object.load().unwrap();
    loaded.program("send").unwrap().test_run(&crate::losses::packet(1000)).unwrap();
    let maps = loaded.losses().unwrap().maps().unwrap();
    assert!(maps[0].exact().unwrap() > 0, "{maps:?}");
}

fn initial_user_namespace_has_no_tokens() {
    assert!(!BpfToken::is_needed());
    let text = BpfToken::from_bpffs(BPFFS).unwrap_err().to_string();
    assert_eq!(
        text,
        "cannot create a BPF token from /sys/fs/bpf: EOPNOTSUPP (Operation not supported); this process is in the \
         initial user namespace, where capabilities suffice"
    );
    // A refusal there is not explained by tokens, and none is tried.
    let none = CapabilitySets { effective: Set::empty(), permitted: Set::empty(), inheritable: Set::empty() };
    set_capabilities(None, none).unwrap();
    let text = refusal(program_alone(), &LoadOptions::new());
    assert!(text.contains("this process lacks CAP_BPF") && !text.contains("oken"), "{text}");
    assert!(
        journal::system_calls()
            .iter()
            .flat_map(|entry| &entry.pairs)
            .filter(|(_, value)| value == "BPF_TOKEN_CREATE")
            .count()
            == 1
    );
}
