//! A snapshot of a ring: its positions and headers at one moment. A snapshot is a plain value that can be shown, drawn,
//! written to a file and read again.

use cutaway::{
    Map, MapFlags, MapType,
    mmap_ring::{Peek, PendingRecord, Positions, RecordHeader},
};
use cutaway_sys::clock;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        payload::{of_hex, to_hex},
        types::{Decoded, Types},
    },
    lost::Lost,
};
use crate::{
    draw::{Block, Kind, Mark, Picture, Word},
    terminal,
};

/// The maximum number of headers in a snapshot. The limit saves memory: a ring of 2 GiB can hold 2^28 records without
/// payload.
const MOST_LISTED: usize = 1 << 18;

/// A snapshot of a ring. A snapshot's JSON has these fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Time of the snapshot, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) time_ns: u64,
    /// Id of the map.
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// Size of the data in bytes, a power of two.
    pub(crate) bytes: u64,
    pub(crate) consumer_pos: u64,
    pub(crate) producer_pos: u64,
    pub(crate) pending_pos: u64,
    pub(crate) overwrite_pos: u64,
    /// Unread bytes, headers included.
    pub(crate) fill_bytes: u64,
    pub(crate) committed: u64,
    pub(crate) busy: u64,
    pub(crate) discarded: u64,
    #[serde(flatten)]
    pub(crate) lost: Lost,
    /// Bytes that were released while the snapshot was taken.
    pub(crate) released_meanwhile: u64,
    /// The error of a position or header that no kernel writes, if one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) corrupt: Option<String>,
    /// Number of records that are counted and not in `records`, because there are too many.
    #[serde(default)]
    pub(crate) not_listed: u64,
    /// Unread records, oldest first. Only the first ones have a payload.
    pub(crate) records: Vec<UnreadRecord>,
}

/// The kind of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// BPF programs write, and a process reads. A full ring refuses records.
    Ring,
    /// BPF programs write, and a process reads. A full ring overwrites the oldest records, but never an uncommitted
    /// one.
    Overwrite,
    /// A process writes, and BPF programs read.
    User,
}

impl Mode {
    /// Returns the kind of the ring `map`. Returns `None` if the map is not a ring.
    pub(crate) fn of(map: &Map) -> Option<Self> {
        match map.map_type() {
            MapType::RINGBUF if map.flags().contains(MapFlags::RB_OVERWRITE) => Some(Self::Overwrite),
            MapType::RINGBUF => Some(Self::Ring),
            MapType::USER_RINGBUF => Some(Self::User),
            _ => None,
        }
    }

    /// Returns the name of the kind, for messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Overwrite => "overwrite",
            Self::User => "user ring",
        }
    }

    /// Returns the value of `mode` in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Overwrite => "overwrite",
            Self::User => "user",
        }
    }

    /// Returns the position of the oldest unread record. `overwrite_pos` is used in overwrite mode only, because the
    /// process that writes to a user ring can store any value in this word.
    pub(crate) fn oldest(self, positions: &Positions) -> u64 {
        match self {
            Self::Overwrite => positions.consumer.max(positions.overwrite),
            Self::Ring | Self::User => positions.consumer,
        }
    }
}

/// An unread record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnreadRecord {
    /// Position of the record's header, in bytes since the ring was created.
    pub(crate) position: u64,
    /// Offset of the record's header in the data, in bytes.
    pub(crate) offset: u64,
    /// Length of the payload in bytes.
    #[serde(rename = "size")]
    pub(crate) length: u32,
    pub(crate) state: State,
    /// The payload of a committed record. `None` if no payload was requested, or if the reader released the record
    /// while the payload was copied.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "to_hex", deserialize_with = "of_hex")]
    pub(crate) payload: Option<Vec<u8>>,
    #[serde(flatten)]
    pub(crate) decoded: Decoded,
}

/// The state of a record, from its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Committed,
    Discarded,
    Busy,
}

impl State {
    /// Returns the name of the state, for messages.
    pub(crate) fn word(self) -> &'static str {
        self.kind().word()
    }

    fn kind(self) -> Kind {
        match self {
            Self::Committed => Kind::Committed,
            Self::Discarded => Kind::Discarded,
            Self::Busy => Kind::Busy,
        }
    }
}

impl UnreadRecord {
    /// Returns the number of bytes of the ring that the record takes: 8 for the header, and the payload. The sum is
    /// rounded up to a multiple of 8.
    pub(crate) fn space(&self) -> u64 {
        (u64::from(self.length) + 8).next_multiple_of(8)
    }
}

impl Snapshot {
    /// Returns the snapshot of an empty ring.
    fn new((id, name, mode): (u32, &str, Mode), bytes: u64) -> Self {
        Self {
            time_ns: 0,
            id,
            name: name.to_owned(),
            mode,
            bytes,
            consumer_pos: 0,
            producer_pos: 0,
            pending_pos: 0,
            overwrite_pos: 0,
            fill_bytes: 0,
            committed: 0,
            busy: 0,
            discarded: 0,
            lost: Lost::default(),
            released_meanwhile: 0,
            corrupt: None,
            not_listed: 0,
            records: Vec::new(),
        }
    }

    /// Takes a snapshot of the positions alone.
    pub(crate) fn positions(peek: &Peek, (id, name, mode): (u32, &str, Mode)) -> Self {
        let positions = peek.positions();
        Self {
            time_ns: clock::monotonic_ns(),
            consumer_pos: positions.consumer,
            producer_pos: positions.producer,
            pending_pos: positions.pending,
            overwrite_pos: positions.overwrite,
            fill_bytes: positions.producer.wrapping_sub(mode.oldest(&positions)),
            ..Self::new((id, name, mode), peek.capacity())
        }
    }

    /// Takes a snapshot with the payloads of the first `payloads` records.
    pub(crate) fn take(peek: &Peek, what: (u32, &str, Mode), payloads: usize) -> Self {
        let mut snapshot = Self::positions(peek, what);
        let oldest = snapshot.oldest();
        for seen in peek.pending() {
            let (header, state) = match seen {
                PendingRecord::Committed(header) => (header, State::Committed),
                PendingRecord::Discarded(header) => (header, State::Discarded),
                PendingRecord::Busy(header) => (header, State::Busy),
                PendingRecord::Overtaken { from, to } => {
                    snapshot.released_meanwhile = snapshot.released_meanwhile.wrapping_add(to.wrapping_sub(from));
                    continue;
                }
                PendingRecord::Corrupt(corrupt) => {
                    snapshot.corrupt = Some(corrupt.to_string());
                    break;
                }
                // For variants that a later version of the library may add.
                _ => continue,
            };
            // A record after this snapshot's `producer_pos` belongs to the next snapshot.
            if header.position.wrapping_sub(oldest) >= snapshot.fill_bytes {
                break;
            }
            snapshot.add(peek, header, state, payloads);
        }
        snapshot
    }

    /// Decodes the payloads that were copied.
    pub(crate) fn decode(&mut self, types: &Types) {
        for record in &mut self.records {
            if let Some(payload) = &record.payload {
                record.decoded = types.decode(payload);
            }
        }
    }

    fn count(&mut self, state: State) {
        match state {
            State::Committed => self.committed += 1,
            State::Discarded => self.discarded += 1,
            State::Busy => self.busy += 1,
        }
    }

    fn add(&mut self, peek: &Peek, header: RecordHeader, state: State, payloads: usize) {
        self.count(state);
        if self.records.len() >= MOST_LISTED {
            self.not_listed += 1;
            return;
        }
        let mut payload = Vec::new();
        let wanted = state == State::Committed && self.records.len() < payloads;
        let payload = (wanted && peek.copy(header, &mut payload)).then_some(payload);
        let offset = header.position & self.bytes.wrapping_sub(1);
        self.records.push(UnreadRecord {
            position: header.position,
            offset,
            length: header.length,
            state,
            payload,
            decoded: Decoded::default(),
        });
    }

    /// Returns the number of unread records, of any state.
    pub(crate) fn waiting(&self) -> u64 {
        self.committed + self.busy + self.discarded
    }

    /// Returns the position of the oldest unread record.
    pub(crate) fn oldest(&self) -> u64 {
        self.producer_pos.wrapping_sub(self.fill_bytes)
    }

    /// Returns the offset of a position in the data.
    pub(crate) fn offset(&self, position: u64) -> u64 {
        position & self.bytes.wrapping_sub(1)
    }

    /// Returns the unread bytes in percent of the ring's size.
    pub(crate) fn percent(&self) -> f64 {
        self.fill_bytes as f64 * 100.0 / (self.bytes.max(1)) as f64
    }

    /// Returns the snapshot as a picture.
    pub(crate) fn picture(&self) -> Picture {
        let (consumer, producer) = match self.mode {
            Mode::Ring | Mode::Overwrite => ("its reader writes", "the kernel writes"),
            Mode::User => ("the kernel writes", "its process writes"),
        };
        let mut second = format!("producer_pos {}", self.producer_pos);
        if self.mode != Mode::User {
            second.push_str(&format!("  pending_pos {}", self.pending_pos));
        }
        if self.mode == Mode::Overwrite {
            second.push_str(&format!("  overwrite_pos {}", self.overwrite_pos));
        }
        let mark = |letter, name, meaning, position| Mark { letter, name, meaning, color: name, position };
        let mut marks =
            vec![mark('C', "consumer", "", self.consumer_pos), mark('P', "producer", "", self.producer_pos)];
        if self.mode == Mode::Overwrite {
            marks.push(mark('O', "overwrite", "", self.overwrite_pos));
        }
        // Kernels before 6.10 have no `pending_pos`, unless it was backported. Without it, the word is 0.
        if self.mode != Mode::User && self.pending_pos != 0 {
            marks.push(mark('B', "pending", "busy at the last reserve", self.pending_pos));
        }
        let block = |record: &UnreadRecord| Block {
            position: record.position,
            space: record.space(),
            length: record.length.into(),
            kind: record.state.kind(),
        };
        Picture {
            what: format!("{} {}", self.mode.word(), self.id),
            name: Some(terminal::one_line(&self.name)),
            time_ns: self.time_ns,
            bytes: self.bytes,
            twice: true,
            words: vec![
                Word { location: "page 0", who: consumer, text: format!("consumer_pos {}", self.consumer_pos) },
                Word { location: "page 1", who: producer, text: second },
            ],
            marks,
            oldest: self.oldest(),
            fill_bytes: self.fill_bytes,
            records: self.records.iter().map(block).collect(),
            not_listed: self.not_listed,
            kinds: Kind::OF_A_RING,
        }
    }

    /// Returns true if two conditions hold: the sum of the counts is the number of listed records plus `not_listed`,
    /// and each count is at least the number of listed records of its state.
    fn has_consistent_counts(&self) -> bool {
        let listed = |state| self.records.iter().filter(|record| record.state == state).count() as u64;
        let counts = [(self.committed, State::Committed), (self.busy, State::Busy), (self.discarded, State::Discarded)];
        let all = counts.iter().try_fold(0_u64, |all, (count, _)| all.checked_add(*count));
        all.is_some()
            && all == self.not_listed.checked_add(self.records.len() as u64)
            && counts.into_iter().all(|(count, state)| count >= listed(state))
    }

    /// Returns whether the snapshot is consistent. A snapshot from a file may be inconsistent, because a user may have
    /// edited the file.
    pub(crate) fn is_sound(&self) -> bool {
        let mut next = None;
        self.bytes.is_power_of_two()
            && (4096..=1 << 31).contains(&self.bytes)
            && self.fill_bytes <= self.bytes.saturating_mul(2)
            && self.has_consistent_counts()
            && self.records.iter().all(|record| {
                let start = record.position.wrapping_sub(self.oldest());
                let follows = next.is_none_or(|next| start >= next);
                let end = start.checked_add(record.space());
                next = end;
                follows && end.is_some_and(|end| end <= self.fill_bytes)
            })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a snapshot of a ring of one page. Its records have these lengths and states. The first record is at
    /// `position`.
    pub(crate) fn ring(position: u64, records: &[(u32, State)]) -> Snapshot {
        let mut snapshot = Snapshot {
            consumer_pos: position,
            producer_pos: position,
            pending_pos: position,
            ..Snapshot::new((7, "events", Mode::Ring), 4096)
        };
        for &(length, state) in records {
            let position = snapshot.producer_pos;
            let record = UnreadRecord {
                position,
                offset: position % 4096,
                length,
                state,
                payload: None,
                decoded: Decoded::default(),
            };
            snapshot.producer_pos += record.space();
            snapshot.fill_bytes += record.space();
            snapshot.count(state);
            snapshot.records.push(record);
        }
        assert!(snapshot.is_sound());
        snapshot
    }

    #[test]
    fn picture_shows_the_snapshot() {
        let snapshot = ring(4096 * 3 - 768, &[(40, State::Committed), (3, State::Discarded), (8, State::Busy)]);
        let picture = snapshot.picture();
        assert_eq!((picture.oldest, picture.fill_bytes), (snapshot.consumer_pos, 48 + 16 + 16));
        let kinds: Vec<_> = picture.records.iter().map(|block| (block.kind, block.space, block.length)).collect();
        assert_eq!(kinds, [(Kind::Committed, 48, 40), (Kind::Discarded, 16, 3), (Kind::Busy, 16, 8)]);
        let text = crate::draw::text(&picture, 80, false).join("\n");
        for line in [
            "ring 7 `events`, 4096 bytes",
            "  page 0  its reader writes   consumer_pos 11520",
            "  page 1  the kernel writes   producer_pos 11600  pending_pos 11520",
            "  C consumer  P producer  B busy at the last reserve  * several",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }
}
