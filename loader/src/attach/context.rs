//! Attach settings that a program's section does not contain.

#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network", feature = "tracing"))]
use std::os::fd::AsFd;
#[cfg(any(feature = "cgroup", feature = "network", feature = "tracing"))]
use std::path::Path;
use std::{fmt, fs::File, os::fd::BorrowedFd, path::PathBuf};

use cutaway_sys::file;

#[cfg(feature = "perf-event")]
use super::PerfEvent;
#[cfg(feature = "network")]
use super::{Netfilter, XdpMode};
#[cfg(any(feature = "cgroup", feature = "network"))]
use super::{Order, order::Placement};
use crate::Error;

/// Settings of [`Program::attach_with`]: where and how to attach a program, as far as its section does not say.
///
/// Each setting applies to some types of programs ([`ProgramSpec::takes`]). A setting that the program does not take is
/// an error, so no setting is silently ignored. [`ProgramSpec::needs`] returns the setting that a program cannot do
/// without.
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// use cutaway::AttachContext;
///
/// let packets = loaded.program("packets")?; // SEC("xdp")
/// let link = packets.attach_with(&AttachContext::new().interface("eth0"))?;
///
/// let connect = loaded.program("connect")?; // SEC("cgroup/connect4")
/// let link = connect.attach_with(&AttachContext::new().cgroup_path("/sys/fs/cgroup/mine"))?;
///
/// let entry = loaded.program("entry")?; // SEC("uprobe")
/// let link = entry.attach_with(&AttachContext::new().target("libc.so.6:getaddrinfo").pid(4321).cookie(7))?;
/// # Ok(())
/// # }
/// ```
///
/// `Send` and `Sync`. Borrows the file descriptors that are passed to it.
///
/// [`Program::attach_with`]: crate::Program::attach_with
/// [`ProgramSpec::takes`]: crate::ProgramSpec::takes
/// [`ProgramSpec::needs`]: crate::ProgramSpec::needs
#[doc(alias(
    "BPF_LINK_CREATE",
    "bpf_link_create_opts",
    "bpf_program__attach",
    "bpf_program__attach_xdp",
    "bpf_program__attach_cgroup",
    "bpf_program__attach_netns",
    "LinkOptions"
))]
#[derive(Debug, Clone, Default)]
pub struct AttachContext<'fd> {
    pub(super) target: Option<String>,
    pub(super) interface: Option<Interface>,
    #[cfg(feature = "network")]
    pub(super) xdp_mode: Option<XdpMode>,
    pub(super) cgroup: Option<FdOrPath<'fd>>,
    pub(super) netns: Option<FdOrPath<'fd>>,
    pub(super) socket: Option<FdOrPath<'fd>>,
    pub(super) sockmap: Option<FdOrPath<'fd>>,
    pub(super) lirc: Option<FdOrPath<'fd>>,
    pub(super) map: Option<FdOrPath<'fd>>,
    #[cfg(feature = "network")]
    pub(super) netfilter: Option<Netfilter>,
    #[cfg(feature = "perf-event")]
    pub(super) perf_event: Option<PerfEvent>,
    #[cfg(any(feature = "cgroup", feature = "network"))]
    pub(super) placement: Placement<'fd>,
    pub(super) pid: Option<u32>,
    pub(super) cookie: Option<u64>,
}

/// A setting of an [`AttachContext`]. Displayed as the method that sets it, e.g. `AttachContext::interface`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachField {
    /// [`AttachContext::target`]
    Target,
    /// [`AttachContext::interface`], [`AttachContext::interface_index`]
    Interface,
    /// [`AttachContext::xdp_mode`]
    XdpMode,
    /// [`AttachContext::cgroup`], [`AttachContext::cgroup_path`]
    Cgroup,
    /// [`AttachContext::netns`], [`AttachContext::netns_path`]
    Netns,
    /// [`AttachContext::socket`]
    Socket,
    /// [`AttachContext::sockmap`]
    Sockmap,
    /// [`AttachContext::lirc`]
    Lirc,
    /// [`AttachContext::map`]
    Map,
    /// [`AttachContext::netfilter`]
    Netfilter,
    /// [`AttachContext::frequency`], [`AttachContext::perf_event`]
    PerfEvent,
    /// [`AttachContext::pid`]
    Pid,
    /// [`AttachContext::cookie`]
    Cookie,
    /// [`AttachContext::order`]
    Order,
    /// [`AttachContext::expected_revision`]
    ExpectedRevision,
}

impl AttachField {
    /// Returns the name of the [`AttachContext`] method that sets the field.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Interface => "interface",
            Self::XdpMode => "xdp_mode",
            Self::Cgroup => "cgroup",
            Self::Netns => "netns",
            Self::Socket => "socket",
            Self::Sockmap => "sockmap",
            Self::Lirc => "lirc",
            Self::Map => "map",
            Self::Netfilter => "netfilter",
            Self::PerfEvent => "frequency",
            Self::Pid => "pid",
            Self::Cookie => "cookie",
            Self::Order => "order",
            Self::ExpectedRevision => "expected_revision",
        }
    }
}

impl fmt::Display for AttachField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttachContext::{}", self.name())
    }
}

/// A network device.
#[derive(Debug, Clone)]
pub(super) enum Interface {
    Index(u32),
    Name(String),
}

/// An open file, or the path of a file to open.
#[derive(Debug, Clone)]
pub(super) enum FdOrPath<'fd> {
    Fd(BorrowedFd<'fd>),
    Path(PathBuf),
}

impl<'fd> FdOrPath<'fd> {
    /// Returns the fd. Opens the path if there is one, and keeps that file in `open`. `what` names the file in the
    /// error.
    pub(super) fn fd<'a>(&'a self, what: &str, open: &'a mut Option<File>) -> Result<BorrowedFd<'a>, Error> {
        let path = match self {
            Self::Fd(fd) => return Ok(*fd),
            Self::Path(path) => path,
        };
        let opened = file::open(path, "opens what the program is attached to");
        let opened = opened.map_err(|error| Error::kernel(format!("open {what} {}", path.display()), &error))?;
        Ok(std::os::fd::AsFd::as_fd(open.insert(opened)))
    }
}

impl<'fd> AttachContext<'fd> {
    /// Returns a context without settings, with which a program is attached as by
    /// [`Program::attach`](crate::Program::attach).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Attaches to `target` instead of the section's target. The text is written as in `SEC("type/TARGET")`:
    /// `libc.so.6:getaddrinfo` for a section `uprobe`, `syscalls/sys_enter_getpgid` for a section `tracepoint`.
    ///
    /// For kprobes, uprobes, USDT probes and tracepoints. A program of a section such as `fentry` is verified for its
    /// target: set that before loading, with [`ProgramSpec::set_attach_target`](crate::ProgramSpec::set_attach_target).
    #[doc(alias("bpf_program__attach_uprobe", "bpf_program__attach_kprobe", "bpf_program__attach_tracepoint"))]
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }

    /// Attaches to the network device `name` in the caller's network namespace. For XDP, tc, tcx and netkit programs.
    ///
    /// A program of a section `tc` or `tcx` is attached by a link where the kernel supports tcx links (Linux 6.6),
    /// otherwise by a traffic control filter. If the section does not name a direction, the program is attached to
    /// ingress.
    #[doc(alias = "ifindex")]
    #[cfg(feature = "network")]
    #[must_use]
    pub fn interface(mut self, name: &str) -> Self {
        self.interface = Some(Interface::Name(name.to_owned()));
        self
    }

    /// Attaches to the network device with this index; otherwise like [`AttachContext::interface`].
    #[doc(alias = "ifindex")]
    #[cfg(feature = "network")]
    #[must_use]
    pub fn interface_index(mut self, index: u32) -> Self {
        self.interface = Some(Interface::Index(index));
        self
    }

    /// Chooses where an XDP program runs: in the driver, in the network stack or on the device.
    #[doc(alias("XDP_FLAGS_SKB_MODE", "XDP_FLAGS_DRV_MODE", "XDP_FLAGS_HW_MODE"))]
    #[cfg(feature = "network")]
    #[must_use]
    pub fn xdp_mode(mut self, mode: XdpMode) -> Self {
        self.xdp_mode = Some(mode);
        self
    }

    /// Attaches to the cgroup of version 2 with this open directory. For the sections `cgroup…`, `sockops` and
    /// `lsm_cgroup`. An `iter/cgroup` starts at this cgroup.
    #[doc(alias = "bpf_program__attach_cgroup")]
    #[cfg(any(feature = "cgroup", feature = "tracing"))]
    #[must_use]
    pub fn cgroup(mut self, directory: &'fd impl AsFd) -> Self {
        self.cgroup = Some(FdOrPath::Fd(directory.as_fd()));
        self
    }

    /// Attaches to the cgroup with this directory path; otherwise like [`AttachContext::cgroup`].
    #[cfg(any(feature = "cgroup", feature = "tracing"))]
    #[must_use]
    pub fn cgroup_path(mut self, directory: impl AsRef<Path>) -> Self {
        self.cgroup = Some(FdOrPath::Path(directory.as_ref().to_owned()));
        self
    }

    /// Attaches to the network namespace of this open file. For the sections `sk_lookup` and `flow_dissector`.
    #[doc(alias = "bpf_program__attach_netns")]
    #[cfg(feature = "network")]
    #[must_use]
    pub fn netns(mut self, namespace: &'fd impl AsFd) -> Self {
        self.netns = Some(FdOrPath::Fd(namespace.as_fd()));
        self
    }

    /// Attaches to the network namespace of the file at this path, e.g. `/proc/self/ns/net`.
    #[cfg(feature = "network")]
    #[must_use]
    pub fn netns_path(mut self, namespace: impl AsRef<Path>) -> Self {
        self.netns = Some(FdOrPath::Path(namespace.as_ref().to_owned()));
        self
    }

    /// Attaches to this socket. For the sections `socket` and `sk_reuseport`.
    #[doc(alias("SO_ATTACH_BPF", "SO_ATTACH_REUSEPORT_EBPF"))]
    #[cfg(feature = "network")]
    #[must_use]
    pub fn socket(mut self, socket: &'fd impl AsFd) -> Self {
        self.socket = Some(FdOrPath::Fd(socket.as_fd()));
        self
    }

    /// Attaches to this `SOCKMAP` or `SOCKHASH`. For the sections `sk_skb…` and `sk_msg`.
    #[doc(alias = "bpf_program__attach_sockmap")]
    #[cfg(feature = "network")]
    #[must_use]
    pub fn sockmap(mut self, map: &'fd impl AsFd) -> Self {
        self.sockmap = Some(FdOrPath::Fd(map.as_fd()));
        self
    }

    /// Attaches to this infrared receiver, e.g. `File::open("/dev/lirc0")`. For the section `lirc_mode2`.
    #[cfg(feature = "lirc")]
    #[must_use]
    pub fn lirc(mut self, receiver: &'fd impl AsFd) -> Self {
        self.lirc = Some(FdOrPath::Fd(receiver.as_fd()));
        self
    }

    /// Iterates over the elements of this map. For the sections `iter/bpf_map_elem` (Linux 5.9) and
    /// `iter/bpf_sk_storage_map`.
    #[doc(alias = "bpf_iter_link_info")]
    #[cfg(feature = "tracing")]
    #[must_use]
    pub fn map(mut self, map: &'fd impl AsFd) -> Self {
        self.map = Some(FdOrPath::Fd(map.as_fd()));
        self
    }

    /// Attaches to this netfilter hook. For the section `netfilter`.
    #[doc(alias = "bpf_program__attach_netfilter")]
    #[cfg(feature = "network")]
    #[must_use]
    pub fn netfilter(mut self, hook: Netfilter) -> Self {
        self.netfilter = Some(hook);
        self
    }

    /// Runs the program about `hertz` times a second on each CPU's clock. For the section `perf_event`.
    ///
    /// The kernel's limit is in `/proc/sys/kernel/perf_event_max_sample_rate`.
    #[doc(alias = "sample_freq")]
    #[cfg(feature = "perf-event")]
    #[must_use]
    pub fn frequency(self, hertz: u64) -> Self {
        self.perf_event(PerfEvent::cpu_clock().frequency(hertz))
    }

    /// Runs the program on this event, e.g. another counter, one CPU, or a period in nanoseconds or counts
    /// ([`PerfEvent::period`]). For the section `perf_event`.
    #[doc(alias = "bpf_program__attach_perf_event")]
    #[cfg(feature = "perf-event")]
    #[must_use]
    pub fn perf_event(mut self, event: PerfEvent) -> Self {
        self.perf_event = Some(event);
        self
    }

    /// Sets the position of the program among those of the same target. For tcx (Linux 6.6), netkit (6.7) and cgroup
    /// programs (6.17). A program of a section `tc` is then attached to tcx only, not by a traffic control filter.
    #[doc(alias("BPF_F_BEFORE", "BPF_F_AFTER", "relative_fd"))]
    #[cfg(any(feature = "cgroup", feature = "network"))]
    #[must_use]
    pub fn order(mut self, order: Order<'fd>) -> Self {
        self.placement.order = Some(order);
        self
    }

    /// Attaches only if the target's list of programs is unchanged since it had this revision
    /// ([`Attached::revision`](crate::Attached::revision)). For the same programs as [`AttachContext::order`].
    #[cfg(any(feature = "cgroup", feature = "network"))]
    #[must_use]
    pub fn expected_revision(mut self, revision: u64) -> Self {
        self.placement.revision = Some(revision);
        self
    }

    /// Attaches for this process only, with all its threads. For uprobes, USDT probes, perf events, and iterators over
    /// tasks (Linux 6.1). The kernel attaches programs of other types to all processes.
    ///
    /// A library name without a slash is resolved as this process sees it; a path is resolved as the caller sees it. A
    /// warning is logged if the process has not mapped that file: a process in a container has another file at the same
    /// path. A child must have executed its program, as for [`Uprobe::pid`](crate::Uprobe::pid).
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie` or `bpf_usdt_cookie`. For probes,
    /// tracepoints, functions and perf events. Linux 5.15; 5.19 for `fentry` and its relatives, 6.10 for raw
    /// tracepoints.
    #[doc(alias = "bpf_cookie")]
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// Returns the settings that the caller has set.
    pub(super) fn given(&self) -> impl Iterator<Item = AttachField> {
        use AttachField as F;
        #[cfg(feature = "network")]
        let (xdp_mode, netfilter) = (self.xdp_mode.is_some(), self.netfilter.is_some());
        #[cfg(not(feature = "network"))]
        let (xdp_mode, netfilter) = (false, false);
        #[cfg(feature = "perf-event")]
        let perf_event = self.perf_event.is_some();
        #[cfg(not(feature = "perf-event"))]
        let perf_event = false;
        #[cfg(any(feature = "cgroup", feature = "network"))]
        let (order, revision) = (self.placement.order.is_some(), self.placement.revision.is_some());
        #[cfg(not(any(feature = "cgroup", feature = "network")))]
        let (order, revision) = (false, false);
        let fields = [
            (F::Target, self.target.is_some()),
            (F::Interface, self.interface.is_some()),
            (F::XdpMode, xdp_mode),
            (F::Cgroup, self.cgroup.is_some()),
            (F::Netns, self.netns.is_some()),
            (F::Socket, self.socket.is_some()),
            (F::Sockmap, self.sockmap.is_some()),
            (F::Lirc, self.lirc.is_some()),
            (F::Map, self.map.is_some()),
            (F::Netfilter, netfilter),
            (F::PerfEvent, perf_event),
            (F::Pid, self.pid.is_some()),
            (F::Cookie, self.cookie.is_some()),
            (F::Order, order),
            (F::ExpectedRevision, revision),
        ];
        fields.into_iter().filter_map(|(field, given)| given.then_some(field))
    }

    /// Returns the process in whose view `library` is resolved: only for a name without a slash, not for a path.
    pub(super) fn looks_up_as(&self, library: &str) -> Option<u32> {
        self.pid.filter(|_| !library.contains('/'))
    }

    pub(super) fn cookie_or_none(&self) -> u64 {
        self.cookie.unwrap_or(0)
    }
}
