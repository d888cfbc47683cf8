//! Attaches to network namespaces: programs that find the socket for a packet, or dissect its headers.
//!
//! `sk_lookup` (Linux 5.9) runs when the kernel looks up the local socket for a packet. `flow_dissector` tells the rest
//! of the kernel where a packet's headers are. Both are attached to a network namespace by a link (5.8;
//! `kernel/bpf/net_namespace.c`).

use std::os::fd::{AsFd, BorrowedFd};

use super::{Attached, Link, link::failed, query};
use crate::{
    AttachType, Error, Program, ProgramType,
    sys::{
        link::{self, Target},
        query::Lists,
    },
};

/// A network namespace to attach to, for the sections `sk_lookup` (Linux 5.9) and `flow_dissector` (5.8).
///
/// Kernel source: `kernel/bpf/net_namespace.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias = "bpf_program__attach_netns")]
#[derive(Debug, Clone, Copy)]
pub struct Netns<'fd> {
    namespace: BorrowedFd<'fd>,
}

impl<'fd> Netns<'fd> {
    /// Selects the namespace by its open file, e.g. `File::open("/proc/self/ns/net")`.
    #[must_use]
    pub fn new(namespace: &'fd impl AsFd) -> Self {
        Self { namespace: namespace.as_fd() }
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: EINVAL if the fd
    /// is not that of a network namespace, EEXIST or E2BIG if it already has programs.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = "the network namespace";
        program.must_be(&[ProgramType::SK_LOOKUP, ProgramType::FLOW_DISSECTOR], what)?;
        let why = "attaches the program to the network namespace; closing the link detaches it";
        let attach_type = program.spec().section.expected_attach_type;
        link::create(program.as_fd(), Target::Fd(self.namespace), attach_type, 0, why)
            .map(|link| Link::kernels(program, what, link))
            .map_err(|error| {
                let plain = failed(program, what, &error);
                match error.raw_os_error() {
                    Some(libc::EINVAL | libc::EBADF) => {
                        plain.advise("is the fd that of a network namespace, and this Linux 5.8 or newer?")
                    }
                    Some(libc::EEXIST) => plain.advise("it already has a program of this type"),
                    _ => plain,
                }
            })
    }

    /// Returns the programs of this attach type (`SK_LOOKUP` or `FLOW_DISSECTOR`), in the order in which they run
    /// (Linux 5.8).
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EINVAL if the fd is not that of a network namespace, or the attach type is another one;
    /// EPERM without CAP_NET_ADMIN.
    #[doc(alias("BPF_PROG_QUERY", "bpf_prog_query_opts"))]
    pub fn attached(&self, attach_type: AttachType) -> Result<Attached, Error> {
        let target = Target::Fd(self.namespace);
        query::attached(target, attach_type, Lists::Programs, "the network namespace", |error| {
            match error.raw_os_error()? {
                libc::EINVAL | libc::EBADF => {
                    Some("is the fd that of a network namespace, and the attach type SK_LOOKUP or FLOW_DISSECTOR?")
                }
                _ => None,
            }
        })
    }
}
