//! Section names: the program type. All names that libbpf accepts have the same meaning here.
//!
//! ```text
//!     [?] WORD[.s|.frags] [/ TARGET]
//!      │   │    │            └─ the attach target: see target.rs
//!      │   │    └────────────── .s: may sleep (BPF_F_SLEEPABLE); .frags: takes fragments (BPF_F_XDP_HAS_FRAGS)
//!      │   └─────────────────── the program type: a row of the table below; the first row that matches wins
//!      └─────────────────────── not loaded by default
//! ```
//!
//! A `syscall` program may sleep without `.s`.
//!
//! `program/load.rs` later changes the attach type of two kinds of program. The attach type of a struct_ops
//! program becomes a number: the index of the structure's member that the program implements. If the kernel has no
//! multi links (one link for many functions), the attach type of a `kprobe.multi`, `uprobe.multi` or `usdt` program
//! becomes 0. The attach type of a `usdt` program also becomes 0 if the kernel cannot restrict a multi link to one
//! process.
//!
//! The attach types are those of `enum bpf_attach_type` in `include/uapi/linux/bpf.h`. The words are libbpf's, which
//! existing objects use.

use std::fmt;

use cutaway_sys::AttachType;

use super::target::{Reading, Target};
use crate::ProgramType;

/// The properties of a program that its section's name gives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "SEC")]
pub struct Section {
    /// The program type.
    #[doc(alias = "bpf_prog_type")]
    pub program_type: ProgramType,
    /// The attach type (`enum bpf_attach_type`) that is passed to `BPF_PROG_LOAD`; 0 for program types without attach
    /// types.
    #[doc(alias = "bpf_attach_type")]
    pub expected_attach_type: AttachType,
    /// Whether the program may sleep (`BPF_F_SLEEPABLE`; Linux 5.10, for uprobes 6.0, for tracepoints of system calls
    /// 7.x). True for the suffix `.s` and for
    /// the section `syscall`.
    #[doc(alias = "BPF_F_SLEEPABLE")]
    pub sleepable: bool,
    /// Whether an XDP program takes packets in fragments (`BPF_F_XDP_HAS_FRAGS`, Linux 5.18). True for the suffix
    /// `.frags`.
    #[doc(alias = "BPF_F_XDP_HAS_FRAGS")]
    pub fragments: bool,
    /// Whether the program is loaded. False if the section's name begins with `?`.
    #[doc(alias = "bpf_program__set_autoload")]
    pub autoload: bool,
    /// The attach target; `None` if the section's name has none.
    pub target: Option<Target>,
}

/// The error for a section name that gives no program type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownKind;

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its name gives no known program type")
    }
}

struct Kind(ProgramType, AttachType, Reading);

/// The attach type of program types that have none: `BPF_PROG_LOAD` takes 0.
const NONE: AttachType = AttachType(0);

use AttachType as A;
use ProgramType as T;
use Reading as R;

macro_rules! kinds {
    ($($word:literal $program_type:path, $attach_type:expr, $reading:expr;)*) => {
        /// The words of all rows, separated by spaces (see `cutaway_sys::names`). `KINDS` has the other columns, in the
        /// same order.
        const WORDS: &str = concat!($($word, " ",)*);
        const KINDS: &[Kind] = &[$(Kind($program_type, $attach_type, $reading)),*];
    };
}

// Each row: word, program type, attach type, and how the target is read. The first row that matches wins, so
// `xdp/devmap` precedes `xdp`.
kinds! {
    "socket" T::SOCKET_FILTER, NONE, R::Label;
    "sk_reuseport/migrate" T::SK_REUSEPORT, A::SK_REUSEPORT_SELECT_OR_MIGRATE, R::Label;
    "sk_reuseport" T::SK_REUSEPORT, A::SK_REUSEPORT_SELECT, R::Label;
    "kprobe" T::KPROBE, NONE, R::Kprobe(false);
    "kretprobe" T::KPROBE, NONE, R::Kprobe(true);
    "uprobe" T::KPROBE, NONE, R::Uprobe(false);
    "uretprobe" T::KPROBE, NONE, R::Uprobe(true);
    "kprobe.multi" T::KPROBE, A::TRACE_KPROBE_MULTI, R::KprobeMulti(false);
    "kretprobe.multi" T::KPROBE, A::TRACE_KPROBE_MULTI, R::KprobeMulti(true);
    "kprobe.session" T::KPROBE, A::TRACE_KPROBE_SESSION, R::KprobeMulti(false);
    "uprobe.multi" T::KPROBE, A::TRACE_UPROBE_MULTI, R::UprobeMulti(false);
    "uretprobe.multi" T::KPROBE, A::TRACE_UPROBE_MULTI, R::UprobeMulti(true);
    "uprobe.session" T::KPROBE, A::TRACE_UPROBE_SESSION, R::UprobeMulti(false);
    "ksyscall" T::KPROBE, NONE, R::Ksyscall(false);
    "kretsyscall" T::KPROBE, NONE, R::Ksyscall(true);
    "usdt" T::KPROBE, A::TRACE_UPROBE_MULTI, R::Usdt;
    "tc/ingress" T::SCHED_CLS, A::TCX_INGRESS, R::Label;
    "tc/egress" T::SCHED_CLS, A::TCX_EGRESS, R::Label;
    "tcx/ingress" T::SCHED_CLS, A::TCX_INGRESS, R::Label;
    "tcx/egress" T::SCHED_CLS, A::TCX_EGRESS, R::Label;
    "netkit/primary" T::SCHED_CLS, A::NETKIT_PRIMARY, R::Label;
    "netkit/peer" T::SCHED_CLS, A::NETKIT_PEER, R::Label;
    "tc" T::SCHED_CLS, NONE, R::Label;
    "classifier" T::SCHED_CLS, NONE, R::Label;
    "action" T::SCHED_ACT, NONE, R::Label;
    "tracepoint" T::TRACEPOINT, NONE, R::Tracepoint;
    "tp" T::TRACEPOINT, NONE, R::Tracepoint;
    "raw_tracepoint.w" T::RAW_TRACEPOINT_WRITABLE, NONE, R::RawTracepoint;
    "raw_tp.w" T::RAW_TRACEPOINT_WRITABLE, NONE, R::RawTracepoint;
    "raw_tracepoint" T::RAW_TRACEPOINT, NONE, R::RawTracepoint;
    "raw_tp" T::RAW_TRACEPOINT, NONE, R::RawTracepoint;
    "tp_btf" T::TRACING, A::TRACE_RAW_TP, R::BtfName;
    "fentry" T::TRACING, A::TRACE_FENTRY, R::BtfName;
    "fexit" T::TRACING, A::TRACE_FEXIT, R::BtfName;
    "fmod_ret" T::TRACING, A::MODIFY_RETURN, R::BtfName;
    "fsession" T::TRACING, A::TRACE_FSESSION, R::BtfName;
    "fentry.multi" T::TRACING, A::TRACE_FENTRY_MULTI, R::BtfPattern;
    "fexit.multi" T::TRACING, A::TRACE_FEXIT_MULTI, R::BtfPattern;
    "fsession.multi" T::TRACING, A::TRACE_FSESSION_MULTI, R::BtfPattern;
    "freplace" T::EXT, NONE, R::BtfName;
    "lsm_cgroup" T::LSM, A::LSM_CGROUP, R::BtfName;
    "lsm" T::LSM, A::LSM_MAC, R::BtfName;
    "iter" T::TRACING, A::TRACE_ITER, R::BtfName;
    "syscall" T::SYSCALL, NONE, R::Label;
    "xdp/devmap" T::XDP, A::XDP_DEVMAP, R::Label;
    "xdp/cpumap" T::XDP, A::XDP_CPUMAP, R::Label;
    "xdp" T::XDP, A::XDP, R::Label;
    "perf_event" T::PERF_EVENT, NONE, R::Label;
    "lwt_in" T::LWT_IN, NONE, R::Label;
    "lwt_out" T::LWT_OUT, NONE, R::Label;
    "lwt_xmit" T::LWT_XMIT, NONE, R::Label;
    "lwt_seg6local" T::LWT_SEG6LOCAL, NONE, R::Label;
    "sockops" T::SOCK_OPS, A::CGROUP_SOCK_OPS, R::Label;
    "sk_skb/stream_parser" T::SK_SKB, A::SK_SKB_STREAM_PARSER, R::Label;
    "sk_skb/stream_verdict" T::SK_SKB, A::SK_SKB_STREAM_VERDICT, R::Label;
    "sk_skb/verdict" T::SK_SKB, A::SK_SKB_VERDICT, R::Label;
    "sk_skb" T::SK_SKB, NONE, R::Label;
    "sk_msg" T::SK_MSG, A::SK_MSG_VERDICT, R::Label;
    "sk_lookup" T::SK_LOOKUP, A::SK_LOOKUP, R::Label;
    "lirc_mode2" T::LIRC_MODE2, A::LIRC_MODE2, R::Label;
    "flow_dissector" T::FLOW_DISSECTOR, A::FLOW_DISSECTOR, R::Label;
    "cgroup_skb/ingress" T::CGROUP_SKB, A::CGROUP_INET_INGRESS, R::Label;
    "cgroup_skb/egress" T::CGROUP_SKB, A::CGROUP_INET_EGRESS, R::Label;
    "cgroup/skb" T::CGROUP_SKB, A::CGROUP_INET_INGRESS, R::Label;
    "cgroup_skb" T::CGROUP_SKB, A::CGROUP_INET_INGRESS, R::Label;
    "cgroup/sock_create" T::CGROUP_SOCK, A::CGROUP_INET_SOCK_CREATE, R::Label;
    "cgroup/sock_release" T::CGROUP_SOCK, A::CGROUP_INET_SOCK_RELEASE, R::Label;
    "cgroup/sock" T::CGROUP_SOCK, A::CGROUP_INET_SOCK_CREATE, R::Label;
    "cgroup/post_bind4" T::CGROUP_SOCK, A::CGROUP_INET4_POST_BIND, R::Label;
    "cgroup/post_bind6" T::CGROUP_SOCK, A::CGROUP_INET6_POST_BIND, R::Label;
    "cgroup/bind4" T::CGROUP_SOCK_ADDR, A::CGROUP_INET4_BIND, R::Label;
    "cgroup/bind6" T::CGROUP_SOCK_ADDR, A::CGROUP_INET6_BIND, R::Label;
    "cgroup/connect4" T::CGROUP_SOCK_ADDR, A::CGROUP_INET4_CONNECT, R::Label;
    "cgroup/connect6" T::CGROUP_SOCK_ADDR, A::CGROUP_INET6_CONNECT, R::Label;
    "cgroup/connect_unix" T::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_CONNECT, R::Label;
    "cgroup/sendmsg4" T::CGROUP_SOCK_ADDR, A::CGROUP_UDP4_SENDMSG, R::Label;
    "cgroup/sendmsg6" T::CGROUP_SOCK_ADDR, A::CGROUP_UDP6_SENDMSG, R::Label;
    "cgroup/sendmsg_unix" T::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_SENDMSG, R::Label;
    "cgroup/recvmsg4" T::CGROUP_SOCK_ADDR, A::CGROUP_UDP4_RECVMSG, R::Label;
    "cgroup/recvmsg6" T::CGROUP_SOCK_ADDR, A::CGROUP_UDP6_RECVMSG, R::Label;
    "cgroup/recvmsg_unix" T::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_RECVMSG, R::Label;
    "cgroup/getpeername4" T::CGROUP_SOCK_ADDR, A::CGROUP_INET4_GETPEERNAME, R::Label;
    "cgroup/getpeername6" T::CGROUP_SOCK_ADDR, A::CGROUP_INET6_GETPEERNAME, R::Label;
    "cgroup/getpeername_unix" T::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_GETPEERNAME, R::Label;
    "cgroup/getsockname4" T::CGROUP_SOCK_ADDR, A::CGROUP_INET4_GETSOCKNAME, R::Label;
    "cgroup/getsockname6" T::CGROUP_SOCK_ADDR, A::CGROUP_INET6_GETSOCKNAME, R::Label;
    "cgroup/getsockname_unix" T::CGROUP_SOCK_ADDR, A::CGROUP_UNIX_GETSOCKNAME, R::Label;
    "cgroup/sysctl" T::CGROUP_SYSCTL, A::CGROUP_SYSCTL, R::Label;
    "cgroup/getsockopt" T::CGROUP_SOCKOPT, A::CGROUP_GETSOCKOPT, R::Label;
    "cgroup/setsockopt" T::CGROUP_SOCKOPT, A::CGROUP_SETSOCKOPT, R::Label;
    "cgroup/dev" T::CGROUP_DEVICE, A::CGROUP_DEVICE, R::Label;
    "struct_ops" T::STRUCT_OPS, NONE, R::Label;
    "netfilter" T::NETFILTER, A::NETFILTER, R::Nothing;
}

impl Section {
    /// Parses a section name, for example `tracepoint/syscalls/sys_enter_openat`. Returns `None` if
    /// the name gives no program type. All names that libbpf accepts have the same meaning here; some names that libbpf
    /// refuses, such as `xdp/anything`, are accepted.
    #[must_use]
    #[doc(alias = "libbpf_prog_type_by_name")]
    pub fn named(name: &str) -> Option<Self> {
        Self::read(name).ok()
    }

    /// Parses a section name as [`Section::named`] does, and returns an error if the name gives no program type.
    pub(crate) fn read(name: &str) -> Result<Self, UnknownKind> {
        let (name, autoload) = match name.strip_prefix('?') {
            Some(name) => (name, false),
            None => (name, true),
        };
        let (Kind(program_type, expected_attach_type, reading), suffix, rest) = kind(name)?;
        let (sleepable, fragments) = match (suffix, *program_type) {
            ("", T::SYSCALL) => (true, false),
            ("", _) => (false, false),
            (".s", T::KPROBE | T::TRACING | T::LSM | T::STRUCT_OPS | T::TRACEPOINT | T::RAW_TRACEPOINT) => {
                (true, false)
            }
            (".frags", T::XDP) => (false, true),
            _ => return Err(UnknownKind),
        };
        let target = match rest {
            None | Some("") => None,
            Some(rest) => Target::read(*reading, rest),
        };
        Ok(Self {
            program_type: *program_type,
            expected_attach_type: *expected_attach_type,
            sleepable,
            fragments,
            autoload,
            target,
        })
    }

    /// Returns whether one link attaches the program to many functions by their BTF ids, as for `fentry.multi`.
    pub(crate) fn is_tracing_multi(&self) -> bool {
        matches!(self.expected_attach_type, A::TRACE_FENTRY_MULTI | A::TRACE_FEXIT_MULTI | A::TRACE_FSESSION_MULTI)
    }

    /// Returns the section of a program whose type the caller sets, without a target.
    pub(super) fn of(program_type: ProgramType, expected_attach_type: AttachType) -> Self {
        Self { program_type, expected_attach_type, sleepable: false, fragments: false, autoload: true, target: None }
    }

    /// Returns the section of a program that is already in the kernel: with the attach type of its program type, if
    /// there is only one that it may be attached with.
    pub(crate) fn of_kernel(program_type: ProgramType) -> Self {
        let attach_type = match program_type {
            T::XDP => A::XDP,
            T::LSM => A::LSM_MAC,
            T::SK_LOOKUP => A::SK_LOOKUP,
            T::FLOW_DISSECTOR => A::FLOW_DISSECTOR,
            T::SOCK_OPS => A::CGROUP_SOCK_OPS,
            T::CGROUP_DEVICE => A::CGROUP_DEVICE,
            T::CGROUP_SYSCTL => A::CGROUP_SYSCTL,
            T::LIRC_MODE2 => A::LIRC_MODE2,
            T::SK_MSG => A::SK_MSG_VERDICT,
            T::NETFILTER => A::NETFILTER,
            T::SK_REUSEPORT => A::SK_REUSEPORT_SELECT,
            _ => NONE,
        };
        Self { sleepable: program_type == T::SYSCALL, ..Self::of(program_type, attach_type) }
    }

    /// Parses `target` as the part after the slash of the section name `name`.
    pub(super) fn read_target(name: &str, target: &str) -> Result<Target, &'static str> {
        let read = kind(name.trim_start_matches('?')).map(|(Kind(.., reading), ..)| Target::read(*reading, target));
        match read {
            Err(UnknownKind) => Err("its section's name gives no known program type"),
            Ok(Some(Target::Label(_)) | None) => Err("its program type has no named target"),
            Ok(Some(Target::Unreadable { why, .. })) => Err(why),
            Ok(Some(target)) => Ok(target),
        }
    }
}

/// Returns the advice for a section whose name gives no program type.
pub(super) fn remedy(name: &str) -> String {
    if !cfg!(feature = "advice") {
        return "set the type with `Object::set_program_type`".to_owned();
    }
    let name = name.trim_start_matches('?');
    let meant = WORDS.split_ascii_whitespace().filter(|word| {
        let behind = name.strip_prefix(word);
        behind.is_some_and(|behind| behind.starts_with(['_', ':', '-', ' ', '|']))
    });
    match meant.max_by_key(|word| word.len()) {
        Some(word) => format!("a slash separates type and target: SEC(\"{word}/TARGET\")"),
        None => {
            "use a name such as SEC(\"kprobe/FUNCTION\"), or set the type with `Object::set_program_type`".to_owned()
        }
    }
}

/// Finds the first row whose word a section name begins with. Returns the row, the suffix, and the text after the
/// slash.
fn kind(name: &str) -> Result<(&'static Kind, &str, Option<&str>), UnknownKind> {
    let mut kinds = WORDS.split_ascii_whitespace().zip(KINDS);
    let found = kinds.find_map(|(word, kind)| split(name, word).map(|(suffix, rest)| (kind, suffix, rest)));
    found.ok_or(UnknownKind)
}

/// Splits a name that begins with `word` into the suffix (`.s`, `.frags` or empty) and the text after the slash. If the
/// word has a slash, the suffix is before the slash: `xdp.frags/devmap` has the word `xdp/devmap`.
fn split<'n>(name: &'n str, word: &str) -> Option<(&'n str, Option<&'n str>)> {
    let (first, second) = word.split_once('/').map_or((word, None), |(first, second)| (first, Some(second)));
    let behind = name.strip_prefix(first)?;
    let suffix = ["", ".s", ".frags"].into_iter().find_map(|suffix| {
        let rest = behind.strip_prefix(suffix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some((behind.get(..suffix.len())?, rest))
    });
    let (suffix, mut rest) = suffix?;
    if let Some(second) = second {
        rest = rest.strip_prefix('/')?.strip_prefix(second)?;
    }
    match rest.strip_prefix('/') {
        Some(rest) => Some((suffix, Some(rest))),
        None if rest.is_empty() => Some((suffix, None)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> (ProgramType, u32) {
        let section = Section::read(name).unwrap();
        (section.program_type, section.expected_attach_type.0)
    }

    #[test]
    fn first_matching_row_wins() {
        assert_eq!(read("xdp"), (T::XDP, 37));
        assert_eq!(read("xdp/devmap"), (T::XDP, 33));
        assert_eq!(read("xdp.frags/cpumap"), (T::XDP, 35));
        assert_eq!(read("xdp/anything"), (T::XDP, 37));
        assert_eq!(read("tc"), (T::SCHED_CLS, 0));
        assert_eq!(read("tcx/egress"), (T::SCHED_CLS, 47));
        assert_eq!(read("cgroup/connect4"), (T::CGROUP_SOCK_ADDR, 10));
        assert_eq!(read("cgroup/sock"), (T::CGROUP_SOCK, 2));
        assert_eq!(read("uprobe.multi/l:f*"), (T::KPROBE, 48));
        assert_eq!(read("raw_tp.w/x"), (T::RAW_TRACEPOINT_WRITABLE, 0));
        assert_eq!(read("lsm_cgroup/x"), (T::LSM, 43));
    }

    #[test]
    fn prefix_and_suffixes_are_parsed() {
        assert!(Section::read("uprobe.s/l:f").unwrap().sleepable);
        assert!(Section::read("fentry.s/f").unwrap().sleepable);
        assert!(Section::read("syscall").unwrap().sleepable);
        assert!(Section::read("xdp.frags").unwrap().fragments);
        assert!(!Section::read("?kprobe/f").unwrap().autoload);
        assert!(Section::read("kprobe/f").unwrap().autoload);
        assert!(Section::read("uretprobe.multi.s/l:f").unwrap().sleepable);
    }

    #[test]
    fn tracepoints_may_sleep() {
        for (name, program_type) in [
            ("tp.s/syscalls/sys_enter_getpgid", T::TRACEPOINT),
            ("tracepoint.s/syscalls/sys_enter_getpgid", T::TRACEPOINT),
            ("raw_tp.s/sys_enter", T::RAW_TRACEPOINT),
            ("raw_tracepoint.s/sys_enter", T::RAW_TRACEPOINT),
        ] {
            let section = Section::read(name).unwrap();
            assert_eq!((section.program_type, section.sleepable), (program_type, true), "{name}");
            assert_eq!(section.target, Section::read(&name.replacen(".s", "", 1)).unwrap().target);
        }
    }

    #[test]
    #[cfg(feature = "tracing")]
    fn functions_of_one_link_have_a_pattern() {
        let target = |module: Option<&str>, pattern: &str| {
            Some(Target::TracingMulti { module: module.map(str::to_owned), pattern: pattern.to_owned() })
        };
        for (name, attach_type, sleepable, expected) in [
            ("fentry.multi/vfs_*", 59, false, target(None, "vfs_*")),
            ("fexit.multi.s/nf_tables:nft_*", 60, true, target(Some("nf_tables"), "nft_*")),
            ("fsession.multi", 61, false, None),
            ("fsession.multi.s/f", 61, true, target(None, "f")),
        ] {
            let section = Section::read(name).unwrap();
            assert_eq!((read(name), section.sleepable), ((T::TRACING, attach_type), sleepable), "{name}");
            assert_eq!(section.target, expected, "{name}");
        }
        for name in ["fentry.multi/:f", "fentry.multi/m:"] {
            assert!(matches!(Section::read(name).unwrap().target, Some(Target::Unreadable { .. })), "{name}");
        }
    }

    #[test]
    #[cfg(feature = "advice")]
    fn remedy_for_a_missing_slash_names_the_kind() {
        for (name, kind) in [
            ("kprobe__sys_execve", "SEC(\"kprobe/TARGET\")"),
            ("?tracepoint:syscalls:sys_enter_getuid", "SEC(\"tracepoint/TARGET\")"),
            ("raw_tp_sys_enter", "SEC(\"raw_tp/TARGET\")"),
        ] {
            assert!(remedy(name).ends_with(kind), "{}", remedy(name));
        }
        for name in ["foo", "prog", "kprobes"] {
            assert!(remedy(name).contains("Object::set_program_type"), "{}", remedy(name));
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in [
            "",
            "?",
            "nonsense",
            "xdpx",
            "tracepoint.w/a/b",
            "tp.frags/a/b",
            "raw_tp.w.s/a",
            "perf_event.s",
            "fmod_ret.multi/f",
            "socket.s",
        ] {
            assert!(Section::read(name).is_err(), "{name:?}");
        }
    }
}
