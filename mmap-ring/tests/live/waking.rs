//! Tests which commits wake the reader and which do not.
#![expect(unsafe_code, reason = "waits without the crate under test")]

use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use mmap_ring::{Head, IDLE_POLL_INTERVAL, Ring, RingSet, Wake, WakeupPolicy};

use crate::harness::{Test, test};
use crate::kernel::insn::{call, exit, function, jeq_imm, load, map, mov, mov_imm, store};
use crate::kernel::{
    self, ADAPTIVE, FORCE_WAKEUP, NO_WAKEUP, Producer, RESERVE, SUBMIT, create_ring, load_with_callback,
};
use crate::{LONG, Outcome, PAGE, SHORT, asleep, number, numbers, ring, two_cpus};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(commit_wakes_a_sleeper),
        test!(no_wakeup_leaves_a_sleeper_and_force_wakes_it),
        test!(discard_without_wakeup_strands_a_waiter),
        test!(record_without_wakeup_waits_one_poll_interval),
        test!(idle_reader_uses_almost_no_cpu),
        test!(consumer_that_is_behind_is_not_woken),
        test!(sleeping_reader_loses_nothing),
        test!(level_triggered_sleeper_loses_nothing),
        test!(second_ring_wakes_the_set),
        test!(busy_record_at_the_head_lets_the_reader_sleep).since(5, 17, "bpf_loop").needs(two_cpus),
    ]
}

fn commit_wakes_a_sleeper() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    for number in 0..20 {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(2));
                producer.submit(number, ADAPTIVE);
            });
            assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready);
        });
        assert_eq!(numbers(&mut ring), [number]);
    }
    assert!(ring.counters().wakeups > 0);
    Ok(())
}

fn no_wakeup_leaves_a_sleeper_and_force_wakes_it() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    // Only the kernel ends the sleep.
    ring.set_idle_poll_interval(None);
    thread::scope(|scope| {
        let sleeper = asleep(scope, || ring.wait(Some(LONG)));
        producer.submit(1, NO_WAKEUP);
        thread::sleep(SHORT);
        assert!(!sleeper.is_finished(), "woken by NO_WAKEUP");
        // The consumer position is that of record 1, so this record sends no wake-up.
        producer.submit(2, ADAPTIVE);
        thread::sleep(SHORT);
        assert!(!sleeper.is_finished(), "woken although it is behind");
        producer.submit(3, FORCE_WAKEUP);
        assert_eq!(sleeper.join().unwrap().unwrap(), Wake::Ready);
    });
    assert_eq!(numbers(&mut ring), [1, 2, 3]);
    Ok(())
}

fn discard_without_wakeup_strands_a_waiter() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    ring.set_idle_poll_interval(None);
    thread::scope(|scope| {
        let sleeper = asleep(scope, || {
            let began = Instant::now();
            (ring.wait(Some(10 * SHORT)), began.elapsed())
        });
        producer.discard(NO_WAKEUP);
        producer.submit(1, ADAPTIVE);
        let (wake, waited) = sleeper.join().unwrap();
        assert_eq!(wake.unwrap(), Wake::Ready);
        assert!(waited >= 10 * SHORT, "found after {waited:?}, before the timeout");
    });
    assert_eq!(ring.counters().wakeups, 0);
    assert_eq!(numbers(&mut ring), [1]);
    Ok(())
}

/// Tests each kind of wait with a reader that sleeps already. The time from sending to reading is measured.
fn record_without_wakeup_waits_one_poll_interval() -> Outcome {
    const TRIES: u64 = 10;
    const ENOUGH: Duration = IDLE_POLL_INTERVAL.saturating_add(Duration::from_millis(10));
    let mut waited = [LONG; 3];
    let (mut single, producer) = ring(PAGE);
    let (mut run, run_producer) = ring(PAGE);
    let (in_set, set_producer) = ring(PAGE);
    let mut set = RingSet::new();
    set.push(ring(PAGE).0);
    set.push(in_set);
    // Several tries, because a machine may stall now and then: the shortest time of each kind counts.
    for number in 0..TRIES {
        if waited.iter().all(|waited| *waited <= ENOUGH) {
            break;
        }
        thread::scope(|scope| {
            let sleeper = asleep(scope, || single.wait(Some(LONG)));
            let sent = Instant::now();
            producer.discard(NO_WAKEUP);
            producer.submit(number, ADAPTIVE);
            assert_eq!(sleeper.join().unwrap().unwrap(), Wake::Ready);
            waited[0] = waited[0].min(sent.elapsed());
        });
        assert_eq!(numbers(&mut single), [number]);
        thread::scope(|scope| {
            let sleeper = asleep(scope, || {
                run.run(WakeupPolicy::default(), |batch| {
                    batch.records().next().map_or(ControlFlow::Continue(()), |_| ControlFlow::Break(()))
                })
            });
            let sent = Instant::now();
            run_producer.submit(number, NO_WAKEUP);
            assert_eq!(sleeper.join().unwrap().unwrap(), Some(()));
            waited[1] = waited[1].min(sent.elapsed());
        });
        thread::scope(|scope| {
            let sleeper = asleep(scope, || set.wait(Some(LONG)));
            let sent = Instant::now();
            set_producer.submit(number, NO_WAKEUP);
            assert_eq!(sleeper.join().unwrap().unwrap(), Wake::Ready);
            waited[2] = waited[2].min(sent.elapsed());
        });
        assert_eq!(numbers(&mut set.rings_mut()[1]), [number]);
    }
    assert_eq!(single.counters().wakeups, 0, "found by polling");
    println!("a record without wake-up waited: wait {:?}, run {:?}, set {:?}", waited[0], waited[1], waited[2]);
    assert!(waited.iter().all(|waited| *waited <= ENOUGH), "{waited:?}");
    Ok(())
}

/// Measures the cost of polling for a reader whose ring stays empty. It is close to that of as many sleeps of a thread
/// that does nothing else. The absolute time depends on the machine: an emulated one takes milliseconds for a sleep.
fn idle_reader_uses_almost_no_cpu() -> Outcome {
    /// Interrupts of a loaded machine are charged to a sleeping thread now and then; a busy reader fails every try.
    const TRIES: u32 = 5;
    const TIMES: u32 = 8;
    let (mut ring, _producer) = ring(PAGE);
    let time = Duration::from_millis(400);
    // The first sleep also creates the fds and runs code for the first time, so it is not measured.
    assert_eq!(ring.wait(Some(IDLE_POLL_INTERVAL / 4))?, Wake::TimedOut);
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let (before, began, worked) = (ring.counters().sleeps, Instant::now(), processor_time());
        assert_eq!(ring.wait(Some(time))?, Wake::TimedOut);
        let (slept, worked) = (began.elapsed(), processor_time() - worked);
        let sleeps = ring.counters().sleeps - before;
        assert!(sleeps <= 5, "{sleeps} sleeps in {slept:?}");
        let plain = processor_time();
        (0..sleeps).for_each(|_| thread::sleep(Duration::from_millis(20)));
        let plain = processor_time() - plain;
        println!("idle for {slept:?}: {sleeps} sleeps took {worked:?} of a CPU, as many plain ones {plain:?}");
        if sleeps >= 2 && worked <= plain * TIMES {
            return Ok(());
        }
        tries.push((sleeps, worked, plain));
    }
    Err(format!("(sleeps, CPU time, CPU time of plain sleeps) of an idle reader: {tries:?}").into())
}

fn consumer_that_is_behind_is_not_woken() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    producer.submit(1, ADAPTIVE);
    // An edge-triggered epoll of this test's own, without draining.
    // SAFETY: takes no memory.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    // SAFETY: `event` lives during the call.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, ring.as_fd().as_raw_fd(), &mut event) };
    let mut wait = |timeout| {
        // SAFETY: room for one event.
        unsafe { libc::epoll_wait(epoll, &mut event, 1, timeout) }
    };
    assert_eq!(wait(1000), 1, "the record was committed before");
    producer.submit(2, ADAPTIVE);
    assert_eq!(wait(50), 0, "no wake-up for a consumer that is behind");
    assert_eq!(numbers(&mut ring), [1, 2]);
    assert_eq!(ring.prepare_wait()?, Head::Empty);
    producer.submit(3, ADAPTIVE);
    assert_eq!(wait(1000), 1, "a wake-up for a consumer that is caught up");
    // SAFETY: this test's own fd.
    unsafe { libc::close(epoll) };
    Ok(())
}

fn sleeping_reader_loses_nothing() -> Outcome {
    const TOTAL: u64 = 100_000;
    let (mut ring, producer) = ring(PAGE);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 0;
            while next < TOTAL {
                // One record at a time, so that the reader sleeps often.
                if producer.output(next, 1, &[0; 8], ADAPTIVE) == 0 {
                    next += 1;
                }
            }
        });
        let mut next = 0;
        while next < TOTAL {
            assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready, "a lost wake-up");
            for record in &mut ring.batch().unwrap() {
                assert_eq!(number(record), next);
                next += 1;
            }
        }
    });
    Ok(())
}

/// Waits with a level-triggered epoll of this test's own. It must be woken, too: epoll checks the level only then.
fn level_triggered_sleeper_loses_nothing() -> Outcome {
    const TOTAL: u64 = 50_000;
    let (mut ring, producer) = ring(PAGE);
    // SAFETY: takes no memory.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: `event` lives during the call.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, ring.as_fd().as_raw_fd(), &mut event) };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 0;
            while next < TOTAL {
                if producer.output(next, 1, &[0; 8], ADAPTIVE) == 0 {
                    next += 1;
                }
            }
        });
        let mut next = 0;
        while next < TOTAL {
            for record in &mut ring.batch().unwrap() {
                assert_eq!(number(record), next);
                next += 1;
            }
            if next < TOTAL && ring.prepare_wait().unwrap() != Head::Ready {
                // SAFETY: room for one event.
                let woken = unsafe { libc::epoll_wait(epoll, &mut event, 1, LONG.as_millis() as i32) };
                assert_eq!(woken, 1, "a lost wake-up");
            }
        }
    });
    // SAFETY: this test's own fd.
    unsafe { libc::close(epoll) };
    Ok(())
}

/// A program that reserves a record, stays busy, and only then submits it.
struct Dawdler(OwnedFd);

impl Dawdler {
    fn new(ring: &impl AsFd) -> Self {
        const LOOP: i32 = 181;
        // Not the clock: if reading it takes a lock, the reader would contend for it.
        const GET_PRANDOM_U32: i32 = 7;
        let [ring_low, ring_high] = map(ring.as_fd());
        let [callback_low, callback_high] = function(2, 11);
        // The context, all u64: the record's number, and how many random numbers to request.
        let instructions = [
            mov(6, 1),
            ring_low,
            ring_high,
            mov_imm(2, 8),
            mov_imm(3, 0),
            call(RESERVE),
            jeq_imm(0, 0, 14),
            mov(7, 0),
            load(1, 6, 0),
            store(7, 0, 1),
            load(1, 6, 8),
            callback_low,
            callback_high,
            mov_imm(3, 0),
            mov_imm(4, 0),
            call(LOOP),
            mov(1, 7),
            mov_imm(2, 0),
            call(SUBMIT),
            mov_imm(0, 0),
            exit(),
            mov_imm(0, 1),
            exit(),
            // The callback.
            call(GET_PRANDOM_U32),
            mov_imm(0, 0),
            exit(),
        ];
        Self(load_with_callback(&instructions, 23))
    }

    fn submit(&self, number: u64, dawdle: u64) {
        assert_eq!(kernel::run(&self.0, &[number, dawdle]), 0, "bpf_ringbuf_reserve");
    }
}

/// Tries several times: on a loaded machine the two may not run at the same time. A reader that spins fails every try.
fn busy_record_at_the_head_lets_the_reader_sleep() -> Outcome {
    const TRIES: u32 = 30;
    // Takes 30 to 100 ms, depending on the machine, and is the maximum of `bpf_loop`.
    const NUMBERS: u64 = 1 << 23;
    // Long enough to tell a reader that sleeps from one that spins.
    const LEAST: Duration = Duration::from_millis(5);
    const BEHIND: u64 = 100;
    let map = create_ring(PAGE)?;
    let (dawdler, producer) = (Dawdler::new(&map), Producer::new(&map));
    let mut ring = Ring::open(map, PAGE)?;
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let waited = thread::scope(|scope| {
            scope.spawn(|| dawdler.submit(0, NUMBERS));
            while ring.head().unwrap() == Head::Empty {
                thread::yield_now();
            }
            assert_eq!(producer.output(1, BEHIND, &[0; 8], ADAPTIVE), 0);
            let (began, worked) = (Instant::now(), processor_time());
            if ring.batch().unwrap().records().next().is_some() {
                return None;
            }
            assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready);
            Some((began.elapsed(), processor_time() - worked))
        });
        let Some((slept, worked)) = waited else {
            numbers(&mut ring);
            continue;
        };
        assert_eq!(numbers(&mut ring), (0..=BEHIND).collect::<Vec<_>>());
        if slept > LEAST && worked < slept / 4 {
            return Ok(());
        }
        tries.push((slept, worked));
    }
    Err(format!("(time, CPU time) of a reader behind a busy head: {tries:?}").into())
}

/// Returns the CPU time of this thread.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct lives during the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn second_ring_wakes_the_set() -> Outcome {
    let (first, _first_producer) = ring(PAGE);
    let (second, producer) = ring(4 * PAGE);
    let mut set = RingSet::new();
    set.push(first);
    set.push(second);
    for number in 0..5 {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(2));
                producer.submit(number, ADAPTIVE);
            });
            assert_eq!(set.wait(Some(LONG)).unwrap(), Wake::Ready);
        });
        for (index, ring) in set.ready() {
            assert_eq!(index, 1);
            assert_eq!(numbers(ring), [number]);
        }
    }
    Ok(())
}
