//! Attaching: a program starts to run when something happens.
//!
//! Each file here is a kind of place, and a type that says which: what the kernel does there, what it is called, and since
//! when. All of them end in a [`Link`].
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
//! | `struct_ops` | [`Map::attach`](crate::Map::attach) of the table that it is in |
//!
//! The types are always there, and a program that names none of them carries none of them. But [`Program::attach`] names
//! every one that a section can ask for; so which of these it follows is a matter of features of this crate.

mod cgroup;
mod iter;
mod kprobe;
mod kprobe_multi;
pub(crate) mod library;
mod link;
mod links;
mod lirc;
mod netfilter;
mod netns;
mod pattern;
mod perf_event;
mod pmu;
mod process;
mod prog_attach;
mod raw_tracepoint;
mod socket;
mod sockmap;
mod struct_ops;
pub(crate) mod symbol;
mod tc;
mod tcx;
mod tracepoint;
mod tracing;
mod uprobe;
mod uprobe_multi;
mod usdt;
mod xdp;

pub use cgroup::Cgroup;
pub use iter::Iter;
pub use kprobe::{Kprobe, Ksyscall};
pub use kprobe_multi::KprobeMulti;
pub use link::Link;
pub(crate) use link::pin;
pub use links::Links;
pub use lirc::Lirc;
pub use netfilter::{Netfilter, NetfilterHook};
pub use netns::Netns;
pub use perf_event::PerfEvent;
pub use raw_tracepoint::RawTracepoint;
pub use socket::SocketFilter;
pub use sockmap::Sockmap;
pub use tc::Tc;
pub use tcx::Tcx;
pub use tracepoint::Tracepoint;
pub use tracing::Tracing;
pub use uprobe::Uprobe;
pub use uprobe_multi::UprobeMulti;
pub(crate) use usdt::Specs;
pub use usdt::{Usdt, UsdtPlace};
pub use xdp::{Xdp, XdpMode};

use crate::{Error, Program, ProgramType, object::Target, sys::link::attach_type};

impl Program {
    /// Attaches the program where its section's name says.
    ///
    /// # Errors
    ///
    /// [`Error::Unfit`] if the name does not say where, or names a place that this loader cannot attach to, or one for which
    /// this crate's feature was left out; otherwise as the type that attaches programs of this kind, e.g. [`Uprobe::attach`].
    pub fn attach(&self) -> Result<Link, Error> {
        let section = &self.spec().section;
        match &section.target {
            Some(Target::Uprobe { library, symbol, offset, on_return }) if cfg!(feature = "uprobe") => {
                Uprobe::new(library, symbol).offset(*offset).on_return(*on_return).attach(self)
            }
            Some(Target::UprobeMulti { library, pattern, on_return }) if cfg!(feature = "uprobe") => {
                UprobeMulti::new(library, pattern).on_return(*on_return).attach(self)
            }
            Some(Target::Usdt { library, provider, name }) if cfg!(feature = "usdt") => {
                Usdt::new(library, provider, name).attach(self)
            }
            Some(Target::Kprobe { function, offset, on_return }) if cfg!(feature = "kprobe") => {
                Kprobe::new(function).offset(*offset).on_return(*on_return).attach(self)
            }
            Some(Target::KprobeMulti { pattern, on_return }) if cfg!(feature = "kprobe") => {
                KprobeMulti::new(pattern).on_return(*on_return).attach(self)
            }
            Some(Target::Ksyscall { name, on_return }) if cfg!(feature = "kprobe") => {
                Ksyscall::new(name).on_return(*on_return).attach(self)
            }
            Some(Target::Tracepoint { category, name }) if cfg!(feature = "tracepoint") => {
                Tracepoint::new(category, name).attach(self)
            }
            Some(Target::RawTracepoint { name }) if cfg!(feature = "tracepoint") => {
                RawTracepoint::new(name).attach(self)
            }
            Some(Target::Btf { .. }) if cfg!(feature = "tracing") => match section.expected_attach_type {
                attach_type::TRACE_ITER => Iter::new().attach(self),
                attach_type::LSM_CGROUP => {
                    Err(self.unattachable("it needs a cgroup: attach it by hand, with `Cgroup`"))
                }
                _ => Tracing::new().attach(self),
            },
            Some(Target::Unreadable { why, .. }) => {
                Err(self.unattachable(&format!("{why}: attach the program by hand")))
            }
            // It was told by hand what it replaces.
            None if cfg!(feature = "tracing") && section.program_type == ProgramType::EXT => {
                Tracing::new().attach(self)
            }
            Some(Target::Label(_)) | None => Err(self.unattachable(by_hand(section.program_type))),
            Some(target) => Err(Error::left_out(self.by_section(), target.feature())),
        }
    }

    /// Why the section's name is not enough to attach it; `None` if it is.
    pub(crate) fn waits_for_a_hand(&self) -> Option<&'static str> {
        let section = &self.spec().section;
        match &section.target {
            Some(Target::Btf { .. }) if section.expected_attach_type == attach_type::LSM_CGROUP => {
                Some("it needs a cgroup")
            }
            Some(Target::Unreadable { why, .. }) => Some(why),
            Some(Target::Label(_)) | None if section.program_type != ProgramType::EXT => {
                Some(by_hand(section.program_type))
            }
            _ => None,
        }
    }

    fn by_section(&self) -> String {
        format!("attach the program `{}` by its section `{}`", self.name(), self.spec().section_name)
    }

    fn unattachable(&self, why: &str) -> Error {
        Error::Unfit { attempt: self.by_section(), why: why.to_owned() }
    }

    /// Refuses programs of other kinds, in better words than the kernel's EINVAL.
    fn must_be(&self, kinds: &[ProgramType], what: &str) -> Result<(), Error> {
        let kind = self.spec().section.program_type;
        if kinds.contains(&kind) {
            return Ok(());
        }
        let needed = kinds.iter().map(ToString::to_string).reduce(|all, kind| format!("{all} or {kind}"));
        Err(Error::Unfit {
            attempt: format!("attach the program `{}` to {what}", self.name()),
            why: format!("it is a program of the kind {kind}; {} is needed", needed.unwrap_or_default()),
        })
    }
}

/// What to do with a program whose name does not say where.
fn by_hand(kind: ProgramType) -> &'static str {
    use ProgramType as T;
    match kind {
        T::XDP => "its name does not say where: attach the program by hand, with `Xdp`",
        T::SCHED_CLS => "its name does not say where: attach the program by hand, with `Tc` or `Tcx`",
        T::PERF_EVENT => "its name does not say where: attach the program by hand, with `PerfEvent`",
        T::SOCKET_FILTER | T::SK_REUSEPORT => {
            "its name does not say where: attach the program by hand, with `SocketFilter`"
        }
        T::SK_SKB | T::SK_MSG => "its name does not say where: attach the program by hand, with `Sockmap`",
        T::SK_LOOKUP | T::FLOW_DISSECTOR => "its name does not say where: attach the program by hand, with `Netns`",
        T::NETFILTER => "its name does not say where: attach the program by hand, with `Netfilter`",
        T::CGROUP_SKB
        | T::CGROUP_SOCK
        | T::CGROUP_SOCK_ADDR
        | T::CGROUP_DEVICE
        | T::CGROUP_SYSCTL
        | T::CGROUP_SOCKOPT
        | T::SOCK_OPS => "its name does not say where: attach the program by hand, with `Cgroup`",
        T::SYSCALL => "it hangs on nothing: run it, with `Program::test_run`",
        T::STRUCT_OPS => "it is part of a table: give that to the kernel, with `Map::attach`",
        T::SCHED_ACT => {
            "it belongs to a filter of tc: pin it, with `Program::pin`, for `tc … action bpf object-pinned`"
        }
        T::LWT_IN | T::LWT_OUT | T::LWT_XMIT | T::LWT_SEG6LOCAL => {
            "it belongs to a route: pin it, with `Program::pin`, for `ip route … encap bpf … pinned`"
        }
        T::LIRC_MODE2 => "its name does not say where: attach the program by hand, with `Lirc`",
        _ => "its name does not say where: attach the program by hand",
    }
}

/// The index of the network device `name`, e.g. `lo`, in this process's network namespace.
///
/// # Errors
///
/// [`Error::Unfit`] if there is no such device.
pub fn interface_index(name: &str) -> Result<u32, Error> {
    let unfit = || Error::Unfit {
        attempt: format!("find the network device `{name}`"),
        why: "there is none of that name (`ip link` lists them)".to_owned(),
    };
    crate::sys::process::interface_index(name).ok_or_else(unfit)
}
