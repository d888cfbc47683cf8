//! The entries of a recording.

use std::borrow::Cow;

use crate::snapshot::Snapshot;

/// The first entry of each recording: its subject, place and time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start<'a> {
    /// The command that recorded: `trace`, `run`, `peek`, or a name of another program's own.
    pub command: Cow<'a, str>,
    /// The program that recorded, and its version.
    pub program: Cow<'a, str>,
    /// The kernel's release, as in `/proc/sys/kernel/osrelease`.
    pub kernel: Cow<'a, str>,
    /// The machine's architecture, as `uname -m` names it. Numbers in payloads have its byte order.
    pub machine: Cow<'a, str>,
    /// `CLOCK_MONOTONIC` at the start in nanoseconds.
    pub monotonic_ns: u64,
    /// The wall clock at the start, in nanoseconds since 1970 in UTC.
    pub wall_ns: i128,
    /// Names and values that the recording program needs to show the records again.
    pub facts: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Start<'_> {
    /// Copies what is borrowed.
    #[must_use]
    pub fn into_owned(self) -> Start<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Start {
            command: own(self.command),
            program: own(self.program),
            kernel: own(self.kernel),
            machine: own(self.machine),
            monotonic_ns: self.monotonic_ns,
            wall_ns: self.wall_ns,
            facts: self.facts.into_iter().map(|(name, value)| (own(name), own(value))).collect(),
        }
    }

    /// Returns the value of a fact.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// The kind of a recorded buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A BPF ring buffer.
    Ring,
    /// A BPF ring buffer that overwrites its oldest records (`BPF_F_RB_OVERWRITE`).
    OverwriteRing,
    /// A ring that user space writes (`BPF_MAP_TYPE_USER_RINGBUF`).
    UserRing,
    /// The perf buffer of one event, or those of all CPUs.
    Perf,
}

impl Kind {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Ring, "ring"),
        (Self::OverwriteRing, "overwrite-ring"),
        (Self::UserRing, "user-ring"),
        (Self::Perf, "perf"),
    ];

    /// Returns the name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("ring", |(_, name)| name)
    }

    /// Finds the kind with this name in the file.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// A buffer whose records or snapshots follow. It comes before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer<'a> {
    /// Its number in this recording: 0, 1, 2 and so on.
    pub index: u32,
    /// The map's name.
    pub name: Cow<'a, str>,
    /// Its kind.
    pub kind: Kind,
    /// The size of its data in bytes; of each CPU's data for perf buffers. 0 if unknown.
    pub bytes: u64,
    /// Further notes of the recording program, as JSON; may be empty.
    pub notes: Cow<'a, str>,
}

/// A record that a consumer received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The number of its buffer.
    pub buffer: u32,
    /// The CPU that sent it. A ring does not tell.
    pub cpu: Option<u32>,
    /// When the kernel stored it, in nanoseconds of `CLOCK_MONOTONIC`. A ring does not tell.
    pub time_ns: Option<u64>,
    /// The number of its [`Label`](Entry::Label).
    pub label: Option<u32>,
    /// The payload, as the consumer received it.
    pub bytes: &'a [u8],
}

/// An entry of a recording.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// The subject of the recording: the first entry, and only the first.
    Start(Start<'a>),
    /// Bytes that are needed to understand the records: an object, BTF.
    Blob {
        /// The purpose of the bytes or lines.
        name: Cow<'a, str>,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A buffer.
    Buffer(Buffer<'a>),
    /// The time at which the records that follow were received.
    Clock {
        /// `CLOCK_MONOTONIC` in nanoseconds.
        monotonic_ns: u64,
        /// The wall clock, in nanoseconds since 1970 in UTC.
        wall_ns: i128,
    },
    /// A received record.
    Record(Record<'a>),
    /// Texts that several records share: their library and cgroup, for example.
    Label {
        /// Its number, which records refer to. A later label with this number replaces it.
        index: u32,
        /// The texts; `None` is an unknown text.
        texts: Vec<Option<Cow<'a, str>>>,
    },
    /// Lines that are no records: texts that programs print, elements of maps, a summary.
    Lines {
        /// The purpose of the bytes or lines.
        what: Cow<'a, str>,
        /// The lines as JSON.
        json: Vec<Cow<'a, str>>,
        /// The lines for people.
        text: Vec<Cow<'a, str>>,
    },
    /// A snapshot of a buffer by an observer.
    Snapshot(Cow<'a, Snapshot>),
    /// The end. A recording without it was cut off, or is still being written.
    End {
        /// The records that the consumer received, or the snapshots of an observer.
        received: u64,
        /// The records that were lost; `None` if that is unknown.
        lost: Option<u64>,
        /// Further notes of the recording program, as JSON; may be empty.
        notes: Cow<'a, str>,
    },
}
