//! Which settings of an [`AttachContext`](super::AttachContext) a program takes, and which one it requires.

use cutaway_sys::AttachType;

use super::context::AttachField;
use crate::{
    ProgramSpec, ProgramType,
    object::{Section, Target},
};

impl ProgramSpec {
    /// Returns the setting that [`Program::attach_with`](crate::Program::attach_with) requires for this program.
    /// Returns `None` if the section names the target, or the program is not attached to anything.
    #[must_use]
    pub fn needs(&self) -> Option<AttachField> {
        needs(&self.section, self.section.target.as_ref())
    }

    /// Returns true if a setting has an effect on this program. `attach_with` refuses all other settings.
    #[must_use]
    pub fn takes(&self, field: AttachField) -> bool {
        takes(&self.section, self.section.target.as_ref(), field)
    }
}

/// Iterators over tasks, their files and their mappings (`kernel/bpf/task_iter.c`).
const OVER_TASKS: [&str; 3] = ["task", "task_file", "task_vma"];
/// Iterators over the elements of one map.
const OVER_A_MAP: [&str; 2] = ["bpf_map_elem", "bpf_sk_storage_map"];
const OVER_CGROUPS: [&str; 1] = ["cgroup"];

/// Returns true if the section is an iterator of one of these names.
fn iterates_over(section: &Section, target: Option<&Target>, names: &[&str]) -> bool {
    is_iterator(section) && matches!(target, Some(Target::Btf { name }) if names.contains(&name.as_str()))
}

pub(super) fn is_iterator(section: &Section) -> bool {
    section.program_type == ProgramType::TRACING && section.expected_attach_type == AttachType::TRACE_ITER
}

fn is_lsm_cgroup(section: &Section) -> bool {
    section.program_type == ProgramType::LSM && section.expected_attach_type == AttachType::LSM_CGROUP
}

pub(super) fn is_of_a_cgroup(section: &Section) -> bool {
    use ProgramType as T;
    matches!(
        section.program_type,
        T::CGROUP_SKB
            | T::CGROUP_SOCK
            | T::CGROUP_SOCK_ADDR
            | T::CGROUP_DEVICE
            | T::CGROUP_SYSCTL
            | T::CGROUP_SOCKOPT
            | T::SOCK_OPS
    ) || is_lsm_cgroup(section)
}

/// Returns true if the program is not verified for its target, which may be given when it is attached.
fn is_probe(section: &Section) -> bool {
    use ProgramType as T;
    let probes = [T::KPROBE, T::TRACEPOINT, T::RAW_TRACEPOINT, T::RAW_TRACEPOINT_WRITABLE];
    probes.contains(&section.program_type) || section.is_tracing_multi()
}

/// Returns the setting that a program of this section requires, if it is attached to `target`.
pub(super) fn needs(section: &Section, target: Option<&Target>) -> Option<AttachField> {
    use AttachField as F;
    use ProgramType as T;
    match section.program_type {
        T::XDP | T::SCHED_CLS => Some(F::Interface),
        _ if is_of_a_cgroup(section) || iterates_over(section, target, &OVER_CGROUPS) => Some(F::Cgroup),
        T::SK_LOOKUP | T::FLOW_DISSECTOR => Some(F::Netns),
        T::SOCKET_FILTER | T::SK_REUSEPORT => Some(F::Socket),
        T::SK_SKB | T::SK_MSG => Some(F::Sockmap),
        T::LIRC_MODE2 => Some(F::Lirc),
        T::NETFILTER => Some(F::Netfilter),
        T::PERF_EVENT => Some(F::PerfEvent),
        _ if iterates_over(section, target, &OVER_A_MAP) => Some(F::Map),
        _ if is_probe(section) => {
            matches!(target, None | Some(Target::Label(_) | Target::Unreadable { .. })).then_some(F::Target)
        }
        _ => None,
    }
}

/// Returns true if a setting has an effect on a program of this section that is attached to `target`.
pub(super) fn takes(section: &Section, target: Option<&Target>, field: AttachField) -> bool {
    use AttachField as F;
    use ProgramType as T;
    let kind = section.program_type;
    match field {
        F::Target => is_probe(section),
        F::XdpMode => kind == T::XDP,
        F::Order | F::ExpectedRevision => kind == T::SCHED_CLS || is_of_a_cgroup(section),
        F::Pid => {
            matches!(target, Some(Target::Uprobe { .. } | Target::UprobeMulti { .. } | Target::Usdt { .. }))
                || kind == T::PERF_EVENT
                || iterates_over(section, target, &OVER_TASKS)
        }
        F::Cookie => {
            let is_traced = matches!(kind, T::TRACING | T::LSM) && !is_iterator(section) && !is_lsm_cgroup(section);
            is_probe(section) || kind == T::PERF_EVENT || is_traced
        }
        // A program takes these settings only if it requires them.
        F::Interface
        | F::Cgroup
        | F::Netns
        | F::Socket
        | F::Sockmap
        | F::Lirc
        | F::Map
        | F::Netfilter
        | F::PerfEvent => needs(section, target) == Some(field),
    }
}

/// Returns the advice for a program that requires a setting: the setting's name, and the types that attach such a
/// program by hand.
macro_rules! no_target {
    ($setting:literal, $types:literal) => {
        long_or_short(concat!(
            "its name does not say where: set `AttachContext::",
            $setting,
            "`, or attach the program by hand, with ",
            $types
        ))
    };
}

/// Returns the cargo feature that attaches such a program, if this build lacks it, and the advice for a program whose
/// section does not name its target.
pub(super) fn by_hand(kind: ProgramType) -> (Option<&'static str>, &'static str) {
    use ProgramType as T;
    let network = (!cfg!(feature = "network")).then_some("network");
    let cgroup = (!cfg!(feature = "cgroup")).then_some("cgroup");
    let tracepoint = (!cfg!(feature = "tracepoint")).then_some("tracepoint");
    let perf_event = (!cfg!(feature = "perf-event")).then_some("perf-event");
    let lirc = (!cfg!(feature = "lirc")).then_some("lirc");
    // Either feature suffices.
    let probe = (!cfg!(any(feature = "uprobe", feature = "kprobe"))).then_some("uprobe");
    match kind {
        T::XDP => (network, no_target!("interface", "`Xdp`")),
        T::SCHED_CLS => (network, no_target!("interface", "`Tc` or `Tcx`")),
        T::PERF_EVENT => (perf_event, no_target!("frequency", "`PerfEvent`")),
        T::SOCKET_FILTER | T::SK_REUSEPORT => (network, no_target!("socket", "`SocketFilter`")),
        T::SK_SKB | T::SK_MSG => (network, no_target!("sockmap", "`Sockmap`")),
        T::SK_LOOKUP | T::FLOW_DISSECTOR => (network, no_target!("netns", "`Netns`")),
        T::NETFILTER => (network, no_target!("netfilter", "`Netfilter`")),
        T::CGROUP_SKB
        | T::CGROUP_SOCK
        | T::CGROUP_SOCK_ADDR
        | T::CGROUP_DEVICE
        | T::CGROUP_SYSCTL
        | T::CGROUP_SOCKOPT
        | T::SOCK_OPS
        | T::LSM => (cgroup, no_target!("cgroup", "`Cgroup`")),
        T::SYSCALL => (None, long_or_short("it is attached to nothing: run it, with `Program::test_run`")),
        T::STRUCT_OPS => (None, long_or_short("it is part of a struct_ops map: register that, with `Map::attach`")),
        T::SCHED_ACT => (
            None,
            long_or_short(
                "it belongs to a filter of tc: pin it, with `Program::pin`, for `tc … action bpf object-pinned`",
            ),
        ),
        T::LWT_IN | T::LWT_OUT | T::LWT_XMIT | T::LWT_SEG6LOCAL => (
            None,
            long_or_short("it belongs to a route: pin it, with `Program::pin`, for `ip route … encap bpf … pinned`"),
        ),
        T::LIRC_MODE2 => (lirc, no_target!("lirc", "`Lirc`")),
        T::TRACEPOINT | T::RAW_TRACEPOINT | T::RAW_TRACEPOINT_WRITABLE => (tracepoint, BY_HAND),
        T::KPROBE => (probe, BY_HAND),
        _ => (None, BY_HAND),
    }
}

/// Returns the longer text, unless this build lacks the feature `advice`.
const fn long_or_short(text: &'static str) -> &'static str {
    if cfg!(feature = "advice") { text } else { BY_HAND }
}

const BY_HAND: &str = "its name does not say where: attach the program by hand";
const MAP: &str = "it iterates over the elements of a map: set `AttachContext::map`, or attach it with `Iter::map`";
const CGROUPS: &str = "it iterates over cgroups: set `AttachContext::cgroup`, or attach it with `Iter::cgroup`";

/// Returns why the section is not enough to attach the program, with the cargo feature for it if this build lacks that.
/// Returns `None` if the section is enough.
pub(super) fn obstacle(section: &Section, target: Option<&Target>) -> Option<(Option<&'static str>, &'static str)> {
    match target {
        Some(Target::Unreadable { why, .. }) => Some((by_hand(section.program_type).0, why)),
        Some(Target::Btf { .. }) if is_iterator(section) => match needs(section, target)? {
            AttachField::Cgroup => Some((None, CGROUPS)),
            _ => Some((None, MAP)),
        },
        Some(Target::Btf { .. }) if is_lsm_cgroup(section) => Some(by_hand(section.program_type)),
        // `LoadOptions::replace` has named the replaced program.
        None if section.program_type == ProgramType::EXT => None,
        Some(Target::Label(_)) | None => Some(by_hand(section.program_type)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &str) -> Section {
        Section::read(name).unwrap()
    }

    #[test]
    fn only_a_disabled_feature_is_named() {
        for (kind, feature, there) in [
            (ProgramType::XDP, "network", cfg!(feature = "network")),
            (ProgramType::SK_LOOKUP, "network", cfg!(feature = "network")),
            (ProgramType::CGROUP_SKB, "cgroup", cfg!(feature = "cgroup")),
            (ProgramType::PERF_EVENT, "perf-event", cfg!(feature = "perf-event")),
            (ProgramType::LIRC_MODE2, "lirc", cfg!(feature = "lirc")),
            (ProgramType::RAW_TRACEPOINT, "tracepoint", cfg!(feature = "tracepoint")),
            (ProgramType::KPROBE, "uprobe", cfg!(any(feature = "uprobe", feature = "kprobe"))),
        ] {
            assert_eq!(by_hand(kind).0, (!there).then_some(feature), "{kind}");
        }
        assert_eq!(by_hand(ProgramType::SYSCALL).0, None);
    }

    #[test]
    fn needs_of_sections() {
        use AttachField as F;
        for (name, field) in [
            ("xdp", Some(F::Interface)),
            ("tc/ingress", Some(F::Interface)),
            ("cgroup/connect4", Some(F::Cgroup)),
            ("sockops", Some(F::Cgroup)),
            ("lsm_cgroup/socket_bind", Some(F::Cgroup)),
            ("lsm/socket_bind", None),
            ("sk_lookup", Some(F::Netns)),
            ("socket", Some(F::Socket)),
            ("sk_msg", Some(F::Sockmap)),
            ("netfilter", Some(F::Netfilter)),
            ("lirc_mode2", Some(F::Lirc)),
            ("perf_event", Some(F::PerfEvent)),
            ("iter/task", None),
            ("iter/bpf_map_elem", Some(F::Map)),
            ("iter/cgroup", Some(F::Cgroup)),
            ("uprobe", Some(F::Target)),
            ("uprobe/nothing", Some(F::Target)),
            ("uprobe/libc.so.6:a64l", None),
            ("kprobe/do_exit", None),
            ("tp", Some(F::Target)),
            ("fentry/do_exit", None),
            ("fentry.multi", Some(F::Target)),
            ("fentry.multi/vfs_*", None),
            ("freplace", None),
            ("syscall", None),
        ] {
            let section = section(name);
            assert_eq!(needs(&section, section.target.as_ref()), field, "{name}");
            // A required setting is taken, and the program is not attached without it.
            if let Some(field) = field {
                assert!(takes(&section, section.target.as_ref(), field), "{name}");
                assert!(obstacle(&section, section.target.as_ref()).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn taken_settings_of_sections() {
        use AttachField as F;
        for (name, field, taken) in [
            ("uprobe/l:f", F::Pid, true),
            ("usdt/l:p:n", F::Pid, true),
            ("kprobe/f", F::Pid, false),
            ("perf_event", F::Pid, true),
            ("iter/task_vma", F::Pid, true),
            ("iter/bpf_map", F::Pid, false),
            ("kprobe/f", F::Cookie, true),
            ("fentry/f", F::Cookie, true),
            ("fexit.multi/f", F::Cookie, true),
            ("fexit.multi/f", F::Target, true),
            ("iter/task", F::Cookie, false),
            ("lsm_cgroup/f", F::Cookie, false),
            ("xdp", F::Cookie, false),
            ("xdp", F::XdpMode, true),
            ("tc", F::XdpMode, false),
            ("tc", F::Order, true),
            ("cgroup/connect4", F::Order, true),
            ("lsm_cgroup/socket_bind", F::ExpectedRevision, true),
            ("iter/cgroup", F::Order, false),
            ("xdp", F::Order, false),
            ("tracepoint/a/b", F::Target, true),
            ("fentry/f", F::Target, false),
            ("xdp", F::Cgroup, false),
            ("tracepoint/a/b", F::Interface, false),
        ] {
            let section = section(name);
            assert_eq!(takes(&section, section.target.as_ref(), field), taken, "{name} {field}");
        }
    }
}
