//! Tests the user ring: a program receives by `bpf_user_ringbuf_drain` exactly the samples that user space submits.
//!
//! ```text
//! drain(flags):           return bpf_user_ringbuf_drain(RING, each, NULL, flags)
//! each(sample):           n = COUNT++
//!     TAKEN[n].head   = the first 16 bytes of the sample: a number, and how many bytes follow
//!     TAKEN[n].bytes  = those bytes
//!     TAKEN[n].read   = the result of reading them
//!     TAKEN[n].beyond = the result of reading one more byte
//!     return whether TAKEN is full
//! ```

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use mmap_ring::{Error, Side, UserRing};

use crate::harness::{Test, test};
use crate::kernel::insn::{
    add_imm, call, exit, function, jeq_imm, jgt_imm, jne_imm, load, map, mov, mov_imm, store, store_u32,
};
use crate::kernel::{self, FORCE_WAKEUP, LOOKUP, NO_WAKEUP, create_map, load_with_callback, lookup_map, update_map};
use crate::repetitions::repetitions;
use crate::{LONG, Outcome, PAGE, SHORT, asleep, number};

pub(crate) fn tests() -> Vec<Test> {
    let tests = [
        test!(program_gets_exactly_what_was_submitted),
        test!(full_user_ring_is_waited_for),
        test!(user_ring_is_filled_while_drained),
        test!(reopened_user_ring_continues_where_it_was),
        test!(user_ring_is_opened_once_at_a_time),
    ];
    tests.map(|test| test.since(6, 1, "the user ring buffer")).into()
}

const DYNPTR_READ: i32 = 201;
const USER_RINGBUF_DRAIN: i32 = 209;

/// The number of samples that one drain takes at most.
const ENTRIES: u32 = 64;
/// The size of a sample's head in bytes: a number, and how many bytes follow.
const HEAD: usize = 16;
/// The maximum number of bytes after the head.
const MOST: usize = 1008;
/// Offsets of `read` and `beyond` in an element of TAKEN, and its size.
const READ: usize = HEAD + MOST;
const BEYOND: usize = READ + 8;
const TAKEN: usize = BEYOND + 8;

/// A program that drains a user ring, and its maps.
struct Drain {
    program: OwnedFd,
    count: OwnedFd,
    taken: OwnedFd,
}

impl Drain {
    fn new(ring: &impl AsFd) -> Self {
        let count = create_map(kernel::MAP_TYPE_ARRAY, 4, 8, 1, 0).expect("an array");
        let taken = create_map(kernel::MAP_TYPE_ARRAY, 4, TAKEN as u32, ENTRIES, 0).expect("an array");
        let [ring_low, ring_high] = map(ring.as_fd());
        let [count_low, count_high] = map(count.as_fd());
        let [taken_low, taken_high] = map(taken.as_fd());
        let [each_low, each_high] = function(2, 4);
        let instructions = [
            // drain; the context: u64 flags.
            load(4, 1, 0),
            ring_low,
            ring_high,
            each_low,
            each_high,
            mov_imm(3, 0),
            call(USER_RINGBUF_DRAIN),
            exit(),
            // each: r6 is the sample, r7 points to COUNT's value, r9 to TAKEN's.
            mov(6, 1),
            mov_imm(1, 0),
            store_u32(10, -4, 1),
            mov(2, 10),
            add_imm(2, -4),
            count_low,
            count_high,
            call(LOOKUP),
            jeq_imm(0, 0, 45),
            mov(7, 0),
            load(1, 7, 0),
            store_u32(10, -4, 1),
            add_imm(1, 1),
            store(7, 0, 1),
            mov(2, 10),
            add_imm(2, -4),
            taken_low,
            taken_high,
            call(LOOKUP),
            jeq_imm(0, 0, 34),
            mov(9, 0),
            mov_imm(1, -1),
            store(9, READ as i16, 1),
            // The head,
            mov(1, 9),
            mov_imm(2, HEAD as i32),
            mov(3, 6),
            mov_imm(4, 0),
            mov_imm(5, 0),
            call(DYNPTR_READ),
            jne_imm(0, 0, 24),
            // the bytes that follow it,
            load(8, 9, 8),
            jgt_imm(8, MOST as i32, 22),
            mov(1, 9),
            add_imm(1, HEAD as i32),
            mov(2, 8),
            mov(3, 6),
            mov_imm(4, HEAD as i32),
            mov_imm(5, 0),
            call(DYNPTR_READ),
            store(9, READ as i16, 0),
            // and one byte more.
            mov(1, 10),
            add_imm(1, -8),
            mov_imm(2, 1),
            mov(3, 6),
            mov(4, 8),
            add_imm(4, HEAD as i32),
            mov_imm(5, 0),
            call(DYNPTR_READ),
            store(9, BEYOND as i16, 0),
            load(1, 7, 0),
            mov_imm(0, 0),
            jne_imm(1, ENTRIES as i32, 1),
            mov_imm(0, 1),
            exit(),
            mov_imm(0, 0),
            exit(),
        ];
        let program = load_with_callback(&instructions, 8);
        Self { program, count, taken }
    }

    /// Drains once and returns the samples that the program received. Errors with the errno of the helper.
    fn run(&self, flags: u64) -> io::Result<Vec<Vec<u8>>> {
        update_map(self.count.as_fd(), 0, &0_u64.to_ne_bytes());
        let answer = kernel::run(&self.program, &[flags]) as u32 as i32;
        if answer < 0 {
            return Err(io::Error::from_raw_os_error(-answer));
        }
        let mut count = [0; 8];
        lookup_map(self.count.as_fd(), 0, &mut count);
        assert_eq!(u64::from_ne_bytes(count), answer as u64, "samples that the helper counted");
        Ok((0..answer as u32).map(|entry| self.sample(entry)).collect())
    }

    fn sample(&self, entry: u32) -> Vec<u8> {
        let mut value = [0; TAKEN];
        lookup_map(self.taken.as_fd(), entry, &mut value);
        let length = HEAD + number(&value[8..]) as usize;
        assert_eq!(number(&value[READ..]), 0, "the sample is shorter than it says");
        assert_eq!(number(&value[BEYOND..]) as i64, i64::from(-libc::E2BIG), "the sample is longer than it says");
        value[..length].to_vec()
    }
}

/// Returns the sample with this number: its head, and bytes that depend on number and length.
fn sample(number: u64) -> Vec<u8> {
    let length = number * 37 % (MOST as u64 + 1);
    let bytes = (0..length).map(|at| (at * 31 + number) as u8);
    [number, length].iter().flat_map(|word| word.to_ne_bytes()).chain(bytes).collect()
}

fn program_gets_exactly_what_was_submitted() -> Outcome {
    let map = create_map(kernel::MAP_TYPE_USER_RINGBUF, 0, 0, 2 * PAGE, 0)?;
    let drain = Drain::new(&map);
    let mut ring = UserRing::open(map, 2 * PAGE)?;
    assert!(drain.run(0)?.is_empty());
    // Enough rounds that the positions wrap many times, at many offsets.
    for round in 0..400 {
        let mut expected = Vec::new();
        for number in round * 20.. {
            let discarded = ring.reserve(number as u32 % 300)?;
            let Some(mut discarded) = discarded else { break };
            discarded.fill(0xff);
            if number % 2 == 0 {
                discarded.discard();
            } else {
                drop(discarded);
            }
            let bytes = sample(number);
            let Some(mut sample) = ring.reserve(bytes.len() as u32)? else { break };
            sample.copy_from_slice(&bytes);
            sample.submit();
            expected.push(bytes);
        }
        assert!(expected.len() > 4 && expected.len() < ENTRIES as usize, "{} samples fill the ring", expected.len());
        assert!(drain.run(0)? == expected, "round {round}");
        assert_eq!(ring.room(), ring.capacity());
    }
    Ok(())
}

fn full_user_ring_is_waited_for() -> Outcome {
    let map = create_map(kernel::MAP_TYPE_USER_RINGBUF, 0, 0, PAGE, 0)?;
    let drain = Drain::new(&map);
    let mut ring = UserRing::open(map, PAGE)?;
    let longest = ring.reserve(PAGE - 8)?.expect("an empty ring holds a sample that fills it");
    drop(longest);
    assert!(ring.reserve(PAGE - 7).is_err());
    let fill = |ring: &mut UserRing| -> Outcome {
        while ring.room() > 0 {
            let mut sample = ring.reserve_within(HEAD as u32 + 1000, Some(LONG))?.expect("room for four");
            sample.fill(0);
            sample[8..HEAD].copy_from_slice(&1000_u64.to_ne_bytes());
            sample.submit();
        }
        Ok(())
    };
    fill(&mut ring)?;
    assert!(ring.reserve(0)?.is_none());
    assert!(!has_room(&ring), "poll");
    let began = Instant::now();
    assert!(ring.reserve_within(8, Some(SHORT))?.is_none(), "there was no drain");
    assert!(began.elapsed() >= SHORT);
    // A drain wakes the sleeper.
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(20));
            drain.run(0).expect("a sound ring");
        });
        assert!(ring.reserve_within(8, Some(LONG)).expect("a wait").is_some());
    });
    assert!(has_room(&ring), "poll");
    // A drain with NO_WAKEUP does not wake the sleeper, which finds the room by polling.
    fill(&mut ring)?;
    thread::scope(|scope| {
        let sleeper = asleep(scope, || ring.reserve_within(8, Some(LONG)).map(|sample| sample.is_some()));
        assert_eq!(drain.run(NO_WAKEUP).expect("a sound ring").len(), 4);
        assert!(sleeper.join().unwrap().expect("a wait"));
    });
    // Without polling, a drain with FORCE_WAKEUP wakes the sleeper even if it takes no sample.
    ring.set_idle_poll_interval(None);
    fill(&mut ring)?;
    thread::scope(|scope| {
        let sleeper = asleep(scope, || ring.reserve_within(8, Some(LONG)).map(|sample| sample.is_some()));
        assert_eq!(drain.run(NO_WAKEUP).expect("a sound ring").len(), 4);
        thread::sleep(SHORT);
        assert!(!sleeper.is_finished(), "woken by NO_WAKEUP");
        assert!(drain.run(FORCE_WAKEUP).expect("a sound ring").is_empty());
        assert!(sleeper.join().unwrap().expect("a wait"));
    });
    Ok(())
}

/// Returns whether poll(2) reports the ring as writable.
#[expect(unsafe_code, reason = "polls without the crate under test")]
fn has_room(ring: &UserRing) -> bool {
    let mut poll = libc::pollfd { fd: ring.as_fd().as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd that lives during the call.
    assert!(unsafe { libc::poll(&raw mut poll, 1, 0) } >= 0);
    poll.revents & libc::POLLOUT != 0
}

fn user_ring_is_filled_while_drained() -> Outcome {
    let total: u64 = repetitions(20_000, 4_000);
    let map = create_map(kernel::MAP_TYPE_USER_RINGBUF, 0, 0, PAGE, 0)?;
    let drain = Drain::new(&map);
    let mut ring = UserRing::open(map, PAGE)?;
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..total {
                let bytes = sample(number);
                let reserved = ring.reserve_within(bytes.len() as u32, Some(LONG)).expect("a wait");
                let mut sample = reserved.expect("a drain within a minute");
                sample.copy_from_slice(&bytes);
                sample.submit();
            }
        });
        let mut next = 0;
        while next < total {
            for taken in drain.run(0).expect("a sound ring") {
                assert!(taken == sample(next), "{next}");
                next += 1;
            }
            thread::yield_now();
        }
    });
    Ok(())
}

fn reopened_user_ring_continues_where_it_was() -> Outcome {
    let map = create_map(kernel::MAP_TYPE_USER_RINGBUF, 0, 0, PAGE, 0)?;
    let drain = Drain::new(&map);
    let mut expected = Vec::new();
    for number in 0..10 {
        let mut ring = UserRing::open(map.try_clone()?, PAGE)?;
        let bytes = sample(number);
        let mut sample = ring.reserve(bytes.len() as u32)?.expect("room");
        sample.copy_from_slice(&bytes);
        sample.submit();
        expected.push(bytes);
        if number == 3 {
            assert!(drain.run(0)? == expected);
            expected.clear();
        }
    }
    assert!(drain.run(0)? == expected);
    Ok(())
}

/// Checks that no second producer opens it: two producers would lend the same bytes for writing.
fn user_ring_is_opened_once_at_a_time() -> Outcome {
    let map = create_map(kernel::MAP_TYPE_USER_RINGBUF, 0, 0, PAGE, 0)?;
    let ring = UserRing::open(map.try_clone()?, PAGE)?;
    let second = UserRing::open(map.try_clone()?, PAGE).err();
    assert!(matches!(second, Some(Error::AlreadyOpen { side: Side::Producer })), "{second:?}");
    drop(ring);
    assert!(UserRing::open(map, PAGE).is_ok());
    Ok(())
}
