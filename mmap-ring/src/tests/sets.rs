//! Tests several rings in one wait.

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use crate::fake::{Commit, Heap, Kernel};
use crate::{RingSet, Wake};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

fn set(rings: usize) -> (Vec<Kernel>, RingSet<Heap>) {
    let mut set = RingSet::new();
    let kernels = (0..rings).map(|index| {
        let (kernel, ring) = Kernel::new(256).unwrap();
        assert_eq!(set.push(ring), index);
        kernel
    });
    (kernels.collect(), set)
}

fn ready(set: &mut RingSet<Heap>) -> Vec<usize> {
    set.ready().map(|(index, _)| index).collect()
}

#[test]
fn drain_passes_the_ring_index_and_can_end_early() {
    let (kernels, mut set) = set(3);
    for index in [0, 2] {
        kernels[index].output(&[index as u8], Commit::Adaptive);
    }
    let mut seen = Vec::new();
    assert_eq!(set.drain(|index, record| seen.push((index, record.to_vec()))).unwrap(), None);
    assert_eq!(seen, [(0, vec![0]), (2, vec![2])]);
    kernels.iter().for_each(|kernel| assert!(kernel.output(b"x", Commit::Adaptive)));
    assert_eq!(set.drain(|index, _| ControlFlow::Break(index)).unwrap(), Some(0));
    assert_eq!(ready(&mut set), [1, 2], "the other rings keep their records");
}

#[test]
fn drain_after_a_break_begins_with_the_next_ring() {
    let (kernels, mut set) = set(3);
    let mut seen = Vec::new();
    for _ in 0..5 {
        // Ring 0 is never empty.
        (0..3).for_each(|_| assert!(kernels[0].output(b"x", Commit::Adaptive)));
        if seen.is_empty() {
            kernels[1].output(b"x", Commit::Adaptive);
            kernels[2].output(b"x", Commit::Adaptive);
        }
        seen.extend(set.drain(|index, _| ControlFlow::Break(index)).unwrap());
    }
    assert_eq!(seen, [0, 1, 2, 0, 0]);
    // After a complete drain the next one begins with ring 0 again, and so does one of fewer rings.
    kernels[2].output(b"x", Commit::Adaptive);
    set.drain(|_, _| ()).unwrap();
    kernels[1].output(b"x", Commit::Adaptive);
    kernels[2].output(b"x", Commit::Adaptive);
    assert_eq!(set.drain(|index, _| ControlFlow::Break(index)).unwrap(), Some(1));
    assert!(set.remove(2).is_some() && set.remove(1).is_some());
    kernels[0].output(b"x", Commit::Adaptive);
    assert_eq!(set.drain(|index, _| ControlFlow::Break(index)).unwrap(), Some(0));
}

#[test]
fn wait_is_followed_by_the_ready_rings() {
    let (kernels, mut set) = set(3);
    assert_eq!(set.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    assert!(ready(&mut set).is_empty());
    for index in [1, 2] {
        kernels[index].output(b"x", Commit::Adaptive);
    }
    assert_eq!(set.wait(None).unwrap(), Wake::Ready);
    assert_eq!(ready(&mut set), [1, 2]);
    for (_, ring) in set.ready() {
        assert_eq!(super::drain(ring), [b"x"]);
    }
    assert!(ready(&mut set).is_empty());
}

#[test]
fn every_ring_ends_the_wait_even_one_added_later() {
    let (mut kernels, mut set) = set(2);
    assert_eq!(set.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    let (kernel, ring) = Kernel::new(256).unwrap();
    set.push(ring);
    kernels.push(kernel);
    for (index, kernel) in kernels.iter().enumerate() {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SHORT);
                kernel.output(b"x", Commit::Adaptive);
            });
            assert_eq!(set.wait(Some(LONG)).unwrap(), Wake::Ready);
        });
        assert_eq!(ready(&mut set), [index]);
        super::drain(&mut set.rings_mut()[index]);
    }
    assert_eq!(set.rings().len(), 3);
}

#[test]
fn busy_ring_does_not_hide_the_others() {
    let (kernels, mut set) = set(2);
    let busy = kernels[0].reserve(8).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            kernels[1].output(b"x", Commit::Adaptive);
        });
        assert_eq!(set.wait(Some(LONG)).unwrap(), Wake::Ready);
    });
    assert_eq!(ready(&mut set), [1]);
    busy.submit(Commit::Adaptive);
    assert_eq!(ready(&mut set), [0, 1]);
}

#[test]
fn corrupt_ring_can_be_removed() {
    let (kernels, mut set) = set(3);
    kernels[1].pages().producer.store(12, std::sync::atomic::Ordering::Relaxed);
    assert!(set.wait(Some(SHORT)).is_err());
    assert_eq!(ready(&mut set), [1], "the corrupt ring");
    assert!(set.remove(1).is_some());
    assert!(set.remove(2).is_none());
    assert_eq!(set.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            kernels[2].output(b"x", Commit::Adaptive);
        });
        assert_eq!(set.wait(Some(LONG)).unwrap(), Wake::Ready);
    });
    assert_eq!(ready(&mut set), [1], "its index decreased by one");
}

#[test]
fn set_can_be_stopped() {
    let (_kernels, mut set) = set(2);
    let stopper = set.stopper().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| stopper.stop());
        assert_eq!(set.wait(None).unwrap(), Wake::Stopped);
    });
    set.resume().unwrap();
    assert_eq!(set.wait(Some(SHORT)).unwrap(), Wake::TimedOut);
}
