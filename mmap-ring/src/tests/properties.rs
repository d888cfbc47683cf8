//! Compares the reader with a naive one on generated scripts.
//!
//! The naive reader keeps the records in a list, without pages, headers or masks. Both must return the same records,
//! and a commit must wake the consumer exactly if its position is that of the committed record.

use std::collections::VecDeque;

use proptest::prelude::*;

use crate::fake::{Commit, Kernel, Reservation};
use crate::publish::KEPT_BACK;
use crate::{Head, Positions};

/// One step of a script.
#[derive(Clone, Debug)]
enum Step {
    Reserve {
        length: u32,
        seed: u8,
    },
    /// Commits the open reservation of this index, modulo the number of open ones.
    Commit {
        which: usize,
        discard: bool,
        commit: Commit,
    },
    Drain,
    AtMost(usize),
    AtMostBytes(u64),
    One,
    PrepareWait,
}

/// A record of the naive reader.
#[derive(Debug)]
struct Plain {
    position: u64,
    payload: Vec<u8>,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Busy,
    Committed,
    Discarded,
}

impl Plain {
    fn taken(&self) -> u64 {
        8 + self.payload.len().next_multiple_of(8) as u64
    }
}

fn step(longest: u32) -> impl Strategy<Value = Step> {
    let commit = prop_oneof![
        4 => Just(Commit::Adaptive),
        1 => Just(Commit::NoWakeup),
        1 => Just(Commit::ForceWakeup),
    ];
    let length = prop_oneof![
        6 => 0..=24.min(longest),
        3 => 0..=longest,
        1 => Just(longest),
        1 => Just(longest + 1),
    ];
    prop_oneof![
        8 => (length, any::<u8>()).prop_map(|(length, seed)| Step::Reserve { length, seed }),
        8 => (any::<usize>(), prop::bool::weighted(0.2), commit)
            .prop_map(|(which, discard, commit)| Step::Commit { which, discard, commit }),
        2 => Just(Step::Drain),
        1 => (0..4_usize).prop_map(Step::AtMost),
        1 => (0..200_u64).prop_map(Step::AtMostBytes),
        1 => Just(Step::One),
        1 => Just(Step::PrepareWait),
    ]
}

/// Generates a ring size, a start position and a script. The positions are those that a reader could handle wrongly: 0,
/// inside the ring, just below 2^32, just below 2^64.
fn script() -> impl Strategy<Value = (u64, u64, Vec<Step>)> {
    (4..=12_u32).prop_flat_map(|log| {
        let size = 1_u64 << log;
        let near = (0..size).prop_map(|offset| offset & !7);
        let start = prop_oneof![
            Just(0_u64),
            near.clone(),
            near.clone().prop_map(|offset| (1_u64 << 32).wrapping_sub(offset)),
            near.prop_map(|offset| 0_u64.wrapping_sub(offset)),
        ];
        let steps = if cfg!(miri) { 25 } else { 200 };
        let longest = size as u32 - 16;
        (Just(size), start, prop::collection::vec(step(longest), 1..steps))
    })
}

fn payload(length: u32, seed: u8) -> Vec<u8> {
    (0..length).map(|at| seed.wrapping_add(at as u8)).collect()
}

/// Removes from the list the records that the naive reader returns.
fn naive(records: &mut VecDeque<Plain>, at_most: usize, mut room: Option<u64>, discarded: &mut u64) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(first) = records.front() {
        // Discarded records are skipped only when a next record is wanted.
        if out.len() == at_most || first.state == State::Busy {
            break;
        }
        if first.state == State::Discarded {
            *discarded += 1;
            records.pop_front();
            continue;
        }
        if let Some(room) = &mut room {
            if first.taken() > *room && !out.is_empty() {
                break;
            }
            *room = room.saturating_sub(first.taken());
        }
        out.extend(records.pop_front().map(|record| record.payload));
    }
    out
}

fn run(size: u64, start: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (kernel, mut ring) = Kernel::at(size, start).unwrap();
    let mut records: VecDeque<Plain> = VecDeque::new();
    let mut open: Vec<Reservation<'_>> = Vec::new();
    let mut producer = start;
    let mut discarded = 0;
    for step in steps {
        let consumer = records.front().map_or(producer, |first| first.position);
        match step {
            Step::Reserve { length, seed } => {
                let payload = payload(length, seed);
                let reserved = kernel.reserve(length);
                let plain = Plain { position: producer, payload, state: State::Busy };
                let next = producer.wrapping_add(plain.taken());
                let fits = next.wrapping_sub(consumer) < size;
                prop_assert_eq!(reserved.is_some(), fits);
                if let Some(mut reservation) = reserved {
                    prop_assert_eq!(reservation.position(), producer);
                    reservation.fill(&plain.payload);
                    producer = next;
                    records.push_back(plain);
                    open.push(reservation);
                }
            }
            Step::Commit { which, discard, commit } => {
                if open.is_empty() {
                    continue;
                }
                let reservation = open.swap_remove(which % open.len());
                let position = reservation.position();
                let woke = if discard { reservation.discard(commit) } else { reservation.submit(commit) };
                let wakes = match commit {
                    Commit::Adaptive => position == consumer,
                    Commit::NoWakeup => false,
                    Commit::ForceWakeup => true,
                };
                prop_assert_eq!(woke, wakes);
                for record in &mut records {
                    if record.position == position {
                        record.state = if discard { State::Discarded } else { State::Committed };
                    }
                }
            }
            Step::Drain => {
                let expected = naive(&mut records, usize::MAX, None, &mut discarded);
                let mut batch = ring.batch().unwrap();
                let got: Vec<&[u8]> = batch.records().collect();
                prop_assert_eq!(got, expected);
            }
            Step::AtMost(count) => {
                let expected = naive(&mut records, count, None, &mut discarded);
                let mut batch = ring.batch().unwrap();
                let got: Vec<&[u8]> = batch.at_most(count).collect();
                prop_assert_eq!(got, expected);
            }
            Step::AtMostBytes(bytes) => {
                let expected = naive(&mut records, usize::MAX, Some(bytes), &mut discarded);
                let mut batch = ring.batch().unwrap();
                let got: Vec<&[u8]> = batch.at_most_bytes(bytes).collect();
                prop_assert_eq!(got, expected);
            }
            Step::One => {
                let expected = naive(&mut records, 1, None, &mut discarded);
                let got = ring.record().unwrap();
                prop_assert_eq!(got.as_deref(), expected.first().map(Vec::as_slice));
            }
            Step::PrepareWait => {
                let expected = match records.front().map(|first| &first.state) {
                    None => Head::Empty,
                    Some(State::Busy) => Head::Busy,
                    Some(_) => Head::Ready,
                };
                prop_assert_eq!(ring.prepare_wait().unwrap(), expected);
            }
        }
        let consumer = records.front().map_or(producer, |first| first.position);
        let Positions { consumer: shown_consumer, producer: shown_producer, .. } = ring.positions();
        prop_assert_eq!((shown_consumer, shown_producer), (consumer, producer));
        prop_assert_eq!(ring.counters().discarded, discarded);
    }
    Ok(())
}

/// Sends the same records to a ring with a trailing reader and to a ring with an immediate one. A step is a record's
/// length, and whether the readers read after it. The comparison ends when one ring refuses a record that the other
/// accepts.
fn trails(size: u64, steps: Vec<(u32, bool)>) -> Result<(), TestCaseError> {
    let (kernel, mut ring) = Kernel::new(size).unwrap();
    let (immediate_kernel, mut immediate) = Kernel::new(size).unwrap();
    ring.consumer_mut().keep_back(size / KEPT_BACK);
    // The largest record that ended a batch so far, and the last record sent.
    let (mut largest, mut last) = (0, 0);
    for (length, reads) in steps {
        let payload = vec![1; length as usize];
        let taken = 8 + u64::from(length).next_multiple_of(8);
        let (accepted, accepted_immediate) =
            (kernel.output(&payload, Commit::Adaptive), immediate_kernel.output(&payload, Commit::Adaptive));
        prop_assert!(accepted_immediate || !accepted, "trailing frees no more bytes");
        if accepted_immediate && !accepted {
            let waiting = immediate.positions().waiting();
            prop_assert!(waiting >= size - size / KEPT_BACK, "with {waiting} of {size} bytes waiting");
            let alone = waiting == taken;
            prop_assert!(!alone || taken > largest, "a record of {taken} bytes, after one of {largest}");
            break;
        }
        if accepted_immediate {
            last = taken;
        }
        if reads {
            prop_assert_eq!(super::drain(&mut ring), super::drain(&mut immediate));
            let kept = ring.positions().waiting();
            prop_assert!(kept <= size / KEPT_BACK, "{kept} bytes are kept back");
            largest = largest.max(last);
        }
    }
    Ok(())
}

/// Generates records of all lengths, most of them small or large, and reads in between.
fn trailing_script() -> impl Strategy<Value = (u64, Vec<(u32, bool)>)> {
    (9..=12_u32).prop_flat_map(|log| {
        let size = 1_u32 << log;
        let length = prop_oneof![
            4 => 0..=size / 32,
            2 => 0..=size - 16,
            2 => size - size / 16..=size - 16,
        ];
        let steps = if cfg!(miri) { 10 } else { 60 };
        (Just(u64::from(size)), prop::collection::vec((length, any::<bool>()), 1..steps))
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 1000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn reader_agrees_with_a_naive_one((size, start, steps) in script()) {
        run(size, start, steps)?;
    }

    #[test]
    fn ring_of_a_trailing_reader_accepts_records_as_large_as_earlier_ones((size, steps) in trailing_script()) {
        trails(size, steps)?;
    }
}

/// Tests every offset at which a record can wrap, with every length that a small ring can hold.
#[test]
fn records_wrap_at_every_offset() {
    let (size, starts): (u64, &[u64]) =
        if cfg!(miri) { (32, &[0]) } else { (128, &[0, (1 << 32) - 128, 0_u64.wrapping_sub(128)]) };
    for start in starts {
        for offset in (0..size).step_by(8) {
            for length in (0..=size as u32 - 16).step_by(if cfg!(miri) { 5 } else { 1 }) {
                let (kernel, mut ring) = Kernel::at(size, start.wrapping_add(offset)).unwrap();
                for seed in 0..3 {
                    let payload = payload(length, seed);
                    assert!(kernel.output(&payload, Commit::Adaptive));
                    assert_eq!(super::drain(&mut ring), [payload]);
                }
            }
        }
    }
}
