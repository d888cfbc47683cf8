//! Every interleaving of a producer and a consumer, and every value that their
//! loads may return under the memory model.
//!
//! Each ordering and each fence of the protocol is needed by one of these tests:
//! weaken one and a test fails.

use loom::sync::atomic::{Ordering, fence};
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::Head;
use crate::consumer::Consumer;
use crate::memory::model::{Model, ModelPages};
use crate::record::BUSY;

/// The kernel's side: reserves and commits records of eight bytes.
struct Kernel {
    pages: Arc<ModelPages>,
    bell: Arc<Notify>,
}

impl Kernel {
    /// `__bpf_ringbuf_reserve`; false if there is no room.
    fn reserve(&self) -> bool {
        let pages = &*self.pages;
        let consumer = pages.consumer.load(Ordering::Acquire);
        let position = pages.producer.load(Ordering::Relaxed);
        let next = position + 16;
        if next - consumer > pages.size() - 1 {
            return false;
        }
        pages.headers[pages.index(position)].store(8 | BUSY, Ordering::Relaxed);
        pages.producer.store(next, Ordering::Release);
        true
    }

    /// Writes the payload and commits the record at `position`
    /// (`bpf_ringbuf_commit`).
    fn commit(&self, position: u64, payload: u64) {
        let pages = &*self.pages;
        pages.write_payload(position, payload.to_ne_bytes());
        // xchg() is a full barrier.
        fence(Ordering::SeqCst);
        pages.headers[pages.index(position)].swap(8, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        let mask = pages.size() - 1;
        if pages.consumer.load(Ordering::Acquire) & mask == position & mask {
            self.bell.notify();
        }
    }

    fn output(&self, payload: u64) {
        let position = self.pages.producer.load(Ordering::Relaxed);
        while !self.reserve() {
            thread::yield_now();
        }
        self.commit(position, payload);
    }
}

/// A ring of `size` bytes, its consumer, and what a wake-up does.
fn ring(size: u64) -> (Kernel, Consumer<Model>, Arc<Notify>) {
    let pages = Arc::new(ModelPages::new(size));
    let bell = Arc::new(Notify::new());
    let kernel = Kernel {
        pages: Arc::clone(&pages),
        bell: Arc::clone(&bell),
    };
    (kernel, Consumer::new(Model(pages)), bell)
}

/// Tries everything that takes up to two preemptions: every known way in which an
/// ordering can be too weak shows with fewer.
fn bounded(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(test);
}

/// Takes what is there and checks it.
fn take(consumer: &mut Consumer<Model>, next: &mut u64) {
    for record in consumer.batch().unwrap().records() {
        assert_eq!(record, next.to_ne_bytes());
        *next += 1;
    }
}

#[test]
fn records_come_whole_and_in_order_and_are_not_overwritten() {
    bounded(|| {
        // Room for one record at a time, so that record 2 lies where record 0
        // was read.
        let (kernel, mut consumer, _bell) = ring(32);
        kernel.output(0);
        let producer = thread::spawn(move || (1..3).for_each(|number| kernel.output(number)));
        let mut next = 0;
        while next < 3 {
            take(&mut consumer, &mut next);
            thread::yield_now();
        }
        producer.join().unwrap();
    });
}

#[test]
fn no_wake_up_is_lost() {
    bounded(|| {
        let (kernel, mut consumer, bell) = ring(64);
        let producer = thread::spawn(move || (0..2).for_each(|number| kernel.output(number)));
        let mut next = 0;
        while next < 2 {
            match consumer.settle().unwrap() {
                // The model reports a deadlock if nobody wakes it.
                Head::Empty | Head::Busy => bell.wait(),
                Head::Ready => take(&mut consumer, &mut next),
            }
        }
        producer.join().unwrap();
    });
}

#[test]
fn no_wake_up_is_lost_after_trailing() {
    bounded(|| {
        let (kernel, mut consumer, bell) = ring(64);
        kernel.output(0);
        let producer = thread::spawn(move || kernel.output(1));
        let mut next = 0;
        consumer.set_trailing(true);
        take(&mut consumer, &mut next);
        while next < 2 {
            match consumer.settle().unwrap() {
                Head::Empty | Head::Busy => bell.wait(),
                Head::Ready => take(&mut consumer, &mut next),
            }
        }
        producer.join().unwrap();
    });
}
