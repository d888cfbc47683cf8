//! The data of a picture: a snapshot of a buffer of either kind.

/// A buffer's pages, positions and records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    /// Which buffer it is: `ring 7`.
    pub(crate) what: String,
    /// Its name, if it has one.
    pub(crate) name: Option<String>,
    /// `CLOCK_MONOTONIC`.
    pub(crate) time_ns: u64,
    /// Bytes of data: a power of two.
    pub(crate) bytes: u64,
    /// The data is mapped twice in a row, so that a record that wraps is contiguous.
    pub(crate) twice: bool,
    /// The words of the pages before the data, in their order in memory.
    pub(crate) words: Vec<Word>,
    pub(crate) marks: Vec<Mark>,
    /// Position of the oldest unread record.
    pub(crate) oldest: u64,
    /// Unread bytes, headers included.
    pub(crate) fill_bytes: u64,
    /// Unread records, oldest first.
    pub(crate) records: Vec<Block>,
    /// Records that are counted but not in `records`, because there are too many.
    pub(crate) not_listed: u64,
    /// The kinds of its records.
    pub(crate) kinds: [Kind; 3],
}

/// Words of a page, and their writer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Word {
    pub(crate) location: &'static str,
    pub(crate) who: &'static str,
    pub(crate) text: String,
}

/// A position of the reader or the writer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mark {
    /// Letter that marks it in a terminal.
    pub(crate) letter: char,
    pub(crate) name: &'static str,
    /// Its meaning, unless the name says it.
    pub(crate) meaning: &'static str,
    /// CSS class of its color.
    pub(crate) color: &'static str,
    pub(crate) position: u64,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Block {
    /// Position of its header, in bytes since the buffer was created.
    pub(crate) position: u64,
    /// Size in bytes, header included.
    pub(crate) space: u64,
    /// The length in its header.
    pub(crate) length: u64,
    pub(crate) kind: Kind,
}

/// The kind of a record. If several kinds share a cell of a picture, the last one in this order is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Committed,
    Discarded,
    Busy,
    Sample,
    Other,
    Lost,
}

impl Kind {
    /// The kinds of a ring, and those of a perf buffer.
    pub(crate) const OF_A_RING: [Self; 3] = [Self::Committed, Self::Discarded, Self::Busy];
    pub(crate) const OF_PERF: [Self; 3] = [Self::Sample, Self::Other, Self::Lost];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Discarded => "discarded",
            Self::Busy => "busy",
            Self::Sample => "sample",
            Self::Other => "other",
            Self::Lost => "lost",
        }
    }

    /// Returns its meaning for the reader.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Committed => "unread",
            Self::Discarded => "skipped by the reader",
            Self::Busy => "reserved, not committed; blocks all later records",
            Self::Sample => "sent by a program",
            Self::Other => "a record of another type",
            Self::Lost => "samples dropped before the next one",
        }
    }

    pub(super) fn glyph(self) -> char {
        match self {
            Self::Committed | Self::Sample => '█',
            Self::Discarded | Self::Other => '░',
            Self::Busy | Self::Lost => '▒',
        }
    }

    /// Returns the escape sequence of its color.
    pub(super) fn color(self) -> &'static str {
        match self {
            Self::Committed | Self::Sample => "\x1b[32m",
            Self::Discarded | Self::Other => "\x1b[90m",
            Self::Busy => "\x1b[33m",
            Self::Lost => "\x1b[31m",
        }
    }
}

impl Picture {
    /// Returns the offset of a position in the data.
    pub(super) fn offset(&self, position: u64) -> u64 {
        position & self.bytes.wrapping_sub(1)
    }

    /// Returns the number of views of the data.
    pub(super) fn views(&self) -> usize {
        if self.twice { 2 } else { 1 }
    }

    /// Returns the number of unread records.
    pub(super) fn count(&self) -> u64 {
        self.records.len() as u64 + self.not_listed
    }

    /// Returns how many unread bytes wrap around the end of the data to its beginning.
    pub(super) fn over(&self) -> u64 {
        self.offset(self.oldest).saturating_add(self.fill_bytes).saturating_sub(self.bytes)
    }
}
