//! Tests how much room trailing release costs the producer: a large record follows just after all records were read.
//!
//! ```text
//!   ring of 4096     8 and 1000 bytes    reader reads them    a gap      3300 bytes: is there room?
//! ```
//!
//! `MMAP_RING_ROUNDS=3000 cargo test -p mmap-ring --test live -- trailing_release` runs more rounds than the test does
//! by default.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mmap_ring::{Peek, Ring, Stopper, WakeupPolicy};

use crate::harness::{Test, test};
use crate::kernel::insn::{call, exit, jeq_imm, map, mov, mov_imm};
use crate::kernel::{self, RESERVE, SUBMIT, create_ring, load_program};
use crate::{LONG, Outcome, PAGE, two_cpus};

pub(crate) fn tests() -> Vec<Test> {
    vec![test!(trailing_release_refuses_no_large_record).needs(two_cpus)]
}

/// Loads a program that sends records of these lengths, and returns 1 if one was refused.
fn sender(ring: &impl AsFd, lengths: &[i32]) -> OwnedFd {
    let [map_low, map_high] = map(ring.as_fd());
    let mut instructions = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        // The jump skips the rest of this record, the records after it, and the end.
        let to_refused = 3 + 9 * (lengths.len() - index - 1) + 2;
        let send = [map_low, map_high, mov_imm(2, *length), mov_imm(3, 0), call(RESERVE)];
        instructions.extend(send);
        instructions.extend([jeq_imm(0, 0, to_refused as i16), mov(1, 0), mov_imm(2, 0), call(SUBMIT)]);
    }
    instructions.extend([mov_imm(0, 0), exit(), mov_imm(0, 1), exit()]);
    load_program(&instructions)
}

/// Returns the number of large records that are refused in `rounds` rounds.
fn refused(policy: WakeupPolicy, gap: Duration, rounds: u64) -> u64 {
    const PATIENCE: Duration = Duration::from_millis(20);
    let map = create_ring(PAGE).expect("making a ring");
    let peek = Peek::open(&map, PAGE).expect("observing it");
    let (small, large) = (sender(&map, &[8, 1000]), sender(&map, &[3300]));
    let mut ring = Ring::open(map, PAGE).expect("opening it");
    let stopper = ring.stopper().expect("a stopper");
    let read = AtomicU64::new(0);
    let wait_until_read = |sent| {
        let began = Instant::now();
        while read.load(Ordering::Acquire) < sent && began.elapsed() < PATIENCE {
            std::hint::spin_loop();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let ended = ring.run(policy, |batch| {
                read.fetch_add(batch.records().count() as u64, Ordering::Release);
                ControlFlow::<()>::Continue(())
            });
            ended.expect("a sound ring");
        });
        let _stop = Stop(stopper);
        let (mut sent, mut refused) = (0, 0);
        for _ in 0..rounds {
            // The records of the last round are released before this one begins.
            let began = Instant::now();
            while peek.positions().waiting() > 0 && began.elapsed() < LONG {
                thread::sleep(Duration::from_micros(100));
            }
            assert_eq!(kernel::run(&small, &[0]), 0, "the ring is empty");
            sent += 2;
            wait_until_read(sent);
            let began = Instant::now();
            while began.elapsed() < gap {
                std::hint::spin_loop();
            }
            match kernel::run(&large, &[0]) {
                0 => sent += 1,
                _ => refused += 1,
            }
        }
        refused
    })
}

/// Ends the run of the reader when dropped, also by a panic.
struct Stop(Stopper);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Allows, at each gap, at most 1 % more refusals than with a reader that keeps nothing back.
fn trailing_release_refuses_no_large_record() -> Outcome {
    let rounds = std::env::var("MMAP_RING_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(100);
    for gap in [0, 20, 100, 400].map(Duration::from_micros) {
        // A reader that loses its CPU at the wrong moment causes refusals without any fault, so there are three tries.
        let mut tries = Vec::new();
        let good = (0..3).any(|_| {
            let (trailing, immediate) =
                (refused(WakeupPolicy::default(), gap, rounds), refused(WakeupPolicy::immediate(), gap, rounds));
            tries.push((trailing, immediate));
            trailing <= immediate + rounds / 100
        });
        println!("{gap:?} after all records were read, (trailing, immediate) refused of {rounds}: {tries:?}");
        assert!(good, "{gap:?}: {tries:?} of {rounds}");
    }
    Ok(())
}
