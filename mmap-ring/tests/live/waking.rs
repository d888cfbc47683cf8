//! Who is woken, when, and who is not.
#![expect(unsafe_code, reason = "waits without the crate under test")]

use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use mmap_ring::{Head, Set, Wake};

use crate::kernel::{ADAPTIVE, FORCE_WAKEUP, NO_WAKEUP};
use crate::{LONG, Outcome, PAGE, SHORT, Test, number, numbers, ring, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("a_commit_wakes_a_sleeper", a_commit_wakes_a_sleeper),
        test("no_wakeup_leaves_a_sleeper_and_force_wakes_it", no_wakeup_leaves_a_sleeper),
        test("a_discard_without_wakeup_strands_a_waiter", a_discard_without_wakeup),
        test("a_consumer_that_is_behind_is_not_woken", a_consumer_that_is_behind),
        test("a_sleeping_reader_loses_nothing", a_sleeping_reader_loses_nothing),
        test("a_second_ring_wakes_the_set", a_second_ring_wakes_the_set),
    ]
}

fn a_commit_wakes_a_sleeper() -> Outcome {
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

fn no_wakeup_leaves_a_sleeper() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| ring.wait(Some(LONG)));
        thread::sleep(SHORT);
        producer.submit(1, NO_WAKEUP);
        thread::sleep(SHORT);
        assert!(!sleeper.is_finished(), "woken by NO_WAKEUP");
        // The consumer stands at record 1, so this one is not its business.
        producer.submit(2, ADAPTIVE);
        thread::sleep(SHORT);
        assert!(!sleeper.is_finished(), "woken although it is behind");
        producer.submit(3, FORCE_WAKEUP);
        assert_eq!(sleeper.join().unwrap().unwrap(), Wake::Ready);
    });
    assert_eq!(numbers(&mut ring), [1, 2, 3]);
    Ok(())
}

fn a_discard_without_wakeup() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| ring.wait(Some(10 * SHORT)));
        thread::sleep(SHORT);
        producer.discard(NO_WAKEUP);
        producer.submit(1, ADAPTIVE);
        let began = Instant::now();
        assert_eq!(sleeper.join().unwrap().unwrap(), Wake::Ready);
        assert!(began.elapsed() > 4 * SHORT, "found by the time-out alone");
    });
    assert_eq!(ring.counters().wakeups, 0);
    assert_eq!(numbers(&mut ring), [1]);
    Ok(())
}

fn a_consumer_that_is_behind() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    producer.submit(1, ADAPTIVE);
    // An edge-triggered waiter of one's own that does not drain.
    // SAFETY: takes no memory.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    // SAFETY: `event` lives during the call.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, ring.as_fd().as_raw_fd(), &mut event) };
    let mut wait = |timeout| {
        // SAFETY: room for one event.
        unsafe { libc::epoll_wait(epoll, &mut event, 1, timeout) }
    };
    assert_eq!(wait(1000), 1, "the record was there");
    producer.submit(2, ADAPTIVE);
    assert_eq!(wait(50), 0, "no wake-up for a consumer that is behind");
    assert_eq!(numbers(&mut ring), [1, 2]);
    assert_eq!(ring.settle()?, Head::Empty);
    producer.submit(3, ADAPTIVE);
    assert_eq!(wait(1000), 1, "a wake-up for one that is not");
    // SAFETY: this test's own descriptor.
    unsafe { libc::close(epoll) };
    Ok(())
}

fn a_sleeping_reader_loses_nothing() -> Outcome {
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

fn a_second_ring_wakes_the_set() -> Outcome {
    let (first, _first_producer) = ring(PAGE);
    let (second, producer) = ring(4 * PAGE);
    let mut set = Set::new();
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
