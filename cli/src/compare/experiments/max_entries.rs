//! Tests the meaning of `max_entries`: slots in a `PERF_EVENT_ARRAY`, bytes in a `RINGBUF`.
//!
//! Maps are created with no, few and many entries: first by the kernel with the exact value, then by the loader, which
//! corrects invalid values. Then the meaning is tested: a perf event array of one slot accepts an event at key 0 and
//! none at key 1; a ring of 4,096 accepts records until about as many bytes are in use.

use cutaway::{MapType, Object, features, perf_reader::Buffer as PerfBuffer};
use cutaway_programs::compare::{FixedSize, Transport, Work, names};
use std::os::fd::{AsFd, AsRawFd};

use crate::compare::{
    bench::{Bench, Obstacle},
    data::{Cell, Table, number},
    experiment::{Experiment, Findings, Judgement},
    producer::{Buffer, NO_WAKEUP, Producer, silent},
};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "max-entries",
    claim: "max_entries counts slots for fds in a PERF_EVENT_ARRAY, and bytes in a RINGBUF.",
    run,
};

const RECORD: u32 = 8;

/// The requested and the measured capacity of the two maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    slots_asked: u32,
    /// Keys from 0 on that accepted an event.
    slots: u32,
    bytes_asked: u32,
    /// Bytes of the ring in use when it refused a record.
    bytes: u64,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.sender_here()?;
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(4096);
    let mut table = Table::new(
        "Effect of max_entries",
        [("map", ""), ("requested", ""), ("kernel, uncorrected", ""), ("loader", "")],
    );
    for (kind, transport, sizes) in [
        (MapType::PERF_EVENT_ARRAY, Transport::Heap, [0, 1, 2, 1024]),
        (MapType::RINGBUF, Transport::Reserve, [0, 1000, page, 4 * page + 1]),
    ] {
        for asked in sizes {
            bench.step()?;
            let kernel =
                features::max_entries(kind, asked).map_or_else(|errno| errno.to_string(), |made| number(made.into()));
            let loaded = Producer::from(load(transport, asked)?);
            let made = loaded.loaded().map(names::EVENTS)?.max_entries();
            table.row([
                Cell::text(kind.to_string()),
                u64::from(asked).into(),
                Cell::text(kernel),
                u64::from(made).into(),
            ]);
        }
    }
    let figures = Figures {
        slots_asked: 1,
        slots: slots(1)?,
        bytes_asked: page,
        // The control requests a page and creates sixteen.
        bytes: bytes(if bench.control { 16 * page } else { page })?,
    };
    Ok(Findings {
        judgement: judge(&figures),
        tables: vec![table],
        plots: Vec::new(),
        notes: vec![
            "For a PERF_EVENT_ARRAY, the loader replaces 0 and anything above the number of possible CPUs by that number: the key of a slot is a CPU. \
             For a ring, it rounds up to a power of two of pages."
                .to_owned(),
        ],
    })
}

fn load(transport: Transport, max_entries: u32) -> Result<cutaway::Loaded, Obstacle> {
    let burst = FixedSize { transport, size: RECORD, most: 64, work: Work::Words, timed: false };
    let mut object = Object::parse(&burst.object()?)?;
    object.map_mut(names::EVENTS)?.max_entries = max_entries;
    Ok(object.load()?)
}

/// Counts the keys from 0 on that accept an event in an array of `max_entries` slots.
fn slots(max_entries: u32) -> Result<u32, Obstacle> {
    let loaded = load(Transport::Heap, max_entries)?;
    let (online, map) = (cutaway::perf_reader::online_cpus()?, loaded.map(names::EVENTS)?);
    let cpu = online.first().copied().unwrap_or(0);
    let event = PerfBuffer::open(cpu, rustix::param::page_size() as u32, &silent())?;
    let fd = event.as_fd().as_raw_fd().to_ne_bytes();
    // A key is only an index into the array: the kernel does not check to which CPU the event belongs.
    let taken = |key: &u32| map.update(&key.to_ne_bytes(), &fd).is_ok();
    Ok((0..64).take_while(taken).count() as u32)
}

/// Returns the bytes that a ring accepts until it refuses, record headers included.
fn bytes(max_entries: u32) -> Result<u64, Obstacle> {
    let producer = Producer::from(load(Transport::Reserve, max_entries)?);
    let buffer = Buffer::open(Transport::Reserve, &producer, 0, &silent())?;
    while producer.send(64, NO_WAKEUP, NO_WAKEUP)?.refused == 0 {}
    let Buffer::Ring(ring) = &buffer else { return Ok(0) };
    Ok(ring.positions().waiting())
}

fn judge(figures: &Figures) -> Judgement {
    let &Figures { slots_asked, slots, bytes_asked, bytes } = figures;
    // Another record would not fit: one byte always stays free.
    let full = u64::from(bytes_asked).saturating_sub(bytes) <= 16 && bytes < u64::from(bytes_asked);
    let sentence = format!(
        "A PERF_EVENT_ARRAY with max_entries {} accepts events at {}; a RINGBUF with max_entries {} is full at {} \
             bytes.",
        number(slots_asked.into()),
        crate::compare::data::count(slots.into(), "key"),
        number(bytes_asked.into()),
        number(bytes as f64)
    );
    Judgement::holds(slots == slots_asked && full, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::experiment::Verdict;

    #[test]
    fn verdict_follows_the_figures() {
        let good = Figures { slots_asked: 1, slots: 1, bytes_asked: 4096, bytes: 4080 };
        let verdict = |figures| judge(&figures).verdict;
        assert_eq!(verdict(good), Verdict::Holds);
        assert_eq!(verdict(Figures { slots: 2, ..good }), Verdict::DoesNotHold);
        assert_eq!(verdict(Figures { bytes: 4096 * 16, ..good }), Verdict::DoesNotHold);
        assert_eq!(verdict(Figures { bytes: 2048, ..good }), Verdict::DoesNotHold);
    }
}
