//! Tests that a full ring refuses a record before the program builds it, and a full perf buffer afterwards.
//!
//! There is no reader. Once the buffer is full, an attempt costs the work before the refusal: the reservation in a
//! ring, before the event is built; the output in a perf buffer, after the event is built. The program counts the
//! records that it built and those that were refused. The reader has its own count of lost records, if the buffer keeps
//! one.

use cutaway::{StatsGuard, perf_reader::LostSource};
use cutaway_programs::compare::Transport;

use crate::compare::{
    bench::{Bench, Obstacle},
    data::{Axis, Cell, Plot, Point, Table, number},
    experiment::{Experiment, Findings, Judgement, Verdict},
    producer::{Buffer, Lane, NO_WAKEUP},
    stats::{Rounds, interleave, relation},
};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "full-buffer",
    claim: "A full ring refuses a record before the program builds it; a full perf buffer refuses it afterwards.",
    run,
};

/// Size in bytes. Large, because a perf buffer sends a wake-up once it is half full.
const BUFFER: u32 = 512 * 1024;
const SIZES: [u32; 2] = [512, 4096];
/// Records of one run, few enough for a drained buffer to take them all.
const RECORDS: u64 = 8;
const MARGIN: f64 = 1.1;
/// The source of the reader's count of losses before Linux 6.0.
const RECORDS_OF_LOSS: &str = "LOST records";

struct Arm {
    lane: Lane,
    /// Attempts that the program did the work for since the start, while the buffer was full.
    worked: u64,
    refused: u64,
}

/// The data of one transport and size.
#[derive(Debug, Clone)]
struct Figures {
    transport: Transport,
    size: u32,
    /// Nanoseconds per record while the buffer has room.
    room: Rounds,
    /// Nanoseconds per attempt while the buffer is full.
    full: Rounds,
    /// Refused attempts that the program did the work for.
    worked: u64,
    refused: u64,
    /// The number of losses that the reader knows of, and its source.
    reader: Option<(u64, &'static str)>,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.sender_here()?;
    let _statistics = StatsGuard::enable()?;
    let lanes = Lane::all(bench, &SIZES, |_| RECORDS as u32, BUFFER)?;
    let mut arms: Vec<_> = lanes.into_iter().map(|lane| Arm { lane, worked: 0, refused: 0 }).collect();
    let runs = bench.effort.choose(50, 200);
    let times = interleave(bench, &mut arms, |arm| arm.measure(runs))?;
    let mut figures = Vec::new();
    for (arm, times) in arms.iter_mut().zip(times) {
        let (room, full): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
        let (room, full) = (Rounds::new(room), Rounds::new(full));
        let (transport, size, worked, refused) = (arm.lane.transport, arm.lane.size, arm.worked, arm.refused);
        figures.push(Figures { transport, size, room, full, worked, refused, reader: arm.reader()? });
    }
    let mut notes = vec![
        "The work is writing every word of the record. A real program does more work, and wastes more.".to_owned(),
        "`ring, output` refuses as late as a perf buffer: only a reservation refuses before the work.".to_owned(),
        "A ring counts no losses; its programs must count them, in a map.".to_owned(),
    ];
    if figures.iter().any(|figure| matches!(figure.reader, Some((_, RECORDS_OF_LOSS)))) {
        notes.push(
            "A LOST record precedes the next record that fits, so the reader never learns of the last losses. \
             Linux 6.0 counts them all."
                .to_owned(),
        );
    }
    Ok(Findings {
        judgement: judge(&figures),
        tables: vec![costs(&figures), losses(&figures)],
        plots: vec![plot(&figures)],
        notes,
    })
}

impl Arm {
    /// Measures the nanoseconds per record with room, and per attempt without.
    fn measure(&mut self, runs: u64) -> Result<(f64, f64), Obstacle> {
        let Lane { producer, buffer, .. } = &mut self.lane;
        buffer.skip()?;
        let start = producer.program()?.stats()?;
        for _ in 0..runs {
            let tally = producer.send(RECORDS, NO_WAKEUP, NO_WAKEUP)?;
            buffer.skip()?;
            if tally.refused > 0 {
                return Err(Obstacle::because("an empty buffer refused a record"));
            }
        }
        let drained = producer.program()?.stats()?;
        while self.fill()? < RECORDS {}
        let filled = self.lane.producer.program()?.stats()?;
        for _ in 0..runs {
            self.fill()?;
        }
        let end = self.lane.producer.program()?.stats()?;
        let records = (runs * RECORDS) as f64;
        let a_record =
            |from: cutaway::ProgramStats, to: cutaway::ProgramStats| (to.time - from.time).as_nanos() as f64 / records;
        Ok((a_record(start, drained), a_record(filled, end)))
    }

    /// Sends without reading. Returns how many records were refused.
    fn fill(&mut self) -> Result<u64, Obstacle> {
        let tally = self.lane.producer.send(RECORDS, NO_WAKEUP, NO_WAKEUP)?;
        let refused = u64::from(tally.refused);
        self.refused += refused;
        // `worked` includes the records that were sent.
        self.worked += u64::from(tally.worked) - (RECORDS - refused);
        Ok(refused)
    }

    fn reader(&mut self) -> Result<Option<(u64, &'static str)>, Obstacle> {
        let Buffer::Perf(set) = &mut self.lane.buffer else { return Ok(None) };
        set.drain(|_, _| {});
        let lost = set.lost()?;
        Ok(Some(match lost.source {
            LostSource::Kernel => (lost.samples, "the kernel's count"),
            _ => (lost.samples, RECORDS_OF_LOSS),
        }))
    }
}

fn costs(figures: &[Figures]) -> Table {
    let columns = [
        ("size", "bytes"),
        ("transport", ""),
        ("with room", "ns a record"),
        ("full", "ns an attempt"),
        ("wasted work", "% of attempts"),
    ];
    let mut table = Table::new("Time of an attempt", columns);
    for figure in figures {
        table.row([
            u64::from(figure.size).into(),
            Cell::text(figure.transport.name()),
            (&figure.room).into(),
            (&figure.full).into(),
            figure.wasted().into(),
        ]);
    }
    table
}

fn losses(figures: &[Figures]) -> Table {
    let columns =
        [("size", "bytes"), ("transport", ""), ("the program", "refused"), ("the reader", "lost"), ("from", "")];
    let mut table = Table::new("Losses, as program and reader see them", columns);
    for figure in figures {
        let from = figure.reader.map_or("not counted", |(_, from)| from);
        table.row([
            u64::from(figure.size).into(),
            Cell::text(figure.transport.name()),
            figure.refused.into(),
            figure.reader.map(|(lost, _)| lost).into(),
            Cell::text(from),
        ]);
    }
    table
}

fn plot(figures: &[Figures]) -> Plot {
    let mut groups: Vec<(String, Vec<Option<Point>>)> = Vec::new();
    for size in SIZES {
        for transport in Transport::ALL {
            let Some(figure) = figures.iter().find(|figure| figure.transport == transport && figure.size == size)
            else {
                continue;
            };
            let bars = [&figure.room, &figure.full].map(|rounds| Some(Point::spread(0.0, rounds)));
            groups.push((format!("{transport}\n{} bytes", number(size.into())), bars.into()));
        }
    }
    Plot::Bars {
        title: "Time of an attempt, with and without room".to_owned(),
        y: Axis::linear("nanoseconds an attempt"),
        series: vec!["with room".to_owned(), "buffer full".to_owned()],
        groups,
    }
}

impl Figures {
    /// Returns the percentage of refused attempts that the program did the work for.
    fn wasted(&self) -> f64 {
        if self.refused == 0 { f64::NAN } else { 100.0 * self.worked as f64 / self.refused as f64 }
    }
}

fn judge(figures: &[Figures]) -> Judgement {
    let of = |transport| figures.iter().filter(move |figure| figure.transport == transport);
    let ring_first = of(Transport::Reserve).all(|figure| figure.worked == 0 && figure.refused > 0);
    let perf_last = of(Transport::Stack)
        .chain(of(Transport::Heap))
        .all(|figure| figure.worked == figure.refused && figure.refused > 0);
    let times: Vec<_> = of(Transport::Reserve).map(|figure| relation(&figure.full, &figure.room, MARGIN)).collect();
    let verdict =
        if !ring_first || !perf_last || times.is_empty() { Verdict::DoesNotHold } else { Verdict::if_all_less(&times) };
    let largest = SIZES.into_iter().max().unwrap_or_default();
    let text = |transport: Transport| {
        let figure = of(transport).find(|figure| figure.size == largest);
        figure.map_or_else(String::new, |figure| {
            format!(
                "{} ns an attempt ({} ns with room), wasted work {} %",
                number(figure.full.median().round()),
                number(figure.room.median().round()),
                number(figure.wasted()),
            )
        })
    };
    let sentence = format!(
        "Records of {} bytes. Full ring: {}. Full perf buffer: {}.",
        number(largest.into()),
        text(Transport::Reserve),
        text(Transport::Heap)
    );
    Judgement::new(verdict, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ring_full: [f64; 5], ring_worked: u64, perf_worked: u64) -> Vec<Figures> {
        let figure = |transport: Transport, size| Figures {
            transport,
            size,
            room: Rounds::new([100.0; 5]),
            full: Rounds::new(if transport == Transport::Reserve { ring_full } else { [90.0; 5] }),
            worked: if transport == Transport::Reserve { ring_worked } else { perf_worked },
            refused: 1000,
            reader: None,
        };
        SIZES.into_iter().flat_map(|size| Transport::ALL.map(|transport| figure(transport, size))).collect()
    }

    #[test]
    fn verdict_follows_the_figures() {
        let verdict = |full, ring, perf| judge(&figures(full, ring, perf)).verdict;
        assert_eq!(verdict([20.0; 5], 0, 1000), Verdict::Holds);
        assert_eq!(verdict([20.0; 5], 1000, 1000), Verdict::DoesNotHold);
        assert_eq!(verdict([20.0; 5], 0, 0), Verdict::DoesNotHold);
        assert_eq!(verdict([100.0; 5], 0, 1000), Verdict::DoesNotHold);
        assert_eq!(verdict([20.0, 200.0, 20.0, 200.0, 20.0], 0, 1000), Verdict::TooNoisy);
        assert_eq!(judge(&[]).verdict, Verdict::DoesNotHold);
    }
}
