//! A snapshot of a perf buffer: a plain value that can be shown, drawn, written to a file and read again.

use cutaway::{
    perf_reader::{PeekSnapshot as Found, PendingRecord},
    system::FdOwner,
};
use serde::{Deserialize, Serialize};

use super::super::{
    payload::{of_hex, to_hex},
    rates::Positions,
    types::{Decoded, Types},
};
use crate::{
    draw::{Block, Kind, Mark, Picture, Word},
    terminal,
};

/// `PERF_RECORD_SAMPLE` and `PERF_RECORD_LOST`.
const SAMPLE: u32 = 9;
const LOST: u32 = 2;

/// A snapshot of a perf buffer. Its JSON has these fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// `CLOCK_MONOTONIC`.
    pub(crate) time_ns: u64,
    /// Owner of the event.
    pub(crate) pid: u32,
    pub(crate) comm: String,
    pub(crate) fd: u32,
    /// Fds of the other events that write into it.
    pub(crate) shared_by_fds: Vec<u32>,
    /// Size of the data in bytes, a power of two.
    pub(crate) bytes: u64,
    pub(crate) data_head: u64,
    pub(crate) data_tail: u64,
    /// Unread bytes, headers included.
    pub(crate) fill_bytes: u64,
    /// Records are written backward and overwritten (`write_backward`).
    pub(crate) backward: bool,
    /// Lost records as the kernel counts, if the owner asked for it (`PERF_FORMAT_LOST`).
    pub(crate) lost: Option<u64>,
    /// Bytes that were released while the snapshot was taken.
    pub(crate) released_meanwhile: u64,
    /// A header that no kernel writes, if one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) corrupt: Option<String>,
    /// Unread records, oldest first; the first ones with payload.
    pub(crate) records: Vec<Record>,
}

/// An unread record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Position of its header, in bytes since the buffer was created.
    pub(crate) position: u64,
    /// Offset of its header in the data.
    pub(crate) offset: u64,
    /// Size with the header.
    pub(crate) bytes: u64,
    /// `sample`, `lost`, or `type N`.
    pub(crate) kind: String,
    /// It wraps around the end of the data.
    pub(crate) wraps: bool,
    /// The time of a sample, in nanoseconds of the event's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_ns: Option<u64>,
    /// Lost records that a `PERF_RECORD_LOST` reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<u64>,
    /// The raw data of a sample that holds nothing else, with up to 7 bytes of padding; for any other record, the bytes
    /// after the header.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "to_hex", deserialize_with = "of_hex")]
    pub(crate) payload: Option<Vec<u8>>,
    /// The decoded raw data.
    #[serde(flatten)]
    pub(crate) decoded: Decoded,
}

/// Converts `data_tail` and `data_head` to positions. A backward buffer counts down from 0; its records are never
/// unread, and never released.
pub(super) fn positions(tail: u64, head: u64) -> Positions {
    if head.cast_signed() < 0 {
        let written = head.wrapping_neg();
        return Positions { oldest: written, released: 0, written };
    }
    Positions { oldest: tail, released: tail, written: head }
}

impl Record {
    fn of(record: &PendingRecord, size: u64, with_payload: bool) -> Self {
        let raw = record.raw();
        let payload = || raw.map_or(record.body.as_slice(), |(_, raw)| raw).to_vec();
        Self {
            position: record.position,
            offset: record.position & size.wrapping_sub(1),
            bytes: record.space(),
            kind: Self::word(record.kind),
            wraps: record.wraps,
            time_ns: raw.and_then(|(time, _)| time),
            lost: record.lost(),
            payload: with_payload.then(payload),
            decoded: Decoded::default(),
        }
    }

    /// Returns the word for a type of records.
    pub(crate) fn word(number: u32) -> String {
        match number {
            SAMPLE => "sample".to_owned(),
            LOST => "lost".to_owned(),
            number => format!("type {number}"),
        }
    }

    /// Returns the type of the record, `PERF_RECORD_*`; 0 if the word is wrong.
    pub(crate) fn number(&self) -> u32 {
        match self.kind.as_str() {
            "sample" => SAMPLE,
            "lost" => LOST,
            other => other.strip_prefix("type ").and_then(|number| number.parse().ok()).unwrap_or(0),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.kind.as_str() {
            "sample" => Kind::Sample,
            "lost" => Kind::Lost,
            _ => Kind::Other,
        }
    }
}

impl Snapshot {
    pub(super) fn of(found: &Found, holder: &FdOwner, others: &[u32], lost: Option<u64>, payloads: usize) -> Self {
        let records = found.records.iter().enumerate();
        Self {
            time_ns: cutaway_sys::clock::monotonic_ns(),
            pid: holder.pid,
            comm: holder.comm.clone(),
            fd: holder.fd,
            shared_by_fds: others.to_vec(),
            bytes: found.size,
            data_head: found.head,
            data_tail: found.tail,
            fill_bytes: found.fill(),
            backward: found.backward,
            lost,
            released_meanwhile: found.released_meanwhile,
            corrupt: found.corrupt.map(|corrupt| corrupt.to_string()),
            records: records.map(|(index, record)| Record::of(record, found.size, index < payloads)).collect(),
        }
    }

    /// Decodes the samples that were copied.
    pub(crate) fn decode(&mut self, types: &Types) {
        for record in self.records.iter_mut().filter(|record| record.kind() == Kind::Sample) {
            record.decoded = record.payload.as_ref().map(|payload| types.decode(payload)).unwrap_or_default();
        }
    }

    pub(super) fn is_decoded(&self) -> bool {
        self.records.iter().any(|record| record.decoded.value.is_some())
    }

    /// Returns the offset of a position in the data.
    pub(super) fn offset(&self, position: u64) -> u64 {
        position & self.bytes.wrapping_sub(1)
    }

    /// Counts the records of a kind.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.records.iter().filter(|record| record.kind() == kind).count()
    }

    /// Returns the snapshot as a picture.
    pub(crate) fn picture(&self) -> Picture {
        let mark = |letter, name, color, position| Mark { letter, name, meaning: "", color, position };
        let mut marks = vec![mark('H', "data_head", "producer", self.data_head)];
        if !self.backward {
            marks.insert(0, mark('T', "data_tail", "consumer", self.data_tail));
        }
        let word = |location, who, name, position| Word { location, who, text: format!("{name} {position}") };
        let block = |record: &Record| Block {
            position: record.position,
            space: record.bytes,
            length: record.bytes,
            kind: record.kind(),
        };
        Picture {
            what: format!("perf buffer of {} ({}), fd {}", terminal::one_line(&self.comm), self.pid, self.fd),
            name: None,
            time_ns: self.time_ns,
            bytes: self.bytes,
            twice: false,
            words: vec![
                word("page 0, byte 1032", "its reader writes", "data_tail", self.data_tail),
                word("page 0, byte 1024", "the kernel writes", "data_head", self.data_head),
            ],
            marks,
            oldest: self.data_head.wrapping_sub(self.fill_bytes),
            fill_bytes: self.fill_bytes,
            records: self.records.iter().map(block).collect(),
            not_listed: 0,
            kinds: Kind::OF_PERF,
        }
    }

    /// Returns whether the snapshot is consistent: a file may have been edited.
    pub(crate) fn is_sound(&self) -> bool {
        let mut next = 0;
        let oldest = self.data_head.wrapping_sub(self.fill_bytes);
        self.bytes.is_power_of_two()
            && (4096..=1 << 40).contains(&self.bytes)
            && self.fill_bytes <= self.bytes
            && self.records.iter().all(|record| {
                let start = record.position.wrapping_sub(oldest);
                let follows = start >= next && record.bytes >= 8;
                let end = start.checked_add(record.bytes);
                next = end.unwrap_or(u64::MAX);
                follows && end.is_some_and(|end| end <= self.fill_bytes)
            })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Makes a snapshot of a buffer of one page with samples of these sizes from `tail` on.
    pub(crate) fn sample(tail: u64, sizes: &[u64]) -> Snapshot {
        let mut snapshot = Snapshot {
            time_ns: 5,
            pid: 12,
            comm: "own\ner".to_owned(),
            fd: 9,
            shared_by_fds: vec![10],
            bytes: 4096,
            data_head: tail,
            data_tail: tail,
            fill_bytes: 0,
            backward: false,
            lost: Some(3),
            released_meanwhile: 0,
            corrupt: None,
            records: Vec::new(),
        };
        for &bytes in sizes {
            let (position, offset) = (snapshot.data_head, snapshot.data_head % 4096);
            snapshot.records.push(Record {
                position,
                offset,
                bytes,
                kind: "sample".to_owned(),
                wraps: offset + bytes > 4096,
                time_ns: None,
                lost: None,
                payload: Some(vec![1; 4]),
                decoded: Decoded::default(),
            });
            snapshot.data_head += bytes;
            snapshot.fill_bytes += bytes;
        }
        assert!(snapshot.is_sound());
        snapshot
    }

    #[test]
    fn picture_shows_the_snapshot() {
        let mut snapshot = sample(8192 - 40, &[32, 24]);
        if let Some(last) = snapshot.records.last_mut() {
            last.kind = "lost".to_owned();
        }
        let text = crate::draw::text(&snapshot.picture(), 80, false).join("\n");
        for part in [
            "perf buffer of own\\ner (12), fd 9, 4096 bytes\n",
            "  page 0, byte 1032  its reader writes   data_tail 8152\n",
            "  page 0, byte 1024  the kernel writes   data_head 8208\n",
            "  T data_tail  H data_head\n",
            "2 records",
            "▒│\n   └32",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn backward_buffer_counts_written_bytes() {
        let then = positions(0, 0_u64.wrapping_sub(64));
        let now = positions(0, 0_u64.wrapping_sub(4096 * 9));
        assert_eq!((now.written - then.written, now.written - now.oldest), (4096 * 9 - 64, 0));
    }

    #[test]
    fn inconsistent_snapshot_is_not_sound() {
        let good = sample(0, &[64, 64]);
        let changes: [fn(&mut Snapshot); 4] = [
            |snapshot| snapshot.fill_bytes = 8,
            |snapshot| snapshot.bytes = 3,
            |snapshot| snapshot.records[1].position = 0,
            |snapshot| snapshot.records[0].bytes = 0,
        ];
        for change in changes {
            let mut snapshot = good.clone();
            change(&mut snapshot);
            assert!(!snapshot.is_sound(), "{snapshot:?}");
        }
    }
}
