//! Attaches to sockets: a program that filters the packets of a socket, or chooses the socket of a group for a packet.
//!
//! A filter returns how many bytes of the packet to keep, 0 for none. `SO_ATTACH_BPF` (Linux 3.19) attaches a filter to
//! a socket, which holds one program. A group of sockets on one port (`SO_REUSEPORT`) takes a program that chooses
//! among them (`SO_ATTACH_REUSEPORT_EBPF`, 4.5; `net/core/filter.c`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cutaway_sys::fd;

use super::{
    Link,
    detach::{Detach, detached},
    link::failed,
};
use crate::{
    Error, Program, ProgramType,
    sys::socket::{self, Request},
};

/// A socket to attach to, for the sections `socket` and `sk_reuseport`.
///
/// The [`Link`] keeps the socket open, because it needs the socket to detach.
///
/// `socket` needs Linux 3.19, `sk_reuseport` 4.5. Kernel source: `net/core/filter.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias("SO_ATTACH_BPF", "SO_ATTACH_REUSEPORT_EBPF"))]
#[derive(Debug, Clone, Copy)]
pub struct SocketFilter<'fd> {
    socket: BorrowedFd<'fd>,
}

impl<'fd> SocketFilter<'fd> {
    /// Selects the socket.
    #[must_use]
    pub fn new(socket: &'fd impl AsFd) -> Self {
        Self { socket: socket.as_fd() }
    }

    /// Attaches `program`, replacing the socket's program if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: ENOTSOCK if the
    /// fd is not that of a socket.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = "the socket";
        program.must_be(&[ProgramType::SOCKET_FILTER, ProgramType::SK_REUSEPORT], what)?;
        let request = match program.spec().section.program_type {
            ProgramType::SK_REUSEPORT => Request::SO_ATTACH_REUSEPORT_EBPF,
            _ => Request::SO_ATTACH_BPF,
        };
        let attach = || {
            const WHY: &str = "duplicates the fd, to detach through it";
            let attached = (fd::duplicate(self.socket, WHY)?, fd::duplicate(program.as_fd(), WHY)?);
            socket::set(self.socket, request, program.as_fd(), "attaches the program to the socket")?;
            Ok(attached)
        };
        attach()
            .map(|(socket, program_fd)| {
                let attached = Attached { socket, program: program_fd, request };
                Link::by_call(program, what, &format!("{request:?}"), attached)
            })
            .map_err(|error| failed(program, what, &error))
    }
}

/// A socket with a program; dropping this detaches the program.
#[derive(Debug)]
struct Attached {
    socket: OwnedFd,
    program: OwnedFd,
    request: Request,
}

impl Detach for Attached {}

impl Drop for Attached {
    fn drop(&mut self) {
        let request = match self.request {
            Request::SO_ATTACH_REUSEPORT_EBPF => Request::SO_DETACH_REUSEPORT_BPF,
            _ => Request::SO_DETACH_BPF,
        };
        let why = "detaches the program from the socket";
        detached("a socket", socket::set(self.socket.as_fd(), request, self.program.as_fd(), why));
    }
}
