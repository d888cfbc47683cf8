//! Perf pages on the heap, with a producer in the kernel's role (feature `fake`).
//!
//! [`Kernel`] follows `__perf_output_begin` and `perf_output_sample`. It stops at unread records and keeps one byte
//! free. It counts losses, and announces them before the next record that fits. It wraps records in their middle, and
//! does not change the padding. It runs in any thread and under Miri, which checks every byte that it writes. It can
//! also write what no kernel writes: [`poke`](Kernel::poke) writes any bytes anywhere.
//!
//! ```
//! let (mut kernel, pages) = perf_reader::fake::perf_buffer(4096);
//! let mut reader = perf_reader::Reader::new(pages, false)?;
//! kernel.sample(&42_u64.to_ne_bytes()).unwrap();
//! for record in &reader.batch()? {
//!     if let perf_reader::Record::Sample(sample) = record? {
//!         assert_eq!(u64::from_ne_bytes(sample.array()?), 42);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![expect(unsafe_code, reason = "the other side of the protocol writes through raw pointers")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::{Memory, Sealed};
use crate::page::{DATA_HEAD, DATA_OFFSET, DATA_SIZE, DATA_TAIL};
use crate::record::{HEADER, LOST, SAMPLE};

/// Size of the fake control page in bytes.
const PAGE: usize = 4096;

/// The byte that fills a new data area, so that padding is visible as stale memory.
pub const STALE: u8 = 0xa5;

/// Creates a perf buffer of `data_size` bytes, a power of two of at least 8 (other sizes are rounded up). Returns its
/// producer, and the pages for a [`Reader`](crate::Reader).
pub fn perf_buffer(data_size: usize) -> (Kernel, Pages) {
    perf_buffer_at(data_size, 0)
}

/// Creates a perf buffer as [`perf_buffer`] does, with both positions at `position` (rounded down to a multiple of 8)
/// instead of 0.
pub fn perf_buffer_at(data_size: usize, position: u64) -> (Kernel, Pages) {
    let data_size = data_size.clamp(8, 1 << 30).next_power_of_two();
    let position = position & !7;
    let heap = Arc::new(Heap::new(data_size));
    heap.word(DATA_OFFSET).store(PAGE as u64, Ordering::Relaxed);
    heap.word(DATA_SIZE).store(data_size as u64, Ordering::Relaxed);
    heap.word(DATA_HEAD).store(position, Ordering::Relaxed);
    heap.word(DATA_TAIL).store(position, Ordering::Relaxed);
    let kernel =
        Kernel { heap: Arc::clone(&heap), head: position, unannounced: 0, lost: 0, backward: false, watched: false };
    (kernel, Pages(heap))
}

/// Creates a perf buffer that is written downward and over the oldest records, as by a `write_backward` event. It never
/// pauses by itself.
#[cfg(test)]
pub(crate) fn flight_recorder(data_size: usize) -> (Kernel, Pages) {
    let (mut kernel, pages) = perf_buffer(data_size);
    kernel.backward = true;
    (kernel, pages)
}

/// The reader's view of fake pages.
#[derive(Debug)]
pub struct Pages(Arc<Heap>);

#[cfg(test)]
impl Pages {
    /// Returns the same pages, for an observer.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Sealed for Pages {}

// SAFETY: the allocation is page-aligned, `len` bytes long and stays until the last `Arc` is dropped. Both words are
// accessed atomically. `Kernel` writes data only outside of `data_tail .. data_head` and publishes `data_head` last,
// except by `poke`, which may break this only while no batch is open.
unsafe impl Memory for Pages {
    fn base(&self) -> *mut u8 {
        self.0.base
    }

    fn len(&self) -> usize {
        self.0.layout.size()
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

/// A control page and a data area.
struct Heap {
    base: *mut u8,
    layout: Layout,
    data_size: usize,
}

// SAFETY: the pointer is that of the allocation, which any thread may use; the protocol orders all writes, and the
// words are atomic.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Heap {
    fn new(data_size: usize) -> Self {
        let size = PAGE.wrapping_add(data_size);
        let Ok(layout) = Layout::from_size_align(size, PAGE) else {
            handle_alloc_error(Layout::new::<u8>());
        };
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: inside the allocation, which is longer than a page.
        let data = unsafe { base.add(PAGE) };
        // SAFETY: `data_size` bytes follow the first page, and nothing else has them yet.
        unsafe { ptr::write_bytes(data, STALE, data_size) };
        Self { base, layout, data_size }
    }

    fn word(&self, byte: usize) -> &AtomicU64 {
        // SAFETY: callers pass offsets of words of the control page, or of the data area after it.
        let word = unsafe { self.base.add(byte) };
        // SAFETY: aligned, inside the allocation, and only ever accessed atomically.
        unsafe { AtomicU64::from_ptr(word.cast()) }
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and this is the last owner.
        unsafe { dealloc(self.base, self.layout) };
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("data_size", &self.data_size).finish_non_exhaustive()
    }
}

/// The error of a record that found no room: it is lost, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room in the ring: the record is lost")
    }
}

impl std::error::Error for Full {}

/// The producer of a fake perf buffer.
#[derive(Debug)]
pub struct Kernel {
    heap: Arc<Heap>,
    head: u64,
    /// Losses that no LOST record has announced yet.
    unannounced: u64,
    lost: u64,
    /// Whether this kernel writes downward, over the oldest records.
    backward: bool,
    /// Whether this kernel writes atomically, for observers that read meanwhile.
    watched: bool,
}

impl Kernel {
    /// Makes this kernel write whole words atomically from now on, so that an observer may copy them meanwhile.
    #[cfg(test)]
    pub(crate) fn watched(self) -> Self {
        Self { watched: true, ..self }
    }

    /// Writes a sample, as `bpf_perf_event_output` does.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the sample then counts as lost.
    pub fn sample(&mut self, payload: &[u8]) -> Result<(), Full> {
        self.sample_after(&[], payload)
    }

    /// Writes a sample that carries a time, for a reader that expects times.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the sample then counts as lost.
    pub fn sample_at(&mut self, time: u64, payload: &[u8]) -> Result<(), Full> {
        self.sample_after(&time.to_ne_bytes(), payload)
    }

    fn sample_after(&mut self, fixed: &[u8], payload: &[u8]) -> Result<(), Full> {
        let raw_size = payload.len().wrapping_add(4).next_multiple_of(8).wrapping_sub(4) as u32;
        self.record(SAMPLE, &[fixed, &raw_size.to_ne_bytes(), payload])
    }

    /// Writes a record of any kind, with its body in parts. The padding to 8 bytes keeps its former content.
    ///
    /// # Errors
    /// [`Full`] if there is no room, or if the record has more than 65,528 bytes, whose size the real kernel would
    /// write wrapped; it then counts as a lost sample.
    pub fn record(&mut self, kind: u32, body: &[&[u8]]) -> Result<(), Full> {
        let body_len: usize = body.iter().map(|part| part.len()).sum();
        let size = HEADER.wrapping_add(body_len).next_multiple_of(8) as u64;
        if self.backward {
            if size > self.heap.data_size as u64 {
                return Err(Full);
            }
            self.head = self.head.wrapping_sub(size);
            self.body(kind, size, body);
            self.heap.word(DATA_HEAD).store(self.head, Ordering::Release);
            return Ok(());
        }
        let announce = if self.unannounced == 0 { 0 } else { 24 };
        // ATOMICS: pairs with the reader's fence before it stores `data_tail`: its reads of the bytes that it released
        // happen before the writes below.
        let tail = self.heap.word(DATA_TAIL).load(Ordering::Acquire);
        // One byte always stays free; otherwise a full ring would look like an empty one (`CIRC_SPACE`).
        let used = self.head.wrapping_sub(tail);
        let room = (self.heap.data_size as u64).wrapping_sub(1).saturating_sub(used);
        if size.wrapping_add(announce) > room || size > u64::from(u16::MAX) {
            self.unannounced = self.unannounced.wrapping_add(1);
            self.lost = self.lost.wrapping_add(1);
            return Err(Full);
        }
        if announce != 0 {
            let lost = std::mem::take(&mut self.unannounced);
            self.header(LOST, announce);
            self.write(8, &7_u64.to_ne_bytes());
            self.write(16, &lost.to_ne_bytes());
            self.head = self.head.wrapping_add(announce);
        }
        self.body(kind, size, body);
        self.head = self.head.wrapping_add(size);
        // ATOMICS: pairs with the reader's fence after its load of `data_head`: a reader that sees the position sees
        // the record.
        self.heap.word(DATA_HEAD).store(self.head, Ordering::Release);
        Ok(())
    }

    /// Returns the number of samples lost so far, announced or not, as `PERF_FORMAT_LOST` does.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns a copy of the `len` bytes of the data area from `position` on, wrapping, for simple reference readers.
    pub fn peek(&self, position: u64, len: usize) -> Vec<u8> {
        let mask = (self.heap.data_size as u64).wrapping_sub(1);
        (0..len as u64)
            .map(|offset| {
                let index = (position.wrapping_add(offset) & mask) as usize;
                // SAFETY: masked, and the data area follows the first page.
                let byte = unsafe { self.heap.base.add(PAGE.wrapping_add(index)) };
                // SAFETY: inside the allocation and initialized. Only this `Kernel` ever writes there.
                unsafe { byte.read() }
            })
            .collect()
    }

    /// Returns the position up to which the reader has released bytes.
    pub fn tail(&self) -> u64 {
        self.heap.word(DATA_TAIL).load(Ordering::Acquire)
    }

    /// Returns the position of the next record.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Moves `data_head` without writing anything.
    ///
    /// # Safety
    /// No batch of the reader is open.
    pub unsafe fn set_head(&mut self, head: u64) {
        self.head = head;
        self.heap.word(DATA_HEAD).store(head, Ordering::Release);
    }

    /// Writes `word` over `data_tail`, `data_offset` or `data_size`: byte 1032, 1040 or 1048 of the control page;
    /// others are ignored.
    ///
    /// # Safety
    /// No batch of the reader is open; and if a [`Reader`](crate::Reader) is created over pages with a false layout, no
    /// record is written while one of its batches is open.
    pub unsafe fn set_word(&mut self, byte: usize, word: u64) {
        if matches!(byte, DATA_TAIL | DATA_OFFSET | DATA_SIZE) {
            self.heap.word(byte).store(word, Ordering::Release);
        }
    }

    /// Writes `bytes` into the data area from `position` on, wrapping, whatever is there.
    ///
    /// # Safety
    /// No batch of the reader is open.
    pub unsafe fn poke(&mut self, position: u64, bytes: &[u8]) {
        self.write(position.wrapping_sub(self.head), bytes);
    }

    /// Writes a record at the head.
    fn body(&mut self, kind: u32, size: u64, body: &[&[u8]]) {
        self.header(kind, size);
        let mut offset = HEADER as u64;
        for part in body {
            self.write(offset, part);
            offset = offset.wrapping_add(part.len() as u64);
        }
    }

    /// Writes a header at the head.
    fn header(&mut self, kind: u32, size: u64) {
        self.write(0, &kind.to_ne_bytes());
        self.write(4, &0_u16.to_ne_bytes());
        self.write(6, &(size as u16).to_ne_bytes());
    }

    /// Writes `bytes` at `offset` after the head, wrapping.
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mask = (self.heap.data_size as u64).wrapping_sub(1);
        let mut position = self.head.wrapping_add(offset);
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let index = (position & mask) as usize;
            if self.watched {
                let n = bytes.len().min(8_usize.wrapping_sub(index % 8));
                let (now, later) = bytes.split_at(n);
                self.write_in_word(index, now);
                position = position.wrapping_add(n as u64);
                bytes = later;
                continue;
            }
            let n = bytes.len().min(self.heap.data_size.wrapping_sub(index));
            let (now, later) = bytes.split_at(n);
            // SAFETY: masked, and the data area follows the first page.
            let to = unsafe { self.heap.base.add(PAGE.wrapping_add(index)) };
            // SAFETY: `n` bytes from `index` on lie inside the data area. Nothing else writes it, and the reader reads
            // only committed bytes that it has not released, or, by the contract of `poke`, none at all.
            unsafe { ptr::copy_nonoverlapping(now.as_ptr(), to, n) };
            position = position.wrapping_add(n as u64);
            bytes = later;
        }
    }

    /// Writes `bytes`, which do not extend past their word, at `index` of the data area.
    fn write_in_word(&self, index: usize, bytes: &[u8]) {
        let within = index % 8;
        // The data area follows the first page.
        let word = self.heap.word(PAGE.wrapping_add(index.wrapping_sub(within)));
        let mut whole = word.load(Ordering::Relaxed).to_ne_bytes();
        for (to, from) in whole.iter_mut().skip(within).zip(bytes) {
            *to = *from;
        }
        // Release, where the kernel has plain stores after a branch on the loaded value (`__perf_output_begin`): an
        // observer that sees this word also sees the `data_tail` that made room for it. Rust has no such order by a
        // branch.
        word.store(u64::from_ne_bytes(whole), Ordering::Release);
    }
}
