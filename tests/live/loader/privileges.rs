//! The loader with a few capabilities, and its errors if one is missing.
//!
//! Each test runs in a process of its own and drops its privileges there: it changes to the user `nobody` and keeps
//! these capabilities.

use std::{fs, thread};

use cutaway::{Error, Object};
use cutaway_programs::{MapDef, MapType as Kind, ObjectBuilder};
use rustix::{
    process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior},
    thread::{
        CapabilitySet as Set, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    attaching, corpus,
    harness::{Test, test},
    requirements::root,
    sample,
};

pub(crate) fn tests() -> Vec<Test> {
    let what = "CAP_BPF and CAP_PERFMON";
    vec![
        test!(cap_bpf_and_cap_perfmon_suffice_to_trace).since(5, 8, what).needs(root),
        test!(cap_bpf_and_cap_perfmon_suffice_for_the_kernels_types).since(6, 2, what).needs(root),
        test!(probes_by_links_need_no_more_capabilities).since(6, 6, "links on many uprobes").needs(root),
        test!(missing_cap_perfmon_is_named).since(5, 8, what).needs(root),
        test!(missing_cap_bpf_is_named).since(5, 8, what).needs(root),
        test!(missing_capabilities_are_both_named).since(5, 8, what).needs(root),
        test!(missing_cap_net_admin_is_named).since(5, 8, what).needs(root),
        test!(hidden_addresses_are_explained).since(5, 8, what).needs(root),
        test!(code_with_blinded_constants_is_unknown)
            .since(5, 8, what)
            .needs(root)
            .unless(no_blinding)
            .alone("it changes how the kernel compiles programs"),
        test!(frozen_map_is_not_blamed_on_privileges).needs(root),
        #[cfg(feature = "instrument")]
        test!(losses_are_counted_without_cap_perfmon)
            .since(6, 12, "records that the verifier knows not to be NULL")
            .needs(root),
    ]
}

/// Changes to the user `nobody` with these capabilities, and without the possibility to gain others.
fn keep(capabilities: Set) {
    let nobody = 65534;
    set_keep_capabilities(true).unwrap();
    let (uid, gid) = (Uid::from_raw(nobody), Gid::from_raw(nobody));
    set_thread_groups(&[gid]).unwrap();
    set_thread_res_gid(gid, gid, gid).unwrap();
    set_thread_res_uid(uid, uid, uid).unwrap();
    let sets = CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: Set::empty() };
    set_capabilities(None, sets).unwrap();
    // Keeps /proc/self/fd readable, which the check of open fds needs.
    set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(status.contains(&format!("CapEff:\t{:016x}", capabilities.bits())), "{status}");
}

fn cap_bpf_and_cap_perfmon_suffice_to_trace() {
    keep(Set::BPF | Set::PERFMON);
    let loaded = sample::object("raw_tracepoint/sys_enter").load().unwrap();
    let link = loaded.program(sample::names::PROGRAM).unwrap().attach().unwrap();
    fs::read_to_string("/proc/self/status").unwrap();
    assert!(sample::runs(&loaded) >= 1);
    drop(link);
    let mut object = ObjectBuilder::new("GPL");
    object.map("events", MapDef::new(Kind::RINGBUF).max_entries(4096));
    let loaded = Object::parse(&object.write().unwrap()).unwrap().load().unwrap();
    loaded.map("events").unwrap().ring().unwrap();
}

fn probes_by_links_need_no_more_capabilities() {
    keep(Set::BPF | Set::PERFMON);
    let loaded = sample::object("uprobe.multi/libc.so.6:a64l").load().unwrap();
    let link = loaded.program(sample::names::PROGRAM).unwrap().attach().unwrap();
    attaching::call();
    assert!(sample::runs(&loaded) >= 1);
    drop(link);
    // As a perf event, the same probe needs more privileges on some kernels.
    let loaded = sample::object("uprobe/libc.so.6:a64l").load().unwrap();
    match loaded.program(sample::names::PROGRAM).unwrap().attach() {
        Ok(link) => {
            attaching::call();
            assert!(sample::runs(&loaded) >= 1);
            drop(link);
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("put a probe on `a64l` in ") && error.contains("EACCES"), "{error}");
            assert!(
                error.ends_with("this process lacks CAP_SYS_ADMIN: run it as root, or with CAP_SYS_ADMIN"),
                "{error}"
            );
        }
    }
}

fn cap_bpf_and_cap_perfmon_suffice_for_the_kernels_types() {
    keep(Set::BPF | Set::PERFMON);
    let loaded = Object::parse(&corpus::read("externs", "all_types.o")).unwrap().load().unwrap();
    drop(loaded.program("types").unwrap().attach().unwrap());
}

/// Returns the error of loading a program of this section.
fn refusal(section: &str) -> String {
    let error = sample::object(section).load().unwrap_err();
    assert!(matches!(error, Error::Syscall { .. }), "{error:?}");
    error.to_string()
}

fn missing_cap_perfmon_is_named() {
    keep(Set::BPF);
    let error = refusal("uprobe");
    assert!(error.contains("cannot load the program `count` (KPROBE): EPERM"), "{error}");
    assert!(error.contains("this process lacks CAP_PERFMON: run it as root, or with CAP_PERFMON"), "{error}");
}

fn missing_cap_bpf_is_named() {
    keep(Set::PERFMON);
    let error = refusal("uprobe");
    // If the administrator allows it, any process can create maps; programs on probes always need the capability.
    assert!(error.contains("EPERM") && error.contains("this process lacks CAP_BPF: run it as root"), "{error}");
}

fn missing_capabilities_are_both_named() {
    keep(Set::empty());
    let error = refusal("uprobe");
    assert!(error.contains("this process lacks CAP_BPF"), "{error}");
}

fn missing_cap_net_admin_is_named() {
    keep(Set::BPF | Set::PERFMON);
    let error = refusal("xdp");
    assert!(error.contains("cannot load the program `count` (XDP): EPERM"), "{error}");
    assert!(error.contains("this process lacks CAP_NET_ADMIN: run it as root, or with CAP_NET_ADMIN"), "{error}");
    // A map of sockets needs the same capability.
    let mut object = ObjectBuilder::new("GPL");
    object.map("sockets", MapDef::new(Kind::SOCKMAP).key_size(4).value_size(4).max_entries(1));
    let error = Object::parse(&object.write().unwrap()).unwrap().load().unwrap_err().to_string();
    assert!(error.contains("`sockets` (SOCKMAP") && error.contains("lacks CAP_NET_ADMIN"), "{error}");
}

fn hidden_addresses_are_explained() {
    keep(Set::BPF | Set::PERFMON);
    let error = Object::parse(&corpus::read("externs", "ksyms.o")).unwrap().load();
    let shown = fs::read_to_string("/proc/kallsyms").unwrap().lines().any(|line| !line.starts_with("0000000000000000"));
    match error {
        Ok(_) => assert!(shown, "hidden addresses were used"),
        Err(error) => {
            let error = error.to_string();
            assert!(
                !shown && error.contains("/proc/kallsyms shows no addresses") && error.contains("CAP_SYSLOG"),
                "{error}"
            );
        }
    }
}

const HARDEN: &str = "/proc/sys/net/core/bpf_jit_harden";

fn no_blinding() -> Option<String> {
    let jits = |path| fs::read_to_string(path).is_ok_and(|value| value.trim() != "0");
    let blinds = jits("/proc/sys/net/core/bpf_jit_enable") && fs::metadata(HARDEN).is_ok();
    (!blinds).then(|| "the kernel interprets programs, or cannot blind constants".to_owned())
}

/// Has the kernel blind the constants of all programs that are loaded meanwhile.
struct Blinding(String);

impl Blinding {
    fn new() -> Self {
        let before = fs::read_to_string(HARDEN).unwrap();
        fs::write(HARDEN, "2").unwrap();
        Self(before)
    }
}

impl Drop for Blinding {
    fn drop(&mut self) {
        fs::write(HARDEN, self.0.trim()).unwrap();
    }
}

/// The kernel hides the instructions, and leaves all other lists as the caller has passed them.
fn code_with_blinded_constants_is_unknown() {
    let blinding = Blinding::new();
    let code = thread::spawn(|| {
        keep(Set::BPF | Set::PERFMON);
        let loaded = sample::object("raw_tp/sys_enter").load().unwrap();
        loaded.program(sample::names::PROGRAM).unwrap().code().unwrap()
    });
    let code = code.join();
    drop(blinding);
    let code = code.unwrap();
    let setting = |path| fs::read_to_string(path).unwrap().trim().parse::<i32>().unwrap();
    // `kallsyms_show_value` in `kernel/ksyms_common.c`, without CAP_SYSLOG.
    let hides = setting("/proc/sys/kernel/kptr_restrict") != 0 || setting("/proc/sys/kernel/perf_event_paranoid") > 1;
    assert_eq!(code.instructions().is_none(), hides);
    assert_eq!(code.jited().is_none(), hides);
    let [function] = code.functions() else { panic!("{:?}", code.functions()) };
    assert_eq!((function.address.is_none(), function.jited_size.is_none()), (hides, hides), "{function:?}");
    assert_eq!(function.slot, Some(0));
}

fn frozen_map_is_not_blamed_on_privileges() {
    let loaded = sample::object("uprobe").load().unwrap();
    let constants = loaded.map(".rodata").unwrap();
    let error = constants.update(&[0; 4], &vec![0; constants.value_size()]).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot set a value in the map `.rodata` (ARRAY): EPERM (Operation not permitted); it is frozen, its flags \
         forbid this to user space, or (before 5.19) CAP_BPF is missing"
    );
}

/// Without CAP_PERFMON the verifier refuses to use a pointer as a number.
#[cfg(feature = "instrument")]
fn losses_are_counted_without_cap_perfmon() {
    keep(Set::BPF | Set::NET_ADMIN);
    let mut object = crate::losses::reserving();
    object.count_losses();
    let loaded = object.load().unwrap();
    loaded.program("send").unwrap().test_run(&crate::losses::packet(1000)).unwrap();
    let maps = loaded.losses().unwrap().maps().unwrap();
    assert!(maps[0].exact().unwrap() > 0, "{maps:?}");
}
