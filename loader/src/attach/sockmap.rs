//! Attaches to socket maps: programs that run on the data of every socket in a map.
//!
//! A stream *parser* returns the length of the next message. A *verdict* program decides where a message goes, e.g. to
//! another socket of the map. A *message* program decides the same for data that a socket sends. They belong to the
//! map, a `SOCKMAP` or `SOCKHASH`, and are attached by a link (Linux 6.10), before that by `BPF_PROG_ATTACH`
//! (`net/core/sock_map.c`).

use std::os::fd::{AsFd, BorrowedFd};

use super::{
    Attached, Link,
    link::failed,
    prog_attach::{ByCommand, OwnTarget, Replacing},
    query,
};
use crate::{
    AttachType, Error, Program, ProgramType,
    features::{self, Support},
    sys::{
        link::{self, Position, Target},
        query::Lists,
    },
};

/// A `SOCKMAP` or `SOCKHASH` to attach to, for the sections `sk_skb/stream_parser`, `sk_skb/stream_verdict`,
/// `sk_skb/verdict` (Linux 5.13) and `sk_msg`.
///
/// The program is attached by a link since Linux 6.10. On older kernels it stays attached if the process dies without
/// dropping the [`Link`] and another process holds the map.
///
/// Kernel source: `net/core/sock_map.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias("bpf_program__attach_sockmap", "BPF_MAP_TYPE_SOCKMAP"))]
#[derive(Debug, Clone, Copy)]
pub struct Sockmap<'fd> {
    map: BorrowedFd<'fd>,
    without_link: bool,
}

impl<'fd> Sockmap<'fd> {
    /// Selects the map, e.g. a [`Map`](crate::Map).
    #[must_use]
    pub fn new(map: &'fd impl AsFd) -> Self {
        Self { map: map.as_fd(), without_link: false }
    }

    /// Attaches without a link, by `BPF_PROG_ATTACH`, as on kernels before 6.10. Others can then replace the program by
    /// attaching another one.
    #[doc(alias("BPF_PROG_ATTACH", "bpf_prog_attach_opts"))]
    #[must_use]
    pub fn without_link(mut self) -> Self {
        self.without_link = true;
        self
    }

    /// Attaches `program`. It replaces the map's program of the same kind if that is attached without a link.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type, or its section does not name one of the four kinds;
    /// [`Error::Syscall`] if the kernel refuses: EOPNOTSUPP if the map is of another type, EBUSY if the map has a
    /// program of the same kind that is attached by a link.
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
        let refused = |error: std::io::Error| match error.raw_os_error() {
            Some(libc::EBUSY) => failed(program, what, &error)
                .advise("it has a program of this kind with a link: update that (`Link::update`), or drop it first"),
            _ => failed(program, what, &error),
        };
        let support =
            if self.without_link { None } else { Some(Support::probed_or_since(features::sockmap_link, 6, 10)) };
        if support == Some(Support::Yes) {
            let why = "attaches the program to the map; closing the link detaches it";
            return link::create(program.as_fd(), Target::Fd(self.map), attach_type, 0, why)
                .map(|link| Link::kernels(program, what, link))
                .map_err(refused);
        }
        OwnTarget::duplicate(self.map)
            .and_then(|map| {
                let position = (Position::default(), None);
                ByCommand::attach(program, map, attach_type, position, Replacing::Unchecked, what)
            })
            .map(|call| Link::by_call(program, what, "BPF_PROG_ATTACH", call))
            .map_err(refused)
    }

    /// Returns the map's program of this attach type: a list of one or none (Linux 5.18).
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EINVAL before Linux 5.18, or if `attach_type` is not one of socket maps; EOPNOTSUPP if the
    /// map is of another type.
    #[doc(alias("BPF_PROG_QUERY", "bpf_prog_query_opts"))]
    pub fn attached(&self, attach_type: AttachType) -> Result<Attached, Error> {
        query::attached(Target::Fd(self.map), attach_type, Lists::Programs, "the socket map", |error| {
            match error.raw_os_error()? {
                libc::EINVAL => Some("listing them needs Linux 5.18, and an attach type of socket maps"),
                _ => None,
            }
        })
    }
}
