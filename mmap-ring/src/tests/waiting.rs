//! Sleeping, being woken, being stopped.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Commit, Kernel};
use crate::{Head, IDLE_POLL_INTERVAL, Wake};

const SHORT: Duration = Duration::from_millis(20);
/// Long enough that no test ends by it on a slow machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn an_empty_ring_times_out_after_one_sleep() {
    let (_kernel, mut ring) = Kernel::new(64).unwrap();
    let began = Instant::now();
    assert_eq!(ring.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    assert!(began.elapsed() >= SHORT);
    assert_eq!(ring.counters().sleeps, 1, "no ticks");
    assert_eq!(ring.counters().wakeups, 0);
    assert_eq!(ring.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
    assert_eq!(ring.counters().sleeps, 1, "no time to sleep");
}

#[test]
fn a_record_that_is_there_costs_no_sleep() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    kernel.output(b"x", Commit::NoWakeup);
    assert_eq!(ring.wait(None).unwrap(), Wake::Ready);
    assert_eq!(ring.counters().sleeps, 0);
}

#[test]
fn a_commit_wakes_a_sleeper() {
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
fn a_commit_without_wake_up_is_found_when_the_time_is_up() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| kernel.output(b"x", Commit::NoWakeup));
        assert_eq!(ring.wait(Some(SHORT * 5)).unwrap(), Wake::Ready);
    });
    assert_eq!(ring.counters().wakeups, 0);
}

/// Long before the time-out, which a slow machine does not reach either.
#[test]
fn a_record_without_wake_up_waits_for_a_look_at_most() {
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
fn the_looks_of_a_wait_can_be_set_and_turned_off() {
    let (_kernel, mut ring) = Kernel::new(64).unwrap();
    let time = 10 * SHORT;
    // No time at all is the least one, a millisecond.
    let most = time.as_millis() as u64;
    for (every, sleeps) in
        [(Some(IDLE_POLL_INTERVAL), 3), (Some(SHORT), 10), (Some(Duration::ZERO), most), (Some(LONG), 1), (None, 1)]
    {
        ring.set_idle_poll_interval(every);
        let before = ring.counters().sleeps;
        assert_eq!(ring.wait(Some(time)).unwrap(), Wake::TimedOut);
        let slept = ring.counters().sleeps - before;
        // A machine that is slow takes fewer.
        assert!((1..=sleeps).contains(&slept), "{slept} sleeps of {every:?} in {time:?}");
        assert!(sleeps == 1 || slept > 1, "no look at all in {time:?}, one every {every:?}");
    }
}

/// A program that sends no wake-ups at all would fill its ring between two looks.
#[test]
#[cfg_attr(miri, ignore = "looks are milliseconds apart, and Miri's clock counts what its slow execution costs")]
fn looks_that_find_records_come_sooner_and_those_that_do_not_later() {
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
    // Less than two looks at the usual interval.
    let sooner = sleeps_in(&mut ring, 5 * SHORT);
    assert!(sooner > 3, "{sooner} looks in {:?}", 5 * SHORT);
    // After 2, 4, 8 … milliseconds, until it is 90 again.
    sleeps_in(&mut ring, 10 * SHORT);
    assert_eq!(sleeps_in(&mut ring, SHORT), 1);
}

#[test]
fn a_busy_head_is_waited_for_without_spinning() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    let busy = kernel.reserve(8).unwrap();
    // Rings the bell although nothing can be read: not worth more than a look.
    kernel.output(b"x", Commit::ForceWakeup);
    // Miri's clock counts what its slow execution costs.
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
fn the_commit_of_a_busy_head_wakes_at_once() {
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
fn a_stopper_ends_the_wait_and_every_later_one_until_resumed() {
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
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped, "data or not");
    ring.resume().unwrap();
    assert_eq!(ring.wait(None).unwrap(), Wake::Ready);
    assert_eq!(super::drain(&mut ring), [b"x"]);
    assert_eq!(ring.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    stopper.stop();
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped, "and again");
}

#[test]
fn a_stopper_made_between_two_sleeps_works() {
    let (_kernel, mut ring) = Kernel::new(64).unwrap();
    assert_eq!(ring.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    let stopper = ring.stopper().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| stopper.stop());
        assert_eq!(ring.wait(None).unwrap(), Wake::Stopped);
    });
}

#[test]
fn a_write_to_the_stopper_stops_a_sleeper_and_a_busy_reader() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    let stopper = ring.stopper().unwrap();
    // As a signal handler would.
    cutaway_sys::fd::write_byte(stopper.as_fd(), "tests").unwrap();
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped);
    ring.resume().unwrap();
    kernel.output(b"x", Commit::Adaptive);
    cutaway_sys::fd::write_byte(stopper.as_fd(), "tests").unwrap();
    let waits = (0..100).take_while(|_| ring.wait(None).unwrap() == Wake::Ready);
    assert!(waits.count() < 64);
}

#[test]
fn a_stopper_outlives_its_ring() {
    let (_kernel, mut ring) = Kernel::new(64).unwrap();
    let stopper = ring.stopper().unwrap();
    drop(ring);
    for _ in 0..3 {
        stopper.stop();
    }
}
