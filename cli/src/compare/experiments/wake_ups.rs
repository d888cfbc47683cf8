//! Compares the wake-ups of both buffers with polling: delay and CPU time.
//!
//! Events of 8 bytes with a timestamp are sent at three rates from one CPU, and read on another CPU by readers with
//! different kinds of wait. The experiment measures how often a reader was woken, how much CPU time it used, and the
//! age of each event when it was read. The kernel measures the time of the program, which includes sending the
//! wake-ups.

mod arms;
mod reading;

use cutaway::StatsGuard;

use self::arms::{BUCKETS, IDLE, Seen, Who};
use crate::compare::{
    bench::{Bench, Obstacle},
    data::{Axis, Cell, Plot, Point, Table, number},
    experiment::{Experiment, Findings, Judgement, Verdict},
    stats::{Rounds, interleave, quantile, relation},
};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "wake-ups",
    claim: "Both buffers wake their reader through epoll: at once, and at no cost while nothing happens. \
            A map has to be polled, which is late or takes a whole CPU.",
    run,
};

/// Events a second.
const RATES: [u32; 3] = [100, 10_000, 1_000_000];
/// Least ratio between the CPU time of a polling reader and that of a sleeping one.
const SPARED: f64 = 10.0;

/// One reader at one rate, all rounds.
#[derive(Debug, Clone)]
struct Figures {
    who: Who,
    rate: u32,
    seen: Vec<Seen>,
}

impl Figures {
    fn of(&self, what: fn(&Seen) -> f64) -> Rounds {
        Rounds::new(self.seen.iter().map(what))
    }
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.reader()?; // requires two CPUs
    bench.sender_here()?;
    let _statistics = StatsGuard::enable()?;
    let mut arms: Vec<(Who, u32)> = RATES.iter().flat_map(|&rate| Who::ALL.map(|who| (who, rate))).collect();
    let seen = interleave(bench, &mut arms, |&mut (who, rate)| reading::measure(bench, who, rate))?;
    let figures: Vec<_> = arms.iter().zip(seen).map(|(&(who, rate), seen)| Figures { who, rate, seen }).collect();
    Ok(Findings {
        judgement: judge(&figures),
        tables: RATES.map(|rate| table(&figures, rate)).into(),
        plots: vec![lines(&figures, "CPU time of the reader", "% of a CPU", |seen| seen.cpu), ages(&figures)],
        notes: vec![
            "trailing release and twin events are this project's readers: see the crates mmap-ring and \
                 perf-reader."
                .to_owned(),
            "The age of an event is taken when the read that found it begins to hand out records; the program's time \
                 includes sending wake-ups."
                .to_owned(),
            "A reader that never sleeps is always caught up, so a ring's program still sends it a wake-up for every \
                 record."
                .to_owned(),
        ],
    })
}

fn table(figures: &[Figures], rate: u32) -> Table {
    let columns = [
        ("reader", ""),
        ("wake-ups", "a second"),
        ("CPU time", "%"),
        ("age, median", "µs"),
        ("age, 99 %", "µs"),
        ("program", "ns an event"),
        ("lost", "%"),
    ];
    let of = || figures.iter().filter(|figure| figure.rate == rate);
    let rates: Vec<f64> = of().flat_map(|figure| figure.seen.iter().map(|seen| seen.rate)).collect();
    let sent = quantile(&mut rates.clone(), 0.5);
    let mut title = format!("{} events a second", number(rate.into()));
    if sent < f64::from(rate) * 0.9 {
        title.push_str(&format!(" wanted, {} sent", number(sent.round())));
    }
    let mut table = Table::new(title, columns);
    for figure in of() {
        let rounds = [
            figure.of(|seen| seen.wake_ups),
            figure.of(|seen| seen.cpu),
            figure.of(|seen| seen.median),
            figure.of(|seen| seen.late),
            figure.of(|seen| seen.cost),
        ];
        let lost = Cell::Number((figure.of(|seen| seen.lost).median() * 100.0).round() / 100.0);
        table.row([Cell::text(figure.who.name())].into_iter().chain(rounds.iter().map(Cell::from)).chain([lost]));
    }
    table
}

fn lines(figures: &[Figures], title: &str, unit: &str, what: fn(&Seen) -> f64) -> Plot {
    let series = Who::ALL.map(|who| {
        let of = figures.iter().filter(|figure| figure.who == who);
        (who.name().to_owned(), of.map(|figure| Point::spread(figure.rate.into(), &figure.of(what))).collect())
    });
    Plot::Lines {
        title: title.to_owned(),
        x: Axis::logarithmic("events a second"),
        y: Axis::logarithmic(unit),
        series: series.into(),
    }
}

/// Plots the ages of events at the lowest rate. This project's readers are omitted, because they are like the others
/// at this rate.
fn ages(figures: &[Figures]) -> Plot {
    let series = Who::ALL.map(|who| {
        let idle = |figure: &&Figures| figure.who == who && figure.rate == IDLE;
        let seen = figures.iter().filter(idle).flat_map(|figure| &figure.seen);
        let points = match who {
            Who::RingTrailing | Who::PerfTwins => Vec::new(),
            _ => histogram(seen.map(|seen| seen.ages.as_slice())),
        };
        (who.name().to_owned(), points)
    });
    Plot::Lines {
        title: format!("Age of events when they are read, at {IDLE} a second"),
        x: Axis::logarithmic("age up to, in µs"),
        y: Axis::linear("% of events"),
        series: series.into(),
    }
}

/// Returns the share of each bucket of [`Seen::ages`] in percent, from the first visible bucket to the last, with an
/// empty one on either side.
fn histogram<'a>(rounds: impl Iterator<Item = &'a [u64]>) -> Vec<Point> {
    /// Shares below this percentage are not visible.
    const NOTHING: f64 = 0.5;
    let mut sums = vec![0; BUCKETS];
    for ages in rounds {
        sums.iter_mut().zip(ages).for_each(|(sum, count)| *sum += count);
    }
    let all = sums.iter().sum::<u64>().max(1) as f64;
    let shares: Vec<f64> = sums.iter().map(|&count| 100.0 * count as f64 / all).collect();
    let worth = |share: &f64| *share >= NOTHING;
    let (Some(first), Some(last)) = (shares.iter().position(worth), shares.iter().rposition(worth)) else {
        return Vec::new();
    };
    let buckets = shares.iter().enumerate().take(last + 2).skip(first.saturating_sub(1));
    buckets.map(|(bucket, &share)| Point::exact(2_f64.powi(bucket as i32) / 1e3, share)).collect()
}

fn judge(figures: &[Figures]) -> Judgement {
    let of = |who: Who, what: fn(&Seen) -> f64| {
        let figure = figures.iter().find(|figure| figure.who == who && figure.rate == IDLE);
        figure.map(|figure| figure.of(what)).unwrap_or_default()
    };
    let [age, cpu]: [fn(&Seen) -> f64; 2] = [|seen| seen.median, |seen| seen.cpu];
    let mut relations = Vec::new();
    for (epoll, busy) in [(Who::RingEpoll, Who::RingBusy), (Who::PerfEpoll, Who::PerfBusy)] {
        // epoll must be faster than the timer and use a small part of the CPU time of busy polling.
        relations.push(relation(&of(epoll, age), &of(Who::MapTimer, age), 1.2));
        relations.push(relation(&of(epoll, cpu), &of(busy, cpu), SPARED));
    }
    let text =
        |who: Who| format!("{} µs and {} % of a CPU", number(of(who, age).median()), number(of(who, cpu).median()));
    let sentence = format!(
        "Delay until an event is read and CPU time of the reader, at {IDLE} events a second: {} (ring, epoll), {} \
         (perf, epoll), {} (ring, busy polling), {} (perf, busy polling), {} (a map polled every millisecond).",
        text(Who::RingEpoll),
        text(Who::PerfEpoll),
        text(Who::RingBusy),
        text(Who::PerfBusy),
        text(Who::MapTimer),
    );
    Judgement::new(Verdict::if_all_less(&relations), sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(epoll_age: [f64; 5], epoll_cpu: f64) -> Vec<Figures> {
        let figure = |who: Who| {
            let epoll = matches!(who, Who::RingEpoll | Who::PerfEpoll);
            let seen = epoll_age.map(|age| Seen {
                median: if epoll { age } else { 500.0 },
                cpu: if epoll { epoll_cpu } else { 100.0 },
                ..Seen::default()
            });
            Figures { who, rate: IDLE, seen: seen.into() }
        };
        Who::ALL.map(figure).into()
    }

    #[test]
    fn verdict_follows_the_figures() {
        let verdict = |age, cpu| judge(&figures(age, cpu)).verdict;
        assert_eq!(verdict([50.0; 5], 1.0), Verdict::Holds);
        assert_eq!(verdict([2000.0; 5], 1.0), Verdict::DoesNotHold);
        assert_eq!(verdict([500.0; 5], 1.0), Verdict::DoesNotHold);
        assert_eq!(verdict([50.0; 5], 90.0), Verdict::DoesNotHold);
        assert_eq!(verdict([50.0; 5], 20.0), Verdict::DoesNotHold, "a fifth of a CPU for 100 events a second");
        assert_eq!(verdict([50.0, 900.0, 50.0, 900.0, 50.0], 1.0), Verdict::TooNoisy);
        assert_eq!(judge(&[]).verdict, Verdict::TooNoisy);
    }

    #[test]
    fn histogram_shows_every_reader() {
        let in_bucket = |bucket: usize| {
            let mut ages = vec![0; BUCKETS];
            ages[bucket] = 100;
            ages
        };
        for bucket in [0, 6, 20, BUCKETS - 1] {
            let rounds = [in_bucket(bucket), in_bucket(bucket)];
            let points = histogram(rounds.iter().map(Vec::as_slice));
            let highest = points.iter().max_by(|one, other| one.y.total_cmp(&other.y)).unwrap();
            assert_eq!((highest.x, highest.y), (2_f64.powi(bucket as i32) / 1e3, 100.0));
            assert!(points.len() <= 3, "empty buckets are not drawn: {points:?}");
        }
        assert!(histogram(std::iter::empty()).is_empty());
    }
}
