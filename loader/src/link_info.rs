//! The kernel's information about a link (`bpf_link_get_info_by_fd` in `kernel/bpf/syscall.c`, Linux 5.8).

use std::{ffi::OsString, io, os::fd::BorrowedFd, os::unix::ffi::OsStringExt, path::PathBuf};

use cutaway_sys::{AttachType, LinkType};

use crate::sys::link_info::{self, Report};

/// A link, as the kernel describes it.
///
/// A field that the running kernel does not report, or hides from the caller, is `None`. Linux 5.8.
///
/// Needs this crate's feature `links`.
#[doc(alias("bpf_link_info", "BPF_OBJ_GET_INFO_BY_FD", "bpf_link_get_info_by_fd"))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkInfo {
    /// The link id. The kernel does not reuse it while it runs.
    pub id: u32,
    /// The link type.
    pub link_type: LinkType,
    /// The id of the attached program; `None` for the link of a struct_ops map.
    pub program: Option<u32>,
    /// The target, with the settings of the link.
    pub target: LinkTarget,
}

/// The target of a link, by link type.
///
/// The target of a link of the types `Cgroup`, `Netns`, `Xdp`, `Tcx`, `Netkit`, `Sockmap` and `StructOps` is `None` if
/// the link is *defunct*: it was detached ([`Link::detach`](crate::Link::detach)), or its target no longer exists.
///
/// The versions are those of the first kernel that reports the field, where that is later than Linux 5.8 and later than
/// the link type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkTarget {
    /// A tracepoint, of a program of the section `raw_tp`.
    #[non_exhaustive]
    RawTracepoint {
        /// The tracepoint's name.
        name: Option<String>,
        /// The cookie (6.17).
        cookie: Option<u64>,
    },
    /// A function or hook of the kernel, or a function of another program: `fentry` and similar sections.
    #[non_exhaustive]
    Tracing {
        /// The attach type.
        attach_type: AttachType,
        /// The id of the object that the type belongs to: BTF, or the replaced program for `freplace` (5.13).
        target_object: Option<u32>,
        /// The BTF id of the function in that object (5.13).
        target_btf_id: Option<u32>,
        /// The cookie (6.17).
        cookie: Option<u64>,
    },
    /// A cgroup.
    #[non_exhaustive]
    Cgroup {
        /// The cgroup id, which is the inode number of its directory; `None` if the link is defunct.
        cgroup: Option<u64>,
        /// The attach type.
        attach_type: AttachType,
    },
    /// An iterator (5.9).
    #[non_exhaustive]
    Iter {
        /// The iterator's name, e.g. `task`.
        name: Option<String>,
        /// The objects that the iterator is restricted to.
        scope: IterScope,
    },
    /// A network namespace.
    #[non_exhaustive]
    Netns {
        /// The inode number of the namespace, as in `/proc/self/ns/net`; `None` if the link is defunct.
        inode: Option<u32>,
        /// The attach type.
        attach_type: AttachType,
    },
    /// A network device, of an XDP program.
    #[non_exhaustive]
    Xdp {
        /// The index of the device; `None` if the link is defunct.
        ifindex: Option<u32>,
    },
    /// A perf event for a function of a file (6.6).
    #[non_exhaustive]
    Uprobe {
        /// Whether the program runs on the function's return.
        retprobe: bool,
        /// The file.
        path: Option<PathBuf>,
        /// The offset in the file, in bytes.
        offset: u32,
        /// The offset in the file of the counter of attached probes, in bytes; 0 without one (6.16).
        ref_ctr_offset: Option<u64>,
        /// The cookie (6.9).
        cookie: Option<u64>,
    },
    /// A perf event for a function of the kernel (6.6).
    #[non_exhaustive]
    Kprobe {
        /// Whether the program runs on the function's return.
        retprobe: bool,
        /// The function; `None` if the probe was set by its address.
        function: Option<String>,
        /// The offset in the function, in bytes.
        offset: u32,
        /// The address of the probe, which can be a few bytes after the function's; `None` if the kernel hides
        /// addresses from the caller (`kernel.kptr_restrict`).
        address: Option<u64>,
        /// The number of hits without a run of the program (6.7).
        missed: Option<u64>,
        /// The cookie (6.9).
        cookie: Option<u64>,
    },
    /// A tracepoint, of a program of the section `tracepoint` (6.6).
    #[non_exhaustive]
    Tracepoint {
        /// The tracepoint's name, without its category.
        name: Option<String>,
        /// The cookie (6.9).
        cookie: Option<u64>,
    },
    /// Another perf event: a counter, a clock or a breakpoint (6.6).
    #[non_exhaustive]
    PerfEvent {
        /// `type` of `struct perf_event_attr`. The kernel replaces that of the CPU clock by the number of a PMU.
        event_type: u32,
        /// `config` of `struct perf_event_attr`.
        config: u64,
        /// The cookie (6.9).
        cookie: Option<u64>,
    },
    /// Many functions of the kernel (6.6).
    #[non_exhaustive]
    KprobeMulti {
        /// The number of functions.
        count: u32,
        /// `BPF_F_KPROBE_MULTI_RETURN` (1), or 0.
        flags: u32,
        /// The addresses of the functions; `None` if the kernel hides them from the caller (`kernel.kptr_restrict`).
        addresses: Option<Vec<u64>>,
        /// The cookies of the functions, in the order of their addresses (6.9).
        cookies: Option<Vec<u64>>,
        /// The number of hits without a run of the program (6.7).
        missed: Option<u64>,
    },
    /// Many locations of one file (6.8).
    #[non_exhaustive]
    UprobeMulti {
        /// The file.
        path: Option<PathBuf>,
        /// The number of locations.
        count: u32,
        /// `BPF_F_UPROBE_MULTI_RETURN` (1) and others.
        flags: u32,
        /// The process that the link is restricted to; `None` for all processes.
        pid: Option<u32>,
        /// The offsets in the file, in bytes.
        offsets: Option<Vec<u64>>,
        /// The offsets in the file of the counters of attached probes, in bytes; 0 for a location without one.
        ref_ctr_offsets: Option<Vec<u64>>,
        /// The cookies of the locations.
        cookies: Option<Vec<u64>>,
    },
    /// A struct_ops map (6.4).
    #[non_exhaustive]
    StructOps {
        /// The id of the map; `None` if the link is defunct.
        map: Option<u32>,
    },
    /// A netfilter hook (6.4).
    #[non_exhaustive]
    Netfilter {
        /// The protocol family: 2 for IPv4, 10 for IPv6.
        family: u32,
        /// The hook (`enum nf_inet_hooks`).
        hook: u32,
        /// The priority.
        priority: i32,
        /// `BPF_F_NETFILTER_IP_DEFRAG` (1), or 0.
        flags: u32,
    },
    /// A network device, of a classifier (6.6).
    #[non_exhaustive]
    Tcx {
        /// The index of the device; `None` if the link is defunct.
        ifindex: Option<u32>,
        /// The attach type.
        attach_type: AttachType,
    },
    /// A netkit device (6.7).
    #[non_exhaustive]
    Netkit {
        /// The index of the device; `None` if the link is defunct.
        ifindex: Option<u32>,
        /// The attach type.
        attach_type: AttachType,
    },
    /// A `SOCKMAP` or `SOCKHASH` (6.10).
    #[non_exhaustive]
    Sockmap {
        /// The id of the map; `None` if the link is defunct.
        map: Option<u32>,
        /// The attach type.
        attach_type: AttachType,
    },
    /// The running kernel does not report the target of this type of link, the type is unknown to this crate, or procfs
    /// is not mounted at `/proc`.
    Unknown,
}

/// The objects that an iterator is restricted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IterScope {
    /// No restriction, or none that the kernel reports.
    All,
    /// The elements of the map with this id.
    Map(u32),
    /// A cgroup and those around it (6.1).
    #[non_exhaustive]
    Cgroup {
        /// The cgroup id, which is the inode number of its directory.
        cgroup: u64,
        /// The order (`enum bpf_cgroup_iter_order`).
        order: u32,
    },
    /// The thread with this id (6.1).
    Thread(u32),
    /// All threads of the process with this id (6.1).
    Process(u32),
}

impl LinkInfo {
    /// Reads the information about a link, which `link` must be the fd of.
    pub(crate) fn read(link: BorrowedFd<'_>) -> io::Result<Self> {
        let report = link_info::read(link)?;
        Ok(Self {
            id: report.id,
            link_type: report.link_type,
            program: set(report.prog_id),
            target: LinkTarget::of(&report).unwrap_or(LinkTarget::Unknown),
        })
    }
}

impl LinkTarget {
    /// Returns the target; `None` if the kernel reports none. (`struct bpf_link_info`; the indexes are those of the
    /// fields after the head.)
    fn of(report: &Report) -> Option<Self> {
        let attach_type = |index| report.word(index).map(AttachType);
        let name = || report.text().map(|text| String::from_utf8_lossy(text).into_owned());
        Some(match report.link_type {
            LinkType::RAW_TRACEPOINT => {
                report.word(2)?;
                Self::RawTracepoint { name: name(), cookie: report.long(2) }
            }
            LinkType::TRACING => Self::Tracing {
                attach_type: attach_type(0)?,
                target_object: report.word(1).and_then(set),
                target_btf_id: report.word(2).and_then(set),
                cookie: report.long(2),
            },
            LinkType::CGROUP => {
                Self::Cgroup { cgroup: report.long(0).filter(|&id| id != 0), attach_type: attach_type(2)? }
            }
            LinkType::ITER => {
                let name = name();
                let scope = scope(report, name.as_deref());
                Self::Iter { name, scope }
            }
            LinkType::NETNS => Self::Netns { inode: set(report.word(0)?), attach_type: attach_type(1)? },
            LinkType::XDP => Self::Xdp { ifindex: set(report.word(0)?) },
            LinkType::PERF_EVENT => return Self::of_event(report, name()),
            LinkType::KPROBE_MULTI => Self::KprobeMulti {
                count: report.word(2).filter(|&count| count != 0)?,
                flags: report.word(3)?,
                // The kernel writes zeros in place of addresses that it hides.
                addresses: report.list(0).filter(|list| list.iter().any(|&address| address != 0)).map(<[_]>::to_vec),
                cookies: report.list(1).map(<[_]>::to_vec),
                missed: report.long(2),
            },
            LinkType::UPROBE_MULTI => Self::UprobeMulti {
                path: path(report),
                count: report.word(9).filter(|&count| count != 0)?,
                flags: report.word(10)?,
                pid: report.word(11).and_then(set),
                offsets: report.list(0).map(<[_]>::to_vec),
                ref_ctr_offsets: report.list(1).map(<[_]>::to_vec),
                cookies: report.list(2).map(<[_]>::to_vec),
            },
            // The kernel writes nothing if the link is defunct.
            LinkType::STRUCT_OPS => Self::StructOps { map: report.word(0).and_then(set) },
            LinkType::NETFILTER => Self::Netfilter {
                family: report.word(0)?,
                hook: report.word(1)?,
                priority: report.word(2)?.cast_signed(),
                flags: report.word(3)?,
            },
            LinkType::TCX => Self::Tcx { ifindex: set(report.word(0)?), attach_type: attach_type(1)? },
            LinkType::NETKIT => Self::Netkit { ifindex: set(report.word(0)?), attach_type: attach_type(1)? },
            LinkType::SOCKMAP => Self::Sockmap { map: set(report.word(0)?), attach_type: attach_type(1)? },
            _ => return None,
        })
    }

    /// Returns the target of a link on a perf event, by `enum bpf_perf_event_type`.
    fn of_event(report: &Report, name: Option<String>) -> Option<Self> {
        Some(match report.word(0)? {
            kind @ (1 | 2) => Self::Uprobe {
                retprobe: kind == 2,
                path: path(report),
                offset: report.word(5)?,
                cookie: report.long(3),
                ref_ctr_offset: report.long(4),
            },
            kind @ (3 | 4) => Self::Kprobe {
                retprobe: kind == 4,
                function: name,
                offset: report.word(5)?,
                address: report.long(3).filter(|&address| address != 0),
                missed: report.long(4),
                cookie: report.long(5),
            },
            5 => Self::Tracepoint { name, cookie: report.long(3) },
            6 => Self::PerfEvent { config: report.long(1)?, event_type: report.word(4)?, cookie: report.long(3) },
            _ => return None,
        })
    }
}

/// Returns what an iterator is restricted to. The kernel writes the fields of the restriction only if there is one.
fn scope(report: &Report, name: Option<&str>) -> IterScope {
    if let Some(map) = report.word(3) {
        return IterScope::Map(map);
    }
    match name {
        Some("cgroup") => match (report.long(2), report.word(6)) {
            (Some(cgroup), Some(order)) => IterScope::Cgroup { cgroup, order },
            _ => IterScope::All,
        },
        Some("task" | "task_file" | "task_vma") => match (report.word(4), report.word(5)) {
            (_, Some(process)) if process != 0 => IterScope::Process(process),
            (Some(thread), _) if thread != 0 => IterScope::Thread(thread),
            _ => IterScope::All,
        },
        _ => IterScope::All,
    }
}

fn path(report: &Report) -> Option<PathBuf> {
    report.text().map(|text| PathBuf::from(OsString::from_vec(text.to_vec())))
}

/// Returns an id or index, of which 0 means that there is none.
fn set(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}
