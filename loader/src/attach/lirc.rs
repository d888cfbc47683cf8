//! Attaches to infrared receivers: programs that decode the signals of a remote control.
//!
//! A receiver (`/dev/lirc0`) passes each pulse and pause of the light to its programs, which assemble keys from them.
//! `BPF_PROG_ATTACH` attaches up to 64 programs to one receiver (`drivers/media/rc/bpf-lirc.c`, Linux 4.18).

use std::os::fd::{AsFd, BorrowedFd};

use super::{
    Attached, Link,
    link::failed,
    prog_attach::{ByCommand, OwnTarget, Replacing},
    query,
};
use crate::{
    AttachType, Error, Program, ProgramType,
    sys::{
        link::{Position, Target},
        query::Lists,
    },
};

/// A receiver to attach to, for the section `lirc_mode2`. The program stays attached if the process dies without
/// dropping the [`Link`].
///
/// Linux 4.18. Kernel source: `drivers/media/rc/bpf-lirc.c`.
///
/// Needs this crate's feature `lirc`.
#[doc(alias = "BPF_LIRC_MODE2")]
#[derive(Debug, Clone, Copy)]
pub struct Lirc<'fd> {
    receiver: BorrowedFd<'fd>,
}

impl<'fd> Lirc<'fd> {
    /// Selects the receiver by its open device file.
    #[must_use]
    pub fn new(receiver: &'fd impl AsFd) -> Self {
        Self { receiver: receiver.as_fd() }
    }

    /// Attaches `program`, after programs that are already attached.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: EINVAL if the fd
    /// is not that of a receiver, EEXIST if the program is already attached to it.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = "the infrared receiver";
        program.must_be(&[ProgramType::LIRC_MODE2], what)?;
        OwnTarget::duplicate(self.receiver)
            .and_then(|receiver| {
                let position = (Position::default(), None);
                ByCommand::attach(program, receiver, AttachType::LIRC_MODE2, position, Replacing::Never, what)
            })
            .map(|call| Link::by_call(program, what, "BPF_PROG_ATTACH", call))
            .map_err(|error| match error.raw_os_error() {
                Some(libc::EINVAL) => failed(program, what, &error)
                    .advise("is the fd that of an infrared receiver? (CONFIG_BPF_LIRC_MODE2)"),
                _ => failed(program, what, &error),
            })
    }

    /// Returns the programs of the receiver, in the order in which they run.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EINVAL if the fd is not that of a receiver, EPERM without CAP_NET_ADMIN.
    #[doc(alias("BPF_PROG_QUERY", "bpf_prog_query_opts"))]
    pub fn attached(&self) -> Result<Attached, Error> {
        let target = Target::Fd(self.receiver);
        query::attached(target, AttachType::LIRC_MODE2, Lists::Programs, "the infrared receiver", |error| {
            (error.raw_os_error()? == libc::EINVAL)
                .then_some("is the fd that of an infrared receiver? (CONFIG_BPF_LIRC_MODE2)")
        })
    }
}
