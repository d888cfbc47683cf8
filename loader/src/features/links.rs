//! Probes which kinds of link the kernel has.
//!
//! Each probe asks for a link to a target that cannot exist, so no link is ever created. A kernel that knows this kind
//! of link searches for the target, and fails with the errno for a missing one (EBADF, EFAULT, ENODEV). A kernel that
//! does not know it refuses the attach type first, with EINVAL, or with E2BIG for unknown fields of `union bpf_attr`.
//! (`kernel/bpf/syscall.c`, `link_create`.)

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::OnceLock,
};

use cutaway_sys::{AttachType, file};

use super::support::{Support, kept, nothing, support};
use crate::{
    ProgramType,
    sys::link::{self, Position, ProbedFile, Target, UprobeOffsets},
    token::Tokens,
};

/// Probes with a program of this type. `missing` is the errno of a kernel that knows this kind of link.
fn ask(
    program_type: ProgramType,
    expected_attach_type: AttachType,
    missing: i32,
    since: &'static str,
    tokens: &Tokens<'_>,
    link: impl FnOnce(BorrowedFd<'_>) -> io::Result<OwnedFd>,
) -> Support {
    match nothing(program_type, expected_attach_type, tokens).and_then(|program| link(program.as_fd())) {
        Err(error) if error.raw_os_error() == Some(missing) => Support::Yes,
        answer => support(answer, since),
    }
}

/// Probes for links on perf events, which make attached probes and tracepoints pinnable.
#[must_use]
#[doc(alias = "BPF_LINK_TYPE_PERF_EVENT")]
pub fn perf_link() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| {
        let why = "asks whether this kernel has links on perf events; EBADF, for the missing event, means yes";
        ask(ProgramType::TRACEPOINT, AttachType::default(), libc::EBADF, "5.15", tokens, |program| {
            link::create(program, Target::Nowhere, AttachType::PERF_EVENT, 0, why)
        })
    })
}

/// Probes for links on many functions of the kernel (kprobe.multi).
#[must_use]
#[doc(alias = "BPF_TRACE_KPROBE_MULTI")]
pub fn kprobe_multi() -> Support {
    kprobe_multi_with(&Tokens::automatic())
}

/// As [`kprobe_multi`], with the token of a load.
pub(crate) fn kprobe_multi_with(tokens: &Tokens<'_>) -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, tokens, |tokens| {
        let why = "asks whether this kernel has links on many functions; EFAULT, for the missing name, means yes";
        let kind = AttachType::TRACE_KPROBE_MULTI;
        ask(ProgramType::KPROBE, kind, libc::EFAULT, "5.18 with CONFIG_FPROBE", tokens, |program| {
            link::create_kprobe_multi_nowhere(program, why)
        })
    })
}

/// Probes for links on many offsets of one file (uprobe.multi).
#[must_use]
#[doc(alias = "BPF_TRACE_UPROBE_MULTI")]
pub fn uprobe_multi() -> Support {
    uprobe_multi_with(&Tokens::automatic())
}

/// As [`uprobe_multi`], with the token of a load.
pub(crate) fn uprobe_multi_with(tokens: &Tokens<'_>) -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, tokens, |tokens| {
        let why = "asks whether this kernel has links on many locations of a file; EBADF, for a directory, means yes";
        uprobes_in(ProbedFile::Path(c"/"), 0, libc::EBADF, "6.6", why, tokens)
    })
}

/// Probes whether links on many offsets of a file can be restricted to one process. The first kernels with such links
/// (6.6) compared the given PID with thread ids. Kernels from 6.10 on compare it with process ids, and refuse a
/// negative PID, which is what this probe tests.
#[doc(alias = "FEAT_UPROBE_MULTI_LINK")]
#[must_use]
pub fn uprobe_multi_pid() -> Support {
    uprobe_multi_pid_with(&Tokens::automatic())
}

/// As [`uprobe_multi_pid`], with the token of a load.
pub(crate) fn uprobe_multi_pid_with(tokens: &Tokens<'_>) -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, tokens, |tokens| match uprobe_multi_with(tokens) {
        Support::Yes => {
            let why = "asks whether such links can be for one process; EINVAL, for an invalid PID, means yes";
            uprobes_in(ProbedFile::Path(c"/"), u32::MAX, libc::EINVAL, "6.10", why, tokens)
        }
        answer => answer,
    })
}

/// Probes whether such links can name their file by an fd instead of a path.
#[doc(alias = "BPF_F_UPROBE_MULTI_PATH_FD")]
#[must_use]
pub fn uprobe_multi_fd() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| match uprobe_multi_with(tokens) {
        Support::Yes => {
            let why = "asks whether such links can name their file by an fd; EBADF, for a directory's, means yes";
            match file::open(Path::new("/"), "opens a directory, in which nothing can be probed") {
                Ok(directory) => uprobes_in(ProbedFile::Fd(directory.as_fd()), 0, libc::EBADF, "7.2", why, tokens),
                Err(error) => support::<()>(Err(error), "7.2"),
            }
        }
        answer => answer,
    })
}

fn uprobes_in(
    file: ProbedFile<'_>,
    pid: u32,
    missing: i32,
    since: &'static str,
    why: &str,
    tokens: &Tokens<'_>,
) -> Support {
    let kind = AttachType::TRACE_UPROBE_MULTI;
    ask(ProgramType::KPROBE, kind, missing, since, tokens, |program| {
        let locations = UprobeOffsets { file, offsets: &[0], ref_ctr_offsets: &[], cookies: &[] };
        link::create_uprobe_multi(program, kind, false, locations, pid, why)
    })
}

/// Probes for links on cgroups.
#[must_use]
#[doc(alias = "BPF_LINK_TYPE_CGROUP")]
pub fn cgroup_link() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| {
        let why = "asks whether this kernel has links on cgroups; EBADF, for the missing cgroup, means yes";
        ask(ProgramType::CGROUP_SKB, AttachType::CGROUP_INET_INGRESS, libc::EBADF, "5.7", tokens, |program| {
            link::create(program, Target::Nowhere, AttachType::CGROUP_INET_INGRESS, 0, why)
        })
    })
}

/// Probes for positions of programs in a cgroup: before or after another program.
#[must_use]
#[doc(alias("BPF_F_BEFORE", "BPF_F_AFTER"))]
pub fn cgroup_order() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| {
        /// `BPF_F_BEFORE`
        const BEFORE: u32 = 1 << 3;
        let why = "asks whether this kernel orders the programs of a cgroup; EBADF, for the missing cgroup, means yes";
        ask(ProgramType::CGROUP_SKB, AttachType::CGROUP_INET_INGRESS, libc::EBADF, "6.17", tokens, |program| {
            let first = Position { flags: BEFORE, ..Position::default() };
            link::create_at(program, Target::Nowhere, AttachType::CGROUP_INET_INGRESS, first, why)
        })
    })
}

/// Probes for links on socket maps.
#[must_use]
#[doc(alias = "BPF_LINK_TYPE_SOCKMAP")]
pub fn sockmap_link() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| {
        let why = "asks whether this kernel has links on socket maps; EBADF, for the missing map, means yes";
        ask(ProgramType::SK_SKB, AttachType::SK_SKB_STREAM_VERDICT, libc::EBADF, "6.10", tokens, |program| {
            link::create(program, Target::Nowhere, AttachType::SK_SKB_STREAM_VERDICT, 0, why)
        })
    })
}

/// Probes for tcx links, which attach classifiers to network devices.
#[must_use]
#[doc(alias("BPF_TCX_INGRESS", "BPF_TCX_EGRESS"))]
pub fn tcx_link() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| device(ProgramType::SCHED_CLS, AttachType::TCX_INGRESS, "6.6", tokens))
}

/// Probes for links on netkit devices.
#[must_use]
#[doc(alias("BPF_NETKIT_PRIMARY", "BPF_NETKIT_PEER"))]
pub fn netkit_link() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| {
        device(ProgramType::SCHED_CLS, AttachType::NETKIT_PRIMARY, "6.7 with CONFIG_NETKIT", tokens)
    })
}

/// Probes with device 0, which never exists.
fn device(program_type: ProgramType, kind: AttachType, since: &'static str, tokens: &Tokens<'_>) -> Support {
    let why = "asks whether this kernel has such links on network devices; ENODEV, for the missing device, means yes";
    ask(program_type, kind, libc::ENODEV, since, tokens, |program| {
        link::create(program, Target::Device(0), kind, 0, why)
    })
}
