//! Attaches classifiers to the ordered lists of network devices, tcx and netkit.
//!
//! Since Linux 6.6 a network device has its own list of programs, which runs before the filters of traffic control
//! (`kernel/bpf/tcx.c`). netkit devices (6.7) come in pairs, and run programs when one device passes a packet to the
//! other (`drivers/net/netkit.c`). A link adds a program to the list, at the end unless an [`Order`] says otherwise
//! (`kernel/bpf/mprog.c`).

use std::{io, os::fd::AsFd};

use cutaway_sys::AttachType;

use super::{
    Attached, Link, Order,
    link::failed,
    order::Placement,
    prog_attach::{ByCommand, OwnTarget, Replacing},
    query,
};
use crate::{
    Error, Program, ProgramType,
    features::{self, Support},
    sys::{
        link::{self, Position, Target},
        query::Lists,
    },
};

/// A network device to attach a classifier to, at a position in its list of programs. Linux 6.6.
///
/// Kernel source: `kernel/bpf/tcx.c`, `drivers/net/netkit.c`, `kernel/bpf/mprog.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias("bpf_program__attach_tcx", "bpf_program__attach_netkit", "BPF_TCX_INGRESS", "BPF_TCX_EGRESS"))]
#[derive(Debug, Clone)]
pub struct Tcx<'a> {
    ifindex: u32,
    kind: Kind,
    placement: Placement<'a>,
    without_link: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ingress = AttachType::TCX_INGRESS.0 as isize,
    Egress = AttachType::TCX_EGRESS.0 as isize,
    Primary = AttachType::NETKIT_PRIMARY.0 as isize,
    Peer = AttachType::NETKIT_PEER.0 as isize,
}

impl Kind {
    /// Returns the name of the attach point.
    fn name(self) -> &'static str {
        match self {
            Self::Ingress | Self::Egress => "tcx",
            Self::Primary | Self::Peer => "netkit",
        }
    }
}

impl<'a> Tcx<'a> {
    fn new(ifindex: u32, kind: Kind) -> Self {
        Self { ifindex, kind, placement: Placement::default(), without_link: false }
    }

    /// Selects the packets that the device receives.
    #[must_use]
    pub fn ingress(ifindex: u32) -> Self {
        Self::new(ifindex, Kind::Ingress)
    }

    /// Selects the packets that the device sends.
    #[must_use]
    pub fn egress(ifindex: u32) -> Self {
        Self::new(ifindex, Kind::Egress)
    }

    /// Selects the packets that a netkit pair's primary device sends to its peer (Linux 6.7).
    #[must_use]
    pub fn netkit_primary(ifindex: u32) -> Self {
        Self::new(ifindex, Kind::Primary)
    }

    /// Selects the packets that the peer of this netkit device sends to it (Linux 6.7).
    #[must_use]
    pub fn netkit_peer(ifindex: u32) -> Self {
        Self::new(ifindex, Kind::Peer)
    }

    /// Sets the position of the program among those of the device. The default is [`Order::Last`].
    #[doc(alias("relative_fd", "relative_id", "BPF_F_BEFORE", "BPF_F_AFTER"))]
    #[must_use]
    pub fn order(mut self, order: Order<'a>) -> Self {
        self.placement.order = Some(order);
        self
    }

    /// Attaches only if the list of programs is unchanged since it had this revision ([`Attached::revision`]).
    #[must_use]
    pub fn expected_revision(mut self, revision: u64) -> Self {
        self.placement.revision = Some(revision);
        self
    }

    pub(super) fn placed(self, placement: Placement<'a>) -> Self {
        Self { placement, ..self }
    }

    /// Attaches without a link, by `BPF_PROG_ATTACH`. The program then stays if the process dies without dropping the
    /// [`Link`], and others can replace it.
    #[doc(alias("BPF_PROG_ATTACH", "bpf_prog_attach_opts"))]
    #[must_use]
    pub fn without_link(mut self) -> Self {
        self.without_link = true;
        self
    }

    /// Attaches `program`, by default after programs that are already attached.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type, the kernel has no such links, or the order refers to a
    /// link that is not the kernel's; [`Error::Syscall`] if the kernel refuses: ENODEV if there is no such device,
    /// ENOENT or EINVAL if the program or link to order by is not attached there, ESTALE if the list has another
    /// revision, EEXIST if the program is already attached there.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = self.checked(program)?;
        let position = self.placement.position(&|| format!("attach the program `{}` to {what}", program.name()))?;
        if self.without_link {
            return self.by_command(program, position, None, &what);
        }
        let why = "adds the program to the device's list; closing the link removes it";
        let (target, attach_type) = (Target::Device(self.ifindex), self.attach_type());
        if self.placement.is_default() {
            link::create(program.as_fd(), target, attach_type, 0, why)
        } else {
            link::create_at(program.as_fd(), target, attach_type, position, why)
        }
        .map(|link| Link::kernels(program, &what, link))
        .map_err(|error| self.refused(program, &what, &error))
    }

    /// Attaches `program` in place of `replaced`, which is attached without a link (by any process, e.g.
    /// [`Tcx::without_link`]), in one step. The program stays if the process dies without dropping the [`Link`]. To
    /// replace the program of a link, use [`Link::update`].
    ///
    /// # Errors
    ///
    /// As [`Tcx::attach`]; [`Error::Invalid`] if an [`Order`] is set: the program takes the position of the replaced
    /// one; [`Error::Syscall`] with ENOENT if `replaced` is not attached there without a link, EBUSY if it is attached
    /// by a link.
    #[doc(alias("BPF_F_REPLACE", "replace_prog_fd"))]
    pub fn replace(&self, program: &Program, replaced: &Program) -> Result<Link, Error> {
        let what = self.checked(program)?;
        let attempt = || format!("attach the program `{}` to {what}", program.name());
        if self.placement.order.is_some() {
            let why = "it takes the position of the program that it replaces: set no order".to_owned();
            return Err(Error::Invalid { operation: attempt(), why });
        }
        let position = self.placement.position(&attempt)?;
        self.by_command(program, position, Some(replaced), &what)
    }

    /// Returns the programs of the device in this direction, in the order in which they run.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: ENODEV if there is no such device; EINVAL before Linux 6.6; EPERM without CAP_NET_ADMIN.
    #[doc(alias("BPF_PROG_QUERY", "bpf_prog_query_opts"))]
    pub fn attached(&self) -> Result<Attached, Error> {
        let (target, attach_type) = (Target::Device(self.ifindex), self.attach_type());
        let netkit = self.kind.name() == "netkit";
        query::attached(target, attach_type, Lists::ProgramsAndLinks, &self.what(), |error| {
            match error.raw_os_error()? {
                libc::ENODEV => Some("there is no such network device"),
                libc::ENXIO | libc::EACCES if netkit => Some("it is not a primary netkit device"),
                libc::EINVAL if netkit => Some("netkit needs Linux 6.7 with CONFIG_NETKIT"),
                libc::EINVAL => Some("tcx needs Linux 6.6"),
                _ => None,
            }
        })
    }

    fn attach_type(&self) -> AttachType {
        AttachType(self.kind as u32)
    }

    /// Returns the target, for messages.
    fn what(&self) -> String {
        format!("the network device {} ({})", self.ifindex, self.kind.name())
    }

    /// Checks the program and the kernel, and returns the target for messages.
    fn checked(&self, program: &Program) -> Result<String, Error> {
        let answer = match self.kind {
            Kind::Ingress | Kind::Egress => Support::probed_or_since(features::tcx_link, 6, 6),
            Kind::Primary | Kind::Peer => Support::probed_or_since(features::netkit_link, 6, 7),
        };
        let (what, attach_point) = (self.what(), self.kind.name());
        program.must_be(&[ProgramType::SCHED_CLS], &what)?;
        if answer == Support::Yes {
            return Ok(what);
        }
        let advice = match self.kind {
            Kind::Ingress | Kind::Egress if self.placement.is_default() => {
                "; attach it with `Tc`, which every kernel supports"
            }
            Kind::Ingress | Kind::Egress => "; `Tc`, which every kernel supports, orders filters by `Tc::priority`",
            Kind::Primary | Kind::Peer => "",
        };
        Err(Error::Invalid {
            operation: format!("attach the program `{}` to {what}", program.name()),
            why: format!("{attach_point} links are {answer}{advice}"),
        })
    }

    fn by_command(
        &self,
        program: &Program,
        position: Position,
        replaced: Option<&Program>,
        what: &str,
    ) -> Result<Link, Error> {
        let target = OwnTarget::Device(self.ifindex);
        ByCommand::attach(program, target, self.attach_type(), (position, replaced), Replacing::ByFlag(0), what)
            .map(|call| Link::by_call(program, what, "BPF_PROG_ATTACH", call))
            .map_err(|error| match (error.raw_os_error(), replaced) {
                (Some(libc::ENOENT), Some(replaced)) => failed(program, what, &error)
                    .advise(&format!("the program `{}` is not attached there", replaced.name())),
                (Some(libc::EBUSY), Some(replaced)) => failed(program, what, &error).advise(&format!(
                    "the program `{}` is attached there by a link: use `Link::update`",
                    replaced.name()
                )),
                _ => self.refused(program, what, &error),
            })
    }

    fn refused(&self, program: &Program, what: &str, error: &io::Error) -> Error {
        let plain = failed(program, what, error);
        if let Some(advice) = self.placement.advice(error.raw_os_error()) {
            return plain.advise(advice);
        }
        match error.raw_os_error() {
            Some(libc::ENODEV) => plain.advise("there is no such network device"),
            Some(libc::EEXIST) => plain.advise("the program is already attached there"),
            Some(libc::ERANGE) => plain.advise("the device has 64 programs, the maximum"),
            Some(libc::ENXIO | libc::EACCES) if self.kind.name() == "netkit" => {
                plain.advise("it is not a primary netkit device")
            }
            _ => plain,
        }
    }
}
