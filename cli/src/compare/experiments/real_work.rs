//! Measures the microseconds that tracing adds to a call of `getaddrinfo`.
//!
//! The programs of `cutaway trace` are attached to the C library's function, for this process alone. The process
//! resolves a numeric address, which is the shortest call, so the overhead is a large part of it. A reader on another
//! CPU reads the events at the least cost to the program: trailing release for the ring, twin events for the
//! perf buffers. Blocks of calls are timed and the median is taken, so that preemption by another process does not
//! count. Each transport has several laps a round, of which the shortest counts. One arm is not traced; the added time
//! is the difference to it in the same round.

use std::{ops::ControlFlow, ptr, time::Instant};

use cutaway::{
    Links, Loaded, Object, Uprobe,
    mmap_ring::WakeupPolicy,
    perf_reader::{self, Record},
};
use cutaway_programs::getaddrinfo::{self, Transport};

use crate::compare::{
    bench::{Bench, Obstacle},
    cpus,
    data::{Axis, Cell, Plot, Point, Table, number},
    experiment::{Experiment, Findings, Judgement, Verdict},
    readers::meanwhile,
    stats::{Rounds, quantile, relation, shortest_of},
};

pub(super) const EXPERIMENT: Experiment =
    Experiment { name: "real-work", claim: "Tracing a call of getaddrinfo costs least through the ring.", run };

const BUFFER: u32 = 1024 * 1024;
/// Most of the time is the same for every transport, so small differences count if the rounds agree.
const MARGIN: f64 = 1.02;
/// Percent of events. Transports that lose more are not compared: a lost event costs less.
const LOST: f64 = 1.0;
/// Calls per lap, in quick and full runs. At first the reader requests a wake-up for each event. It needs a few
/// hundred calls to measure the rate and to choose the setting that costs the program least.
const CALLS: u32 = 2_000;
/// Calls per timed block.
const BLOCK: u32 = 20;

/// A transport, or no tracing, and the counts of its events.
struct Arm {
    /// `None` if the call is not traced.
    transport: Option<Transport>,
    sent: u64,
    received: u64,
}

#[derive(Debug, Clone)]
struct Figures {
    transport: Option<Transport>,
    /// Microseconds per call, by round.
    call: Rounds,
    /// Lost events in percent.
    lost: f64,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.reader()?; // requires two CPUs
    bench.sender_here()?;
    let transports = [None].into_iter().chain(Transport::ALL.map(Some));
    let mut arms: Vec<Arm> = transports.map(|transport| Arm { transport, sent: 0, received: 0 }).collect();
    // The differences are smaller than the disturbances by other work on the same processor, so each transport has
    // several laps a round. The kernel takes most of a lap: it removes a probe only when no call of it runs.
    let laps = bench.effort.choose(3, 5);
    let times = shortest_of(bench, laps, &mut arms, |arm| measure(bench, arm, CALLS))?;
    let figures: Vec<_> = arms.iter().zip(times).map(|(arm, call)| arm.figures(call)).collect();
    let mut table = Table::new(
        "A call of getaddrinfo",
        [("transport", ""), ("a call", "µs"), ("added", "µs"), ("lost", "% of events")],
    );
    for &Figures { transport, ref call, lost } in &figures {
        let added = transport.map_or(Cell::None, |transport| (&added(&figures, transport)).into());
        let lost = transport.map_or(Cell::None, |_| lost.into());
        table.row([Cell::text(transport.map_or("not traced", Transport::name)), call.into(), added, lost]);
    }
    let bar = |transport: Transport| Some(Point::spread(0.0, &added(&figures, transport)));
    let plot = Plot::Bars {
        title: "Time that tracing adds to a getaddrinfo call".to_owned(),
        y: Axis::linear("microseconds a call"),
        series: vec!["added".to_owned()],
        groups: Transport::ALL.map(|transport| (transport.name().to_owned(), vec![bar(transport)])).into(),
    };
    Ok(Findings {
        judgement: judge(&figures),
        tables: vec![table],
        plots: vec![plot],
        notes: vec![
            "The added time includes the two probes, on entry and return; they are the same for every transport."
                .to_owned(),
        ],
    })
}

impl Arm {
    fn figures(&self, call: Rounds) -> Figures {
        let lost = self.sent.saturating_sub(self.received) as f64 / self.sent.max(1) as f64;
        Figures { transport: self.transport, call, lost: (lost * 1e4).round() / 1e2 }
    }
}

/// Measures the microseconds per call.
fn measure(bench: &Bench<'_>, arm: &mut Arm, calls: u32) -> Result<f64, Obstacle> {
    let Some(transport) = arm.transport else { return resolve(calls) };
    let loaded = load(transport)?;
    let events = loaded.map(getaddrinfo::names::EVENTS)?;
    let cpu = bench.reader()?;
    let mut received = 0;
    // The control attaches the ring's programs twice.
    let times = if bench.control && transport == Transport::Ring { 2 } else { 1 };
    let traced = || -> Result<f64, Obstacle> {
        let _links = (0..times).map(|_| attach(&loaded)).collect::<Result<Vec<_>, _>>()?;
        resolve(calls)
    };
    let (time, ()) = if transport == Transport::Ring {
        let mut ring = events.ring()?;
        let stopper = ring.stopper()?;
        let read = || {
            cpus::pin(cpu)?;
            ring.run(WakeupPolicy::default(), |batch| {
                received += batch.into_iter().count() as u64;
                ControlFlow::<()>::Continue(())
            })?;
            received += (&mut ring.batch()?).into_iter().count() as u64;
            Ok(())
        };
        meanwhile(read, traced, || stopper.stop())?
    } else {
        let mut stream = events.perf_buffers(BUFFER, &perf_reader::Options::new())?;
        let stopper = stream.stopper()?;
        let read = || {
            cpus::pin(cpu)?;
            let mut each = |_, record: Result<Record<'_>, perf_reader::Corrupt>| {
                received += u64::from(matches!(record, Ok(Record::Sample(_))));
            };
            while stream.wait(None)? != perf_reader::Wake::Stopped {
                stream.drain(&mut each)?;
            }
            stream.drain(each)?;
            Ok(())
        };
        meanwhile(read, traced, || stopper.stop())?
    };
    arm.sent += u64::from(calls) * times;
    arm.received += received;
    Ok(time)
}

fn load(transport: Transport) -> Result<Loaded, Obstacle> {
    use getaddrinfo::names;
    let mut object = Object::parse(&transport.object()?)?;
    if transport == Transport::Ring {
        object.map_mut(names::EVENTS)?.max_entries = BUFFER;
    }
    for name in [names::FOLLOW, names::UNFOLLOW] {
        object.program_mut(name)?.section.autoload = false;
    }
    Ok(object.load()?)
}

/// Attaches the programs, for this process alone.
fn attach(loaded: &Loaded) -> Result<Links, Obstacle> {
    use getaddrinfo::{FUNCTION, LIBRARY, names};
    let mut links = Links::default();
    for (name, retprobe) in [(names::ENTRY, false), (names::RETURN, true)] {
        let probe = Uprobe::new(LIBRARY, FUNCTION).retprobe(retprobe).pid(std::process::id());
        links.push(probe.attach(loaded.program(name)?)?);
    }
    Ok(links)
}

/// Resolves 127.0.0.1 `calls` times. Returns the microseconds per call: the median of the blocks.
fn resolve(calls: u32) -> Result<f64, Obstacle> {
    let mut blocks = Vec::new();
    for _ in 0..calls / BLOCK {
        let begun = Instant::now();
        for _ in 0..BLOCK {
            resolve_once()?;
        }
        blocks.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(BLOCK));
    }
    Ok(quantile(&mut blocks, 0.5))
}

#[expect(unsafe_code, reason = "calls the function that is traced")]
fn resolve_once() -> Result<(), Obstacle> {
    // SAFETY: plain integers and pointers, for which zero is a value.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_flags = libc::AI_NUMERICHOST;
    let mut answer = ptr::null_mut();
    // SAFETY: the name ends with its NUL, a service need not be given, and both structures are alive during the call.
    let failed = unsafe { libc::getaddrinfo(c"127.0.0.1".as_ptr(), ptr::null(), &raw const hints, &raw mut answer) };
    if failed != 0 {
        return Err(Obstacle::because(format!("getaddrinfo(\"127.0.0.1\") failed with {failed}")));
    }
    // SAFETY: the call has succeeded, so it made this list, and nothing else frees it.
    unsafe { libc::freeaddrinfo(answer) };
    Ok(())
}

/// Returns the microseconds that a transport adds, by round.
fn added(figures: &[Figures], transport: Transport) -> Rounds {
    let of = |wanted| figures.iter().find(|figure| figure.transport == wanted).map(|figure| figure.call.values());
    let (traced, plain) = (of(Some(transport)).unwrap_or_default(), of(None).unwrap_or_default());
    Rounds::new(traced.iter().zip(plain).map(|(traced, plain)| traced - plain))
}

fn judge(figures: &[Figures]) -> Judgement {
    let [stack, heap, ring] = Transport::ALL.map(|transport| added(figures, transport));
    let relations = [&stack, &heap].map(|perf| relation(&ring, perf, MARGIN));
    let lost = figures.iter().map(|figure| figure.lost).fold(0.0, f64::max);
    let verdict = if lost > LOST { Verdict::TooNoisy } else { Verdict::if_all_less(&relations) };
    let mut sentence = format!(
        "Tracing adds {} µs to a call through the ring, {} through perf from the stack, {} through perf from the heap.",
        number(ring.median()),
        number(stack.median()),
        number(heap.median()),
    );
    if lost > LOST {
        sentence
            .push_str(&format!(" Up to {} % of the events were lost, so the times cannot be compared.", number(lost)));
    }
    Judgement::new(verdict, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ring: [f64; 5]) -> Vec<Figures> {
        let figure = |transport, call| Figures { transport, call: Rounds::new(call), lost: 0.0 };
        vec![
            figure(None, [1.0; 5]),
            figure(Some(Transport::PerfStack), [6.0; 5]),
            figure(Some(Transport::PerfHeap), [7.0; 5]),
            figure(Some(Transport::Ring), ring),
        ]
    }

    #[test]
    fn verdict_follows_the_figures() {
        let verdict = |ring| judge(&figures(ring)).verdict;
        assert_eq!(verdict([4.0; 5]), Verdict::Holds);
        assert_eq!(verdict([9.0; 5]), Verdict::DoesNotHold);
        assert_eq!(verdict([6.0; 5]), Verdict::DoesNotHold);
        assert_eq!(verdict([4.0, 9.0, 4.0, 9.0, 4.0]), Verdict::TooNoisy);
        assert_eq!(judge(&[]).verdict, Verdict::TooNoisy);
        // A difference below the margin counts as none.
        assert_eq!(verdict([5.99; 5]), Verdict::DoesNotHold);
        // Losses make the comparison void.
        let mut lossy = figures([4.0; 5]);
        lossy[3].lost = 50.0;
        assert_eq!(judge(&lossy).verdict, Verdict::TooNoisy);
    }
}
