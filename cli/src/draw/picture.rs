//! What is drawn: a buffer at one moment, whichever kind of buffer it is.

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
    /// The data is mapped twice in a row, so that what runs over its end is one piece all the same.
    pub(crate) twice: bool,
    /// The words in front of the data, in the order in which they lie there.
    pub(crate) words: Vec<Word>,
    pub(crate) marks: Vec<Mark>,
    /// The position where what waits begins.
    pub(crate) oldest: u64,
    /// Bytes that wait, headers included.
    pub(crate) fill_bytes: u64,
    /// What waits, oldest first.
    pub(crate) records: Vec<Block>,
    /// Records that were counted and are not among `records`: there are too many.
    pub(crate) not_listed: u64,
    /// The kinds that its records can be of.
    pub(crate) kinds: [Kind; 3],
}

/// Words of a page, and who writes them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Word {
    pub(crate) location: &'static str,
    pub(crate) who: &'static str,
    pub(crate) text: String,
}

/// A position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mark {
    /// What stands for it in a terminal, where there is no room for more.
    pub(crate) letter: char,
    pub(crate) name: &'static str,
    /// What it means, if the name does not say it.
    pub(crate) meaning: &'static str,
    /// In which of the four colors it is drawn.
    pub(crate) color: &'static str,
    pub(crate) position: u64,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Block {
    /// Where its header begins, in bytes since the buffer was made.
    pub(crate) position: u64,
    /// Bytes that it takes, header included.
    pub(crate) space: u64,
    /// The length that its header tells.
    pub(crate) length: u64,
    pub(crate) kind: Kind,
}

/// What a record is. Where several share a cell of a picture, the last of these is seen.
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
    /// Those of a ring, and those of a perf buffer.
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

    /// What it means to the reader.
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

    /// The color of a terminal.
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
    /// Where a position lies in the data.
    pub(super) fn offset(&self, position: u64) -> u64 {
        position & self.bytes.wrapping_sub(1)
    }

    /// How often the data is seen.
    pub(super) fn views(&self) -> usize {
        if self.twice { 2 } else { 1 }
    }

    /// How many records wait.
    pub(super) fn count(&self) -> u64 {
        self.records.len() as u64 + self.not_listed
    }

    /// Of what waits, how many bytes lie behind the end of the data, and so at its beginning.
    pub(super) fn over(&self) -> u64 {
        self.offset(self.oldest).saturating_add(self.fill_bytes).saturating_sub(self.bytes)
    }
}
