//! Infrared receivers: programs that decode what a remote control sends.
//!
//! A receiver (`/dev/lirc0`) passes each pulse and pause of the light to its programs, which assemble keys from them.
//! Up to 64 can be attached to one receiver, by `BPF_PROG_ATTACH`. (`drivers/media/rc/bpf-lirc.c`, Linux 4.18.)

use std::os::fd::{AsFd, BorrowedFd};

use cutaway_sys::fd;

use super::{Link, link::failed, prog_attach::ByCommand};
use crate::{AttachType, Error, Program, ProgramType};

/// A receiver to attach to, for the section `lirc_mode2`. The program stays if the process dies without dropping the
/// [`Link`].
///
/// Needs this crate's feature `lirc`.
#[doc(alias = "BPF_LIRC_MODE2")]
#[derive(Debug, Clone, Copy)]
pub struct Lirc<'fd> {
    receiver: BorrowedFd<'fd>,
}

impl<'fd> Lirc<'fd> {
    /// The receiver's open device file.
    #[must_use]
    pub fn new(receiver: &'fd impl AsFd) -> Self {
        Self { receiver: receiver.as_fd() }
    }

    /// Attaches `program`, behind those that are there.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another kind; [`Error::Syscall`] if the kernel refuses: EINVAL if it is
    /// no receiver, EEXIST if the program hangs there already.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = "the infrared receiver";
        program.must_be(&[ProgramType::LIRC_MODE2], what)?;
        fd::duplicate(self.receiver, "keeps an fd of its own, to detach by")
            .and_then(|receiver| ByCommand::attach(program, receiver, AttachType::LIRC_MODE2, 0, what))
            .map(|call| Link::by_call(program, what, "BPF_PROG_ATTACH", call))
            .map_err(|error| match error.raw_os_error() {
                Some(libc::EINVAL) => failed(program, what, &error).advise("is it one? (CONFIG_BPF_LIRC_MODE2)"),
                _ => failed(program, what, &error),
            })
    }
}
