//! What can be wrong with shared pages. Nothing read from them is trusted.

use std::fmt;

/// The pages say something that no kernel writes.
///
/// Seen when something else writes into them, when two readers share one buffer, or when a program sends more than
/// 65,516 bytes at once, which wraps the kernel's 16-bit record size silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// The data area is not inside the mapping, or no power of two.
    Layout {
        /// Where the control page says it begins, in bytes.
        data_offset: u64,
        /// How long the control page says it is, in bytes.
        data_size: u64,
        /// How long the mapping is, in bytes.
        len: u64,
    },
    /// `data_tail` and `data_head` are further apart than the ring is long, or not at a record's alignment.
    Positions {
        /// The reader's `data_tail`.
        tail: u64,
        /// The kernel's `data_head`.
        head: u64,
        /// Bytes in the ring.
        data_size: u64,
    },
    /// A record whose size is below 8, no multiple of 8, or reaches beyond `data_head`. What follows cannot be found:
    /// the batch ends in front of it, now and whenever it is tried again, until
    /// [`skip_to_head`](crate::Reader::skip_to_head) gives it up.
    Record {
        /// Its position in bytes since the buffer was made.
        at: u64,
        /// Its `type`.
        kind: u32,
        /// Its `size`.
        size: u16,
        /// Bytes between it and `data_head`.
        left: u64,
    },
    /// A record whose content does not fit its own size: a sample that declares more bytes than it has, or a short
    /// LOST record. Its size is credible, so the batch goes on behind it.
    Content {
        /// Its position in bytes since the buffer was made.
        at: u64,
        /// Its `type`.
        kind: u32,
        /// Its `size`.
        size: u16,
        /// The bytes of raw data it claims to hold.
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
                "data_tail {tail} and data_head {head} cannot both be true of a ring of {data_size} bytes: \
                 something else writes into the control page, or a second reader shares the buffer"
            ),
            Self::Record { at, kind, size, left } => write!(
                f,
                "the record at position {at} (type {kind}) claims {size} bytes where {left} are left: \
                 what follows is lost; skip to the head to go on"
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
