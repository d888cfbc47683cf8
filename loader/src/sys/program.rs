//! bpf(2): commands on a loaded program: maps that belong to it, and the streams that it writes.
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{io, os::fd::BorrowedFd};

use super::{
    attr::{ProgAssocStructOps, ProgBindMap},
    bpf::{Command, bpf, number},
};

/// Keeps a map alive as long as the program (5.10).
pub(crate) fn bind_map(program: BorrowedFd<'_>, map: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    let mut attr = ProgBindMap { prog_fd: number(program), map_fd: number(map), flags: 0 };
    // SAFETY: `ProgBindMap` holds no address.
    unsafe { bpf(Command::PROG_BIND_MAP, &mut attr, why) }.map(drop)
}

/// Associates a program with a struct_ops map (7.0).
pub(crate) fn associate_struct_ops(program: BorrowedFd<'_>, map: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    let mut attr = ProgAssocStructOps { map_fd: number(map), prog_fd: number(program), flags: 0 };
    // SAFETY: `ProgAssocStructOps` holds no address.
    unsafe { bpf(Command::PROG_ASSOC_STRUCT_OPS, &mut attr, why) }.map(drop)
}

/// Moves bytes of a program's stream into `bytes` (6.17) and returns their number; 0 if the stream is empty.
#[cfg(feature = "info")]
pub(crate) fn read_stream(program: BorrowedFd<'_>, stream: u32, bytes: &mut [u8], why: &str) -> io::Result<usize> {
    let mut attr = super::attr::ProgStreamRead {
        stream_buf_len: super::bpf::length(bytes.len())?,
        stream_buf: super::attr::Pointer::to_mut(bytes),
        stream_id: stream,
        prog_fd: number(program),
        ..Default::default()
    };
    // SAFETY: the one address is a slice borrowed mutably for the call, with its own length.
    let read = unsafe { bpf(Command::PROG_STREAM_READ_BY_FD, &mut attr, why) }?;
    usize::try_from(read).map_err(io::Error::other)
}
