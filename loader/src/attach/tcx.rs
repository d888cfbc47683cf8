//! Attaches classifiers by links, to tcx and netkit.
//!
//! Since Linux 6.6 a network device has its own list of programs, which runs before the filters of traffic control; a
//! link appends to it (`kernel/bpf/tcx.c`). netkit devices (6.7) come in pairs, and run programs when one device passes
//! a packet to the other (`drivers/net/netkit.c`).

use std::os::fd::AsFd;

use cutaway_sys::AttachType;

use super::{Link, link::failed};
use crate::{
    Error, Program, ProgramType,
    features::{self, Support},
    sys::link::{self, Target},
};

/// A network device to attach a classifier to by a link. Linux 6.6.
///
/// Kernel source: `kernel/bpf/tcx.c`, `drivers/net/netkit.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias("bpf_program__attach_tcx", "bpf_program__attach_netkit", "BPF_TCX_INGRESS", "BPF_TCX_EGRESS"))]
#[derive(Debug, Clone)]
pub struct Tcx {
    ifindex: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ingress = AttachType::TCX_INGRESS.0 as isize,
    Egress = AttachType::TCX_EGRESS.0 as isize,
    Primary = AttachType::NETKIT_PRIMARY.0 as isize,
    Peer = AttachType::NETKIT_PEER.0 as isize,
}

impl Tcx {
    /// Selects the packets that the device receives.
    #[must_use]
    pub fn ingress(ifindex: u32) -> Self {
        Self { ifindex, kind: Kind::Ingress }
    }

    /// Selects the packets that the device sends.
    #[must_use]
    pub fn egress(ifindex: u32) -> Self {
        Self { ifindex, kind: Kind::Egress }
    }

    /// Selects the packets that a netkit pair's primary device sends to its peer (Linux 6.7).
    #[must_use]
    pub fn netkit_primary(ifindex: u32) -> Self {
        Self { ifindex, kind: Kind::Primary }
    }

    /// Selects the packets that the peer of this netkit device sends to it (Linux 6.7).
    #[must_use]
    pub fn netkit_peer(ifindex: u32) -> Self {
        Self { ifindex, kind: Kind::Peer }
    }

    /// Attaches `program` after programs that are already attached.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type, or the kernel has no such links; [`Error::Syscall`] if it
    /// refuses: ENODEV if there is no such device.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let (attach_point, answer) = match self.kind {
            Kind::Ingress | Kind::Egress => ("tcx", features::tcx_link().or_since(6, 6)),
            Kind::Primary | Kind::Peer => ("netkit", features::netkit_link().or_since(6, 7)),
        };
        let what = format!("the network device {} ({attach_point})", self.ifindex);
        program.must_be(&[ProgramType::SCHED_CLS], &what)?;
        if answer != Support::Yes {
            let advice = if attach_point == "tcx" { "; attach it with `Tc`, which every kernel supports" } else { "" };
            return Err(Error::Invalid {
                operation: format!("attach the program `{}` to {what}", program.name()),
                why: format!("{attach_point} links are {answer}{advice}"),
            });
        }
        let why = "appends the program to the device's list; closing the link removes it";
        link::create(program.as_fd(), Target::Device(self.ifindex), AttachType(self.kind as u32), 0, why)
            .map(|link| Link::kernels(program, &what, link))
            .map_err(|error| {
                let plain = failed(program, &what, &error);
                match error.raw_os_error() {
                    Some(libc::ENODEV) => plain.advise("there is no such network device"),
                    Some(libc::ENXIO | libc::EACCES) if attach_point == "netkit" => {
                        plain.advise("it is not a primary netkit device")
                    }
                    _ => plain,
                }
            })
    }
}
