//! The registers and the stack of the return probe.

use super::entry::{Arguments, Key};
use crate::prelude::*;

/// The program's context: `struct pt_regs`.
pub(super) const CONTEXT: R6 = R6;
/// The number of list entries seen.
pub(super) const SEEN: R7 = R7;
/// The address of the event, in the stack, the heap or the ring.
pub(super) const EVENT: R8 = R8;
/// A user-space pointer; before that, the time.
pub(super) const POINTER: R9 = R9;
pub(super) const NOW: R9 = R9;

/// Offsets from the frame pointer: the key; the call's [`Arguments`], and at the same offset, once they are used, one
/// `struct addrinfo`; the first entry's `ai_canonname`.
pub(super) const KEY: i16 = -(size_of::<Key>() as i16);
pub(super) const ADDRINFO: i16 = KEY - size_of::<AddrInfo>() as i16;
pub(super) const ARGUMENTS: i16 = ADDRINFO;
const _: () = assert!(size_of::<Arguments>() <= size_of::<AddrInfo>());
pub(super) const CANONNAME: i16 = ADDRINFO - 8;
/// The stack below this offset is free.
pub(super) const SCRATCH: i16 = CANONNAME;

/// `struct addrinfo` of a 64-bit libc (`netdb.h`).
#[repr(C)]
pub(super) struct AddrInfo {
    pub(super) flags: i32,
    pub(super) family: i32,
    pub(super) socktype: i32,
    pub(super) protocol: i32,
    pub(super) addrlen: u32,
    pub(super) addr: u64,
    pub(super) canonname: u64,
    pub(super) next: u64,
}
