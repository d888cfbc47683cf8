//! The errors of shared pages. No value read from them is trusted.

use std::fmt;

/// The pages hold a value that no kernel writes.
///
/// The usual reasons are another writer of the pages, two readers of one buffer, or a program that sends more than
/// 65,516 bytes at once. A longer payload overflows the kernel's 16-bit record size without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// The data area is not inside the mapping, or its size is no power of two.
    Layout {
        /// `data_offset` in the control page, in bytes.
        data_offset: u64,
        /// `data_size` in the control page, in bytes.
        data_size: u64,
        /// Size of the mapping in bytes.
        len: u64,
    },
    /// `data_tail` and `data_head` are further apart than the ring's size, or not aligned to a record.
    Positions {
        /// The reader's `data_tail`.
        tail: u64,
        /// The kernel's `data_head`.
        head: u64,
        /// Size of the ring in bytes.
        data_size: u64,
    },
    /// A record's size is below 8, not a multiple of 8, or extends past `data_head`. Later records cannot be found. So
    /// all batches end before this record, until [`skip_to_head`](crate::Reader::skip_to_head) releases it.
    Record {
        /// The record's position in bytes since the buffer was created.
        at: u64,
        /// Its `type`.
        kind: u32,
        /// Its `size`.
        size: u16,
        /// The number of bytes between it and `data_head`.
        left: u64,
    },
    /// A record's content does not match its size: a sample that declares more bytes than it has, or a short LOST
    /// record. Its size is valid, so the batch continues after it.
    Content {
        /// The record's position in bytes since the buffer was created.
        at: u64,
        /// Its `type`.
        kind: u32,
        /// Its `size`.
        size: u16,
        /// The number of bytes of raw data that it declares.
        declared: u32,
    },
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Layout { data_offset, data_size, len } => write!(
                f,
                "the control page places {data_size} bytes of data at byte {data_offset} of a mapping of {len} bytes: \
                 these are no perf pages"
            ),
            Self::Positions { tail, head, data_size } => write!(
                f,
                "data_tail {tail} and data_head {head} contradict each other in a ring of {data_size} bytes: \
                 something else writes into the control page, or a second reader shares the buffer"
            ),
            Self::Record { at, kind, size, left } => write!(
                f,
                "the record at position {at} (type {kind}) claims {size} bytes where {left} are left: \
                 later records are lost; skip to the head to go on"
            ),
            Self::Content { at, kind, size, declared } => write!(
                f,
                "the record at position {at} (type {kind}) has {size} bytes and claims {declared} of data, more than it holds: \
                 did a program send more than 65,516 bytes at once?"
            ),
        }
    }
}

impl std::error::Error for Corrupt {}
