//! The position of a program among the programs of its target (`bpf_mprog_attach` in `kernel/bpf/mprog.c`,
//! `cgroup_bpf_attach` in `kernel/bpf/cgroup.c`).

use std::os::fd::{AsFd, AsRawFd};

use super::Link;
use crate::{Error, Program, sys::link::Position};

/// The position of a program among those that are attached to the same target.
///
/// For [`Tcx`](crate::Tcx) (Linux 6.6, netkit 6.7) and [`Cgroup`](crate::Cgroup) (6.17).
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// use cutaway::{Order, Tcx};
///
/// let counts = Tcx::ingress(2).attach(loaded.program("counts")?)?;
/// // The firewall runs before the program that counts.
/// let firewall = Tcx::ingress(2).order(Order::before(&counts)).attach(loaded.program("firewall")?)?;
/// # Ok(())
/// # }
/// ```
#[doc(alias("BPF_F_BEFORE", "BPF_F_AFTER", "LinkOrder", "Anchor"))]
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum Order<'a> {
    /// Before all others.
    First,
    /// After all others.
    #[default]
    Last,
    /// Directly before another program.
    Before(Anchor<'a>),
    /// Directly after another program.
    After(Anchor<'a>),
}

impl<'a> Order<'a> {
    /// Selects the position directly before a [`Program`], a [`Link`], or another [`Anchor`].
    #[must_use]
    pub fn before(anchor: impl Into<Anchor<'a>>) -> Self {
        Self::Before(anchor.into())
    }

    /// Selects the position directly after a [`Program`], a [`Link`], or another [`Anchor`].
    #[must_use]
    pub fn after(anchor: impl Into<Anchor<'a>>) -> Self {
        Self::After(anchor.into())
    }
}

/// An attached program to which an [`Order`] refers.
///
/// For a network device any anchor is possible. For a cgroup, a program that is attached by a link needs a link as its
/// anchor, and a program without a link needs a program without a link.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Anchor<'a> {
    /// A program.
    Program(&'a Program),
    /// The program with this id.
    ProgramId(u32),
    /// A link.
    Link(&'a Link),
    /// The link with this id.
    LinkId(u32),
}

impl<'a> From<&'a Program> for Anchor<'a> {
    fn from(program: &'a Program) -> Self {
        Self::Program(program)
    }
}

impl<'a> From<&'a Link> for Anchor<'a> {
    fn from(link: &'a Link) -> Self {
        Self::Link(link)
    }
}

const BEFORE: u32 = 1 << 3;
const AFTER: u32 = 1 << 4;
const ID: u32 = 1 << 5;
const LINK: u32 = 1 << 13;

/// The settings of a builder that select a position.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Placement<'a> {
    pub(super) order: Option<Order<'a>>,
    pub(super) revision: Option<u64>,
}

impl Placement<'_> {
    /// Returns true if the caller leaves the position to the kernel, as kernels without ordered lists require.
    pub(super) fn is_default(&self) -> bool {
        self.revision.is_none() && matches!(self.order, None | Some(Order::Last))
    }

    /// Returns true if the caller has chosen an order or a revision.
    pub(super) fn is_set(&self) -> bool {
        self.order.is_some() || self.revision.is_some()
    }

    /// Returns the position as bpf(2) takes it. `attempt` says in an error what the position is for.
    pub(super) fn position(&self, attempt: &dyn Fn() -> String) -> Result<Position, Error> {
        let unfit = |why: &str| Error::Invalid { operation: attempt(), why: why.to_owned() };
        let revision = self.revision.unwrap_or_default();
        if self.revision == Some(0) {
            return Err(unfit("the expected revision is 0, which the kernel takes as any; revisions begin at 1"));
        }
        let (side, anchor) = match self.order {
            None | Some(Order::Last) => return Ok(Position { flags: 0, relative: 0, revision }),
            Some(Order::First) => return Ok(Position { flags: BEFORE, relative: 0, revision }),
            Some(Order::Before(anchor)) => (BEFORE, anchor),
            Some(Order::After(anchor)) => (AFTER, anchor),
        };
        let number = |fd: std::os::fd::BorrowedFd<'_>| fd.as_raw_fd().cast_unsigned();
        let (kind, relative) = match anchor {
            Anchor::Program(program) => (0, number(program.as_fd())),
            Anchor::ProgramId(id) => (ID, id),
            Anchor::Link(link) => {
                let Some(fd) = link.as_link_fd() else {
                    return Err(unfit("the link to order by is not a link of the kernel: order by its program"));
                };
                (LINK, number(fd))
            }
            Anchor::LinkId(id) => (LINK | ID, id),
        };
        if relative == 0 {
            return Err(unfit("the program or link to order by has the fd or id 0, which the kernel takes as none"));
        }
        Ok(Position { flags: side | kind, relative, revision })
    }

    /// Returns true if the anchor is a link, false if it is a program, and `None` without an anchor.
    #[cfg(feature = "cgroup")]
    pub(super) fn is_by_link(&self) -> Option<bool> {
        match self.order? {
            Order::Before(anchor) | Order::After(anchor) => Some(matches!(anchor, Anchor::Link(_) | Anchor::LinkId(_))),
            _ => None,
        }
    }

    /// Returns the advice for an errno that a wrong position causes.
    pub(super) fn advice(&self, errno: Option<i32>) -> Option<&'static str> {
        match errno? {
            libc::ESTALE if self.revision.is_some() => {
                Some("the list of programs has changed since that revision: query it again")
            }
            libc::ENOENT | libc::EBADF | libc::EINVAL
                if matches!(self.order, Some(Order::Before(_) | Order::After(_))) =>
            {
                Some("is the program or link to order by attached to this target, in the same direction or type?")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(order: Order<'_>, revision: Option<u64>) -> Result<Position, Error> {
        Placement { order: Some(order), revision }.position(&|| "attach".to_owned())
    }

    #[test]
    fn positions_are_the_kernels_flags() {
        let at = |flags, relative, revision| Position { flags, relative, revision };
        assert_eq!(position(Order::Last, None).unwrap(), at(0, 0, 0));
        assert_eq!(position(Order::First, Some(3)).unwrap(), at(8, 0, 3));
        assert_eq!(position(Order::Before(Anchor::ProgramId(7)), None).unwrap(), at(0x28, 7, 0));
        assert_eq!(position(Order::After(Anchor::LinkId(9)), None).unwrap(), at(0x2030, 9, 0));
    }

    /// The kernel takes 0 as "not given", and would attach at another position.
    #[test]
    fn numbers_that_the_kernel_ignores_are_refused() {
        let line = position(Order::Before(Anchor::ProgramId(0)), None).unwrap_err().to_string();
        assert!(line.contains("which the kernel takes as none"), "{line}");
        let line = position(Order::Last, Some(0)).unwrap_err().to_string();
        assert!(line.contains("revisions begin at 1"), "{line}");
    }
}
