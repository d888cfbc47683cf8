//! Tests that both buffers carry records of varying length.
//!
//! Records of many lengths are sent one by one. Their bytes come from different offsets of a map that user space has
//! filled, and are compared byte by byte on arrival. Both buffers round a record up to a multiple of 8. A ring also
//! keeps the exact length; a perf buffer keeps only the rounded one. The space that a record takes is computed from the
//! positions of the buffer.

use cutaway::perf_reader::Options;
use cutaway_programs::compare::{MAX_RECORD, Transport, names, variable_size};

use crate::compare::{
    bench::{Bench, Obstacle},
    data::{Axis, Cell, Plot, Point, Table, number},
    experiment::{Experiment, Findings, Judgement},
    producer::{Buffer, NO_WAKEUP, Producer},
};

pub(super) const EXPERIMENT: Experiment =
    Experiment { name: "variable-length", claim: "Both buffers carry records of varying length.", run };

const BUFFER: u32 = 64 * 1024;
const TRANSPORTS: [Transport; 2] = [Transport::Heap, Transport::Output];

/// The result of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parcel {
    transport: Transport,
    length: u32,
    /// Every byte arrived, at its offset.
    same: bool,
    /// The buffer reported the exact length.
    exact: bool,
    /// Bytes of the buffer that the record takes.
    used: u64,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.sender_here()?;
    let bytes = bytes();
    let mut parcels = Vec::new();
    for transport in TRANSPORTS {
        let producer = Producer::load(&variable_size(transport)?, BUFFER)?;
        producer.loaded().map(names::BYTES)?.update(&0_u32.to_ne_bytes(), &bytes)?;
        let mut buffer = Buffer::open(transport, &producer, BUFFER as usize, &Options::new())?;
        for (number, length) in lengths().enumerate() {
            bench.step()?;
            let start = number % 256;
            let wanted = bytes.get(start..start + length as usize).unwrap_or_default();
            if producer.run(&[length.into(), start as u64, NO_WAKEUP])? != 0 {
                return Err(Obstacle::because(format!("a record of {length} bytes was refused")));
            }
            let used = used(&buffer);
            let (mut same, mut exact) = (false, false);
            buffer.drain(|record| {
                // The control drops the last byte.
                let record = if bench.control { record.split_last().map_or(record, |(_, rest)| rest) } else { record };
                same = record.get(..wanted.len()) == Some(wanted);
                exact = record.len() == wanted.len();
            })?;
            parcels.push(Parcel { transport, length, same, exact, used });
        }
    }
    Ok(Findings {
        judgement: judge(&parcels),
        tables: vec![table(&parcels)],
        plots: vec![plot(&parcels)],
        notes: vec![
            "The reader of a perf buffer gets the length with up to 7 bytes of padding, so the program must store the \
                 exact length in the record."
                .to_owned(),
        ],
    })
}

/// Returns the tested lengths in bytes: every one up to 72, then every 149th.
fn lengths() -> impl Iterator<Item = u32> {
    (1..=72).chain((73..MAX_RECORD).step_by(149)).chain([MAX_RECORD])
}

/// Returns bytes without a pattern, so that a misplaced byte is detected.
fn bytes() -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(MAX_RECORD as usize + 256).collect()
}

/// Returns the unread bytes of the buffer.
fn used(buffer: &Buffer) -> u64 {
    match buffer {
        Buffer::Ring(ring) => ring.positions().waiting(),
        Buffer::Perf(set) => set.iter().map(|buffer| buffer.reader().fill()).sum(),
    }
}

fn name(transport: Transport) -> &'static str {
    if transport.is_ring() { "ring" } else { "perf" }
}

fn table(parcels: &[Parcel]) -> Table {
    let columns = TRANSPORTS
        .iter()
        .flat_map(|&transport| [(name(transport), "bytes of buffer"), (name(transport), "bytes a payload byte")]);
    let mut table = Table::new("Buffer space of a record", [("payload", "bytes")].into_iter().chain(columns));
    let cells = |payload: u64, used: [Option<u64>; 2]| {
        let a_byte = move |used: u64| Cell::Number(used as f64 / payload.max(1) as f64);
        used.into_iter().flat_map(move |used| [used.into(), used.map_or(Cell::None, a_byte)])
    };
    for length in [1, 8, 16, 32, 64, 72, 371, MAX_RECORD] {
        let of = |transport| parcels.iter().find(|parcel| parcel.transport == transport && parcel.length == length);
        if TRANSPORTS.iter().any(|&transport| of(transport).is_some()) {
            let used = TRANSPORTS.map(|transport| of(transport).map(|parcel| parcel.used));
            table.row([u64::from(length).into()].into_iter().chain(cells(length.into(), used)));
        }
    }
    table
}

fn plot(parcels: &[Parcel]) -> Plot {
    let series = TRANSPORTS.map(|transport| {
        let of = parcels.iter().filter(|parcel| parcel.transport == transport);
        let points = of.map(|parcel| Point::exact(parcel.length.into(), parcel.used as f64 / f64::from(parcel.length)));
        (name(transport).to_owned(), points.collect())
    });
    Plot::Lines {
        title: "Buffer space per payload byte".to_owned(),
        x: Axis::logarithmic("length of the payload in bytes"),
        y: Axis::logarithmic("bytes of buffer a payload byte"),
        series: series.into(),
    }
}

fn judge(parcels: &[Parcel]) -> Judgement {
    let of = |transport: Transport| parcels.iter().filter(move |parcel| parcel.transport == transport);
    let count = |transport: Transport, what: fn(&Parcel) -> bool| of(transport).filter(|parcel| what(parcel)).count();
    let complete = TRANSPORTS
        .into_iter()
        .all(|transport| of(transport).next().is_some() && of(transport).all(|parcel| parcel.same));
    let used = |transport: Transport| {
        of(transport)
            .find(|parcel| parcel.length == 8)
            .map_or_else(|| "unknown".to_owned(), |parcel| parcel.used.to_string())
    };
    let sentence = format!(
        "Records of {} lengths from 1 to {} bytes: {} arrived complete through the perf buffer and {} through the ring. The ring \
         reported {} lengths exactly, the perf buffer {}. A record of 8 bytes takes {} bytes of a perf buffer and {} of a ring.",
        of(Transport::Heap).count(),
        number(MAX_RECORD.into()),
        count(Transport::Heap, |parcel| parcel.same),
        count(Transport::Output, |parcel| parcel.same),
        count(Transport::Output, |parcel| parcel.exact),
        count(Transport::Heap, |parcel| parcel.exact),
        used(Transport::Heap),
        used(Transport::Output),
    );
    Judgement::holds(complete, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::experiment::Verdict;

    fn parcels() -> Vec<Parcel> {
        let parcel = |transport, length| Parcel { transport, length, same: true, exact: true, used: 16 };
        TRANSPORTS.into_iter().flat_map(|transport| lengths().map(move |length| parcel(transport, length))).collect()
    }

    #[test]
    fn verdict_follows_the_figures() {
        assert_eq!(judge(&parcels()).verdict, Verdict::Holds);
        for transport in TRANSPORTS {
            let mut broken = parcels();
            broken.iter_mut().rfind(|parcel| parcel.transport == transport).unwrap().same = false;
            assert_eq!(judge(&broken).verdict, Verdict::DoesNotHold);
            broken.retain(|parcel| parcel.transport != transport);
            assert_eq!(judge(&broken).verdict, Verdict::DoesNotHold);
        }
    }
}
