//! Tests that the kernel shares both buffers with user space, so that reading copies nothing.
//!
//! The test compares addresses. The reader returns records as slices. Each slice must be inside a mapping that
//! `/proc/self/maps` lists as a shared mapping of the buffer.

use std::ops::Range;

use cutaway::perf_reader::Record;
use cutaway_programs::compare::{FixedSize, Transport, Work};

use crate::compare::{
    bench::{Bench, Obstacle},
    data::{Cell, Table, number},
    experiment::{Experiment, Findings, Judgement},
    mappings,
    producer::{Buffer, NO_WAKEUP, Producer, silent},
};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "shared-memory",
    claim: "Both buffers are memory shared with the kernel: records are read in place, without a copy.",
    run,
};

const BUFFER: u32 = 64 * 1024;
const SIZE: u32 = 256;
/// More than a buffer holds at once, so that some records wrap around its end.
const RUNS: u64 = 100;
const RECORDS: u64 = 16;

/// The counts of the records of one buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    transport: Transport,
    records: u64,
    /// Those inside the buffer's mapping.
    in_place: u64,
    /// Those in two pieces: at the end and at the beginning of the buffer.
    in_two: u64,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.sender_here()?;
    let mut all = Vec::new();
    for transport in [Transport::Heap, Transport::Reserve] {
        bench.step()?;
        all.push(observe(transport, bench.control)?);
    }
    let columns = [("buffer", ""), ("records", ""), ("read in place", ""), ("in two pieces", "")];
    let mut table = Table::new("Location of records when they are read", columns);
    for seen in &all {
        table.row([Cell::text(name(seen.transport)), seen.records.into(), seen.in_place.into(), seen.in_two.into()]);
    }
    Ok(Findings {
        judgement: judge(&all),
        tables: vec![table],
        plots: Vec::new(),
        notes: vec![
            "A ring's data is mapped twice in a row, so a record across its end is still one slice; in a perf buffer \
                 it is two."
                .to_owned(),
        ],
    })
}

fn observe(transport: Transport, control: bool) -> Result<Seen, Obstacle> {
    let burst = FixedSize { transport, size: SIZE, most: RECORDS as u32, work: Work::Words, timed: false };
    let producer = Producer::burst(&burst, BUFFER)?;
    let mut buffer = Buffer::open(transport, &producer, BUFFER as usize, &silent())?;
    let mappings = mappings::of(if transport.is_ring() { "bpf-map" } else { "perf_event" })?;
    let mut seen = Seen { transport, records: 0, in_place: 0, in_two: 0 };
    let mut note = |pieces: [&[u8]; 2]| {
        // The control copies each record first.
        let copies = control.then(|| pieces.map(<[u8]>::to_vec));
        let pieces = copies.as_ref().map_or(pieces, |[front, back]| [front.as_slice(), back.as_slice()]);
        let inside = |piece: &[u8]| piece.is_empty() || mappings.iter().any(|mapping| contains(mapping, piece));
        seen.records += 1;
        seen.in_place += u64::from(pieces.into_iter().all(inside));
        seen.in_two += u64::from(pieces.into_iter().all(|piece| !piece.is_empty()));
    };
    for _ in 0..RUNS {
        producer.send(RECORDS, NO_WAKEUP, NO_WAKEUP)?;
        match &mut buffer {
            Buffer::Ring(ring) => {
                for record in &mut ring.batch()? {
                    note([record, &[]]);
                }
            }
            Buffer::Perf(set) => {
                set.drain(|_, record| {
                    if let Ok(Record::Sample(sample)) = record {
                        note(sample.padded().pieces());
                    }
                });
            }
        }
    }
    Ok(seen)
}

fn contains(mapping: &Range<usize>, piece: &[u8]) -> bool {
    let Range { start, end } = piece.as_ptr_range();
    mapping.contains(&start.addr()) && end.addr() <= mapping.end
}

fn name(transport: Transport) -> &'static str {
    if transport.is_ring() { "ring" } else { "perf buffer" }
}

fn judge(all: &[Seen]) -> Judgement {
    let holds = !all.is_empty() && all.iter().all(|seen| seen.records > 0 && seen.in_place == seen.records);
    let count = |records: u64| number(records as f64);
    let text =
        |seen: &Seen| format!("{} of {} in the {}", count(seen.in_place), count(seen.records), name(seen.transport));
    let texts: Vec<_> = all.iter().map(text).collect();
    Judgement::holds(holds, format!("Records read in place: {}.", texts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::experiment::Verdict;

    #[test]
    fn verdict_follows_the_figures() {
        let seen = |in_place| Seen { transport: Transport::Heap, records: 10, in_place, in_two: 0 };
        assert_eq!(judge(&[seen(10), seen(10)]).verdict, Verdict::Holds);
        assert_eq!(judge(&[seen(10), seen(9)]).verdict, Verdict::DoesNotHold);
        assert_eq!(judge(&[seen(10), Seen { records: 0, ..seen(0) }]).verdict, Verdict::DoesNotHold);
        assert_eq!(judge(&[]).verdict, Verdict::DoesNotHold);
    }
}
