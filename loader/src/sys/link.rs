//! bpf(2): the commands that attach, `BPF_LINK_CREATE` and its predecessors.
//!
//! A *link* is a kernel object that connects a program and its attach target. User space holds an fd of it; closing the
//! last fd, or removing the last pin, detaches the program. Before links (5.7 for the first kinds), one command
//! attached a program and another detached it (`BPF_PROG_ATTACH`, `BPF_PROG_DETACH`). Or the program was attached to an
//! fd of another kind (`BPF_RAW_TRACEPOINT_OPEN`, which returns a link on newer kernels). (`kernel/bpf/syscall.c`,
//! `link_create`.)
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{
    ffi::CStr,
    fmt, io,
    os::fd::{BorrowedFd, OwnedFd},
};

use cutaway_sys::AttachType;

use super::{
    attr::{
        self, IterCreate, LinkCreate, LinkCreateAt, LinkCreatePerfEvent, LinkCreateUprobeMulti, Pointer,
        RawTracepointOpen,
    },
    bpf::{Command, bpf_fd, bpf_fd_logged, length, number},
    constant_names::{AttachFlagBits, LoggedAs, Shown, Text},
};

/// The target of a link without further parameters.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A cgroup or a network namespace.
    Fd(BorrowedFd<'a>),
    /// A network device, by its index.
    Device(u32),
    /// -1, which is no fd: for probes.
    Nowhere,
}

impl Target<'_> {
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Fd(fd) => number(fd),
            Self::Device(index) => index,
            Self::Nowhere => u32::MAX,
        }
    }
}

/// Attaches a program to a cgroup (5.7), a network namespace (5.8) or a network device (5.9).
pub(crate) fn create(
    program: BorrowedFd<'_>,
    target: Target<'_>,
    attach_type: AttachType,
    flags: u32,
    why: &str,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate { prog_fd: number(program), target_fd: target.number(), attach_type, flags };
    // SAFETY: `LinkCreate` holds no address.
    unsafe { bpf_fd(Command::LINK_CREATE, &mut attr, why) }
}

/// The position of a program among those of its target, as bpf(2) takes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// `BPF_F_BEFORE` and other flags.
    pub(crate) flags: u32,
    /// The fd or id that `flags` refer to; 0 for none.
    pub(crate) relative: u32,
    /// The expected revision of the list of programs; 0 for any.
    pub(crate) revision: u64,
}

/// Attaches a program by a link at a position among the programs of a network device (6.6) or a cgroup (6.17).
pub(crate) fn create_at(
    program: BorrowedFd<'_>,
    target: Target<'_>,
    attach_type: AttachType,
    position: Position,
    why: &str,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreateAt {
        prog_fd: number(program),
        target_fd: target.number(),
        attach_type,
        flags: AttachFlagBits(position.flags),
        relative_fd: position.relative,
        expected_revision: position.revision,
        ..Default::default()
    };
    // SAFETY: `LinkCreateAt` holds no address.
    unsafe { bpf_fd(Command::LINK_CREATE, &mut attr, why) }
}

/// `BPF_F_REPLACE`
#[cfg(any(feature = "cgroup", feature = "links", feature = "lirc", feature = "network", feature = "struct-ops"))]
const REPLACE: u32 = 1 << 2;

/// Replaces the program of a link (5.7), or its map (6.4), if it still is `expected`, where that is given.
#[cfg(any(feature = "links", feature = "struct-ops"))]
pub(crate) fn update(
    link: BorrowedFd<'_>,
    new: BorrowedFd<'_>,
    expected: Option<BorrowedFd<'_>>,
    why: &str,
) -> io::Result<()> {
    let mut attr = attr::LinkUpdate {
        link_fd: number(link),
        new_prog_fd: number(new),
        flags: AttachFlagBits(if expected.is_some() { REPLACE } else { 0 }),
        old_prog_fd: expected.map_or(0, number),
    };
    // SAFETY: `LinkUpdate` holds no address.
    unsafe { super::bpf::bpf(Command::LINK_UPDATE, &mut attr, why) }.map(drop)
}

/// Detaches a link from its target (5.9). The link stays open, without a target.
#[cfg(feature = "links")]
pub(crate) fn detach(link: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    let mut attr = attr::LinkDetach { link_fd: number(link) };
    // SAFETY: `LinkDetach` holds no address.
    unsafe { super::bpf::bpf(Command::LINK_DETACH, &mut attr, why) }.map(drop)
}

/// Attaches a program to a perf event (5.15).
pub(crate) fn create_perf_event(
    program: BorrowedFd<'_>,
    event: BorrowedFd<'_>,
    cookie: u64,
    why: &str,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreatePerfEvent {
        prog_fd: number(program),
        target_fd: number(event),
        attach_type: AttachType::PERF_EVENT,
        bpf_cookie: cookie,
        ..Default::default()
    };
    // SAFETY: `LinkCreatePerfEvent` holds no address.
    unsafe { bpf_fd(Command::LINK_CREATE, &mut attr, why) }
}

/// Attaches a program to the BTF target that it was loaded for, with a cookie (5.19; for a `tp_btf` program 6.10).
#[cfg(feature = "tracing")]
pub(crate) fn create_tracing(
    program: BorrowedFd<'_>,
    attach_type: AttachType,
    cookie: u64,
    why: &str,
) -> io::Result<OwnedFd> {
    let mut attr = attr::LinkCreateTracing { prog_fd: number(program), attach_type, cookie, ..Default::default() };
    // SAFETY: `LinkCreateTracing` holds no address.
    unsafe { bpf_fd(Command::LINK_CREATE, &mut attr, why) }
}

/// `union bpf_iter_link_info`: what an iterator iterates over, if not over everything. All its members begin at byte 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
#[cfg(feature = "tracing")]
pub(crate) struct IterInfo(pub(crate) [u32; 4]);

/// Creates a link for an iterator program (5.8). The iterator can be read any number of times.
#[cfg(feature = "tracing")]
pub(crate) fn create_iter(program: BorrowedFd<'_>, info: Option<IterInfo>, why: &str) -> io::Result<OwnedFd> {
    let info = info.as_slice();
    let mut attr = attr::LinkCreateIter {
        prog_fd: number(program),
        attach_type: AttachType::TRACE_ITER,
        iter_info: Pointer::to(info),
        iter_info_len: length(size_of_val(info))?,
        ..Default::default()
    };
    // SAFETY: the one address is borrowed for the call, with its own length.
    unsafe { bpf_fd(Command::LINK_CREATE, &mut attr, why) }
}

/// Attaches a program to functions of the kernel (5.18), each with an optional cookie.
#[cfg(feature = "kprobe")]
pub(crate) fn create_kprobe_multi(
    program: BorrowedFd<'_>,
    attach_type: AttachType,
    retprobe: bool,
    functions: &[&CStr],
    cookies: &[u64],
    why: &str,
) -> io::Result<OwnedFd> {
    let names: Vec<Pointer> = functions.iter().map(|name| Pointer::to(name.to_bytes_with_nul())).collect();
    check_cookies(functions.len(), cookies)?;
    let mut attr = attr::LinkCreateKprobeMulti {
        prog_fd: number(program),
        attach_type,
        kprobe_multi_flags: u32::from(retprobe),
        cnt: length(names.len())?,
        syms: Pointer::to(&names),
        cookies: Pointer::to(cookies),
        ..Default::default()
    };
    let logged: LoggedAs<'_> = &[("syms", &Shown(functions))];
    // SAFETY: `syms` has `cnt` addresses of C strings that are borrowed for the call, and `cookies` none or as many
    // values.
    unsafe { bpf_fd_logged(Command::LINK_CREATE, &mut attr, logged, why) }
}

/// Attaches a program to functions of the kernel or of one module, each by its BTF id and with an optional cookie. The
/// program was loaded for this attach type.
#[cfg(feature = "tracing")]
pub(crate) fn create_tracing_multi(
    program: BorrowedFd<'_>,
    attach_type: AttachType,
    ids: &[u32],
    cookies: &[u64],
    why: &str,
) -> io::Result<OwnedFd> {
    check_cookies(ids.len(), cookies)?;
    let mut attr = attr::LinkCreateTracingMulti {
        prog_fd: number(program),
        attach_type,
        ids: Pointer::to(ids),
        cookies: Pointer::to(cookies),
        cnt: length(ids.len())?,
        ..Default::default()
    };
    // SAFETY: `ids` has `cnt` ids, and `cookies` none or as many values; both are borrowed for the call.
    unsafe { bpf_fd_logged(Command::LINK_CREATE, &mut attr, &[("ids", &Shown(ids))], why) }
}

/// Tries to create a link to a function without a name, as a probe.
pub(crate) fn create_kprobe_multi_nowhere(program: BorrowedFd<'_>, why: &str) -> io::Result<OwnedFd> {
    let names = [Pointer::default()];
    let mut attr = attr::LinkCreateKprobeMulti {
        prog_fd: number(program),
        attach_type: AttachType::TRACE_KPROBE_MULTI,
        cnt: 1,
        syms: Pointer::to(&names),
        ..Default::default()
    };
    // SAFETY: `syms` has one address, which is null: the kernel refuses to read there.
    unsafe { bpf_fd(Command::LINK_CREATE, &mut attr, why) }
}

/// The file of many probes.
#[derive(Clone, Copy)]
pub(crate) enum ProbedFile<'a> {
    Path(&'a CStr),
    /// An open file (7.2).
    Fd(BorrowedFd<'a>),
}

/// The offsets in a file for many probes.
#[derive(Clone, Copy)]
pub(crate) struct UprobeOffsets<'a> {
    pub(crate) file: ProbedFile<'a>,
    pub(crate) offsets: &'a [u64],
    /// File offsets of the semaphores, which count the attached probes; empty, or one for each offset.
    pub(crate) ref_ctr_offsets: &'a [u64],
    /// Empty, or one for each offset.
    pub(crate) cookies: &'a [u64],
}

/// Attaches a program to many offsets of one file (6.6), in one process or in all.
pub(crate) fn create_uprobe_multi(
    program: BorrowedFd<'_>,
    attach_type: AttachType,
    retprobe: bool,
    locations: UprobeOffsets<'_>,
    pid: u32,
    why: &str,
) -> io::Result<OwnedFd> {
    /// `BPF_F_UPROBE_MULTI_PATH_FD`
    const PATH_FD: u32 = 1 << 1;
    check_cookies(locations.offsets.len(), locations.cookies)?;
    check_cookies(locations.offsets.len(), locations.ref_ctr_offsets)?;
    let (path, path_fd) = match locations.file {
        ProbedFile::Path(path) => (Some(path), None),
        ProbedFile::Fd(fd) => (None, Some(fd)),
    };
    let mut attr = LinkCreateUprobeMulti {
        prog_fd: number(program),
        attach_type,
        path: path.map_or(Pointer::default(), |path| Pointer::to(path.to_bytes_with_nul())),
        offsets: Pointer::to(locations.offsets),
        ref_ctr_offsets: Pointer::to(locations.ref_ctr_offsets),
        cookies: Pointer::to(locations.cookies),
        cnt: length(locations.offsets.len())?,
        uprobe_multi_flags: u32::from(retprobe) | if path_fd.is_some() { PATH_FD } else { 0 },
        pid,
        path_fd: path_fd.map_or(0, number),
        ..Default::default()
    };
    let logged: LoggedAs<'_> = &[("path", &Text(path.unwrap_or_default())), ("offsets", &Shown(locations.offsets))];
    // SAFETY: all addresses are null or borrowed for the call: a C string, and slices that are empty or have `cnt`
    // values.
    unsafe { bpf_fd_logged(Command::LINK_CREATE, &mut attr, logged, why) }
}

/// Checks that there is no cookie or one for each function: the kernel uses one count for both.
fn check_cookies(count: usize, cookies: &[u64]) -> io::Result<()> {
    if cookies.is_empty() || cookies.len() == count { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
}

/// Attaches a program to a netfilter hook (6.4) in the caller's network namespace.
#[cfg(feature = "network")]
pub(crate) fn create_netfilter(
    program: BorrowedFd<'_>,
    pf: u32,
    hooknum: u32,
    priority: i32,
    netfilter_flags: u32,
    why: &str,
) -> io::Result<OwnedFd> {
    let mut attr = attr::LinkCreateNetfilter {
        prog_fd: number(program),
        attach_type: AttachType::NETFILTER,
        pf,
        hooknum,
        priority,
        netfilter_flags,
        ..Default::default()
    };
    // SAFETY: `LinkCreateNetfilter` holds no address.
    unsafe { bpf_fd(Command::LINK_CREATE, &mut attr, why) }
}

/// Starts reading an iterator (5.8): returns an fd for read(2).
pub(crate) fn iter_create(link: BorrowedFd<'_>, why: &str) -> io::Result<OwnedFd> {
    let mut attr = IterCreate { link_fd: number(link), flags: 0 };
    // SAFETY: `IterCreate` holds no address.
    unsafe { bpf_fd(Command::ITER_CREATE, &mut attr, why) }
}

/// Attaches a program to a tracepoint by name, or without a name to the BTF target that it was loaded for.
pub(crate) fn raw_tracepoint_open(
    program: BorrowedFd<'_>,
    name: Option<&CStr>,
    cookie: u64,
    why: &str,
) -> io::Result<OwnedFd> {
    let shown = name.map(Text);
    let shown = shown.as_ref().map(|shown| ("name", shown as &dyn fmt::Display));
    let logged: LoggedAs<'_> = shown.as_slice();
    let name = name.map_or(&[] as &[u8], CStr::to_bytes_with_nul);
    let mut attr =
        RawTracepointOpen { name: Pointer::to(name), prog_fd: number(program), cookie, ..Default::default() };
    // SAFETY: the name is null or a C string borrowed for the call.
    unsafe { bpf_fd_logged(Command::RAW_TRACEPOINT_OPEN, &mut attr, logged, why) }
}

/// Attaches a program without a link: it stays attached until it is detached, also after the process has exited.
/// `replaced` is the program to replace, for the flag `BPF_F_REPLACE`, which this function sets.
#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
pub(crate) fn prog_attach(
    program: BorrowedFd<'_>,
    target: Target<'_>,
    attach_type: AttachType,
    position: Position,
    replaced: Option<BorrowedFd<'_>>,
    why: &str,
) -> io::Result<()> {
    let mut attr = attr::ProgAttach {
        target_fd: target.number(),
        attach_bpf_fd: number(program),
        attach_type,
        attach_flags: AttachFlagBits(position.flags | if replaced.is_some() { REPLACE } else { 0 }),
        replace_bpf_fd: replaced.map_or(0, number),
        relative_fd: position.relative,
        expected_revision: position.revision,
    };
    // SAFETY: `ProgAttach` holds no address.
    unsafe { super::bpf::bpf(Command::PROG_ATTACH, &mut attr, why) }.map(drop)
}

/// Detaches a program that [`prog_attach`] attached.
#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
pub(crate) fn prog_detach(
    program: BorrowedFd<'_>,
    target: Target<'_>,
    attach_type: AttachType,
    why: &str,
) -> io::Result<()> {
    let mut attr = attr::ProgAttach {
        target_fd: target.number(),
        attach_bpf_fd: number(program),
        attach_type,
        ..attr::ProgAttach::default()
    };
    // SAFETY: `ProgAttach` holds no address.
    unsafe { super::bpf::bpf(Command::PROG_DETACH, &mut attr, why) }.map(drop)
}
