//! The numbers of the kinds of entries in a file. They never change; a reader skips those that it does not know.

pub(crate) const START: u64 = 0;
pub(crate) const BLOB: u64 = 1;
pub(crate) const BUFFER: u64 = 2;
pub(crate) const CLOCK: u64 = 3;
pub(crate) const RECORD: u64 = 4;
pub(crate) const LABEL: u64 = 5;
pub(crate) const LINES: u64 = 6;
pub(crate) const LOOK: u64 = 7;
pub(crate) const END: u64 = 8;
