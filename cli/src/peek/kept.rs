//! A snapshot of a buffer of either kind, and the same as a snapshot of a recording.

use std::borrow::Cow;

use cutaway_recording::{Buffer, Kind, Positions, Snapshot, Unread};
use serde::{Deserialize, Serialize};

use super::{
    perf::{Record as PerfRecord, Snapshot as PerfSnapshot},
    ring::{Lost, Mode, Snapshot as RingSnapshot, State, UnreadRecord},
    types::Decoded,
};

/// A snapshot of a buffer of either kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept {
    Ring(RingSnapshot),
    Perf(PerfSnapshot),
}

/// The notes of a ring in a recording.
#[derive(Debug, Serialize, Deserialize)]
struct RingNotes {
    id: u32,
}

/// The notes of a snapshot of a ring.
#[derive(Debug, Default, Serialize, Deserialize)]
struct RingSnapshotNotes {
    #[serde(flatten)]
    lost: Lost,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    corrupt: Option<String>,
    /// Committed, busy and discarded records, if there are more than are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts: Option<[u64; 3]>,
}

/// The notes of a perf buffer in a recording.
#[derive(Debug, Serialize, Deserialize)]
struct PerfNotes {
    pid: u32,
    comm: String,
    fd: u32,
    shared_by_fds: Vec<u32>,
    backward: bool,
}

/// The notes of a snapshot of a perf buffer.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PerfSnapshotNotes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    corrupt: Option<String>,
}

/// The notes of a record in a perf buffer.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PerfRecordNotes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(flatten)]
    decoded: Decoded,
}

/// Bytes of a perf record's header.
const PERF_HEADER: u64 = 8;

impl Kept {
    /// Describes the buffer for a recording.
    pub(crate) fn buffer(&self, index: u32) -> Buffer<'static> {
        match self {
            Self::Ring(ring) => Buffer {
                index,
                name: ring.name.clone().into(),
                kind: match ring.mode {
                    Mode::Ring => Kind::Ring,
                    Mode::Overwrite => Kind::OverwriteRing,
                    Mode::User => Kind::UserRing,
                },
                bytes: ring.bytes,
                notes: notes(&RingNotes { id: ring.id }).into(),
            },
            Self::Perf(perf) => {
                let PerfSnapshot { pid, fd, backward, .. } = *perf;
                let (comm, shared_by_fds) = (perf.comm.clone(), perf.shared_by_fds.clone());
                Buffer {
                    index,
                    name: format!("{comm} ({pid}), fd {fd}").into(),
                    kind: Kind::Perf,
                    bytes: perf.bytes,
                    notes: notes(&PerfNotes { pid, comm, fd, shared_by_fds, backward }).into(),
                }
            }
        }
    }

    /// Returns the snapshot as a snapshot at the buffer with this number.
    pub(crate) fn snapshot(&self, buffer: u32) -> Snapshot {
        match self {
            Self::Ring(ring) => ring_snapshot(ring, buffer),
            Self::Perf(perf) => perf_snapshot(perf, buffer),
        }
    }

    /// Makes the snapshot of a snapshot. The error says what is wrong with it.
    pub(crate) fn of(buffer: &Buffer<'_>, snapshot: Cow<'_, Snapshot>) -> Result<Self, String> {
        let snapshot = snapshot.into_owned();
        let kept = match buffer.kind {
            Kind::Perf => of_perf(buffer, snapshot).map(Self::Perf),
            Kind::OverwriteRing => of_ring(buffer, Mode::Overwrite, snapshot).map(Self::Ring),
            Kind::UserRing => of_ring(buffer, Mode::User, snapshot).map(Self::Ring),
            _ => of_ring(buffer, Mode::Ring, snapshot).map(Self::Ring),
        }?;
        kept.check().map(|()| kept)
    }

    /// Returns the time of the snapshot, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) fn time_ns(&self) -> u64 {
        match self {
            Self::Ring(snapshot) => snapshot.time_ns,
            Self::Perf(snapshot) => snapshot.time_ns,
        }
    }

    /// Returns an error if the records and positions contradict each other: a file may have been edited.
    pub(crate) fn check(&self) -> Result<(), String> {
        // The positions of a corrupt buffer may contradict each other, and then no records are found.
        let is_sound = match self {
            Self::Ring(snapshot) => {
                snapshot.is_sound()
                    || snapshot.corrupt.is_some() && snapshot.records.is_empty() && snapshot.not_listed == 0
            }
            Self::Perf(snapshot) => snapshot.is_sound() || snapshot.corrupt.is_some() && snapshot.records.is_empty(),
        };
        if is_sound { Ok(()) } else { Err("its records and positions contradict each other".to_owned()) }
    }
}

fn notes(notes: &impl Serialize) -> String {
    // Structures of numbers and texts have no form that JSON cannot have.
    serde_json::to_string(notes).unwrap_or_default()
}

/// Parses notes; without any, all are those by default.
fn parse<'d, T: Deserialize<'d>>(notes: &'d str) -> Result<T, String> {
    let notes = if notes.is_empty() { "{}" } else { notes };
    serde_json::from_str(notes).map_err(|error| format!("its notes are not understood: {error}"))
}

fn ring_snapshot(ring: &RingSnapshot, buffer: u32) -> Snapshot {
    let counts = (ring.not_listed > 0).then_some([ring.committed, ring.busy, ring.discarded]);
    let unread = |record: &UnreadRecord| Unread {
        position: record.position,
        length: record.length,
        state: match record.state {
            State::Committed => Unread::COMMITTED,
            State::Discarded => Unread::DISCARDED,
            State::Busy => Unread::BUSY,
        },
        payload: record.payload.clone(),
        notes: if record.decoded == Decoded::default() { String::new() } else { notes(&record.decoded) },
    };
    Snapshot {
        buffer,
        time_ns: ring.time_ns,
        positions: Positions {
            consumer: ring.consumer_pos,
            producer: ring.producer_pos,
            pending: ring.pending_pos,
            overwrite: ring.overwrite_pos,
        },
        fill_bytes: ring.fill_bytes,
        released_meanwhile: ring.released_meanwhile,
        notes: notes(&RingSnapshotNotes { lost: ring.lost.clone(), corrupt: ring.corrupt.clone(), counts }),
        records: ring.records.iter().map(unread).collect(),
    }
}

fn of_ring(buffer: &Buffer<'_>, mode: Mode, snapshot: Snapshot) -> Result<RingSnapshot, String> {
    let of_buffer: RingNotes = parse(&buffer.notes)?;
    let of_snapshot: RingSnapshotNotes = parse(&snapshot.notes)?;
    let records = snapshot.records.into_iter().map(|unread| {
        Ok(UnreadRecord {
            position: unread.position,
            offset: unread.position & buffer.bytes.wrapping_sub(1),
            length: unread.length,
            state: match unread.state {
                Unread::COMMITTED => State::Committed,
                Unread::DISCARDED => State::Discarded,
                Unread::BUSY => State::Busy,
                other => return Err(format!("a record has the state {other}")),
            },
            payload: unread.payload,
            decoded: parse(&unread.notes)?,
        })
    });
    let records = records.collect::<Result<Vec<_>, String>>()?;
    let count = |state| records.iter().filter(|record: &&UnreadRecord| record.state == state).count() as u64;
    let listed = || [count(State::Committed), count(State::Busy), count(State::Discarded)];
    let [committed, busy, discarded] = of_snapshot.counts.unwrap_or_else(listed);
    let all = committed.saturating_add(busy).saturating_add(discarded);
    let not_listed = all.saturating_sub(records.len() as u64);
    Ok(RingSnapshot {
        time_ns: snapshot.time_ns,
        id: of_buffer.id,
        name: buffer.name.to_string(),
        mode,
        bytes: buffer.bytes,
        consumer_pos: snapshot.positions.consumer,
        producer_pos: snapshot.positions.producer,
        pending_pos: snapshot.positions.pending,
        overwrite_pos: snapshot.positions.overwrite,
        fill_bytes: snapshot.fill_bytes,
        committed,
        busy,
        discarded,
        lost: of_snapshot.lost,
        released_meanwhile: snapshot.released_meanwhile,
        corrupt: of_snapshot.corrupt,
        not_listed,
        records,
    })
}

fn perf_snapshot(perf: &PerfSnapshot, buffer: u32) -> Snapshot {
    let unread = |record: &PerfRecord| {
        let PerfRecord { time_ns, lost, .. } = *record;
        let decoded = record.decoded.clone();
        Unread {
            position: record.position,
            length: u32::try_from(record.bytes.saturating_sub(PERF_HEADER)).unwrap_or(u32::MAX),
            state: record.number(),
            payload: record.payload.clone(),
            notes: notes(&PerfRecordNotes { time_ns, lost, decoded }),
        }
    };
    Snapshot {
        buffer,
        time_ns: perf.time_ns,
        positions: Positions { consumer: perf.data_tail, producer: perf.data_head, pending: 0, overwrite: 0 },
        fill_bytes: perf.fill_bytes,
        released_meanwhile: perf.released_meanwhile,
        notes: notes(&PerfSnapshotNotes { lost: perf.lost, corrupt: perf.corrupt.clone() }),
        records: perf.records.iter().map(unread).collect(),
    }
}

fn of_perf(buffer: &Buffer<'_>, snapshot: Snapshot) -> Result<PerfSnapshot, String> {
    let PerfNotes { pid, comm, fd, shared_by_fds, backward } = parse(&buffer.notes)?;
    let PerfSnapshotNotes { lost, corrupt } = parse(&snapshot.notes)?;
    let records = snapshot.records.into_iter().map(|unread| {
        let offset = unread.position & buffer.bytes.wrapping_sub(1);
        let bytes = u64::from(unread.length) + PERF_HEADER;
        let PerfRecordNotes { time_ns, lost, decoded } = parse(&unread.notes)?;
        Ok(PerfRecord {
            position: unread.position,
            offset,
            bytes,
            kind: PerfRecord::word(unread.state),
            wraps: offset.saturating_add(bytes) > buffer.bytes,
            time_ns,
            lost,
            payload: unread.payload,
            decoded,
        })
    });
    Ok(PerfSnapshot {
        time_ns: snapshot.time_ns,
        pid,
        comm,
        fd,
        shared_by_fds,
        bytes: buffer.bytes,
        data_head: snapshot.positions.producer,
        data_tail: snapshot.positions.consumer,
        fill_bytes: snapshot.fill_bytes,
        backward,
        lost,
        released_meanwhile: snapshot.released_meanwhile,
        corrupt,
        records: records.collect::<Result<_, String>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{perf, ring},
        *,
    };

    #[test]
    fn snapshots_are_looks_and_back() {
        let mut many = ring::sample(4096 * 9, &[(40, State::Committed), (3, State::Discarded), (900, State::Busy)]);
        (many.committed, many.not_listed) = (8, 7);
        many.corrupt = Some("a header".to_owned());
        let mut decoded = ring::sample(16, &[(8, State::Committed)]);
        decoded.records[0].payload = Some(vec![1, 2, 3]);
        decoded.records[0].decoded.value = Some(serde_json::json!({ "a": 0.1, "b": [1, "é"] }));
        let kept = [
            Kept::Ring(many),
            Kept::Ring(decoded),
            Kept::Ring(ring::sample(0, &[])),
            Kept::Perf(perf::sample(4096 * 5 + 3000, &[2048, 32])),
        ];
        for kept in kept {
            let again = Kept::of(&kept.buffer(3), Cow::Owned(kept.snapshot(3))).unwrap();
            assert_eq!(again, kept);
        }
    }

    #[test]
    fn contradictory_look_is_refused() {
        let kept = Kept::Ring(ring::sample(0, &[(40, State::Committed)]));
        let mut snapshot = kept.snapshot(0);
        snapshot.fill_bytes = 8;
        assert!(Kept::of(&kept.buffer(0), Cow::Owned(snapshot)).unwrap_err().contains("contradict"));
        let mut snapshot = kept.snapshot(0);
        snapshot.records[0].state = 7;
        assert!(Kept::of(&kept.buffer(0), Cow::Owned(snapshot)).unwrap_err().contains("state 7"));
    }
}
