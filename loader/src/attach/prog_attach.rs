//! `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`, for targets without links.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use cutaway_sys::{AttachType, fd};

use super::detach::{Detach, detached};
use crate::{Program, sys::link};

/// A program attached by `BPF_PROG_ATTACH`; dropping this detaches it.
#[derive(Debug)]
pub(super) struct ByCommand {
    program: OwnedFd,
    target: OwnedFd,
    attach_type: AttachType,
    what: String,
}

impl ByCommand {
    pub(super) fn attach(
        program: &Program,
        target: OwnedFd,
        attach_type: AttachType,
        flags: u32,
        what: &str,
    ) -> io::Result<Self> {
        // Detaching needs both fds.
        let fd = fd::duplicate(program.as_fd(), "duplicates the program's fd, to detach it later")?;
        link::prog_attach(
            program.as_fd(),
            target.as_fd(),
            attach_type,
            flags,
            "attaches the program until it is detached",
        )?;
        Ok(Self { program: fd, target, attach_type, what: what.to_owned() })
    }
}

impl Detach for ByCommand {}

impl Drop for ByCommand {
    fn drop(&mut self) {
        let answer =
            link::prog_detach(self.program.as_fd(), self.target.as_fd(), self.attach_type, "detaches the program");
        detached(&self.what, answer);
    }
}
