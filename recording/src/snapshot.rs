//! An observer's snapshots of a buffer.

use std::borrow::Cow;

/// The state of a buffer at one moment, as an observer saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The number of the buffer.
    pub buffer: u32,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time_ns: u64,
    /// The positions, in bytes since the buffer was created.
    pub positions: Positions,
    /// Unread bytes, headers included.
    pub fill_bytes: u64,
    /// Bytes that were released while the observer looked.
    pub released_meanwhile: u64,
    /// Further notes of the observer, as JSON; may be empty.
    pub notes: String,
    /// The unread records, oldest first.
    pub records: Vec<Unread>,
}

/// The positions of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Positions {
    /// `consumer_pos` of a ring, `data_tail` of a perf buffer.
    pub consumer: u64,
    /// `producer_pos` of a ring, `data_head` of a perf buffer.
    pub producer: u64,
    /// `pending_pos` of a ring, from Linux 6.10; 0 otherwise.
    pub pending: u64,
    /// `overwrite_pos` of a ring that overwrites; 0 otherwise.
    pub overwrite: u64,
}

/// An unread record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unread {
    /// The position of its header.
    pub position: u64,
    /// The bytes of its payload, without header.
    pub length: u32,
    /// For a ring [`COMMITTED`](Self::COMMITTED), [`DISCARDED`](Self::DISCARDED) or [`BUSY`](Self::BUSY); for a perf
    /// buffer the type of the record (`PERF_RECORD_SAMPLE` is 9).
    pub state: u32,
    /// The payload, if it was copied.
    pub payload: Option<Vec<u8>>,
    /// Further notes of the observer, as JSON; may be empty.
    pub notes: String,
}

impl Unread {
    /// A committed record of a ring.
    pub const COMMITTED: u32 = 0;
    /// A discarded record of a ring.
    pub const DISCARDED: u32 = 1;
    /// A record of a ring that its program has reserved and not yet committed (`BPF_RINGBUF_BUSY_BIT`).
    pub const BUSY: u32 = 2;
}

/// The difference between the records of a snapshot and those of the snapshot before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// So many records of the snapshot before are gone.
    Skip(u64),
    /// So many records of the snapshot before are unchanged.
    Keep(u64),
    /// A record that is new or has changed.
    New(Cow<'a, Unread>),
}

/// Returns the steps that lead from the records of one snapshot to those of the next. Both are in the order of their
/// positions.
pub(crate) fn steps<'a>(before: &[Unread], now: &'a [Unread]) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut old = before.iter().peekable();
    for record in now {
        let mut gone = 0;
        // The old form of a record that has changed is gone.
        while old
            .next_if(|old| old.position < record.position || (old.position == record.position && *old != record))
            .is_some()
        {
            gone += 1;
        }
        if gone > 0 {
            steps.push(Step::Skip(gone));
        }
        match (old.next_if(|old| *old == record), steps.last_mut()) {
            (Some(_), Some(Step::Keep(count))) => *count += 1,
            (Some(_), _) => steps.push(Step::Keep(1)),
            (None, _) => steps.push(Step::New(Cow::Borrowed(record))),
        }
    }
    steps
}
