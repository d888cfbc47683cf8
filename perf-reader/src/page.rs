//! The control page: two positions, and the offset and size of the data.
//!
//! ```text
//! byte 0     version, time conversion … (for counting events; a BPF buffer needs none of it)
//!      1024  data_head    written by the kernel: the position of its next record
//!      1032  data_tail    written by the reader: the kernel may overwrite all bytes before it
//!      1040  data_offset  offset of the data area, since Linux 4.1; 0 before
//!      1048  data_size    size of the data area in bytes, since Linux 4.1; 0 before
//! ```
//!
//! The kernel's name is `struct perf_event_mmap_page` (`include/uapi/linux/perf_event.h`). Positions count bytes since
//! the buffer was created, only grow, and are masked on access. There is no busy bit as in the BPF ring buffer. A
//! record is complete before `data_head` moves past it, because each CPU has its own buffer and writes its records
//! strictly nested.

use std::slice;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::bytes::Bytes;
use crate::corrupt::Corrupt;
use crate::memory::Memory;

/// Offset of `data_head` in the control page.
pub(crate) const DATA_HEAD: usize = 1024;
/// Offset of `data_tail` in the control page.
pub(crate) const DATA_TAIL: usize = 1032;
/// Offset of `data_offset` in the control page.
pub(crate) const DATA_OFFSET: usize = 1040;
/// Offset of `data_size` in the control page.
pub(crate) const DATA_SIZE: usize = 1048;
/// The offset after the words above. No data area begins before this offset.
pub(crate) const CONTROL_END: usize = 1056;

/// Perf pages whose layout was checked once, so that later accesses need no check.
#[derive(Debug)]
pub(crate) struct Page<M> {
    memory: M,
    /// Bytes from the base to the data area: a multiple of 8.
    data_offset: usize,
    /// Size of the data area in bytes: a power of two, at least 8. It ends inside the memory.
    data_size: usize,
}

impl<M: Memory> Page<M> {
    pub(crate) fn new(memory: M) -> Result<Self, Corrupt> {
        let len = memory.len();
        if len < CONTROL_END {
            return Err(Corrupt::Layout { data_offset: 0, data_size: 0, len: len as u64 });
        }
        let mut page = Self { memory, data_offset: 0, data_size: 0 };
        let (mut offset, mut size) =
            (page.word(DATA_OFFSET).load(Ordering::Relaxed), page.word(DATA_SIZE).load(Ordering::Relaxed));
        if (offset, size) == (0, 0) {
            offset = page.memory.page_size() as u64;
            size = (len as u64).saturating_sub(offset);
        }
        let inside = offset >= CONTROL_END as u64
            && offset.is_multiple_of(8)
            && size >= 8
            && size.is_power_of_two()
            && offset.checked_add(size).is_some_and(|end| end <= len as u64);
        if !inside {
            return Err(Corrupt::Layout { data_offset: offset, data_size: size, len: len as u64 });
        }
        // Both are at most `len`, a usize.
        page.data_offset = offset as usize;
        page.data_size = size as usize;
        Ok(page)
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    pub(crate) fn data_size(&self) -> usize {
        self.data_size
    }

    /// Returns the word at `byte`, one of the four constants above.
    #[expect(unsafe_code, reason = "turns the base address into one word of the control page")]
    fn word(&self, byte: usize) -> &AtomicU64 {
        debug_assert!(byte.is_multiple_of(8) && byte < CONTROL_END);
        // SAFETY: `new` refused memory shorter than `CONTROL_END`, so the word lies inside.
        let word = unsafe { self.memory.base().add(byte) };
        // SAFETY: aligned, as the base is page-aligned and `byte` a multiple of 8; readable for as long as `self` lives
        // and accessed atomically by every side, as `Memory` promises. Read-only memory supports atomic loads of a
        // word.
        unsafe { AtomicU64::from_ptr(word.cast()) }
    }

    /// Returns the position of the kernel's next record. All records before it are complete and visible.
    pub(crate) fn head(&self) -> u64 {
        let head = self.word(DATA_HEAD).load(Ordering::Relaxed);
        // ATOMICS: pairs with the kernel's `smp_wmb()` before it stores `data_head` (`perf_output_put_handle`): a
        // reader that sees the new head sees the records before it. A relaxed load and a fence instead of an acquire
        // load, because the pages may be mapped read-only, where std guarantees only relaxed loads.
        fence(Ordering::Acquire);
        head
    }

    /// Returns the position up to which user space has released records. Only this process writes it.
    pub(crate) fn tail(&self) -> u64 {
        self.word(DATA_TAIL).load(Ordering::Relaxed)
    }

    /// Releases all bytes before `tail` to the kernel. Has no effect on read-only memory, because the kernel then
    /// ignores `data_tail`.
    ///
    /// # Safety
    /// No [`committed`](Page::committed) bytes before `tail` are used afterwards.
    #[expect(unsafe_code, reason = "ends the promise that committed bytes rely on")]
    pub(crate) unsafe fn publish(&self, tail: u64) {
        if !self.memory.writable() {
            return;
        }
        // ATOMICS: pairs with the kernel's control dependency between reading `data_tail` and writing over the released
        // bytes (`__perf_output_begin`): every read of a record happens before its bytes are reused. A full fence, once
        // per batch, as the kernel's description of this protocol requires.
        fence(Ordering::SeqCst);
        self.word(DATA_TAIL).store(tail, Ordering::Relaxed);
    }

    /// Returns the committed bytes from `tail` to `head`. Errors if the two positions contradict each other.
    pub(crate) fn committed(&self, tail: u64, head: u64) -> Result<Bytes<'_>, Corrupt> {
        let len = head.wrapping_sub(tail);
        if len > self.data_size as u64 || !len.is_multiple_of(8) || !tail.is_multiple_of(8) {
            return Err(Corrupt::Positions { tail, head, data_size: self.data_size as u64 });
        }
        #[expect(unsafe_code, reason = "the positions vouch for the bytes between them")]
        // SAFETY: the other side does not write between `data_tail` and a `data_head` that this side has seen (`tail`
        // is not before `data_tail`), and the code that moves `data_tail`, with `publish`, vouches that these bytes are
        // not used afterwards.
        Ok(unsafe { self.bytes(tail, len as usize) })
    }

    /// Returns the bytes of a ring that is written downward, in ascending order, from the newest record at `data_head`.
    /// Also returns whether the oldest record may be cut.
    ///
    /// # Safety
    /// The other side is paused while the bytes are used, and writers that had begun before the pause have finished.
    #[expect(unsafe_code, reason = "the caller vouches for the writer")]
    pub(crate) unsafe fn recorded(&self) -> Result<(Bytes<'_>, bool), Corrupt> {
        let head = self.head();
        if !head.is_multiple_of(8) {
            return Err(Corrupt::Positions { tail: head, head, data_size: self.data_size as u64 });
        }
        // The head began at 0 and counts down.
        let written = head.wrapping_neg();
        let cut = written > self.data_size as u64;
        let len = if cut { self.data_size } else { written as usize };
        // SAFETY: nothing writes into the ring, as the caller vouches.
        Ok((unsafe { self.bytes(head, len) }, cut))
    }

    /// Copies the bytes from position `at` on, a multiple of 8, word by word, even while the other side writes them.
    #[expect(unsafe_code, reason = "turns the base address into words of the data area")]
    pub(crate) fn copy(&self, at: u64, to: &mut [u8]) {
        // SAFETY: `new` checked that the data area lies inside the memory.
        let data = unsafe { self.memory.base().add(self.data_offset) };
        let mut position = at;
        for chunk in to.chunks_mut(8) {
            let index = position as usize & self.data_size.wrapping_sub(8);
            // SAFETY: a multiple of 8 below the area's size, so the word lies inside.
            let word = unsafe { data.add(index) };
            // SAFETY: aligned, as page and area are; readable for as long as `self` lives. The other side may be
            // writing it, which is why it is loaded atomically; nothing is stored through the reference, so read-only
            // memory supports it.
            let word = unsafe { &*word.cast::<AtomicU64>() };
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            for (to, from) in chunk.iter_mut().zip(bytes) {
                *to = from;
            }
            position = position.wrapping_add(8);
        }
    }

    /// Returns `len` bytes of the data area from position `at` on; `len` is at most its size.
    ///
    /// # Safety
    /// Nothing writes them while they are used.
    #[expect(unsafe_code, reason = "the one function where shared memory becomes readable bytes")]
    unsafe fn bytes(&self, at: u64, len: usize) -> Bytes<'_> {
        let size = self.data_size;
        debug_assert!(len <= size);
        let index = at as usize & size.wrapping_sub(1);
        let until_end = size.wrapping_sub(index);
        let (front, back) = (len.min(until_end), len.saturating_sub(until_end));
        // SAFETY: `new` checked that the data area lies inside the memory.
        let data = unsafe { self.memory.base().add(self.data_offset) };
        // SAFETY: `index` is masked with the area's size, so inside of it.
        let first = unsafe { data.add(index) };
        // SAFETY: `front` bytes from `index` on end with the data area at the latest, and nothing writes them.
        let front = unsafe { slice::from_raw_parts(first, front) };
        if back == 0 {
            return Bytes::Single(front);
        }
        // SAFETY: `len` is at most the area's size, so `back` bytes from its beginning end before `index`, and nothing
        // writes them.
        let back = unsafe { slice::from_raw_parts(data, back) };
        Bytes::Split(front, back)
    }
}
