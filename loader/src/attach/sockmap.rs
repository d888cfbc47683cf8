//! Attaches to socket maps: programs that run on the data of every socket in a map.
//!
//! A stream *parser* returns the length of the next message. A *verdict* program decides where a message goes, e.g. to
//! another socket of the map. A *message* program decides the same for data that a socket sends. They belong to the
//! map, a `SOCKMAP` or `SOCKHASH`, and are attached by `BPF_PROG_ATTACH` (`net/core/sock_map.c`).

use std::os::fd::{AsFd, BorrowedFd};

use cutaway_sys::fd;

use super::{Link, link::failed, prog_attach::ByCommand};
use crate::{AttachType, Error, Program, ProgramType};

/// A `SOCKMAP` or `SOCKHASH` to attach to, for the sections `sk_skb/stream_parser`, `sk_skb/stream_verdict`,
/// `sk_skb/verdict` (Linux 5.13) and `sk_msg`.
///
/// The program stays attached to the map if the process dies without dropping the [`Link`] and another process holds
/// the map.
///
/// Kernel source: `net/core/sock_map.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias("bpf_program__attach_sockmap", "BPF_MAP_TYPE_SOCKMAP"))]
#[derive(Debug, Clone, Copy)]
pub struct Sockmap<'fd> {
    map: BorrowedFd<'fd>,
}

impl<'fd> Sockmap<'fd> {
    /// Selects the map, e.g. a [`Map`](crate::Map).
    #[must_use]
    pub fn new(map: &'fd impl AsFd) -> Self {
        Self { map: map.as_fd() }
    }

    /// Attaches `program`, replacing the map's program of the same kind if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type, or its section does not name one of the four kinds;
    /// [`Error::Syscall`] if the kernel refuses: EOPNOTSUPP if the map is of another type.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = "the socket map";
        program.must_be(&[ProgramType::SK_SKB, ProgramType::SK_MSG], what)?;
        program.must_have_attach_type(what)?;
        let attach_type = program.spec().section.expected_attach_type;
        if attach_type == AttachType::default() {
            let attempt = format!("attach the program `{}` to {what}", program.name());
            let why = "its section does not say whether it is a parser or a verdict: name it `sk_skb/stream_parser` \
                 or `sk_skb/stream_verdict`";
            return Err(Error::Invalid { operation: attempt, why: why.to_owned() });
        }
        fd::duplicate(self.map, "duplicates the map's fd, to detach through it")
            .and_then(|map| ByCommand::attach(program, map, attach_type, 0, what))
            .map(|call| Link::by_call(program, what, "BPF_PROG_ATTACH", call))
            .map_err(|error| failed(program, what, &error))
    }
}
