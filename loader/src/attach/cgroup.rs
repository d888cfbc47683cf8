//! Attaches to cgroups: programs that decide what the processes in a cgroup may do, and see what they send and receive.
//!
//! A program is attached to a cgroup of version 2 and applies to all cgroups below it. The fd is that of the cgroup's
//! directory, opened like any other. A link (Linux 5.7) ends when its last fd is closed. Before 5.7, `BPF_PROG_ATTACH`
//! leaves the program attached until the cgroup is removed or the program is detached (`kernel/bpf/cgroup.c`).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use cutaway_sys::fd;

use super::{Link, link::failed, prog_attach::ByCommand};
use crate::{
    Error, Program, ProgramType,
    features::{self, Support},
    sys::link::{self, Target},
};

/// A cgroup of version 2 to attach to, for the sections `cgroup…`, `sockops` and `lsm_cgroup`.
///
/// Before Linux 5.7 the program stays attached if the process dies without dropping the [`Link`].
///
/// Kernel source: `kernel/bpf/cgroup.c`.
///
/// Needs this crate's feature `cgroup`.
#[doc(alias = "bpf_program__attach_cgroup")]
#[derive(Debug, Clone, Copy)]
pub struct Cgroup<'fd> {
    cgroup: BorrowedFd<'fd>,
}

impl<'fd> Cgroup<'fd> {
    /// Selects the cgroup by its open directory, e.g. `File::open("/sys/fs/cgroup/unified/mine")`.
    #[must_use]
    pub fn new(cgroup: &'fd impl AsFd) -> Self {
        Self { cgroup: cgroup.as_fd() }
    }

    /// Attaches `program` in addition to programs that are already attached.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: EBADF if the fd
    /// is not that of a cgroup of version 2.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        use ProgramType as T;
        let kinds = [
            T::CGROUP_SKB,
            T::CGROUP_SOCK,
            T::CGROUP_SOCK_ADDR,
            T::CGROUP_DEVICE,
            T::CGROUP_SYSCTL,
            T::CGROUP_SOCKOPT,
            T::SOCK_OPS,
            T::LSM,
        ];
        let what = "the cgroup";
        program.must_be(&kinds, what)?;
        let attach_type = program.spec().section.expected_attach_type;
        let refused = |error: io::Error| {
            let plain = failed(program, what, &error);
            match error.raw_os_error() {
                Some(libc::EBADF) => plain.advise("the fd is not that of a cgroup of version 2"),
                Some(libc::EPERM) => plain.advise(
                    "run it as root, or with CAP_BPF and CAP_NET_ADMIN; or a cgroup above has a program that forbids \
                         it",
                ),
                _ => plain,
            }
        };
        match features::cgroup_link().or_since(5, 7) {
            Support::Yes => {
                let why = "attaches the program to the cgroup; closing the link detaches it";
                link::create(program.as_fd(), Target::Fd(self.cgroup), attach_type, 0, why)
                    .map(|link| Link::kernels(program, what, link))
                    .map_err(refused)
            }
            answer => {
                /// `BPF_F_ALLOW_MULTI`, which links always set.
                const BESIDE_OTHERS: u32 = 2;
                let cgroup: OwnedFd =
                    fd::duplicate(self.cgroup, "duplicates the cgroup's fd, to detach through it").map_err(refused)?;
                let call = ByCommand::attach(program, cgroup, attach_type, BESIDE_OTHERS, what).map_err(refused)?;
                Ok(Link::by_call(program, what, &format!("BPF_PROG_ATTACH; links on cgroups: {answer}"), call))
            }
        }
    }
}
