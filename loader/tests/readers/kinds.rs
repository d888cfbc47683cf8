//! Assembles every kind of program, map, reference and CO-RE relocation that aya's users have, and reads it by both
//! readers.

use cutaway::{
    AttachType, MapFlags, Object, ObjectReader, Pinning, ProgramType, ReaderComparison, aya_obj, compare_readers,
};
use cutaway_programs::prelude::*;

fn same(bytes: &[u8]) -> Object {
    assert_eq!(compare_readers(bytes, &[]).unwrap(), ReaderComparison::Same);
    Object::parse_with(ObjectReader::AyaObj, bytes).unwrap()
}

fn nothing() -> Assembler {
    let mut asm = Assembler::new();
    asm.mov(R0, 0);
    asm.exit();
    asm
}

use AttachType as A;
use ProgramType as T;

/// Sections that both readers know, with their kinds of program.
const KINDS: &[(&str, ProgramType, AttachType)] = &[
    ("kprobe/vfs_read", T::KPROBE, A(0)),
    ("kretprobe/vfs_read", T::KPROBE, A(0)),
    ("uprobe/libc.so.6:getpid", T::KPROBE, A(0)),
    ("uprobe.s/libc.so.6:getpid", T::KPROBE, A(0)),
    ("uretprobe/libc.so.6:getpid", T::KPROBE, A(0)),
    ("uretprobe.s/libc.so.6:getpid", T::KPROBE, A(0)),
    ("tracepoint/sched/sched_switch", T::TRACEPOINT, A(0)),
    ("tp/sched/sched_switch", T::TRACEPOINT, A(0)),
    ("raw_tracepoint/sched_switch", T::RAW_TRACEPOINT, A(0)),
    ("raw_tp/sched_switch", T::RAW_TRACEPOINT, A(0)),
    ("tp_btf/sched_switch", T::TRACING, A::TRACE_RAW_TP),
    ("fentry/vfs_read", T::TRACING, A::TRACE_FENTRY),
    ("fentry.s/vfs_read", T::TRACING, A::TRACE_FENTRY),
    ("fexit/vfs_read", T::TRACING, A::TRACE_FEXIT),
    ("fexit.s/vfs_read", T::TRACING, A::TRACE_FEXIT),
    ("freplace/function", T::EXT, A(0)),
    ("lsm/file_open", T::LSM, A::LSM_MAC),
    ("lsm.s/file_open", T::LSM, A::LSM_MAC),
    ("lsm_cgroup/socket_bind", T::LSM, A::LSM_CGROUP),
    ("iter/task", T::TRACING, A::TRACE_ITER),
    ("iter.s/task", T::TRACING, A::TRACE_ITER),
    ("perf_event", T::PERF_EVENT, A(0)),
    ("socket", T::SOCKET_FILTER, A(0)),
    ("socket/filters", T::SOCKET_FILTER, A(0)),
    ("classifier", T::SCHED_CLS, A(0)),
    ("classifier/egress", T::SCHED_CLS, A(0)),
    ("xdp", T::XDP, A::XDP),
    ("xdp.frags", T::XDP, A::XDP),
    ("xdp/cpumap", T::XDP, A::XDP_CPUMAP),
    ("xdp/devmap", T::XDP, A::XDP_DEVMAP),
    ("xdp.frags/cpumap", T::XDP, A::XDP_CPUMAP),
    ("xdp.frags/devmap", T::XDP, A::XDP_DEVMAP),
    ("flow_dissector", T::FLOW_DISSECTOR, A::FLOW_DISSECTOR),
    ("sk_lookup", T::SK_LOOKUP, A::SK_LOOKUP),
    ("sk_msg", T::SK_MSG, A::SK_MSG_VERDICT),
    ("sk_skb/stream_parser", T::SK_SKB, A::SK_SKB_STREAM_PARSER),
    ("sk_skb/stream_verdict", T::SK_SKB, A::SK_SKB_STREAM_VERDICT),
    ("sk_reuseport", T::SK_REUSEPORT, A::SK_REUSEPORT_SELECT),
    ("sk_reuseport/migrate", T::SK_REUSEPORT, A::SK_REUSEPORT_SELECT_OR_MIGRATE),
    ("sockops", T::SOCK_OPS, A::CGROUP_SOCK_OPS),
    ("lirc_mode2", T::LIRC_MODE2, A::LIRC_MODE2),
    ("cgroup_skb/ingress", T::CGROUP_SKB, A::CGROUP_INET_INGRESS),
    ("cgroup_skb/egress", T::CGROUP_SKB, A::CGROUP_INET_EGRESS),
    ("cgroup/skb", T::CGROUP_SKB, A::CGROUP_INET_INGRESS),
    ("cgroup/sock", T::CGROUP_SOCK, A::CGROUP_INET_SOCK_CREATE),
    ("cgroup/sock_create", T::CGROUP_SOCK, A::CGROUP_INET_SOCK_CREATE),
    ("cgroup/sock_release", T::CGROUP_SOCK, A::CGROUP_INET_SOCK_RELEASE),
    ("cgroup/post_bind4", T::CGROUP_SOCK, A::CGROUP_INET4_POST_BIND),
    ("cgroup/post_bind6", T::CGROUP_SOCK, A::CGROUP_INET6_POST_BIND),
    ("cgroup/bind4", T::CGROUP_SOCK_ADDR, A::CGROUP_INET4_BIND),
    ("cgroup/bind6", T::CGROUP_SOCK_ADDR, A::CGROUP_INET6_BIND),
    ("cgroup/connect4", T::CGROUP_SOCK_ADDR, A::CGROUP_INET4_CONNECT),
    ("cgroup/connect6", T::CGROUP_SOCK_ADDR, A::CGROUP_INET6_CONNECT),
    ("cgroup/getpeername4", T::CGROUP_SOCK_ADDR, A::CGROUP_INET4_GETPEERNAME),
    ("cgroup/getpeername6", T::CGROUP_SOCK_ADDR, A::CGROUP_INET6_GETPEERNAME),
    ("cgroup/getsockname4", T::CGROUP_SOCK_ADDR, A::CGROUP_INET4_GETSOCKNAME),
    ("cgroup/getsockname6", T::CGROUP_SOCK_ADDR, A::CGROUP_INET6_GETSOCKNAME),
    ("cgroup/sendmsg4", T::CGROUP_SOCK_ADDR, A::CGROUP_UDP4_SENDMSG),
    ("cgroup/sendmsg6", T::CGROUP_SOCK_ADDR, A::CGROUP_UDP6_SENDMSG),
    ("cgroup/recvmsg4", T::CGROUP_SOCK_ADDR, A::CGROUP_UDP4_RECVMSG),
    ("cgroup/recvmsg6", T::CGROUP_SOCK_ADDR, A::CGROUP_UDP6_RECVMSG),
    ("cgroup/sysctl", T::CGROUP_SYSCTL, A::CGROUP_SYSCTL),
    ("cgroup/getsockopt", T::CGROUP_SOCKOPT, A::CGROUP_GETSOCKOPT),
    ("cgroup/setsockopt", T::CGROUP_SOCKOPT, A::CGROUP_SETSOCKOPT),
    ("cgroup/dev", T::CGROUP_DEVICE, A::CGROUP_DEVICE),
];

/// Sections that this crate knows and aya-obj does not.
const UNKNOWN_TO_AYA: &[&str] = &[
    "?kprobe/vfs_read",
    "kprobe.multi/vfs_*",
    "kprobe.session/vfs_*",
    "uprobe.multi/libc.so.6:get*",
    "usdt/libc.so.6:libc:setjmp",
    "ksyscall/openat",
    "tc",
    "tc/ingress",
    "tcx/egress",
    "netkit/primary",
    "action",
    "raw_tp.w/sched_switch",
    "fmod_ret/vfs_read",
    "syscall",
    "lwt_in",
    "lwt_xmit",
    "netfilter",
    "sk_skb/verdict",
    "xdp/anything",
    "sk_skb",
    "cgroup_skb",
    "cgroup/connect_unix",
];

#[test]
fn every_kind_of_program_is_the_same() {
    for &(section, program_type, attach_type) in KINDS {
        let mut object = ObjectBuilder::new("GPL");
        object.program(section, "program", nothing());
        let bytes = object.write().unwrap();
        let own = Object::parse(&bytes).unwrap();
        let read = same(&bytes);
        let program = &read.programs()[0];
        assert_eq!(program.section, own.programs()[0].section, "{section}");
        assert_eq!(program.section_name, section);
        let read = &program.section;
        assert_eq!((read.program_type, read.expected_attach_type), (program_type, attach_type), "{section}");
        assert_eq!(read.sleepable, section.split('/').next().unwrap().ends_with(".s"), "{section}");
        assert_eq!(read.fragments, section.starts_with("xdp.frags"), "{section}");
        // Without the file only the target is missing.
        let held = Object::from_aya(aya_obj::Object::parse(&bytes).unwrap()).unwrap();
        let mut expected = own.programs()[0].section.clone();
        expected.target = None;
        assert_eq!(held.programs()[0].section, expected, "{section}");
    }
}

#[test]
fn section_that_aya_does_not_know_is_refused_by_name() {
    for section in UNKNOWN_TO_AYA {
        let mut object = ObjectBuilder::new("GPL");
        object.program(section, "program", nothing());
        let bytes = object.write().unwrap();
        assert!(Object::parse(&bytes).unwrap().unknown_programs().is_empty(), "{section}");
        let error = Object::parse_with(ObjectReader::AyaObj, &bytes).unwrap_err().to_string();
        assert!(error.contains(&format!("`{section}`")), "{error}");
        let comparison = compare_readers(&bytes, &[]).unwrap();
        assert!(matches!(&comparison, ReaderComparison::Refused { why } if why.contains(section)), "{comparison:?}");
    }
}

#[test]
fn several_programs_of_several_kinds_are_the_same() {
    let mut object = ObjectBuilder::new("Dual MIT/GPL");
    for (number, section) in ["xdp", "xdp", "classifier", "tracepoint/sched/sched_switch"].into_iter().enumerate() {
        object.program(section, &format!("program_{number}"), nothing());
    }
    let object = same(&object.write().unwrap());
    assert_eq!(object.programs().len(), 4);
    assert_eq!(object.license(), c"Dual MIT/GPL");
}

#[test]
fn every_kind_of_map_is_the_same() {
    let mut object = ObjectBuilder::new("GPL");
    let array = || MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1);
    object.map("array", array());
    object.map("pinned", array().pinned_by_name());
    object.map("flags", array().flags(MapFlags::MMAPABLE));
    object.map("ring", MapDef::new(MapType::RINGBUF).max_entries(4096));
    object.map("perf", MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4));
    object.map("tail_calls", MapDef::new(MapType::PROG_ARRAY).key_size(4).value_size(4).max_entries(8));
    object.map("hash", MapDef::new(MapType::LRU_HASH).key::<[u8; 16]>().value::<[u64; 3]>().max_entries(1000));
    object.map(
        "trie",
        MapDef::new(MapType::LPM_TRIE).key_size(8).value_size(4).flags(MapFlags::NO_PREALLOC).max_entries(9),
    );
    object.map("bloom", MapDef::new(MapType::BLOOM_FILTER).value::<u32>().max_entries(100).extra(3));
    object.map("maps", MapDef::new(MapType::ARRAY_OF_MAPS).key_size(4).max_entries(2).holding(array()));
    object.map("maps_by_hash", MapDef::new(MapType::HASH_OF_MAPS).key_size(4).max_entries(2).holding(array()));
    object.map("devices", MapDef::new(MapType::DEVMAP).key_size(4).value_size(8).max_entries(4));
    object.map("cpus", MapDef::new(MapType::CPUMAP).key_size(4).value_size(8).max_entries(4));
    object.map("sockets", MapDef::new(MapType::SOCKMAP).key_size(4).value_size(4).max_entries(4));
    object.map("queue", MapDef::new(MapType::QUEUE).value_size(4).max_entries(4));
    object.map("stacks", MapDef::new(MapType::STACK_TRACE).key_size(4).value_size(8 * 127).max_entries(4));
    let bytes = object.write().unwrap();
    let object = same(&bytes);
    let find = |name: &str| object.maps().iter().find(|map| map.name == name).unwrap();
    assert_eq!(object.maps().len(), 16);
    assert_eq!(find("pinned").pinning, Pinning::ByName);
    assert_eq!(find("flags").map_flags, MapFlags::MMAPABLE);
    assert_eq!((find("bloom").map_extra, find("bloom").key_size), (3, 0));
    let inner = find("maps").inner.as_ref().unwrap();
    assert_eq!((find("maps").value_size, inner.value_size, inner.max_entries), (4, 8, 1));
    let held = Object::from_aya(aya_obj::Object::parse(&bytes).unwrap()).unwrap();
    for map in held.maps() {
        let known = find(&map.name);
        assert_eq!(
            (map.map_type, map.key_size, map.value_size, map.max_entries, map.map_flags, map.map_extra, map.pinning),
            (
                known.map_type,
                known.key_size,
                known.value_size,
                known.max_entries,
                known.map_flags,
                known.map_extra,
                known.pinning
            ),
            "{}",
            map.name
        );
        assert_eq!((map.key_type(), map.value_type()), (known.key_type(), known.value_type()), "{}", map.name);
        assert_eq!(map.inner.is_some(), known.inner.is_some(), "{}", map.name);
    }
}

#[test]
fn references_of_every_kind_are_the_same() {
    let mut object = ObjectBuilder::new("GPL");
    let map = object.map("array", MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1));
    let constant = object.variable(".rodata", "constant", Variable::new(5_u32));
    object.variable(".data", "first", Variable::new(1_u64));
    let data = object.variable(".data", "data", Variable::new([7_u64, 8]));
    let more = object.variable(".data.more", "more", Variable::new(3_u32));
    let zero = object.variable(".bss", "zero", Variable::zeroed::<u64>());
    let mut inner = Assembler::new();
    inner.load_address(R1, data, 8);
    inner.load(DW, R0, R1, 0);
    inner.exit();
    let inner = object.function("inner", Signature::returning(u64::describe()), inner);
    let mut outer = Assembler::new();
    outer.load_address(R1, more, 0);
    outer.call_function(inner);
    outer.exit();
    let outer = object.global_function("outer", Signature::returning(u64::describe()), outer);
    let mut asm = Assembler::new();
    asm.load_map(R1, map);
    asm.load_address(R2, constant, 0);
    asm.load_address(R3, zero, 0);
    asm.call_function(outer);
    asm.call_function(inner);
    asm.load_function(R2, inner);
    asm.mov(R0, 0);
    asm.exit();
    object.program("xdp", "program", asm);
    let bytes = object.write().unwrap();
    let run = same(&bytes).dry_run(&[]).unwrap();
    assert_eq!(run.programs[0].subprogs.len(), 3);
    let sources: Vec<_> = run.programs[0]
        .instructions
        .as_ref()
        .unwrap()
        .iter()
        .filter(|insn| insn.code == 0x18)
        .map(|insn| insn.src())
        .collect();
    // Map by fd, values of maps, a function.
    assert_eq!(sources, [1, 2, 2, 4, 2, 2]);
    let held = Object::from_aya(aya_obj::Object::parse(&bytes).unwrap()).unwrap().dry_run(&[]).unwrap();
    let instructions = |run: &cutaway::DryRun| run.programs[0].instructions.as_ref().unwrap().len();
    assert_eq!(instructions(&held), instructions(&run));
}

/// aya-obj makes functions that the compiler calls by itself static, so that the verifier follows their calls.
#[test]
fn functions_of_the_compiler_are_static() {
    for (name, linkage) in [("memcpy", 0), ("memmove", 0), ("memset", 0), ("memcmp", 0), ("mempcpy", 1)] {
        let mut object = ObjectBuilder::new("GPL");
        let mut asm = Assembler::new();
        asm.mov(R0, 1);
        asm.exit();
        let function = object.global_function(name, Signature::returning(u64::describe()), asm);
        let mut asm = Assembler::new();
        asm.call_function(function);
        asm.exit();
        object.program("xdp", "program", asm);
        let bytes = object.write().unwrap();
        let parsed = Object::parse_with(ObjectReader::AyaObj, &bytes).unwrap();
        let held = Object::from_aya(aya_obj::Object::parse(&bytes).unwrap()).unwrap();
        for object in [parsed, held] {
            let types = object.btf().unwrap();
            let types = cutaway::btf::Btf::parse(&types).unwrap();
            assert_eq!(types.find(cutaway::btf::Kind::Func, name).unwrap().linkage(), linkage, "{name}");
        }
    }
}
