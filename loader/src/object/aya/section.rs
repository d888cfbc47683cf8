//! Converts aya-obj's kinds of program to this crate's form. aya-obj does not keep the section's name.

use aya_obj::{ProgramSection, generated::bpf_attach_type, programs::CgroupSkbAttachType};
use cutaway_sys::AttachType;

use crate::{ProgramType, object::program_section::Section};

/// Returns the kind of a program, without a target, and the word that its section's name begins with.
pub(super) fn read(section: &ProgramSection) -> (Section, &'static str) {
    use AttachType as A;
    use ProgramSection as S;
    use ProgramType as T;
    let of = |attach_type: bpf_attach_type| AttachType(attach_type as u32);
    let mut is_sleepable = false;
    let mut takes_fragments = false;
    let mut may_sleep = |sleepable: &bool, [plain, other]: [&'static str; 2]| {
        is_sleepable = *sleepable;
        if *sleepable { other } else { plain }
    };
    let (program_type, attach_type, word) = match section {
        S::KRetProbe => (T::KPROBE, A(0), "kretprobe"),
        S::KProbe => (T::KPROBE, A(0), "kprobe"),
        S::UProbe { sleepable } => (T::KPROBE, A(0), may_sleep(sleepable, ["uprobe", "uprobe.s"])),
        S::URetProbe { sleepable } => (T::KPROBE, A(0), may_sleep(sleepable, ["uretprobe", "uretprobe.s"])),
        S::TracePoint => (T::TRACEPOINT, A(0), "tracepoint"),
        S::SocketFilter => (T::SOCKET_FILTER, A(0), "socket"),
        S::Xdp { frags, attach_type } => {
            takes_fragments = *frags;
            (T::XDP, of((*attach_type).into()), if *frags { "xdp.frags" } else { "xdp" })
        }
        S::SkMsg => (T::SK_MSG, A::SK_MSG_VERDICT, "sk_msg"),
        S::SkSkbStream { kind } => (T::SK_SKB, of((*kind).into()), "sk_skb"),
        S::SockOps => (T::SOCK_OPS, A::CGROUP_SOCK_OPS, "sockops"),
        S::SchedClassifier => (T::SCHED_CLS, A(0), "classifier"),
        S::CgroupSkb { attach_type } => {
            (T::CGROUP_SKB, of(attach_type.unwrap_or(CgroupSkbAttachType::Ingress).into()), "cgroup_skb")
        }
        S::CgroupSockAddr { attach_type } => (T::CGROUP_SOCK_ADDR, of((*attach_type).into()), "cgroup"),
        S::CgroupSysctl => (T::CGROUP_SYSCTL, A::CGROUP_SYSCTL, "cgroup/sysctl"),
        S::CgroupSockopt { attach_type } => (T::CGROUP_SOCKOPT, of((*attach_type).into()), "cgroup"),
        S::LircMode2 => (T::LIRC_MODE2, A::LIRC_MODE2, "lirc_mode2"),
        S::PerfEvent => (T::PERF_EVENT, A(0), "perf_event"),
        S::RawTracePoint => (T::RAW_TRACEPOINT, A(0), "raw_tracepoint"),
        S::Lsm { sleepable } => (T::LSM, A::LSM_MAC, may_sleep(sleepable, ["lsm", "lsm.s"])),
        S::LsmCgroup => (T::LSM, A::LSM_CGROUP, "lsm_cgroup"),
        S::BtfTracePoint => (T::TRACING, A::TRACE_RAW_TP, "tp_btf"),
        S::FEntry { sleepable } => (T::TRACING, A::TRACE_FENTRY, may_sleep(sleepable, ["fentry", "fentry.s"])),
        S::FExit { sleepable } => (T::TRACING, A::TRACE_FEXIT, may_sleep(sleepable, ["fexit", "fexit.s"])),
        S::FlowDissector => (T::FLOW_DISSECTOR, A::FLOW_DISSECTOR, "flow_dissector"),
        S::Extension => (T::EXT, A(0), "freplace"),
        S::SkLookup => (T::SK_LOOKUP, A::SK_LOOKUP, "sk_lookup"),
        S::SkReuseport { attach_type } => (T::SK_REUSEPORT, of((*attach_type).into()), "sk_reuseport"),
        S::CgroupSock { attach_type } => (T::CGROUP_SOCK, of((*attach_type).into()), "cgroup"),
        S::CgroupDevice => (T::CGROUP_DEVICE, A::CGROUP_DEVICE, "cgroup/dev"),
        S::Iter { sleepable } => (T::TRACING, A::TRACE_ITER, may_sleep(sleepable, ["iter", "iter.s"])),
    };
    let section =
        Section { sleepable: is_sleepable, fragments: takes_fragments, ..Section::of(program_type, attach_type) };
    (section, word)
}
