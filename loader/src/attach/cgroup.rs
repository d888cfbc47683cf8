//! Attaches to cgroups: programs that decide what the processes in a cgroup may do, and see what they send and receive.
//!
//! A program is attached to a cgroup of version 2 and applies to all cgroups below it. The fd is that of the cgroup's
//! directory, opened like any other. A link (Linux 5.7) ends when its last fd is closed. Before 5.7, `BPF_PROG_ATTACH`
//! leaves the program attached until the cgroup is removed or the program is detached (`kernel/bpf/cgroup.c`).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

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
    placement: Placement<'fd>,
    preorder: bool,
    without_link: bool,
}

/// `BPF_F_ALLOW_MULTI`, which links always set.
const BESIDE_OTHERS: u32 = 1 << 1;
const PREORDER: u32 = 1 << 6;
const WHAT: &str = "the cgroup";

impl<'fd> Cgroup<'fd> {
    /// Selects the cgroup by its open directory, e.g. `File::open("/sys/fs/cgroup/unified/mine")`.
    #[must_use]
    pub fn new(cgroup: &'fd impl AsFd) -> Self {
        Self { cgroup: cgroup.as_fd(), placement: Placement::default(), preorder: false, without_link: false }
    }

    /// Sets the position of the program among those of the same attach type in this cgroup (Linux 6.17). The default is
    /// [`Order::Last`], which every kernel supports.
    #[doc(alias("relative_fd", "relative_id", "BPF_F_BEFORE", "BPF_F_AFTER"))]
    #[must_use]
    pub fn order(mut self, order: Order<'fd>) -> Self {
        self.placement.order = Some(order);
        self
    }

    /// Attaches only if the cgroup's list of programs is unchanged since it had this revision
    /// ([`Attached::revision`]; Linux 6.17).
    #[must_use]
    pub fn expected_revision(mut self, revision: u64) -> Self {
        self.placement.revision = Some(revision);
        self
    }

    /// Runs the program before those of the cgroups below, instead of after them (Linux 6.15).
    #[doc(alias = "BPF_F_PREORDER")]
    #[must_use]
    pub fn preorder(mut self) -> Self {
        self.preorder = true;
        self
    }

    pub(super) fn placed(self, placement: Placement<'fd>) -> Self {
        Self { placement, ..self }
    }

    /// Attaches without a link, by `BPF_PROG_ATTACH`, as on kernels before 5.7. The program stays if the process dies
    /// without dropping the [`Link`], and others can replace it ([`Cgroup::replace`]).
    #[doc(alias("BPF_PROG_ATTACH", "bpf_prog_attach_opts"))]
    #[must_use]
    pub fn without_link(mut self) -> Self {
        self.without_link = true;
        self
    }

    /// Attaches `program` in addition to programs that are already attached, by default after them.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type, or the kernel cannot order the programs of a cgroup;
    /// [`Error::Syscall`] if the kernel refuses: EBADF if the fd is not that of a cgroup of version 2, ENOENT or EINVAL
    /// if the program or link to order by is not attached there, ESTALE if the list has another revision.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let attach_type = check(program)?;
        let position = self.position(program)?;
        if self.without_link {
            return self.by_command(program, (position, None), "BPF_PROG_ATTACH");
        }
        match Support::probed_or_since(features::cgroup_link, 5, 7) {
            Support::Yes => {
                let why = "attaches the program to the cgroup; closing the link detaches it";
                let target = Target::Fd(self.cgroup);
                if position == Position::default() {
                    link::create(program.as_fd(), target, attach_type, 0, why)
                } else {
                    link::create_at(program.as_fd(), target, attach_type, position, why)
                }
                .map(|link| Link::kernels(program, WHAT, link))
                .map_err(|error| self.refused(program, &error))
            }
            answer => {
                self.by_command(program, (position, None), &format!("BPF_PROG_ATTACH; links on cgroups: {answer}"))
            }
        }
    }

    /// Attaches `program` in place of `replaced`, which is attached to this cgroup without a link (by any process, e.g.
    /// [`Cgroup::without_link`]), in one step (Linux 5.6). The program stays if the process dies without dropping the
    /// [`Link`]. To replace the program of a link, use [`Link::update`].
    ///
    /// # Errors
    ///
    /// As [`Cgroup::attach`]; [`Error::Invalid`] if an [`Order`] is set: the program takes the position of the replaced
    /// one; [`Error::Syscall`] with ENOENT if `replaced` is not attached there without a link.
    #[doc(alias("BPF_F_REPLACE", "replace_prog_fd"))]
    pub fn replace(&self, program: &Program, replaced: &Program) -> Result<Link, Error> {
        check(program)?;
        if self.placement.order.is_some() {
            let why = "it takes the position of the program that it replaces: set no order".to_owned();
            return Err(Error::Invalid { operation: attempt(program), why });
        }
        let position = self.position(program)?;
        self.by_command(program, (position, Some(replaced)), "BPF_PROG_ATTACH")
    }

    /// Returns the programs of this attach type that are attached to the cgroup itself, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EBADF if the fd is not that of a cgroup of version 2, EINVAL if `attach_type` is not one of
    /// cgroups, EPERM without CAP_NET_ADMIN.
    #[doc(alias("BPF_PROG_QUERY", "bpf_prog_query_opts"))]
    pub fn attached(&self, attach_type: AttachType) -> Result<Attached, Error> {
        self.list(attach_type, Lists::ProgramsAndFlags)
    }

    /// Returns the programs of this attach type that run for processes of the cgroup, also those that are attached to
    /// the cgroups above, in the order in which they run.
    ///
    /// # Errors
    ///
    /// As [`Cgroup::attached`].
    #[doc(alias = "BPF_F_QUERY_EFFECTIVE")]
    pub fn effective(&self, attach_type: AttachType) -> Result<Attached, Error> {
        self.list(attach_type, Lists::Effective)
    }

    fn list(&self, attach_type: AttachType, lists: Lists) -> Result<Attached, Error> {
        query::attached(Target::Fd(self.cgroup), attach_type, lists, WHAT, |error| match error.raw_os_error()? {
            libc::EBADF => Some("the fd is not that of a cgroup of version 2"),
            libc::EINVAL => Some("is it an attach type of cgroups, which this kernel knows?"),
            _ => None,
        })
    }

    /// Returns the position as bpf(2) takes it, if this kernel has such positions.
    fn position(&self, program: &Program) -> Result<Position, Error> {
        let mut position = self.placement.position(&|| attempt(program))?;
        let support = || Support::probed_or_since(features::cgroup_order, 6, 17);
        if !self.placement.is_default() && support() != Support::Yes {
            let why = format!("an order or a revision of a cgroup's programs is {}", support());
            return Err(Error::Invalid { operation: attempt(program), why });
        }
        if self.preorder {
            position.flags |= PREORDER;
        }
        Ok(position)
    }

    fn by_command(
        &self,
        program: &Program,
        (mut position, replaced): (Position, Option<&Program>),
        call: &str,
    ) -> Result<Link, Error> {
        position.flags |= BESIDE_OTHERS;
        let attach_type = program.spec().section.expected_attach_type;
        OwnTarget::duplicate(self.cgroup)
            .and_then(|cgroup| {
                let replacing = Replacing::ByFlag(position.flags & (BESIDE_OTHERS | PREORDER));
                ByCommand::attach(program, cgroup, attach_type, (position, replaced), replacing, WHAT)
            })
            .map(|attached| Link::by_call(program, WHAT, call, attached))
            .map_err(|error| match (error.raw_os_error(), replaced) {
                (Some(libc::ENOENT), Some(replaced)) => failed(program, WHAT, &error).advise(&format!(
                    "the program `{}` is not attached to it without a link; for one with a link, use `Link::update`",
                    replaced.name()
                )),
                _ => self.refused(program, &error),
            })
    }

    fn refused(&self, program: &Program, error: &io::Error) -> Error {
        let plain = failed(program, WHAT, error);
        match (error.raw_os_error(), self.placement.is_by_link(), self.without_link) {
            (Some(libc::EINVAL), Some(false), false) => {
                return plain.advise(
                    "the kernel orders a program with a link by links only: pass the anchor's link, or attach both \
                     without a link",
                );
            }
            (Some(libc::EINVAL), Some(true), true) => {
                return plain.advise(
                    "the kernel orders a program without a link by programs without a link only: pass such a program, \
                     or attach by a link",
                );
            }
            _ => {}
        }
        if let Some(advice) = self.placement.advice(error.raw_os_error()) {
            return plain.advise(advice);
        }
        match error.raw_os_error() {
            Some(libc::EBADF) => plain.advise("the fd is not that of a cgroup of version 2"),
            Some(libc::EINVAL) if self.preorder => plain.advise("running before the cgroups below needs Linux 6.15"),
            Some(libc::EPERM) => plain.advise(
                "run it as root, or with CAP_BPF and CAP_NET_ADMIN; or a cgroup above has a program that forbids it",
            ),
            _ => plain,
        }
    }
}

/// Checks the program's type, and returns its attach type.
fn check(program: &Program) -> Result<AttachType, Error> {
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
    program.must_be(&kinds, WHAT)?;
    program.must_have_attach_type(WHAT)?;
    Ok(program.spec().section.expected_attach_type)
}

fn attempt(program: &Program) -> String {
    format!("attach the program `{}` to {WHAT}", program.name())
}
