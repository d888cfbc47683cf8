//! `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`, for targets without links, and for programs attached without one.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use cutaway_sys::{AttachType, fd};

use super::detach::{Detach, detached};
use crate::{
    Program,
    sys::{
        link::{self, Position, Target},
        prog_info,
    },
};

/// The target of an attachment, which detaching needs again.
#[derive(Debug)]
pub(super) enum OwnTarget {
    Fd(OwnedFd),
    #[cfg(feature = "network")]
    Device(u32),
}

impl OwnTarget {
    fn borrow(&self) -> Target<'_> {
        match self {
            Self::Fd(fd) => Target::Fd(fd.as_fd()),
            #[cfg(feature = "network")]
            Self::Device(index) => Target::Device(*index),
        }
    }

    /// Duplicates the fd of a target.
    pub(super) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<Self> {
        fd::duplicate(fd, "duplicates the target's fd, to detach through it").map(Self::Fd)
    }
}

/// How a target replaces one program by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacing {
    /// By detaching and attaching only: there is no call for both.
    Never,
    /// `BPF_F_REPLACE` with these other flags, and the replaced program.
    ByFlag(u32),
    /// Attaching replaces whatever is attached; the kernel compares nothing.
    Unchecked,
}

/// Returns whether both fds are of the same program.
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    let id = |program| prog_info::plain(program, "reads the id of a program").map(|known| known.info.id);
    Ok(id(one)? == id(other)?)
}

/// A program attached by `BPF_PROG_ATTACH`; dropping this detaches it.
#[derive(Debug)]
pub(super) struct ByCommand {
    program: OwnedFd,
    target: OwnTarget,
    attach_type: AttachType,
    replacing: Replacing,
    what: String,
}

impl ByCommand {
    /// Attaches a program. `replaced` is the attached program that it replaces, if any.
    pub(super) fn attach(
        program: &Program,
        target: OwnTarget,
        attach_type: AttachType,
        (position, replaced): (Position, Option<&Program>),
        replacing: Replacing,
        what: &str,
    ) -> io::Result<Self> {
        // Detaching needs both fds.
        let fd = fd::duplicate(program.as_fd(), "duplicates the program's fd, to detach it later")?;
        let why = match replaced {
            None => "attaches the program until it is detached",
            Some(_) => "attaches the program until it is detached, in place of another program",
        };
        link::prog_attach(program.as_fd(), target.borrow(), attach_type, position, replaced.map(AsFd::as_fd), why)?;
        Ok(Self { program: fd, target, attach_type, replacing, what: what.to_owned() })
    }
}

impl Detach for ByCommand {
    fn update(&mut self, program: &Program, expected: Option<&Program>) -> Option<io::Result<()>> {
        let (flags, replaced) = match (self.replacing, expected) {
            (Replacing::Never, _) | (Replacing::Unchecked, Some(_)) => return None,
            (Replacing::Unchecked, None) => (0, None),
            (Replacing::ByFlag(flags), _) => (flags, Some(self.program.as_fd())),
        };
        // Others may have attached the expected program to the same target. It is not the program of this attachment,
        // which would stay beside the new one for good.
        if let Some(expected) = expected {
            match is_same(self.program.as_fd(), expected.as_fd()) {
                Ok(true) => {}
                Ok(false) => return Some(Err(io::Error::from_raw_os_error(libc::ENOENT))),
                Err(error) => return Some(Err(error)),
            }
        }
        let position = Position { flags, ..Position::default() };
        let replace = || {
            let fd = fd::duplicate(program.as_fd(), "duplicates the program's fd, to detach it later")?;
            let why = "attaches the program in place of the attached one";
            link::prog_attach(program.as_fd(), self.target.borrow(), self.attach_type, position, replaced, why)?;
            Ok(fd)
        };
        Some(replace().map(|fd| self.program = fd))
    }
}

impl Drop for ByCommand {
    fn drop(&mut self) {
        let answer =
            link::prog_detach(self.program.as_fd(), self.target.borrow(), self.attach_type, "detaches the program");
        detached(&self.what, answer);
    }
}
