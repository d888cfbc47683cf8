//! Measures the throughput of the ring buffer and the perf buffer, with the parameters of the kernel's own benchmark
//! (`tools/testing/selftests/bpf/benchs/bench_ringbufs.c`).
//!
//! Each run of the BPF program sends 500 records of 8 bytes. In the mode *sampled*, with one wake-up for every N
//! records, it sends N if N is less than 500. The ring has 512 KiB. The perf buffer of each CPU has 128 pages. The
//! experiment has five modes:
//!
//! - **in parallel**: a producer never pauses, and a reader reads on another CPU. The kernel decides on wake-ups.
//! - **quiet**: as in parallel, but the readers suppress the kernel's wake-ups (trailing release, twin events).
//! - **back to back**: one thread sends a batch, reads it, and sends the next batch. No side sleeps.
//! - **sampled**: as in parallel, but with one wake-up for every N records.
//! - **under contention**: 1, 2, 4 and more producers, each on its own CPU, and one reader.
//!
//! All modes except *quiet* are modes of the kernel's benchmark. The commit that added the benchmark has results under
//! contention for the ring only. Records that do not fit are dropped and counted.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use cutaway_programs::compare::{FixedSize, Transport, Work};

use crate::compare::{
    bench::{Bench, Effort, Obstacle, joined},
    cpus,
    data::{Axis, Cell, Plot, Point, Table, number},
    experiment::{Experiment, Findings, Judgement, Verdict},
    producer::{ADAPTIVE, Buffer, FORCE_WAKEUP, NO_WAKEUP, Producer, silent},
    readers::{Reader, Waiting, meanwhile},
    stats::{Rounds, interleave, relation},
};

pub(super) const EXPERIMENT: Experiment =
    Experiment { name: "throughput", claim: "The ring carries more records a second than the perf buffer.", run };

/// The size of the ring, and of the perf buffer of each CPU, in bytes.
const BUFFER: u32 = 512 * 1024;
/// The number of records that one run of the BPF program sends, except in the mode *sampled* with fewer records per
/// wake-up.
const BATCH: u64 = 500;
/// The numbers of records per wake-up. The experiment measures the mode *sampled* with each of these numbers.
const SAMPLED: [u32; 8] = [1, 5, 10, 50, 100, 500, 1000, 3000];
/// The values of [`SAMPLED`] that the experiment measures with [`Effort::Quick`].
const QUICK: [u32; 4] = [1, 10, 100, TYPICAL];
/// The value of [`SAMPLED`] that the verdict uses.
const TYPICAL: u32 = 500;
/// Two rates count as equal if their ratio is at most this.
const MARGIN: f64 = 1.1;

/// A mode of sending and reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Parallel,
    /// As `Parallel`, but the readers suppress the kernel's wake-ups.
    Quiet,
    BackToBack,
    /// As `Parallel`, with one wake-up for this number of records.
    Sampled(u32),
    /// As `Parallel`, with this number of producers.
    Contended(usize),
}

/// A mode and a transport to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    mode: Mode,
    transport: Transport,
}

/// The result of one measurement.
#[derive(Debug, Clone, Copy)]
struct Measurement {
    /// Records that were read, in millions a second.
    rate: f64,
    /// Dropped records, in percent of all records that were sent.
    dropped: f64,
}

/// The results of all measurements of a case.
#[derive(Debug, Clone)]
struct Figures {
    case: Case,
    rate: Rounds,
    dropped: Rounds,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.reader()?; // requires two CPUs
    let mut cases = Vec::new();
    for mode in [Mode::Parallel, Mode::BackToBack] {
        cases.extend(
            [Transport::Stack, Transport::Reserve, Transport::Output].map(|transport| Case { mode, transport }),
        );
    }
    cases.extend([Transport::Stack, Transport::Reserve].map(|transport| Case { mode: Mode::Quiet, transport }));
    for every in SAMPLED.into_iter().filter(|every| bench.effort == Effort::Full || QUICK.contains(every)) {
        cases.extend(
            [Transport::Stack, Transport::Reserve].map(|transport| Case { mode: Mode::Sampled(every), transport }),
        );
    }
    for producers in producers(bench.cpus.len()) {
        cases.extend(
            [Transport::Stack, Transport::Reserve]
                .map(|transport| Case { mode: Mode::Contended(producers), transport }),
        );
    }
    let results = interleave(bench, &mut cases, |&mut case| measure(bench, case))?;
    let figures: Vec<_> = cases
        .iter()
        .zip(results)
        .map(|(&case, results)| {
            let rounds = |what: fn(&Measurement) -> f64| Rounds::new(results.iter().map(what));
            Figures { case, rate: rounds(|result| result.rate), dropped: rounds(|result| result.dropped) }
        })
        .collect();
    Ok(Findings {
        judgement: judge(&figures),
        tables: vec![main_table(&figures), sampled_table(&figures), contended_table(&figures)],
        plots: vec![main_plot(&figures), sampled_plot(&figures)],
        notes: vec![
            format!(
                "As in the kernel's benchmark, each run of the program sends {BATCH} records of 8 bytes. The ring has 512 KiB, \
                 and the perf buffer of each CPU has 128 pages."
            ),
            "Perf records are built on the stack. With as many producers as CPUs, the reader and one producer run on \
                 the same CPU."
                .to_owned(),
        ],
    })
}

/// Returns the numbers of producers to measure: 1, 2, 4 and so on, and the number of CPUs.
fn producers(cpus: usize) -> Vec<usize> {
    let mut all: Vec<usize> =
        std::iter::successors(Some(1), |number| Some(number * 2)).take_while(|&number| number < cpus).collect();
    all.push(cpus);
    all
}

fn measure(bench: &Bench<'_>, case: Case) -> Result<Measurement, Obstacle> {
    let burst = FixedSize { transport: case.transport, size: 8, most: BATCH as u32, work: Work::Words, timed: false };
    let producer = Producer::burst(&burst, BUFFER)?;
    // In the control, the variant that is broken on purpose, the ring's reader is slow.
    let slow = bench.control && case.transport == Transport::Reserve;
    match case.mode {
        Mode::BackToBack => {
            bench.sender_here()?;
            back_to_back(bench, case.transport, &producer, slow)
        }
        mode => parallel(bench, mode, case.transport, &producer, slow),
    }
}

/// Sends a batch and reads it, repeatedly, in one thread.
fn back_to_back(
    bench: &Bench<'_>,
    transport: Transport,
    producer: &Producer,
    slow: bool,
) -> Result<Measurement, Obstacle> {
    let mut buffer = Buffer::open(transport, producer, BUFFER as usize, &silent())?;
    let begun = Instant::now();
    let (mut records, mut dropped) = (0, 0);
    while begun.elapsed() < bench.effort.slice() {
        dropped += u64::from(producer.send(BATCH, NO_WAKEUP, NO_WAKEUP)?.refused);
        records += buffer.skip()?;
        if slow {
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(result(records, dropped, begun.elapsed()))
}

/// Reads on one CPU while producers send on others.
fn parallel(
    bench: &Bench<'_>,
    mode: Mode,
    transport: Transport,
    producer: &Producer,
    slow: bool,
) -> Result<Measurement, Obstacle> {
    let waiting = match mode {
        _ if slow => Waiting::Timer(Duration::from_millis(20)),
        Mode::Quiet => Waiting::Quiet,
        Mode::Sampled(every) => Waiting::Epoll(every),
        _ => Waiting::Epoll(1),
    };
    let senders = match mode {
        Mode::Contended(producers) => producers,
        _ => 1,
    };
    let reader_cpu = if senders < bench.cpus.len() { bench.cpus.get(senders) } else { bench.cpus.last() };
    let reader_cpu = reader_cpu.copied().unwrap_or_default();
    let mut reader = Reader::open(transport, producer, BUFFER as usize, waiting)?;
    let stop = reader.stop()?;
    let read = || {
        cpus::pin(reader_cpu)?;
        let mut records = 0_u64;
        reader.run(
            &stop,
            || {},
            |_| {
                records += 1;
                // The slow reader sleeps after every 64 records.
                if slow && records.is_multiple_of(64) {
                    thread::sleep(Duration::from_millis(1));
                }
            },
        )?;
        Ok(records)
    };
    let ((dropped, time), records) =
        meanwhile(read, || send_without_pause(bench, mode, senders, producer), || stop.now())?;
    Ok(result(records, dropped, time))
}

/// Runs producers that never pause, each on its own CPU. Returns the number of dropped records and the elapsed time.
fn send_without_pause(
    bench: &Bench<'_>,
    mode: Mode,
    senders: usize,
    producer: &Producer,
) -> Result<(u64, Duration), Obstacle> {
    let ended = AtomicBool::new(false);
    let begun = Instant::now();
    thread::scope(|scope| {
        let sender = |&cpu| {
            let ended = &ended;
            scope.spawn(move || {
                cpus::pin(cpu)?;
                let mut dropped = 0;
                // ATOMICS: pairs with the store below. Relaxed, because the flag orders no other data.
                while !ended.load(Ordering::Relaxed) {
                    dropped += send(producer, mode)?;
                }
                Ok(dropped)
            })
        };
        let sending: Vec<_> = bench.cpus.iter().take(senders).map(sender).collect();
        thread::sleep(bench.effort.slice());
        // ATOMICS: pairs with the load above.
        ended.store(true, Ordering::Relaxed);
        let mut dropped = 0;
        for sender in sending {
            dropped += joined(sender)?;
        }
        Ok((dropped, begun.elapsed()))
    })
}

/// Sends one or more batches with the wake-ups of this mode. Returns the number of dropped records.
fn send(producer: &Producer, mode: Mode) -> Result<u64, Obstacle> {
    let Mode::Sampled(every) = mode else { return Ok(producer.send(BATCH, ADAPTIVE, ADAPTIVE)?.refused.into()) };
    let every = u64::from(every);
    let (mut left, mut dropped) = (every.max(BATCH), 0);
    while left > 0 {
        let count = left.min(every).min(BATCH);
        left -= count;
        // If `every` is more than a batch, only the last batch sends the wake-up.
        let last = if left == 0 || every <= BATCH { FORCE_WAKEUP } else { NO_WAKEUP };
        dropped += u64::from(producer.send(count, NO_WAKEUP, last)?.refused);
    }
    Ok(dropped)
}

fn result(records: u64, dropped: u64, time: Duration) -> Measurement {
    let sent = (records + dropped).max(1);
    Measurement { rate: records as f64 / time.as_secs_f64() / 1e6, dropped: 100.0 * dropped as f64 / sent as f64 }
}

fn find(figures: &[Figures], mode: Mode, transport: Transport) -> Option<&Figures> {
    figures.iter().find(|figure| figure.case == Case { mode, transport })
}

fn cells(figures: &[Figures], mode: Mode, transports: &[Transport]) -> Vec<Cell> {
    let of = |&transport| {
        let figure = find(figures, mode, transport);
        let rate = figure.map_or(Cell::None, |figure| (&figure.rate).into());
        let dropped = figure.map_or(Cell::None, |figure| figure.dropped.median().round().into());
        [rate, dropped]
    };
    transports.iter().flat_map(of).collect()
}

const RATE: &str = "M records/s";

fn main_table(figures: &[Figures]) -> Table {
    let transports = [Transport::Stack, Transport::Reserve, Transport::Output];
    let columns = transports.iter().flat_map(|transport| [(transport.name(), RATE), ("dropped", "%")]);
    let mut table = Table::new("One producer", [("", "")].into_iter().chain(columns));
    for (mode, name) in MAIN {
        table.row([Cell::text(name)].into_iter().chain(cells(figures, mode, &transports)));
    }
    table
}

const MAIN: [(Mode, &str); 3] = [
    (Mode::Parallel, "in parallel"),
    (Mode::Quiet, "in parallel, this project's readers"),
    (Mode::BackToBack, "back to back"),
];

fn sampled_table(figures: &[Figures]) -> Table {
    let columns = [
        ("a wake-up for every", "records"),
        ("perf, stack", RATE),
        ("dropped", "%"),
        ("ring, reserve", RATE),
        ("dropped", "%"),
    ];
    let mut table = Table::new("Sampled", columns);
    for every in SAMPLED.into_iter().filter(|&every| find(figures, Mode::Sampled(every), Transport::Reserve).is_some())
    {
        let row = cells(figures, Mode::Sampled(every), &[Transport::Stack, Transport::Reserve]);
        table.row([u64::from(every).into()].into_iter().chain(row));
    }
    table
}

fn contended_table(figures: &[Figures]) -> Table {
    let columns =
        [("producers", ""), ("perf, stack", RATE), ("dropped", "%"), ("ring, reserve", RATE), ("dropped", "%")];
    let mut table = Table::new("Contention", columns);
    for figure in figures.iter().filter(|figure| figure.case.transport == Transport::Reserve) {
        if let Mode::Contended(producers) = figure.case.mode {
            let row = cells(figures, figure.case.mode, &[Transport::Stack, Transport::Reserve]);
            table.row([(producers as u64).into()].into_iter().chain(row));
        }
    }
    table
}

fn main_plot(figures: &[Figures]) -> Plot {
    let bars = |mode| {
        Transport::ALL
            .map(|transport| find(figures, mode, transport).map(|figure| Point::spread(0.0, &figure.rate)))
            .into()
    };
    let mut groups: Vec<(String, Vec<Option<Point>>)> = Vec::new();
    for (mode, name) in [
        (Mode::Parallel, "in parallel"),
        (Mode::Quiet, "in parallel,\nquiet readers"),
        (Mode::BackToBack, "back to back"),
    ] {
        groups.push((name.to_owned(), bars(mode)));
    }
    for figure in figures.iter().filter(|figure| figure.case.transport == Transport::Reserve) {
        if let Mode::Contended(producers) = figure.case.mode {
            groups.push((
                format!("{} producer{}", producers, if producers == 1 { "" } else { "s" }),
                bars(figure.case.mode),
            ));
        }
    }
    Plot::Bars {
        title: "Records read a second".to_owned(),
        y: Axis::linear("million records a second"),
        series: Transport::ALL.map(|transport| transport.name().to_owned()).into(),
        groups,
    }
}

fn sampled_plot(figures: &[Figures]) -> Plot {
    let series = Transport::ALL.map(|transport| {
        let of = SAMPLED.into_iter().filter_map(|every| Some((every, find(figures, Mode::Sampled(every), transport)?)));
        (transport.name().to_owned(), of.map(|(every, figure)| Point::spread(every.into(), &figure.rate)).collect())
    });
    Plot::Lines {
        title: "One wake-up for several records".to_owned(),
        x: Axis::logarithmic("records for each wake-up"),
        y: Axis::logarithmic("million records a second"),
        series: series.into(),
    }
}

fn judge(figures: &[Figures]) -> Judgement {
    let rate = |mode, transport| find(figures, mode, transport).map(|figure| figure.rate.clone()).unwrap_or_default();
    let modes = [Mode::Parallel, Mode::BackToBack, Mode::Sampled(TYPICAL)];
    let relations = modes.map(|mode| relation(&rate(mode, Transport::Stack), &rate(mode, Transport::Reserve), MARGIN));
    let pair = |mode| [Transport::Reserve, Transport::Stack].map(|transport| number(rate(mode, transport).median()));
    let [[ring, perf], [ring_back, perf_back], [ring_sampled, perf_sampled]] = modes.map(pair);
    let sentence = format!(
        "Million records a second in parallel: ring {ring}, perf buffer {perf}. Back to back: ring {ring_back}, perf \
         buffer {perf_back}. With a wake-up for every {TYPICAL} records: ring {ring_sampled}, perf buffer {perf_sampled}."
    );
    Judgement::new(Verdict::if_all_less(&relations), sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(perf: [f64; 5], ring: [f64; 5]) -> Vec<Figures> {
        let figure = |mode, transport: Transport| {
            let rate = Rounds::new(if transport.is_ring() { ring } else { perf });
            Figures { case: Case { mode, transport }, rate, dropped: Rounds::default() }
        };
        let modes = [Mode::Parallel, Mode::BackToBack, Mode::Sampled(TYPICAL)];
        modes
            .into_iter()
            .flat_map(|mode| [Transport::Stack, Transport::Reserve].map(|transport| figure(mode, transport)))
            .collect()
    }

    #[test]
    fn verdict_follows_the_figures() {
        let verdict = |perf, ring| judge(&figures(perf, ring)).verdict;
        assert_eq!(verdict([1.0; 5], [10.0; 5]), Verdict::Holds);
        assert_eq!(verdict([10.0; 5], [1.0; 5]), Verdict::DoesNotHold);
        assert_eq!(verdict([10.0; 5], [10.5; 5]), Verdict::DoesNotHold);
        assert_eq!(verdict([10.0; 5], [5.0, 20.0, 5.0, 20.0, 10.0]), Verdict::TooNoisy);
        assert_eq!(judge(&[]).verdict, Verdict::TooNoisy);
    }

    #[test]
    fn producers_double_up_to_all() {
        assert_eq!(producers(1), [1]);
        assert_eq!(producers(2), [1, 2]);
        assert_eq!(producers(6), [1, 2, 4, 6]);
        assert_eq!(producers(8), [1, 2, 4, 8]);
    }
}
