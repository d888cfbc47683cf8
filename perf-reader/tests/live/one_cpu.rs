//! Tests one CPU's buffer on the running kernel.

use std::io::{PipeWriter, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use libtest_mimic::Completion;
use perf_reader::{
    Buffer, Bytes, Corrupt, IDLE_POLL_INTERVAL, LostSource, Options, OverwriteBuffer, PerCpuBuffers, Record, Snapshot,
    Wake, Wakeup,
};

use crate::bpf::{MAX_COUNT, MAX_PAYLOAD, Sender};
use crate::harness::Test;
use crate::{bytes, live};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        live!(every_length_arrives_whole),
        live!(losses_are_exact),
        live!(times_are_monotonic_clock_times),
        live!(wakes_every_n_events),
        live!(wakes_every_n_bytes),
        live!(drain_that_ends_early_loses_nothing),
        live!(next_poll_is_over_after_a_drain_that_ended_early),
        live!(stop_by_its_fd_ends_waits_between_drains_that_end_early),
        live!(records_are_reported_after_a_stop),
        live!(records_below_the_threshold_are_polled),
        live!(undrained_record_makes_no_busy_loop),
        live!(idle_reader_polls_only_without_wakeups),
        live!(overwrite_buffer_keeps_the_newest),
        live!(pause_reports_its_losses),
        live!(record_larger_than_the_ring_is_refused),
        live!(payloads_up_to_and_over_64_kib),
    ]
}

fn open(sender: &Sender, pages: usize, options: &Options) -> Buffer {
    let buffer = Buffer::open(0, bytes(pages), options).unwrap();
    sender.connect(0, buffer.as_fd()).unwrap();
    buffer
}

/// Drains the buffer. Returns the numbers of the samples, and the losses announced between them.
fn drain(buffer: &mut Buffer) -> (Vec<u64>, u64) {
    let (mut numbers, mut lost) = (Vec::new(), 0);
    for record in &buffer.batch().unwrap() {
        match record.unwrap() {
            Record::Sample(sample) => {
                numbers.push(u64::from_ne_bytes(sample.padded().array(0).unwrap()));
            }
            Record::Lost(samples) => lost += samples,
            other => panic!("{other:?}"),
        }
    }
    (numbers, lost)
}

/// Payloads of every length wrap at every offset of a ring of one page, and all their bytes arrive.
fn every_length_arrives_whole(sender: &Sender) {
    let mut buffer = open(sender, 1, &Options::new());
    let payload: Vec<u8> = (0..2000_u32).map(|i| (i * 7) as u8).collect();
    sender.payload(0, &[&[0; 8], &payload[8..]].concat()).unwrap();
    let (mut number, mut split, mut scratch) = (0_u64, 0, Vec::new());
    for len in 8..=2000 {
        assert_eq!(sender.send(0, len, 1).unwrap(), 0);
        number += 1;
        let drain = buffer.batch().unwrap();
        let records: Vec<_> = drain.records().collect();
        let [Ok(Record::Sample(sample))] = records[..] else {
            panic!("{records:?}");
        };
        let bytes = sample.payload(len).unwrap();
        split += usize::from(matches!(bytes, Bytes::Split(..)));
        assert!(sample.payload(len + 8).is_err());
        assert_eq!(sample.padded().len(), (len + 4).next_multiple_of(8) - 4);
        let bytes = bytes.contiguous(&mut scratch);
        assert_eq!(bytes[..8], number.to_ne_bytes());
        assert_eq!(bytes[8..], payload[8..len]);
    }
    assert!(split > 100, "only {split} wrapped");
    assert_eq!(buffer.lost().unwrap().samples, 0);
}

/// Fills a ring of one page without a reader. The reader reports exactly the samples that the program was refused,
/// before and after reading, and the LOST record is where the losses were.
fn losses_are_exact(sender: &Sender) -> Completion {
    let mut buffer = open(sender, 1, &Options::new());
    sender.payload(0, &[]).unwrap();
    let refused = sender.send(0, 8, MAX_COUNT).unwrap();
    let fit = 4095 / 24;
    assert_eq!(MAX_COUNT - refused, fit);
    let lost = buffer.lost().unwrap();
    // The stable releases of 5.10 and 5.15 also have PERF_FORMAT_LOST.
    if lost.source == LostSource::Records {
        return Completion::ignored_with("needs 6.0: PERF_FORMAT_LOST");
    }
    assert_eq!(lost.samples, u64::from(refused));
    let (numbers, announced) = drain(&mut buffer);
    assert_eq!(numbers, Vec::from_iter(1..=u64::from(fit)));
    assert_eq!(announced, 0, "announced only with the next record");
    assert_eq!(sender.send(0, 8, 2).unwrap(), 0);
    let (numbers, announced) = drain(&mut buffer);
    assert_eq!(numbers, [u64::from(MAX_COUNT) + 1, u64::from(MAX_COUNT) + 2]);
    assert_eq!(announced, u64::from(refused));
    assert_eq!(buffer.reader().lost_announced(), u64::from(refused));
    assert_eq!(buffer.lost().unwrap().samples, u64::from(refused));
    Completion::Completed
}

/// Returns CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is live and writable.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn times_are_monotonic_clock_times(sender: &Sender) {
    let mut buffer = open(sender, 4, &Options::new().timestamps(true));
    sender.payload(0, &[]).unwrap();
    let mut before = now();
    for _ in 0..20 {
        sender.send(0, 13, 10).unwrap();
        let after = now();
        let drain = buffer.batch().unwrap();
        let times: Vec<u64> = drain
            .records()
            .map(|record| match record.unwrap() {
                Record::Sample(sample) => {
                    assert_eq!(sample.payload(13).unwrap().len(), 13);
                    sample.time().unwrap()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(times.len(), 10);
        assert!(times.is_sorted());
        // The kernel stamps with the lock-free clock, which may lag by its last adjustment.
        assert!(times[0] + 1_000_000 >= before && times[9] <= after + 1_000_000);
        before = after;
    }
}

/// Returns a connected set of CPU 0.
fn set(sender: &Sender, pages: usize, options: &Options) -> PerCpuBuffers {
    let set = PerCpuBuffers::open_on([0], bytes(pages), options).unwrap();
    sender.connect(0, set.get(0).unwrap().as_fd()).unwrap();
    sender.payload(0, &[]).unwrap();
    set
}

const SOON: Option<Duration> = Some(Duration::from_millis(50));

fn wakes_every_n_events(sender: &Sender) {
    let mut set = set(sender, 8, &Options::new().wakeup(Wakeup::Events(10)));
    set.set_idle_poll_interval(None);
    for _ in 0..3 {
        sender.send(0, 8, 9).unwrap();
        assert_eq!(set.wait(SOON).unwrap(), Wake::TimedOut);
        sender.send(0, 8, 1).unwrap();
        assert_eq!(set.wait(None).unwrap(), Wake::Ready);
        assert_eq!(set.wait(SOON).unwrap(), Wake::TimedOut, "reported once");
    }
    let mut samples = 0;
    set.drain(|cpu, record| {
        assert_eq!(cpu, 0);
        samples += u32::from(matches!(record, Ok(Record::Sample(_))));
    });
    assert_eq!(samples, 30);
}

fn wakes_every_n_bytes(sender: &Sender) {
    let mut set = set(sender, 8, &Options::new().wakeup(Wakeup::Bytes(240)));
    set.set_idle_poll_interval(None);
    sender.send(0, 8, 9).unwrap();
    assert_eq!(set.wait(SOON).unwrap(), Wake::TimedOut);
    sender.send(0, 8, 2).unwrap();
    assert_eq!(set.wait(None).unwrap(), Wake::Ready);
}

/// Wake-up conditions that a single record of 24 bytes does not meet, in a ring of 8 pages. No records meet the last
/// one: the head of an unread ring is never more than the ring's size ahead.
const SELDOM: [Wakeup; 5] =
    [Wakeup::Events(10), Wakeup::Events(0), Wakeup::Bytes(0), Wakeup::Bytes(4096), Wakeup::Bytes(8 * 4096)];

/// Records that a drain leaves are read by the next one. A wait in between returns at once, although no wake-up reports
/// them.
fn drain_that_ends_early_loses_nothing(sender: &Sender) {
    let number = |record: Result<Record<'_>, Corrupt>| match record.unwrap() {
        Record::Sample(sample) => u64::from_ne_bytes(sample.padded().array(0).unwrap()),
        other => panic!("{other:?}"),
    };
    let mut set = set(sender, 8, &Options::new());
    sender.send(0, 8, 5).unwrap();
    assert_eq!(set.wait(None).unwrap(), Wake::Ready);
    let (mut seen, mut left) = (Vec::new(), 2);
    let ended = set.drain(|_, record| {
        seen.push(number(record));
        left -= 1;
        if left == 0 { ControlFlow::Break("enough") } else { ControlFlow::Continue(()) }
    });
    assert_eq!((ended, seen.len()), (Some("enough"), 2));
    assert!(set.next_poll().unwrap() <= Instant::now());
    assert_eq!(set.wait(None).unwrap(), Wake::Ready, "three are left");
    set.drain(|_, record| seen.push(number(record)));
    let first = seen[0];
    assert_eq!(seen, (first..first + 5).collect::<Vec<_>>());
    assert_eq!((set.wait(SOON).unwrap(), set.next_poll()), (Wake::TimedOut, None));
}

/// For callers that sleep by [`AsFd`] and `next_poll`: the time is in the past while records are left, and only then,
/// without a wait.
fn next_poll_is_over_after_a_drain_that_ended_early(sender: &Sender) {
    let mut set = set(sender, 8, &Options::new());
    for by_iter_mut in [false, true] {
        sender.send(0, 8, 5).unwrap();
        let mut seen = 0;
        let mut one = |_, _: Result<Record<'_>, Corrupt>| {
            seen += 1;
            ControlFlow::Break(())
        };
        for left in (1..5).rev() {
            assert_eq!(set.drain(&mut one), Some(()));
            // As in the caller's own loop, which reads the clock before it calls `next_poll`.
            let now = Instant::now();
            assert!(set.next_poll().is_some_and(|at| at <= now), "{left} are left");
        }
        if by_iter_mut {
            assert_eq!(set.iter_mut().map(|buffer| drain(buffer).0.len()).sum::<usize>(), 1);
        } else {
            assert_eq!(set.drain(|_, _| ()), None);
        }
        assert_eq!(set.next_poll(), None, "no records are left");
        assert_eq!(seen, 4);
    }
    // A caller that reads each buffer itself may leave any records.
    sender.send(0, 8, 2).unwrap();
    assert_eq!(set.drain(|_, _| ControlFlow::Break(())), Some(()));
    assert_eq!((set.iter_mut().count(), set.next_poll()), (1, None));
    set.drain(|_, _| ());
    // A drain that panics leaves records as well.
    sender.send(0, 8, 2).unwrap();
    let panicking =
        std::panic::AssertUnwindSafe(|| set.drain(|_, _| -> () { std::panic::resume_unwind(Box::new(())) }));
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert!(set.next_poll().is_some());
    assert_eq!(set.wait(SOON).unwrap(), Wake::Ready);
}

/// Stops the set by write(2), as a signal handler does. Each drain leaves records, so no wait sleeps.
fn stop_by_its_fd_ends_waits_between_drains_that_end_early(sender: &Sender) {
    let mut set = set(sender, 8, &Options::new());
    let mut pipe = PipeWriter::from(set.stopper().unwrap().as_fd().try_clone_to_owned().unwrap());
    sender.send(0, 8, 200).unwrap();
    pipe.write_all(b"x").unwrap();
    let waits = (0..199).position(|_| {
        assert_eq!(set.drain(|_, _| ControlFlow::Break(())), Some(()));
        set.wait(None).unwrap() == Wake::Stopped
    });
    assert!(waits.is_some_and(|waits| waits <= 64), "{waits:?}");
}

/// A stop does not hide records that come at the same time, or that a drain has left before the next wait.
fn records_are_reported_after_a_stop(sender: &Sender) {
    let mut set = set(sender, 8, &Options::new());
    let stopper = set.stopper().unwrap();
    let pipe = stopper.as_fd().try_clone_to_owned().unwrap();
    for by_fd in [false, true] {
        let stop = || {
            if by_fd { PipeWriter::from(pipe.try_clone().unwrap()).write_all(b"x").unwrap() } else { stopper.stop() }
        };
        sender.send(0, 8, 200).unwrap();
        stop();
        assert_eq!(set.wait(None).unwrap(), Wake::Stopped);
        set.resume().unwrap();
        assert_eq!(set.wait(SOON).unwrap(), Wake::Ready, "200 records, stopped by its fd: {by_fd}");
        assert_eq!(set.drain(|_, _| ControlFlow::Break(())), Some(()));
        stop();
        while set.wait(SOON).unwrap() == Wake::Ready {
            assert_eq!(set.drain(|_, _| ControlFlow::Break(())), Some(()));
        }
        assert_eq!(set.wait(SOON).unwrap(), Wake::Stopped);
        set.resume().unwrap();
        assert_eq!(set.wait(SOON).unwrap(), Wake::Ready, "some are left, stopped by its fd: {by_fd}");
        set.drain(|_, _| ());
        assert_eq!(set.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
    }
}

/// A few records and then none: a wait without limit still returns, and so do a wait that is shorter than the poll
/// interval and a wait that begins with the records present.
fn records_below_the_threshold_are_polled(sender: &Sender) {
    for wakeup in SELDOM {
        let mut set = set(sender, 8, &Options::new().wakeup(wakeup));
        for timeout in [None, Some(Duration::from_millis(5)), Some(Duration::ZERO)] {
            assert_eq!(set.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut, "{wakeup:?}: no records yet");
            sender.send(0, 8, 3).unwrap();
            let began = Instant::now();
            assert_eq!(set.wait(timeout).unwrap(), Wake::Ready, "{wakeup:?} with {timeout:?}");
            // An overloaded machine gets more time.
            assert!(began.elapsed() < Duration::from_secs(5), "{wakeup:?}: {:?}", began.elapsed());
            let mut samples = 0;
            set.drain(|_, record| samples += u32::from(matches!(record, Ok(Record::Sample(_)))));
            assert_eq!(samples, 3, "{wakeup:?}");
        }
    }
}

/// A record that the caller leaves in the buffer makes no busy loop.
fn undrained_record_makes_no_busy_loop(sender: &Sender) {
    let mut set = set(sender, 8, &Options::new().wakeup(Wakeup::Events(10)));
    sender.send(0, 8, 1).unwrap();
    let (began, mut waits) = (Instant::now(), 0);
    while began.elapsed() < IDLE_POLL_INTERVAL * 2 {
        assert_eq!(set.wait(None).unwrap(), Wake::Ready);
        waits += 1;
    }
    assert!(waits <= 4, "{waits} waits in {:?}", began.elapsed());
}

/// An idle reader sleeps once for each poll, or once in all.
fn idle_reader_polls_only_without_wakeups(sender: &Sender) {
    const IDLE: Duration = Duration::from_millis(400);
    let mut set = set(sender, 8, &Options::new());
    assert_eq!((set.next_poll(), set.wait(Some(IDLE)).unwrap(), set.sleeps()), (None, Wake::TimedOut, 1));
    let mut set = self::set(sender, 8, &Options::new().wakeup(Wakeup::Events(10)));
    assert!(set.next_poll().is_some());
    let began = Instant::now();
    assert_eq!(set.wait(Some(IDLE)).unwrap(), Wake::TimedOut);
    let most = began.elapsed().as_millis() / IDLE_POLL_INTERVAL.as_millis() + 1;
    assert!((2..=most).contains(&u128::from(set.sleeps())), "{} sleeps, at most {most}", set.sleeps());
}

/// Tests a flight recorder that is empty, partly full, and overwritten. It is paused while it is read, counts its
/// losses, and resumes afterwards.
fn overwrite_buffer_keeps_the_newest(sender: &Sender) {
    let mut recorder = OverwriteBuffer::open(0, bytes(1), &Options::new().wakeup(Wakeup::Events(0))).unwrap();
    sender.connect(0, recorder.as_fd()).unwrap();
    sender.payload(0, &[]).unwrap();
    fn newest_first(snapshot: &Snapshot<'_>) -> (Vec<u64>, u64) {
        let (mut numbers, mut lost) = (Vec::new(), 0);
        for record in snapshot.records() {
            match record.unwrap() {
                Record::Sample(sample) => numbers.push(u64::from_ne_bytes(sample.padded().array(0).unwrap())),
                Record::Lost(samples) => lost += samples,
                other => panic!("{other:?}"),
            }
        }
        (numbers, lost)
    }
    let snapshot = recorder.pause().unwrap();
    assert_eq!(newest_first(&snapshot), (vec![], 0));
    assert!(!snapshot.is_cut());
    drop(snapshot);
    assert_eq!(sender.send(0, 8, 5).unwrap(), 0);
    let snapshot = recorder.pause().unwrap();
    assert_eq!(newest_first(&snapshot), (vec![5, 4, 3, 2, 1], 0));
    assert_eq!(sender.send(0, 8, 3).unwrap(), 3, "paused");
    assert_eq!(newest_first(&snapshot), (vec![5, 4, 3, 2, 1], 0));
    drop(snapshot);
    assert_eq!(sender.send(0, 8, MAX_COUNT).unwrap(), 0, "never full");
    let newest = 8 + u64::from(MAX_COUNT);
    let snapshot = recorder.pause().unwrap();
    let (numbers, _) = newest_first(&snapshot);
    assert_eq!(numbers, Vec::from_iter((0..4096 / 24).map(|age| newest - age)));
    assert!(snapshot.is_cut());
    drop(snapshot);
    assert_eq!(sender.send(0, 100, 10).unwrap(), 0);
    let snapshot = recorder.pause().unwrap();
    let (numbers, _) = newest_first(&snapshot);
    assert!(numbers.len() > 100 && numbers[0] == newest + 10 && numbers.is_sorted_by(|a, b| *a == b + 1));
}

/// A LOST record announces the losses of a pause.
fn pause_reports_its_losses(sender: &Sender) {
    let mut recorder = OverwriteBuffer::open(0, bytes(1), &Options::new()).unwrap();
    sender.connect(0, recorder.as_fd()).unwrap();
    sender.payload(0, &[]).unwrap();
    let snapshot = recorder.pause().unwrap();
    assert_eq!(sender.send(0, 8, 7).unwrap(), 7);
    drop(snapshot);
    sender.send(0, 8, 1).unwrap();
    let snapshot = recorder.pause().unwrap();
    let lost: u64 = snapshot.records().map(|record| if let Ok(Record::Lost(lost)) = record { lost } else { 0 }).sum();
    assert_eq!(lost, 7);
}

/// A record larger than the ring is refused even if the ring is empty, and counts as lost.
fn record_larger_than_the_ring_is_refused(sender: &Sender) {
    let mut buffer = open(sender, 1, &Options::new());
    sender.payload(0, &[]).unwrap();
    assert_eq!(sender.send(0, 4096, 3).unwrap(), 3);
    assert_eq!(drain(&mut buffer), (vec![], 0));
    let lost = buffer.lost().unwrap();
    assert_eq!(lost.samples, if lost.source == LostSource::Kernel { 3 } else { 0 });
    assert_eq!(sender.send(0, 8, 1).unwrap(), 0);
    assert_eq!(drain(&mut buffer), (vec![4], 3));
    // The largest record that fits leaves at least one byte free, and its size is a multiple of 8.
    let largest = 4096 - 8 - 12;
    assert_eq!(sender.send(0, largest, 1).unwrap(), 0);
    assert_eq!(drain(&mut buffer), (vec![5], 0));
    assert_eq!(sender.send(0, largest + 1, 1).unwrap(), 1);
}

/// Payloads of up to 65,516 bytes arrive whole. A longer one wraps the kernel's 16-bit size, and the helper still
/// returns success. Payloads of eight lengths are lost entirely; of the others a part arrives, which is reported as
/// corrupt. See the crate's front page.
fn payloads_up_to_and_over_64_kib(sender: &Sender) {
    let mut buffer = open(sender, 64, &Options::new());
    let payload: Vec<u8> = (0..MAX_PAYLOAD).map(|i| (i / 8) as u8).collect();
    sender.payload(0, &payload).unwrap();
    for len in [65_000, 65_515, 65_516] {
        assert_eq!(sender.send(0, len, 1).unwrap(), 0);
        let drain = buffer.batch().unwrap();
        let records: Vec<_> = drain.records().collect();
        let [Ok(Record::Sample(sample))] = records[..] else { panic!("{records:?}") };
        assert_eq!(sample.payload(len).unwrap().to_contiguous()[8..], payload[8..len]);
    }
    for len in [65_517, 65_524, 65_525, 66_000, 69_999] {
        let refused = sender.send(0, len, 1).unwrap();
        let drain = buffer.batch().unwrap();
        let records: Vec<_> = drain.records().collect();
        match records[..] {
            [] => assert!(len <= 65_524 || refused == 1, "{len}"),
            [Err(Corrupt::Content { kind: 9, .. })] => assert!(len > 65_524),
            _ => panic!("{len}: {records:?}"),
        }
    }
    assert_eq!(sender.send(0, 8, 1).unwrap(), 0);
    assert_eq!(drain(&mut buffer).0.len(), 1, "the next record is read");
}
