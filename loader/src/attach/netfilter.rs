//! netfilter: a program at one of the five hooks where the kernel's packet filter looks at a packet (6.4).
//!
//! Several may be attached to one hook; the priority orders them among each other and the filter's own tables.
//! (`net/netfilter/nf_bpf_link.c`.)

use std::os::fd::AsFd;

use super::{Link, link::failed};
use crate::{Error, Program, ProgramType, sys::link};

/// A hook of netfilter in the caller's network namespace. Linux 6.4.
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

/// Where on a packet's way (`enum nf_inet_hooks`).
///
/// Needs this crate's feature `network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetfilterHook {
    /// Just received.
    PreRouting = 0,
    /// For this machine.
    LocalIn = 1,
    /// For another.
    Forward = 2,
    /// From this machine.
    LocalOut = 3,
    /// About to be sent.
    PostRouting = 4,
}

impl Netfilter {
    /// A hook for IPv4 packets.
    #[must_use]
    pub fn ipv4(hook: NetfilterHook) -> Self {
        Self { family: 2, hook, priority: -1, flags: 0 }
    }

    /// A hook for IPv6 packets.
    #[must_use]
    pub fn ipv6(hook: NetfilterHook) -> Self {
        Self { family: 10, ..Self::ipv4(hook) }
    }

    /// Lower numbers come first; the filter's own tables are at 0. The least and the greatest are not allowed, and each
    /// number is taken once a hook. -1 if not given.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Has the kernel put fragments together first (`BPF_F_NETFILTER_IP_DEFRAG`, Linux 6.6); the priority must be above
    /// -400.
    #[must_use]
    pub fn defragment(mut self, defragment: bool) -> Self {
        self.flags = u32::from(defragment);
        self
    }

    /// Attaches `program`, which answers 0 to drop a packet and 1 to let it pass.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another kind; [`Error::Syscall`] if the kernel refuses: EBUSY if the
    /// priority is taken.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("netfilter's hook {:?}", self.hook);
        program.must_be(&[ProgramType::NETFILTER], &what)?;
        let why = "ties the program to the hook; closing the link unties it";
        link::create_netfilter(program.as_fd(), self.family, self.hook as u32, self.priority, self.flags, why)
            .map(|link| Link::kernels(program, &what, link))
            .map_err(|error| {
                let plain = failed(program, &what, &error);
                match error.raw_os_error() {
                    Some(libc::EBUSY) => plain.advise("a program with this priority is there: choose another"),
                    Some(libc::EAFNOSUPPORT) => plain.advise("the kernel was built without netfilter for this family"),
                    _ => plain,
                }
            })
    }
}
