//! Attaches to netfilter: a program at one of the five hooks of the kernel's packet filter (Linux 6.4).
//!
//! One hook takes several programs. Their priorities order them among each other and among the filter's own tables
//! (`net/netfilter/nf_bpf_link.c`).

use std::os::fd::AsFd;

use super::{Link, link::failed};
use crate::{Error, Program, ProgramType, sys::link};

/// A netfilter hook in the caller's network namespace. Linux 6.4.
///
/// Kernel source: `net/netfilter/nf_bpf_link.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias = "bpf_program__attach_netfilter")]
#[derive(Debug, Clone)]
pub struct Netfilter {
    family: u32,
    hook: NetfilterHook,
    priority: i32,
    flags: u32,
}

/// A hook on the path of a packet (`enum nf_inet_hooks`).
///
/// Needs this crate's feature `network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetfilterHook {
    /// The packet was just received.
    PreRouting = 0,
    /// The packet is for this machine.
    LocalIn = 1,
    /// The packet is for another machine.
    Forward = 2,
    /// The packet comes from this machine.
    LocalOut = 3,
    /// The packet is about to be sent.
    PostRouting = 4,
}

impl Netfilter {
    /// Selects a hook for IPv4 packets.
    #[must_use]
    pub fn ipv4(hook: NetfilterHook) -> Self {
        Self { family: 2, hook, priority: -1, flags: 0 }
    }

    /// Selects a hook for IPv6 packets.
    #[must_use]
    pub fn ipv6(hook: NetfilterHook) -> Self {
        Self { family: 10, ..Self::ipv4(hook) }
    }

    /// Sets the priority: programs with lower numbers run first, and the filter's own tables are at 0. `i32::MIN` and
    /// `i32::MAX` are not allowed, and each priority can be used once per hook. The default is -1.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Reassembles fragments before the program runs (`BPF_F_NETFILTER_IP_DEFRAG`, Linux 6.6). The priority must be
    /// above -400.
    #[must_use]
    pub fn defragment(mut self, defragment: bool) -> Self {
        self.flags = u32::from(defragment);
        self
    }

    /// Attaches `program`, which returns 0 to drop a packet and 1 to let it pass.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: EBUSY if the
    /// priority is in use.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("netfilter's hook {:?}", self.hook);
        program.must_be(&[ProgramType::NETFILTER], &what)?;
        let why = "attaches the program to the hook; closing the link detaches it";
        link::create_netfilter(program.as_fd(), self.family, self.hook as u32, self.priority, self.flags, why)
            .map(|link| Link::kernels(program, &what, link))
            .map_err(|error| {
                let plain = failed(program, &what, &error);
                match error.raw_os_error() {
                    Some(libc::EBUSY) => plain.advise("another program has this priority: choose another one"),
                    Some(libc::EAFNOSUPPORT) => plain.advise("the kernel was built without netfilter for this family"),
                    _ => plain,
                }
            })
    }
}
