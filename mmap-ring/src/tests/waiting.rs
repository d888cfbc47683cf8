//! Tests sleeps, wake-ups and stops.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Commit, Kernel};
use crate::{Head, IDLE_POLL_INTERVAL, Wake};

const SHORT: Duration = Duration::from_millis(20);
/// Long enough that it ends no test on a slow machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn wait_for_an_empty_ring_times_out_after_one_sleep() {
    let (_kernel, mut ring) = Kernel::new(64).unwrap();
    let began = Instant::now();
    assert_eq!(ring.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    assert!(began.elapsed() >= SHORT);
    assert_eq!(ring.counters().sleeps, 1, "no polling");
    assert_eq!(ring.counters().wakeups, 0);
    assert_eq!(ring.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
    assert_eq!(ring.counters().sleeps, 1, "no time to sleep");
}

#[test]
fn wait_does_not_sleep_if_a_record_is_committed() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    kernel.output(b"x", Commit::NoWakeup);
    assert_eq!(ring.wait(None).unwrap(), Wake::Ready);
    assert_eq!(ring.counters().sleeps, 0);
}

#[test]
fn commit_wakes_a_sleeper() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            kernel.output(b"x", Commit::Adaptive);
        });
        assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready);
    });
    assert_eq!(ring.counters().wakeups, 1);
}

#[test]
fn record_without_wake_up_is_found_by_the_timeout() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| kernel.output(b"x", Commit::NoWakeup));
        assert_eq!(ring.wait(Some(SHORT * 5)).unwrap(), Wake::Ready);
    });
    assert_eq!(ring.counters().wakeups, 0);
}

/// Long before the timeout, which even a slow machine does not reach.
#[test]
fn record_without_wake_up_waits_at_most_for_a_poll() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            kernel.reserve(8).unwrap().discard(Commit::NoWakeup);
            assert!(!kernel.reserve(1).unwrap().submit(Commit::Adaptive), "the consumer is behind");
        });
        assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready);
    });
    assert!(began.elapsed() < LONG / 2);
    assert_eq!(ring.counters().wakeups, 0);
    assert_eq!(super::drain(&mut ring), [[0]]);
}

#[test]
fn idle_poll_interval_can_be_set_and_turned_off() {
    let (_kernel, mut ring) = Kernel::new(64).unwrap();
    let time = 10 * SHORT;
    // An interval of 0 becomes the minimum, one millisecond.
    let most = time.as_millis() as u64;
    for (every, sleeps) in
        [(Some(IDLE_POLL_INTERVAL), 3), (Some(SHORT), 10), (Some(Duration::ZERO), most), (Some(LONG), 1), (None, 1)]
    {
        ring.set_idle_poll_interval(every);
        let before = ring.counters().sleeps;
        assert_eq!(ring.wait(Some(time)).unwrap(), Wake::TimedOut);
        let slept = ring.counters().sleeps - before;
        // A slow machine sleeps fewer times.
        assert!((1..=sleeps).contains(&slept), "{slept} sleeps of {every:?} in {time:?}");
        assert!(sleeps == 1 || slept > 1, "no poll in {time:?}, expected one every {every:?}");
    }
}

/// A program that sends no wake-ups would fill its ring between two polls.
#[test]
#[cfg_attr(miri, ignore = "polls are milliseconds apart, and Miri's clock includes its slow execution")]
fn poll_interval_adapts_to_the_records_found() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    for number in 0..5 {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SHORT / 4);
                kernel.reserve(1).unwrap().submit(Commit::NoWakeup);
            });
            assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready, "record {number}");
        });
        assert_eq!(super::drain(&mut ring).len(), 1);
    }
    let sleeps_in = |ring: &mut crate::Ring<crate::fake::Heap>, time| {
        let before = ring.counters().sleeps;
        assert_eq!(ring.wait(Some(time)).unwrap(), Wake::TimedOut);
        ring.counters().sleeps - before
    };
    // Fewer than two polls at the default interval.
    let sooner = sleeps_in(&mut ring, 5 * SHORT);
    assert!(sooner > 3, "{sooner} polls in {:?}", 5 * SHORT);
    // The interval grows to 2, 4, 8 … milliseconds, until it is 90 again.
    sleeps_in(&mut ring, 10 * SHORT);
    assert_eq!(sleeps_in(&mut ring, SHORT), 1);
}

#[test]
fn wait_for_a_busy_head_does_not_spin() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    let busy = kernel.reserve(8).unwrap();
    // This sends a wake-up although no record can be read: the reader must check once and sleep again.
    kernel.output(b"x", Commit::ForceWakeup);
    // Miri's clock includes its slow execution.
    let time = SHORT * if cfg!(miri) { 100 } else { 5 };
    let began = Instant::now();
    assert_eq!(ring.wait(Some(time)).unwrap(), Wake::TimedOut);
    assert!(began.elapsed() >= time);
    let sleeps = ring.counters().sleeps;
    assert!((2..200).contains(&sleeps), "slept {sleeps} times");
    assert_eq!(ring.prepare_wait().unwrap(), Head::Busy);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            busy.submit(Commit::NoWakeup);
        });
        let ready = ring.wait(Some(LONG)).unwrap();
        assert_eq!(ready, Wake::Ready, "found without a wake-up");
    });
}

#[test]
fn commit_of_a_busy_head_wakes_at_once() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    let busy = kernel.reserve(8).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            assert!(busy.submit(Commit::Adaptive));
        });
        assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready);
    });
}

#[test]
fn stopper_ends_every_wait_until_resumed() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    let stopper = ring.stopper().unwrap();
    thread::scope(|scope| {
        let stopper = stopper.clone();
        scope.spawn(move || {
            thread::sleep(SHORT);
            stopper.stop();
        });
        assert_eq!(ring.wait(None).unwrap(), Wake::Stopped);
    });
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped);
    kernel.output(b"x", Commit::Adaptive);
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped, "with and without records");
    ring.resume().unwrap();
    assert_eq!(ring.wait(None).unwrap(), Wake::Ready);
    assert_eq!(super::drain(&mut ring), [b"x"]);
    assert_eq!(ring.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    stopper.stop();
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped, "stopped again");
}

#[test]
fn stopper_created_between_two_sleeps_works() {
    let (_kernel, mut ring) = Kernel::new(64).unwrap();
    assert_eq!(ring.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    let stopper = ring.stopper().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| stopper.stop());
        assert_eq!(ring.wait(None).unwrap(), Wake::Stopped);
    });
}

#[test]
fn write_to_the_stopper_stops_a_sleeper_and_a_busy_reader() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    let stopper = ring.stopper().unwrap();
    // As a signal handler does.
    cutaway_sys::fd::write_byte(stopper.as_fd(), "tests").unwrap();
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped);
    ring.resume().unwrap();
    kernel.output(b"x", Commit::Adaptive);
    cutaway_sys::fd::write_byte(stopper.as_fd(), "tests").unwrap();
    let waits = (0..100).take_while(|_| ring.wait(None).unwrap() == Wake::Ready);
    assert!(waits.count() < 64);
}

#[test]
fn stopper_outlives_its_ring() {
    let (_kernel, mut ring) = Kernel::new(64).unwrap();
    let stopper = ring.stopper().unwrap();
    drop(ring);
    for _ in 0..3 {
        stopper.stop();
    }
}
