//! Measures one reader at one rate.

use std::{
    cell, fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use cutaway_programs::compare::{FixedSize, Work, array_sink};
use cutaway_sys::clock::monotonic_ns;
use rustix::time::{ClockId, clock_gettime};

use super::arms::{BUCKETS, IDLE, Seen, TIMER, Who};
use crate::compare::{
    bench::{Bench, Obstacle},
    cpus,
    producer::{ADAPTIVE, Producer},
    readers::{MapReader, Reader, meanwhile},
    stats::quantile,
};

const BUFFER: u32 = 1024 * 1024;

/// Sends events at `rate` a second while `who` reads, and returns the measured data.
pub(super) fn measure(bench: &Bench<'_>, who: Who, rate: u32) -> Result<Seen, Obstacle> {
    let cpu = bench.reader()?;
    let time = if rate == IDLE { bench.effort.choose(200, 1000) } else { bench.effort.choose(50, 300) };
    let time = Duration::from_millis(time);
    let (producer, sent, seen) = match who.buffer(bench.control) {
        Some((transport, waiting)) => {
            let burst = FixedSize { transport, size: 8, most: 64, work: Work::Words, timed: true };
            let producer = Producer::burst(&burst, BUFFER)?;
            let mut reader = Reader::open(transport, &producer, BUFFER as usize, waiting)?;
            let stop = reader.stop()?;
            let read = || {
                let mut watch = Watch::begin(cpu)?;
                // The clock is read once for all records of one read: reading it costs CPU time, too.
                let now = cell::Cell::new(0);
                reader.run(
                    &stop,
                    || now.set(monotonic_ns()),
                    |record| watch.event(record.first_chunk().copied().map_or(0, u64::from_ne_bytes), now.get()),
                )?;
                watch.end()
            };
            let burst = |count| producer.send(count, ADAPTIVE, ADAPTIVE).map(drop);
            let (sent, seen) = meanwhile(read, || send(rate, time, burst), || stop.now())?;
            (producer, sent, seen)
        }
        None => {
            let producer = Producer::load(&array_sink()?, 0)?;
            let stop = AtomicBool::new(false);
            let read = || {
                let mut watch = Watch::begin(cpu)?;
                let mut map = MapReader::new(&producer);
                // ATOMICS: pairs with the store below; the last read finds everything that was sent before.
                while !stop.load(Ordering::Acquire) {
                    thread::sleep(TIMER);
                    map.read_new(|time| watch.event(time, monotonic_ns()))?;
                }
                map.read_new(|time| watch.event(time, monotonic_ns()))?;
                watch.end()
            };
            let burst = |count| producer.run(&[count]).map(drop);
            // ATOMICS: pairs with the load above.
            let (sent, seen) = meanwhile(read, || send(rate, time, burst), || stop.store(true, Ordering::Release))?;
            (producer, sent, seen)
        }
    };
    let in_program = producer.program()?.stats()?.time.as_nanos() as f64;
    let received = seen.ages.iter().sum::<u64>() as f64;
    let (rate, sent) = (sent as f64 / time.as_secs_f64(), sent.max(1) as f64);
    Ok(Seen { cost: in_program / sent, lost: 100.0 * (1.0 - received / sent), rate, ..seen })
}

/// Sends `rate` events a second for `time`, or fewer if the machine cannot keep up. Returns how many were sent.
fn send(rate: u32, time: Duration, mut burst: impl FnMut(u64) -> Result<(), Obstacle>) -> Result<u64, Obstacle> {
    let count = if rate >= 1_000_000 { 64 } else { 1 };
    let interval = Duration::from_nanos(1_000_000_000 * count / u64::from(rate));
    let begun = Instant::now();
    let (mut sent, mut due) = (0, Duration::ZERO);
    while due < time {
        let early = due.saturating_sub(begun.elapsed());
        if early > Duration::from_millis(1) {
            thread::sleep(early);
        } else {
            while begun.elapsed() < due {
                std::hint::spin_loop();
            }
        }
        burst(count)?;
        sent += count;
        // A late sender does not send a burst to catch up.
        due = (due + interval).max(begun.elapsed());
    }
    Ok(sent)
}

/// The measurements of a reader by itself.
struct Watch {
    begun: Instant,
    /// CPU time of this thread at the start.
    cpu: Duration,
    switches: u64,
    /// Ages of the events, in nanoseconds.
    ages: Vec<f64>,
}

impl Watch {
    /// Starts to measure this thread, and pins it to `cpu`.
    fn begin(cpu: usize) -> Result<Self, Obstacle> {
        cpus::pin(cpu)?;
        Ok(Self { begun: Instant::now(), cpu: cpu_time(), switches: switches()?, ages: Vec::new() })
    }

    fn event(&mut self, made: u64, now: u64) {
        self.ages.push(now.saturating_sub(made) as f64);
    }

    /// Returns the measurements. Rates refer to the time that the reader ran: a reader that cannot keep up continues
    /// after the last event was sent.
    fn end(mut self) -> Result<Seen, Obstacle> {
        let cpu = cpu_time() - self.cpu;
        let wake_ups = switches()? - self.switches;
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut ages = vec![0; BUCKETS];
        for age in &self.ages {
            let bucket = (64 - (*age as u64).leading_zeros()) as usize;
            if let Some(count) = ages.get_mut(bucket.min(BUCKETS - 1)) {
                *count += 1;
            }
        }
        Ok(Seen {
            wake_ups: wake_ups as f64 / seconds,
            cpu: 100.0 * cpu.as_secs_f64() / seconds,
            median: quantile(&mut self.ages, 0.5) / 1e3,
            late: quantile(&mut self.ages, 0.99) / 1e3,
            ages,
            ..Seen::default()
        })
    }
}

/// Returns the CPU time of this thread.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Returns how often this thread has gone to sleep (`voluntary_ctxt_switches`).
fn switches() -> Result<u64, Obstacle> {
    // The name in this file may have any bytes.
    let text = fs::read("/proc/thread-self/status")?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| Obstacle::because("the kernel does not count the context switches of this thread"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sent_at_their_rate() {
        let mut bursts = 0;
        let sent = send(10_000, Duration::from_millis(20), |count| {
            bursts += count;
            Ok(())
        });
        let sent = sent.unwrap();
        assert_eq!(sent, bursts);
        assert!((1..=200).contains(&sent), "{sent}");
    }
}
