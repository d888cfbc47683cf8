//! Tests every interleaving of a producer and a consumer, and every value that their loads may return under the memory
//! model.
//!
//! One of these tests needs each ordering and each fence of the protocol: it fails if that is weakened.

use loom::sync::atomic::{Ordering, fence};
use loom::sync::{Arc, Notify};
use loom::thread;

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::consumer::Consumer;
use crate::memory::model::{Model, ModelPages};
use crate::overwrite::{Endpoint, Taken};
use crate::record::BUSY;
use crate::wait::WaitSource;
use crate::{Head, Peek, PendingRecord, UserRing};

/// The kernel's side: reserves and commits records of eight bytes.
struct Kernel {
    pages: Arc<ModelPages>,
    bell: Arc<Notify>,
}

impl Kernel {
    /// Reserves a record (`__bpf_ringbuf_reserve`). Returns false if there is no room.
    fn reserve(&self) -> bool {
        let pages = &*self.pages;
        let consumer = pages.consumer.load(Ordering::Acquire);
        let position = pages.producer.load(Ordering::Relaxed);
        let next = position + 16;
        if next - consumer > pages.size() - 1 {
            return false;
        }
        // Release, for observers: see `Kernel::reserve` of the fake kernel.
        pages.headers[pages.index(position)].store(8 | BUSY, Ordering::Release);
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

/// Creates a ring of `size` bytes. Returns its kernel, its consumer, and the `Notify` of its wake-ups.
fn ring(size: u64) -> (Kernel, Consumer<Model>, Arc<Notify>) {
    let pages = Arc::new(ModelPages::new(size));
    let bell = Arc::new(Notify::new());
    let kernel = Kernel { pages: Arc::clone(&pages), bell: Arc::clone(&bell) };
    (kernel, Consumer::new(Model(pages)), bell)
}

/// Returns an fd for a reader that never waits.
fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

/// Tries every execution with up to two preemptions: every known weak ordering fails with fewer.
fn bounded(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(test);
}

/// Reads the committed records and checks their order.
fn take(consumer: &mut Consumer<Model>, next: &mut u64) {
    for record in consumer.batch().unwrap().records() {
        assert_eq!(record, next.to_ne_bytes());
        *next += 1;
    }
}

#[test]
fn records_are_whole_in_order_and_not_overwritten() {
    bounded(|| {
        // There is room for one record at a time, so that record 2 overwrites record 0.
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
fn wake_up_is_never_lost() {
    bounded(|| {
        let (kernel, mut consumer, bell) = ring(64);
        let producer = thread::spawn(move || (0..2).for_each(|number| kernel.output(number)));
        let mut next = 0;
        while next < 2 {
            match consumer.prepare_wait().unwrap() {
                // The model reports a deadlock if nothing wakes the consumer.
                Head::Empty | Head::Busy => bell.wait(),
                Head::Ready => take(&mut consumer, &mut next),
            }
        }
        producer.join().unwrap();
    });
}

#[test]
fn wake_up_is_never_lost_after_trailing() {
    bounded(|| {
        let (kernel, mut consumer, bell) = ring(64);
        kernel.output(0);
        let producer = thread::spawn(move || kernel.output(1));
        let mut next = 0;
        consumer.keep_back(16);
        take(&mut consumer, &mut next);
        while next < 2 {
            match consumer.prepare_wait().unwrap() {
                Head::Empty | Head::Busy => bell.wait(),
                Head::Ready => take(&mut consumer, &mut next),
            }
        }
        producer.join().unwrap();
    });
}

#[test]
fn observer_sees_no_consumer_ahead_of_the_producer() {
    bounded(|| {
        let (kernel, mut consumer, _bell) = ring(64);
        let peek = Peek::over(Model(Arc::clone(&kernel.pages)));
        let observer = thread::spawn(move || {
            let positions = peek.positions();
            assert!(positions.waiting() <= 16, "{positions:?}");
        });
        kernel.output(0);
        take(&mut consumer, &mut 0);
        observer.join().unwrap();
    });
}

#[test]
fn observer_sees_no_more_waiting_than_the_ring_holds() {
    bounded(|| {
        let (kernel, mut consumer, _bell) = ring(32);
        let peek = Peek::over(Model(Arc::clone(&kernel.pages)));
        let observer = thread::spawn(move || {
            let positions = peek.positions();
            assert!(positions.waiting() <= 32, "{positions:?}");
        });
        let mut next = 0;
        for number in 0..3 {
            kernel.output(number);
            take(&mut consumer, &mut next);
        }
        observer.join().unwrap();
    });
}

#[test]
fn observer_reads_no_header_before_it_is_written() {
    bounded(|| {
        let (kernel, _consumer, _bell) = ring(64);
        let peek = Peek::over(Model(Arc::clone(&kernel.pages)));
        let observer = thread::spawn(move || {
            for seen in peek.pending() {
                match seen {
                    PendingRecord::Busy(header) | PendingRecord::Committed(header) => assert_eq!(header.length, 8),
                    other => panic!("{other:?}"),
                }
            }
        });
        kernel.output(0);
        observer.join().unwrap();
    });
}

#[test]
fn observer_distinguishes_a_header_of_the_next_round() {
    bounded(|| {
        let (kernel, mut consumer, _bell) = ring(32);
        let pages = Arc::clone(&kernel.pages);
        let peek = Peek::over(Model(Arc::clone(&pages)));
        kernel.output(0);
        let observer = thread::spawn(move || {
            for seen in peek.pending() {
                match seen {
                    PendingRecord::Busy(header) | PendingRecord::Committed(header) => assert_eq!(header.length, 8),
                    PendingRecord::Overtaken { from, to } => assert!(from < to),
                    other => panic!("{other:?}"),
                }
            }
        });
        take(&mut consumer, &mut 0);
        // Now the kernel may write over the first record. A walk that mistook this for its header would report a record
        // that never existed.
        kernel.pages.headers[0].store(16 | BUSY, Ordering::Release);
        observer.join().unwrap();
    });
}

#[test]
fn observer_counts_no_header_of_the_next_round() {
    bounded(|| {
        let (kernel, mut consumer, _bell) = ring(32);
        let peek = Peek::over(Model(Arc::clone(&kernel.pages)));
        kernel.output(0);
        take(&mut consumer, &mut 0);
        let observer = thread::spawn(move || {
            if let Some(tally) = peek.count_records(0, 16, u64::MAX) {
                assert_eq!((tally.records, tally.bytes), (1, 16));
            }
        });
        kernel.output(1);
        // The next record is empty and has the first one's offset. A count that mistook its header for the first one's
        // would find two records.
        kernel.pages.headers[0].store(BUSY, Ordering::Release);
        observer.join().unwrap();
    });
}

/// Writes one record of an overwriting ring, as far as its reader sees the kernel's side. A record has eight bytes of
/// payload: `number`, twice.
fn overwrite(pages: &ModelPages, number: u32) {
    let position = pages.producer.load(Ordering::Relaxed);
    let next = position + 16;
    if next > pages.size() {
        let freed = next - pages.size();
        pages.overwrite.store(freed, Ordering::Relaxed);
        // The order of stores on x86-64.
        fence(Ordering::Release);
    }
    let header = &pages.headers[pages.index(position)];
    header.store(8 | BUSY, Ordering::Relaxed);
    pages.producer.store(next, Ordering::Release);
    let offset = (position + 8) & (pages.size() - 1);
    for half in 0..2 {
        pages.words[offset as usize / 4 + half].store(number, Ordering::Relaxed);
    }
    header.swap(8, Ordering::AcqRel);
    fence(Ordering::SeqCst);
}

/// Reads until the last record; every record must be whole.
fn read_overwritten(first: u32, count: u32, size: u64) {
    bounded(move || {
        let pages = Arc::new(ModelPages::new(size));
        for number in 0..first {
            overwrite(&pages, number);
        }
        let mut reader = Endpoint::new(Model(Arc::clone(&pages)), null());
        let producer = thread::spawn(move || {
            for number in first..count {
                overwrite(&pages, number);
            }
        });
        let (mut copy, mut last) = (Vec::new(), None);
        while last != Some(count - 1) {
            match reader.take(&mut copy).unwrap() {
                Taken::Record => {
                    let number = u32::from_ne_bytes(copy[..4].try_into().unwrap());
                    assert_eq!(copy[4..], copy[..4], "torn");
                    assert!(last < Some(number));
                    last = Some(number);
                }
                Taken::Nothing | Taken::Skipped => thread::yield_now(),
            }
        }
        producer.join().unwrap();
    });
}

#[test]
fn record_of_an_overwriting_ring_is_whole() {
    read_overwritten(0, 1, 32);
}

#[test]
fn copy_of_an_overwritten_record_is_discarded() {
    read_overwritten(2, 3, 32);
}

#[test]
fn wake_up_of_an_overwriting_ring_is_never_lost() {
    bounded(|| {
        let pages = Arc::new(ModelPages::new(64));
        let mut reader = Endpoint::new(Model(Arc::clone(&pages)), null());
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        let producer = thread::spawn(move || {
            overwrite(&pages, 7);
            if pages.consumer.load(Ordering::Acquire) == 0 {
                ring.notify();
            }
            overwrite(&pages, 8);
            if pages.consumer.load(Ordering::Acquire) == 16 {
                ring.notify();
            }
        });
        let (mut copy, mut count) = (Vec::new(), 0);
        while count < 2 {
            match reader.prepare_wait().unwrap() {
                Head::Empty | Head::Busy => bell.wait(),
                Head::Ready => {
                    if let Taken::Record = reader.take(&mut copy).unwrap() {
                        count += 1;
                    }
                }
            }
        }
        producer.join().unwrap();
    });
}

#[test]
fn sample_is_whole_and_written_only_to_free_bytes() {
    bounded(|| {
        let pages = Arc::new(ModelPages::new(16));
        let mut ring = UserRing::over(Model(Arc::clone(&pages)), null());
        let send = |ring: &mut UserRing<Model>, number: u64| {
            loop {
                if let Some(mut sample) = ring.reserve(8).unwrap() {
                    sample.copy_from_slice(&number.to_ne_bytes());
                    return sample.submit();
                }
                thread::yield_now();
            }
        };
        send(&mut ring, 0);
        let kernel = thread::spawn(move || {
            for number in 0..2_u64 {
                let consumer = pages.consumer.load(Ordering::Relaxed);
                while pages.producer.load(Ordering::Acquire) == consumer {
                    thread::yield_now();
                }
                assert_eq!(pages.headers[0].load(Ordering::Relaxed), 8);
                assert_eq!(pages.read_payload(consumer), number.to_ne_bytes());
                pages.consumer.store(consumer + 16, Ordering::Release);
            }
        });
        send(&mut ring, 1);
        kernel.join().unwrap();
    });
}
