//! bpf(2): the commands that find objects by id, also those of other processes.
//!
//! The kernel gives every map, program, link and BTF an id, and does not reuse an id while it runs. There are two
//! commands: from an id to the next higher one, and from an id to an fd. With them all objects of the machine can be
//! listed. Both require CAP_SYS_ADMIN. (`bpf_obj_get_next_id` and `bpf_map_get_fd_by_id` in
//! `kernel/bpf/syscall.c`, Linux 4.13.)
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{io, os::fd::OwnedFd};

use super::{
    attr::{GetId, TaskFdQuery},
    bpf::{Command, bpf, bpf_fd},
};

/// Kinds of objects, each with ids of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Maps.
    Map,
    /// Programs.
    Program,
    /// BTF.
    Btf,
    /// Links (5.8).
    Link,
}

/// Returns the lowest id above `id`; fails with ENOENT if there is none.
pub(crate) fn next(kind: Kind, id: u32, why: &str) -> io::Result<u32> {
    let command = match kind {
        Kind::Map => Command::MAP_GET_NEXT_ID,
        Kind::Program => Command::PROG_GET_NEXT_ID,
        Kind::Btf => Command::BTF_GET_NEXT_ID,
        Kind::Link => Command::LINK_GET_NEXT_ID,
    };
    let mut attr = GetId { id, ..GetId::default() };
    // SAFETY: `GetId` holds no address.
    unsafe { bpf(command, &mut attr, why) }?;
    Ok(attr.next_id)
}

/// Opens the object with this id; fails with ENOENT if it no longer exists.
pub(crate) fn open(kind: Kind, id: u32, why: &str) -> io::Result<OwnedFd> {
    let command = match kind {
        Kind::Map => Command::MAP_GET_FD_BY_ID,
        Kind::Program => Command::PROG_GET_FD_BY_ID,
        Kind::Btf => Command::BTF_GET_FD_BY_ID,
        Kind::Link => Command::LINK_GET_FD_BY_ID,
    };
    let mut attr = GetId { id, ..GetId::default() };
    // SAFETY: `GetId` holds no address; the answer is a new fd.
    unsafe { bpf_fd(command, &mut attr, why) }
}

/// Returns the id of the program of a perf event that another process holds. `None` for an event without a program, as
/// in perf buffers. Linux 4.18.
pub(crate) fn program_of_event(pid: u32, fd: u32) -> io::Result<Option<u32>> {
    let mut attr = TaskFdQuery { pid, fd, ..TaskFdQuery::default() };
    // SAFETY: `buf` is null and `buf_len` 0: the kernel writes into `attr` alone.
    let answer =
        unsafe { bpf(Command::TASK_FD_QUERY, &mut attr, "reads the id of the event's program, if it runs one") };
    match answer {
        Ok(_) => Ok(Some(attr.prog_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
