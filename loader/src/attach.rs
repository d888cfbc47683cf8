//! Attaches loaded programs to their targets.
//!
//! Most files hold one kind of attach point, with a type that describes it and whose `attach` returns a [`Link`].
//! [`Program::attach_with`](crate::Program::attach_with) (`dispatch`) chooses among them by the program's section and
//! by the settings of an [`AttachContext`]. `needs` lists the settings that a program takes and needs.
//!
//! | the section begins with | attached by |
//! | --- | --- |
//! | `uprobe`, `uretprobe` | [`Uprobe`] |
//! | `uprobe.multi`, `uretprobe.multi`, `uprobe.session` | [`UprobeMulti`] |
//! | `usdt` | [`Usdt`] |
//! | `kprobe`, `kretprobe` | [`Kprobe`] |
//! | `kprobe.multi`, `kretprobe.multi`, `kprobe.session` | [`KprobeMulti`] |
//! | `ksyscall`, `kretsyscall` | [`Ksyscall`] |
//! | `tracepoint`, `tp` | [`Tracepoint`] |
//! | `raw_tracepoint`, `raw_tp` | [`RawTracepoint`] |
//! | `tp_btf`, `fentry`, `fexit`, `fmod_ret`, `lsm`, `freplace` | [`Tracing`] |
//! | `fentry.multi`, `fexit.multi`, `fsession.multi` | [`TracingMulti`] |
//! | `iter` | [`Iter`] |
//! | `perf_event` | [`PerfEvent`] |
//! | `xdp` | [`Xdp`] |
//! | `tc`, `classifier` | [`Tc`] |
//! | `tcx`, `netkit` | [`Tcx`] |
//! | `socket`, `sk_reuseport` | [`SocketFilter`] |
//! | `cgroup`, `sockops`, `lsm_cgroup` | [`Cgroup`] |
//! | `sk_skb`, `sk_msg` | [`Sockmap`] |
//! | `sk_lookup`, `flow_dissector` | [`Netns`] |
//! | `netfilter` | [`Netfilter`] |
//! | `lirc_mode2` | [`Lirc`] |
//! | `struct_ops` | [`Map::attach`](crate::Map::attach) of the map that lists the program |
//!
//! Attach types are cargo features because [`Program::attach`](crate::Program::attach) references each of them, which
//! defeats dead-code elimination.

#[cfg(feature = "perf-event")]
mod breakpoint;
#[cfg(feature = "uprobe")]
mod by_files;
#[cfg(feature = "cgroup")]
mod cgroup;
mod context;
#[cfg(test)]
#[cfg(feature = "uprobe")]
#[path = "../../tests/live/support/crafted.rs"]
mod crafted;
mod detach;
mod dispatch;
mod handle;
#[cfg(feature = "uprobe")]
mod image;
#[cfg(feature = "network")]
mod interface;
#[cfg(feature = "tracing")]
mod iter;
#[cfg(feature = "kprobe")]
mod kprobe;
#[cfg(feature = "kprobe")]
mod kprobe_multi;
#[cfg(feature = "uprobe")]
mod ld_cache;
#[cfg(feature = "uprobe")]
mod library;
mod link;
mod links;
#[cfg(feature = "lirc")]
mod lirc;
mod loaded;
#[cfg(feature = "uprobe")]
mod maps;
mod named;
mod needs;
#[cfg(feature = "network")]
mod netfilter;
#[cfg(feature = "network")]
mod netns;
#[cfg(any(feature = "cgroup", feature = "network"))]
mod order;
#[cfg(any(feature = "kprobe", feature = "tracing", feature = "uprobe"))]
mod pattern;
#[cfg(feature = "perf-event")]
mod perf_event;
#[cfg(any(feature = "kprobe", feature = "uprobe"))]
mod pmu;
#[cfg(feature = "uprobe")]
mod process;
#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
mod prog_attach;
#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
mod query;
#[cfg(feature = "tracepoint")]
mod raw_tracepoint;
#[cfg(feature = "uprobe")]
mod root;
#[cfg(feature = "network")]
mod socket;
#[cfg(feature = "network")]
mod sockmap;
#[cfg(feature = "uprobe")]
mod stripped;
#[cfg(feature = "struct-ops")]
mod struct_ops;
#[cfg(feature = "uprobe")]
mod symbol;
#[cfg(feature = "uprobe")]
mod tables;
#[cfg(feature = "network")]
mod tc;
#[cfg(feature = "network")]
mod tcx;
#[cfg(any(feature = "kprobe", feature = "tracing"))]
mod traceable;
#[cfg(any(feature = "kprobe", feature = "tracepoint", feature = "tracing"))]
mod tracefs;
#[cfg(feature = "tracepoint")]
mod tracepoint;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(feature = "tracing")]
mod tracing_multi;
#[cfg(feature = "links")]
mod update;
#[cfg(feature = "uprobe")]
mod uprobe;
#[cfg(feature = "uprobe")]
mod uprobe_multi;
#[cfg(feature = "usdt")]
mod usdt;
#[cfg(feature = "uprobe")]
mod view;
#[cfg(feature = "network")]
mod xdp;

#[cfg(feature = "cgroup")]
pub use self::cgroup::Cgroup;
#[cfg(feature = "lirc")]
pub use self::lirc::Lirc;
#[cfg(any(feature = "cgroup", feature = "network"))]
pub use self::order::{Anchor, Order};
#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
pub use self::query::{Attached, AttachedProgram};
#[cfg(feature = "usdt")]
pub use self::usdt::{Usdt, UsdtLocation};
#[cfg(feature = "perf-event")]
pub use self::{breakpoint::Breakpoint, perf_event::PerfEvent};
pub use self::{
    context::{AttachContext, AttachField},
    link::Link,
    links::Links,
    named::NamedLinks,
};
#[cfg(feature = "network")]
pub use self::{
    interface::interface_index,
    netfilter::{Netfilter, NetfilterHook},
    netns::Netns,
    socket::SocketFilter,
    sockmap::Sockmap,
    tc::Tc,
    tcx::Tcx,
    xdp::{Xdp, XdpMode},
};
#[cfg(feature = "tracing")]
pub use self::{iter::Iter, tracing::Tracing, tracing_multi::TracingMulti};
#[cfg(feature = "kprobe")]
pub use self::{
    kprobe::{Kprobe, Ksyscall},
    kprobe_multi::KprobeMulti,
};
#[cfg(feature = "tracepoint")]
pub use self::{raw_tracepoint::RawTracepoint, tracepoint::Tracepoint};
#[cfg(feature = "uprobe")]
pub use self::{uprobe::Uprobe, uprobe_multi::UprobeMulti};

#[cfg(feature = "uprobe")]
pub(crate) use self::library::Library;
