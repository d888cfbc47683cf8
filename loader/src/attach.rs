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
//! Which of them are there is a matter of this crate's features. A program that names none of them would carry none of them
//! even so, but [`Program::attach`] names every one that a section can ask for; and what is not there is not compiled.

#[cfg(feature = "uprobe")]
mod by_files;
#[cfg(feature = "cgroup")]
mod cgroup;
#[cfg(test)]
#[cfg(feature = "uprobe")]
#[path = "../../tests/live/support/crafted.rs"]
mod crafted;
#[cfg(feature = "uprobe")]
mod image;
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
#[cfg(feature = "network")]
mod netfilter;
#[cfg(feature = "network")]
mod netns;
#[cfg(any(feature = "kprobe", feature = "uprobe"))]
mod pattern;
#[cfg(feature = "perf-event")]
mod perf_event;
#[cfg(any(feature = "kprobe", feature = "uprobe"))]
mod pmu;
#[cfg(feature = "uprobe")]
mod process;
#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
mod prog_attach;
#[cfg(feature = "tracepoint")]
mod raw_tracepoint;
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
#[cfg(any(feature = "kprobe", feature = "tracepoint"))]
mod tracefs;
#[cfg(feature = "tracepoint")]
mod tracepoint;
#[cfg(feature = "tracing")]
mod tracing;
#[cfg(feature = "uprobe")]
mod uprobe;
#[cfg(feature = "uprobe")]
mod uprobe_multi;
#[cfg(feature = "usdt")]
mod usdt;
#[cfg(feature = "network")]
mod xdp;

#[cfg(feature = "cgroup")]
pub use self::cgroup::Cgroup;
#[cfg(feature = "lirc")]
pub use self::lirc::Lirc;
#[cfg(feature = "perf-event")]
pub use self::perf_event::PerfEvent;
#[cfg(feature = "usdt")]
pub use self::usdt::{Usdt, UsdtPlace};
#[cfg(feature = "tracing")]
pub use self::{iter::Iter, tracing::Tracing};
#[cfg(feature = "kprobe")]
pub use self::{
    kprobe::{Kprobe, Ksyscall},
    kprobe_multi::KprobeMulti,
};
pub use self::{link::Link, links::Links};
#[cfg(feature = "network")]
pub use self::{
    netfilter::{Netfilter, NetfilterHook},
    netns::Netns,
    socket::SocketFilter,
    sockmap::Sockmap,
    tc::Tc,
    tcx::Tcx,
    xdp::{Xdp, XdpMode},
};
#[cfg(feature = "tracepoint")]
pub use self::{raw_tracepoint::RawTracepoint, tracepoint::Tracepoint};
#[cfg(feature = "uprobe")]
pub use self::{uprobe::Uprobe, uprobe_multi::UprobeMulti};

#[cfg(feature = "uprobe")]
pub(crate) use self::library::Library;
pub(crate) use self::link::pin;
#[cfg(feature = "usdt")]
pub(crate) use self::usdt::Specs;
use cutaway_sys::AttachType;

use crate::{Error, Program, ProgramType, object::Target};

impl Program {
    /// Attaches the program where its section's name says.
    ///
    /// # Errors
    ///
    /// [`Error::Unfit`] if the name does not say where, or names a place that this loader cannot attach to, or one for which
    /// this crate's feature was left out; otherwise as the type that attaches programs of this kind, e.g. [`Uprobe::attach`].
    pub fn attach(&self) -> Result<Link, Error> {
        let section = &self.spec().section;
        let target = section.target.as_ref();
        #[cfg(feature = "uprobe")]
        let target = target.map(|target| target.by_files(None)).transpose()?;
        #[cfg(feature = "uprobe")]
        let target = target.as_ref();
        match target {
            #[cfg(feature = "uprobe")]
            Some(Target::Uprobe { library, symbol, offset, on_return }) => {
                Uprobe::new(library, symbol).offset(*offset).on_return(*on_return).attach(self)
            }
            #[cfg(feature = "uprobe")]
            Some(Target::UprobeMulti { library, pattern, on_return }) => {
                UprobeMulti::new(library, pattern).on_return(*on_return).attach(self)
            }
            #[cfg(feature = "usdt")]
            Some(Target::Usdt { library, provider, name }) => Usdt::new(library, provider, name).attach(self),
            #[cfg(feature = "kprobe")]
            Some(Target::Kprobe { function, offset, on_return }) => {
                Kprobe::new(function).offset(*offset).on_return(*on_return).attach(self)
            }
            #[cfg(feature = "kprobe")]
            Some(Target::KprobeMulti { pattern, on_return }) => {
                KprobeMulti::new(pattern).on_return(*on_return).attach(self)
            }
            #[cfg(feature = "kprobe")]
            Some(Target::Ksyscall { name, on_return }) => Ksyscall::new(name).on_return(*on_return).attach(self),
            #[cfg(feature = "tracepoint")]
            Some(Target::Tracepoint { category, name }) => Tracepoint::new(category, name).attach(self),
            #[cfg(feature = "tracepoint")]
            Some(Target::RawTracepoint { name }) => RawTracepoint::new(name).attach(self),
            #[cfg(feature = "tracing")]
            Some(Target::Btf { .. }) => match section.expected_attach_type {
                AttachType::TRACE_ITER => Iter::new().attach(self),
                AttachType::LSM_CGROUP if !cfg!(feature = "cgroup") => {
                    Err(Error::left_out(self.by_section(), "cgroup"))
                }
                AttachType::LSM_CGROUP => Err(self.unattachable("it needs a cgroup: attach it by hand, with `Cgroup`")),
                _ => Tracing::new().attach(self),
            },
            Some(Target::Unreadable { why, .. }) => Err(match left_out(section.program_type) {
                Some(feature) => Error::left_out(self.by_section(), feature),
                None => self.unattachable(&format!("{why}: attach the program by hand")),
            }),
            // It was told by hand what it replaces.
            #[cfg(feature = "tracing")]
            None if section.program_type == ProgramType::EXT => Tracing::new().attach(self),
            Some(Target::Label(_)) | None => Err(match by_hand(section.program_type) {
                (Some(feature), _) => Error::left_out(self.by_section(), feature),
                (None, what_to_do) => self.unattachable(what_to_do),
            }),
            #[cfg(not(all(feature = "kprobe", feature = "tracepoint", feature = "tracing", feature = "usdt")))]
            Some(target) => Err(Error::left_out(self.by_section(), target.feature())),
        }
    }

    /// Why the section's name is not enough to attach it; `None` if it is.
    pub(crate) fn waits_for_a_hand(&self) -> Option<&'static str> {
        let section = &self.spec().section;
        match &section.target {
            Some(Target::Btf { .. }) if section.expected_attach_type == AttachType::LSM_CGROUP => {
                Some("it needs a cgroup")
            }
            Some(Target::Unreadable { why, .. }) => Some(why),
            Some(Target::Label(_)) | None if section.program_type != ProgramType::EXT => {
                Some(by_hand(section.program_type).1)
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

/// The feature that has the type by which programs of this kind are attached by hand, if this build lacks it.
fn left_out(kind: ProgramType) -> Option<&'static str> {
    by_hand(kind).0
}

/// What to do with a program whose name does not say where, and the feature for it, if this build lacks that.
fn by_hand(kind: ProgramType) -> (Option<&'static str>, &'static str) {
    use ProgramType as T;
    let network = (!cfg!(feature = "network")).then_some("network");
    let cgroup = (!cfg!(feature = "cgroup")).then_some("cgroup");
    let tracepoint = (!cfg!(feature = "tracepoint")).then_some("tracepoint");
    let perf_event = (!cfg!(feature = "perf-event")).then_some("perf-event");
    let lirc = (!cfg!(feature = "lirc")).then_some("lirc");
    // One of the two would do.
    let probe = (!cfg!(any(feature = "uprobe", feature = "kprobe"))).then_some("uprobe");
    match kind {
        T::XDP => (network, say("its name does not say where: attach the program by hand, with `Xdp`")),
        T::SCHED_CLS => (network, say("its name does not say where: attach the program by hand, with `Tc` or `Tcx`")),
        T::PERF_EVENT => (perf_event, say("its name does not say where: attach the program by hand, with `PerfEvent`")),
        T::SOCKET_FILTER | T::SK_REUSEPORT => {
            (network, say("its name does not say where: attach the program by hand, with `SocketFilter`"))
        }
        T::SK_SKB | T::SK_MSG => {
            (network, say("its name does not say where: attach the program by hand, with `Sockmap`"))
        }
        T::SK_LOOKUP | T::FLOW_DISSECTOR => {
            (network, say("its name does not say where: attach the program by hand, with `Netns`"))
        }
        T::NETFILTER => (network, say("its name does not say where: attach the program by hand, with `Netfilter`")),
        T::CGROUP_SKB
        | T::CGROUP_SOCK
        | T::CGROUP_SOCK_ADDR
        | T::CGROUP_DEVICE
        | T::CGROUP_SYSCTL
        | T::CGROUP_SOCKOPT
        | T::SOCK_OPS => (cgroup, say("its name does not say where: attach the program by hand, with `Cgroup`")),
        T::SYSCALL => (None, say("it is attached to nothing: run it, with `Program::test_run`")),
        T::STRUCT_OPS => (None, say("it is part of a table: give that to the kernel, with `Map::attach`")),
        T::SCHED_ACT => (
            None,
            say("it belongs to a filter of tc: pin it, with `Program::pin`, for `tc … action bpf object-pinned`"),
        ),
        T::LWT_IN | T::LWT_OUT | T::LWT_XMIT | T::LWT_SEG6LOCAL => {
            (None, say("it belongs to a route: pin it, with `Program::pin`, for `ip route … encap bpf … pinned`"))
        }
        T::LIRC_MODE2 => (lirc, say("its name does not say where: attach the program by hand, with `Lirc`")),
        T::TRACEPOINT | T::RAW_TRACEPOINT | T::RAW_TRACEPOINT_WRITABLE => (tracepoint, BY_HAND),
        T::KPROBE => (probe, BY_HAND),
        _ => (None, BY_HAND),
    }
}

/// A longer text, if this build has such.
const fn say(text: &'static str) -> &'static str {
    if cfg!(feature = "advice") { text } else { BY_HAND }
}

const BY_HAND: &str = "its name does not say where: attach the program by hand";

/// The index of the network device `name`, e.g. `lo`, in this process's network namespace.
///
/// # Errors
///
/// [`Error::Unfit`] if there is no such device.
///
/// Needs this crate's feature `network`.
#[cfg(feature = "network")]
pub fn interface_index(name: &str) -> Result<u32, Error> {
    let unfit = || Error::Unfit {
        attempt: format!("find the network device `{name}`"),
        why: "there is none of that name (`ip link` lists them)".to_owned(),
    };
    crate::sys::process::interface_index(name).ok_or_else(unfit)
}

#[cfg(test)]
mod tests {
    use super::{ProgramType, left_out};

    #[test]
    fn the_feature_that_is_missing_is_named_if_and_only_if_it_is_left_out() {
        for (kind, feature, there) in [
            (ProgramType::XDP, "network", cfg!(feature = "network")),
            (ProgramType::SK_LOOKUP, "network", cfg!(feature = "network")),
            (ProgramType::CGROUP_SKB, "cgroup", cfg!(feature = "cgroup")),
            (ProgramType::PERF_EVENT, "perf-event", cfg!(feature = "perf-event")),
            (ProgramType::LIRC_MODE2, "lirc", cfg!(feature = "lirc")),
            (ProgramType::RAW_TRACEPOINT, "tracepoint", cfg!(feature = "tracepoint")),
            (ProgramType::KPROBE, "uprobe", cfg!(any(feature = "uprobe", feature = "kprobe"))),
        ] {
            assert_eq!(left_out(kind), (!there).then_some(feature), "{kind}");
        }
        assert_eq!(left_out(ProgramType::SYSCALL), None);
    }
}
