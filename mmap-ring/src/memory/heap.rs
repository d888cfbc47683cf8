//! A ring on the heap, for a fake kernel to produce into.
//!
//! The data pages of a real ring are mapped twice in a row. Memory from the allocator cannot be, so the fake kernel
//! writes every byte to both views, and a reader sees no difference.
#![expect(unsafe_code, reason = "shares memory between a fake kernel and a consumer as the real pages are shared")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::mapped::Pages;
use super::user::Produce;
use super::{Consume, Memory, sealed::Sealed};
use crate::record::HEADER;

/// The pages of a ring on the heap, as its consumer accesses them.
#[derive(Debug)]
pub struct Heap(pub(crate) Arc<HeapPages>);

/// The pages that both sides share.
#[derive(Debug)]
pub(crate) struct HeapPages {
    pub(crate) consumer: AtomicU64,
    pub(crate) producer: AtomicU64,
    pub(crate) pending: AtomicU64,
    pub(crate) overwrite: AtomicU64,
    /// `2 * size` bytes, aligned to 8.
    data: NonNull<u8>,
    size: u64,
}

// SAFETY: the bytes behind `data` are words that both sides access atomically,
// and payloads, which the protocol gives to one side at a time.
unsafe impl Send for HeapPages {}
// SAFETY: as above.
unsafe impl Sync for HeapPages {}

impl HeapPages {
    /// Creates a ring of `size` bytes. All its positions are `position`; its data is `bytes`, then zeros.
    ///
    /// # Panics
    /// If `size` is not a power of two from 8 to 1 GiB: this is a tool of tests.
    pub(crate) fn new(size: u64, position: u64, bytes: &[u8]) -> Self {
        assert!(size.is_power_of_two() && (8..=1 << 30).contains(&size), "a heap ring of {size} bytes");
        let layout = Self::layout(size);
        // SAFETY: the layout's size is `2 * size`, not 0.
        let data = unsafe { alloc_zeroed(layout) };
        let Some(data) = NonNull::new(data) else { handle_alloc_error(layout) };
        let pages = Self {
            consumer: AtomicU64::new(position),
            producer: AtomicU64::new(position),
            pending: AtomicU64::new(position),
            overwrite: AtomicU64::new(0),
            data,
            size,
        };
        for (at, word) in words(0, bytes).take_while(|(at, _)| *at < size) {
            for view in pages.words(at) {
                // SAFETY: inside the allocation and aligned; nothing else has these pages yet.
                unsafe { view.write(word) };
            }
        }
        pages
    }

    fn layout(size: u64) -> Layout {
        // Size and alignment are small and the latter is a power of two, as `from_size_align` requires.
        match Layout::from_size_align(2 * size as usize, 8) {
            Ok(layout) => layout,
            Err(_) => Layout::new::<u64>(),
        }
    }

    pub(crate) fn mask(&self) -> u64 {
        self.size - 1
    }

    fn at(&self, offset: u64) -> *mut u8 {
        self.data.as_ptr().wrapping_add(offset as usize)
    }

    /// Returns the length word of the header at `position`, in the first view, which readers use.
    pub(crate) fn header(&self, position: u64) -> &AtomicU32 {
        let word = self.at(position & self.mask() & !7).cast::<AtomicU32>();
        // SAFETY: the offset is a multiple of 8 below `size`, so the word is inside
        // the allocation and aligned. Both sides access it atomically.
        unsafe { &*word }
    }

    /// Returns both views of the word at `position`.
    fn words(&self, position: u64) -> [*mut u64; 2] {
        let offset = position & self.mask() & !7;
        [offset, offset + self.size].map(|offset| self.at(offset).cast())
    }

    /// Writes the payload of the record at `position` and its padding with plain stores, as a BPF program does.
    ///
    /// # Safety
    /// The caller has reserved the record and not committed it, and the record has room for `payload`.
    pub(crate) unsafe fn write_payload(&self, position: u64, payload: &[u8]) {
        for (at, word) in words(position.wrapping_add(HEADER), payload) {
            for view in self.words(at) {
                // SAFETY: a multiple of 8 below `2 * size`, so inside the
                // allocation and aligned; the reservation gives it to the caller.
                unsafe { view.write(word) };
            }
        }
    }
}

impl HeapPages {
    /// Writes the payload in atomic steps of four bytes, for readers that may be overtaken and read a record while it
    /// is written.
    ///
    /// Each step is a release store, where a BPF program has plain stores. The hardware makes these visible only after
    /// the consumer position that made room for them; the memory model of Rust has no such order unless it is stated.
    pub(crate) fn write_payload_atomically(&self, position: u64, payload: &[u8]) {
        for (at, word) in words(position.wrapping_add(HEADER), payload) {
            let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
            for view in self.words(at) {
                let halves = [[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes);
                for (half, at) in halves.into_iter().zip([0, 1]) {
                    let half_word = view.cast::<AtomicU32>().wrapping_add(at);
                    // SAFETY: half of an aligned word inside the allocation, which all readers at this time access
                    // atomically.
                    let half_word = unsafe { &*half_word };
                    half_word.store(half, Ordering::Release);
                }
            }
        }
    }

    /// Copies the payload after the header at `position`, starting in the first view.
    ///
    /// # Safety
    /// `8 + length` is at most the size and nothing writes these bytes now.
    pub(crate) unsafe fn read_payload(&self, position: u64, length: u32) -> Vec<u8> {
        let start = self.at((position & self.mask() & !7) + HEADER);
        // SAFETY: ends inside the second view, and nothing writes there now.
        unsafe { std::slice::from_raw_parts(start, length as usize) }.to_vec()
    }
}

/// Splits `bytes` into words, the last one padded with zeros. Returns each with its position; the first is at
/// `position`.
fn words(position: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let positions = (0..).map(move |word: u64| position.wrapping_add(8 * word));
    positions.zip(bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        u64::from_ne_bytes(word)
    }))
}

impl Drop for HeapPages {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here; both sides are dropped.
        unsafe { dealloc(self.data.as_ptr(), Self::layout(self.size)) };
    }
}

impl Sealed for Heap {}

impl Memory for Heap {
    type Data<'a> = Pages<'a>;

    fn data(&self) -> Pages<'_> {
        // SAFETY: `2 * size` bytes, aligned to 8, that live as long as `self`;
        // `size` is a power of two of at least 8. Only the fake kernel writes
        // there, by the protocol.
        unsafe { Pages::new(self.0.data.as_ptr(), self.0.size) }
    }

    fn size(&self) -> u64 {
        self.0.size
    }

    fn consumer(&self) -> u64 {
        self.0.consumer.load(Ordering::Relaxed)
    }

    fn producer(&self) -> u64 {
        self.0.producer.load(Ordering::Relaxed)
    }

    fn pending(&self) -> u64 {
        self.0.pending.load(Ordering::Relaxed)
    }

    fn overwrite(&self) -> u64 {
        self.0.overwrite.load(Ordering::Relaxed)
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

impl Consume for Heap {
    fn set_consumer(&self, position: u64, order: Ordering) {
        self.0.consumer.store(position, order);
    }
}

impl Produce for Heap {
    fn size(&self) -> u64 {
        self.0.size
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
        self.0.header(position).store(word, Ordering::Relaxed);
    }

    unsafe fn payload(&self, position: u64, length: u32) -> &mut [u8] {
        let start = self.0.at((position & self.0.mask() & !7) + HEADER);
        // SAFETY: the caller keeps `8 + length` at or below `size`, so the slice
        // ends inside the second view, and has these bytes for itself.
        unsafe { std::slice::from_raw_parts_mut(start, length as usize) }
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}
