//! Measures the time that the program takes to send a record, by record size and transport.
//!
//! For a perf buffer, the program first writes the data into an event, on the stack or on a heap; the helper then
//! copies the event into the buffer. In a ring, the program builds the event in place, so there is one write.
//!
//! The program writes every word of the record for each transport. The transports differ in where it writes them and
//! in what is copied afterwards. The kernel measures the time of the program alone ([`cutaway::StatsGuard`]). A run
//! sends 8 to 32 records, so the cost of reading the clock does not matter. The buffer is emptied between runs. Only a
//! half-full perf buffer wakes the reader, which is rare.

use cutaway::StatsGuard;
use cutaway_programs::compare::Transport;

use crate::compare::{
    bench::{Bench, Obstacle},
    data::{Axis, Cell, Plot, Point, Table, number},
    experiment::{Experiment, Findings, Judgement, Verdict},
    producer::{Lane, NO_WAKEUP},
    stats::{Rounds, interleave, relation},
};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "copies",
    claim: "A perf buffer copies a finished event; in a ring the program builds the event in place. That costs the \
            program less, and the saving grows with the event.",
    run,
};

const BUFFER: u32 = 512 * 1024;
const SIZES: [u32; 7] = [8, 64, 256, 512, 1024, 4096, 16_384];
/// Size in bytes with almost nothing to copy.
const SMALL: u32 = 8;
/// Size in bytes at which the copy dominates.
const LARGE: u32 = 4096;
/// Ratios up to this count as no difference in the verdict.
const MARGIN: f64 = 1.05;

/// The time per record of one transport and size, in nanoseconds.
#[derive(Debug, Clone)]
struct Cost {
    transport: Transport,
    size: u32,
    time: Rounds,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.sender_here()?;
    let _statistics = StatsGuard::enable()?;
    let mut lanes = Lane::all(bench, &SIZES, most, BUFFER)?;
    let runs = bench.effort.choose(24, 100);
    let times = interleave(bench, &mut lanes, |lane| measure(lane, runs))?;
    let costs: Vec<_> = lanes
        .iter()
        .zip(times)
        .map(|(lane, times)| Cost { transport: lane.transport, size: lane.size, time: Rounds::new(times) })
        .collect();
    let columns =
        [("size", "bytes")].into_iter().chain(Transport::ALL.map(|transport| (transport.name(), "ns a record")));
    let mut table = Table::new("In-kernel time of the program", columns);
    for size in SIZES {
        let of = |transport| time(&costs, transport, size).map_or(Cell::None, Cell::from);
        table.row([u64::from(size).into()].into_iter().chain(Transport::ALL.map(of)));
    }
    let series = Transport::ALL.map(|transport| {
        let points = costs.iter().filter(|cost| cost.transport == transport);
        (transport.name().to_owned(), points.map(|cost| Point::spread(cost.size.into(), &cost.time)).collect())
    });
    let plot = Plot::Lines {
        title: "Time of the sending program by record size".to_owned(),
        x: Axis::logarithmic("size of a record in bytes"),
        y: Axis::logarithmic("nanoseconds a record"),
        series: series.into(),
    };
    Ok(Findings {
        judgement: judge(&costs),
        tables: vec![table],
        plots: vec![plot],
        notes: vec![
            "Each transport writes every 8-byte word of the record; the times include that work.".to_owned(),
            "`ring, output` writes the record elsewhere and copies it once: its distance from `ring, reserve` is the \
                 cost of one copy."
                .to_owned(),
        ],
    })
}

/// Returns the number of records that a run sends.
fn most(size: u32) -> u32 {
    if size > 1024 { 8 } else { 32 }
}

/// Measures the nanoseconds per record over `runs` runs.
fn measure(lane: &mut Lane, runs: u64) -> Result<f64, Obstacle> {
    let records = u64::from(most(lane.size));
    let before = lane.producer.program()?.stats()?;
    for _ in 0..runs {
        let tally = lane.producer.send(records, NO_WAKEUP, NO_WAKEUP)?;
        let received = lane.buffer.skip()?;
        if tally.refused > 0 || received != records {
            return Err(Obstacle::because(format!("of {records} records only {received} arrived")));
        }
    }
    let after = lane.producer.program()?.stats()?;
    Ok((after.time - before.time).as_nanos() as f64 / (runs * records) as f64)
}

fn time(costs: &[Cost], transport: Transport, size: u32) -> Option<&Rounds> {
    costs.iter().find(|cost| cost.transport == transport && cost.size == size).map(|cost| &cost.time)
}

/// Returns, for each round, how many nanoseconds less a record of this size takes in the ring than from the heap.
fn saved(costs: &[Cost], size: u32) -> Rounds {
    let values = |transport| time(costs, transport, size).map(Rounds::values).unwrap_or_default();
    Rounds::new(values(Transport::Heap).iter().zip(values(Transport::Reserve)).map(|(heap, reserve)| heap - reserve))
}

fn judge(costs: &[Cost]) -> Judgement {
    let mut relations = Vec::new();
    for size in SIZES.into_iter().filter(|&size| size >= LARGE) {
        let [heap, reserve, output] = [Transport::Heap, Transport::Reserve, Transport::Output]
            .map(|transport| time(costs, transport, size).cloned().unwrap_or_default());
        for copied in [heap, output] {
            relations.push(relation(&reserve, &copied, MARGIN));
        }
    }
    relations.push(relation(&saved(costs, SMALL), &saved(costs, LARGE), MARGIN));
    let median = |transport, size| time(costs, transport, size).map_or(f64::NAN, Rounds::median);
    let ratio = |size| median(Transport::Reserve, size) / median(Transport::Heap, size);
    let largest = SIZES.into_iter().max().unwrap_or(LARGE);
    let price =
        (median(Transport::Output, largest) - median(Transport::Reserve, largest)) / f64::from(largest) * 1024.0;
    let sentence = format!(
        "A record of {} bytes costs {} ns in the ring and {} ns from the heap through the perf buffer, {} times as much; \
         one of {SMALL} bytes costs {} and {} ns. One copy costs {} ns a KiB.",
        number(largest.into()),
        number(median(Transport::Reserve, largest).round()),
        number(median(Transport::Heap, largest).round()),
        number(1.0 / ratio(largest)),
        number(median(Transport::Reserve, SMALL).round()),
        number(median(Transport::Heap, SMALL).round()),
        number(price),
    );
    Judgement::new(Verdict::if_all_less(&relations), sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(reserve: [f64; 5], copied: [f64; 5]) -> Vec<Cost> {
        // A small record is cheap with each transport.
        let cost = |transport, size| {
            let times = if transport == Transport::Reserve { reserve } else { copied };
            Cost { transport, size, time: Rounds::new(times.map(|time| if size < LARGE { time / 10.0 } else { time })) }
        };
        SIZES.into_iter().flat_map(|size| Transport::ALL.map(|transport| cost(transport, size))).collect()
    }

    #[test]
    fn verdict_follows_the_figures() {
        let verdict = |reserve, copied| judge(&costs(reserve, copied)).verdict;
        assert_eq!(verdict([500.0; 5], [1000.0; 5]), Verdict::Holds);
        assert_eq!(verdict([1000.0; 5], [500.0; 5]), Verdict::DoesNotHold);
        assert_eq!(verdict([1000.0; 5], [1000.0; 5]), Verdict::DoesNotHold);
        assert_eq!(verdict([500.0, 1500.0, 500.0, 1500.0, 1000.0], [1000.0; 5]), Verdict::TooNoisy);
        assert_eq!(judge(&[]).verdict, Verdict::TooNoisy);
        // The saving is the same for all sizes.
        let mut constant = costs([500.0; 5], [1000.0; 5]);
        for cost in constant.iter_mut().filter(|cost| cost.size < LARGE) {
            cost.time = Rounds::new(if cost.transport == Transport::Reserve { [100.0; 5] } else { [600.0; 5] });
        }
        assert_eq!(judge(&constant).verdict, Verdict::DoesNotHold);
    }
}
