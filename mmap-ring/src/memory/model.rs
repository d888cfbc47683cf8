//! A ring in a loom model of memory. A test tries every interleaving of its threads and every value that a load may
//! return.
//!
//! Payloads are cells. The model fails if a cell is written while it is read, or without synchronizing with its last
//! reader, so it finds every ordering that is too weak. A record's payload has at most eight bytes here.
#![expect(unsafe_code, reason = "reads and writes cells that the model watches")]
#![expect(clippy::indexing_slicing, reason = "part of a test, and every index is masked")]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::user::Produce;
use super::{Consume, Data, Memory, sealed::Sealed};

/// The pages that both sides share.
#[derive(Debug)]
pub(crate) struct ModelPages {
    pub(crate) consumer: AtomicU64,
    pub(crate) producer: AtomicU64,
    pub(crate) overwrite: AtomicU64,
    /// Headers are stored here and payloads in the cells: a word is never both at a time.
    pub(crate) headers: Vec<AtomicU32>,
    pub(crate) words: Vec<AtomicU32>,
    payloads: Vec<UnsafeCell<[u8; 8]>>,
}

impl ModelPages {
    /// Creates a ring of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        let words = 0..size / 8;
        Self {
            consumer: AtomicU64::new(0),
            producer: AtomicU64::new(0),
            overwrite: AtomicU64::new(0),
            headers: words.clone().map(|_| AtomicU32::new(0)).collect(),
            words: (0..size / 4).map(|_| AtomicU32::new(0)).collect(),
            payloads: words.map(|_| UnsafeCell::new([0; 8])).collect(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        8 * self.headers.len() as u64
    }

    /// Returns the index of the word at a position.
    pub(crate) fn index(&self, position: u64) -> usize {
        ((position & (self.size() - 1)) / 8) as usize
    }

    /// Writes the payload after the header at `position`, as a BPF program does.
    pub(crate) fn write_payload(&self, position: u64, payload: [u8; 8]) {
        let cell = &self.payloads[self.index(position + 8)];
        // SAFETY: the model fails if another thread uses the cell.
        cell.with_mut(|cell| unsafe { *cell = payload });
    }
}

impl ModelPages {
    /// Reads the payload after the header at `position`, as the kernel does.
    pub(crate) fn read_payload(&self, position: u64) -> [u8; 8] {
        let cell = &self.payloads[self.index(position + 8)];
        // SAFETY: the model fails if another thread writes the cell.
        cell.with(|cell| unsafe { *cell })
    }
}

/// The consumer's access to the pages.
#[derive(Clone, Debug)]
pub(crate) struct Model(pub(crate) Arc<ModelPages>);

impl Sealed for Model {}

impl Memory for Model {
    type Data<'a> = &'a ModelPages;

    fn data(&self) -> &ModelPages {
        &self.0
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn consumer(&self) -> u64 {
        self.0.consumer.load(Ordering::Relaxed)
    }

    fn producer(&self) -> u64 {
        self.0.producer.load(Ordering::Relaxed)
    }

    fn pending(&self) -> u64 {
        0
    }

    fn overwrite(&self) -> u64 {
        self.0.overwrite.load(Ordering::Relaxed)
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

impl Consume for Model {
    fn set_consumer(&self, position: u64, order: Ordering) {
        self.0.consumer.store(position, order);
    }
}

impl Sealed for &ModelPages {}

impl<'a> Data<'a> for &'a ModelPages {
    fn header(self, position: u64) -> u32 {
        self.headers[self.index(position)].load(Ordering::Relaxed)
    }

    fn word(self, position: u64) -> u32 {
        let offset = position & (self.size() - 1);
        self.words[offset as usize / 4].load(Ordering::Relaxed)
    }

    unsafe fn payload(self, position: u64, length: u32) -> &'a [u8] {
        let cell = &self.payloads[self.index(position + 8)];
        cell.with(|bytes| {
            // SAFETY: the cell lives as long as the pages, and no thread writes it while the record is held: the model
            // fails if one does.
            unsafe { std::slice::from_raw_parts(bytes.cast(), length as usize) }
        })
    }
}

impl Produce for Model {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn consumer(&self) -> u64 {
        self.0.consumer.load(Ordering::Relaxed)
    }

    fn producer(&self) -> u64 {
        self.0.producer.load(Ordering::Relaxed)
    }

    fn set_producer(&self, position: u64, order: Ordering) {
        self.0.producer.store(position, order);
    }

    fn set_header(&self, position: u64, word: u32) {
        self.0.headers[self.0.index(position)].store(word, Ordering::Relaxed);
    }

    unsafe fn payload(&self, position: u64, length: u32) -> &mut [u8] {
        let cell = &self.0.payloads[self.0.index(position + 8)];
        cell.with_mut(|bytes| {
            // SAFETY: as in `Data::payload`, and the caller has the bytes for itself.
            unsafe { std::slice::from_raw_parts_mut(bytes.cast(), length as usize) }
        })
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}
