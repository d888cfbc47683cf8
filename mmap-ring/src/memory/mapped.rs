//! Maps the pages of a real ring.
//!
//! There are two mappings, because user space may write the consumer's page and only read the other pages. If a
//! writable mapping extends past the first page, the kernel refuses it with EPERM (`ringbuf_map_mmap_kern` in
//! `kernel/bpf/ringbuf.c`).
#![expect(unsafe_code, reason = "the one module where the addresses of a mapped ring are followed")]

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use cutaway_sys::{report, report::outcome};
use memmap2::{MmapOptions, MmapRaw};

use super::exclusive::Claim;
use super::{Consume, Data, Memory, sealed::Sealed};
use crate::error::{Error, Region, Side};
use crate::map::Purpose;
use crate::size::checked;

/// Byte offset of `pending_pos` in the producer's page.
pub(super) const PENDING: usize = 8;
/// Byte offset of `overwrite_pos` in the producer's page.
pub(super) const OVERWRITE: usize = 16;

/// The pages of a real ring. The default memory of [`Ring`](crate::Ring).
#[derive(Debug)]
pub struct Mapped {
    /// Dropped before the page is unmapped.
    _claim: Claim,
    /// The consumer's page, writable.
    consumer: MmapRaw,
    /// The producer's page and both views of the data, read-only.
    rest: MmapRaw,
    page: usize,
    size: u64,
}

impl Mapped {
    /// Maps the ring of the map `fd`, whose data is `bytes` bytes.
    pub(crate) fn new(fd: BorrowedFd<'_>, purpose: Purpose, bytes: u32) -> Result<Self, Error> {
        crate::map::check(fd, purpose, bytes)?;
        // SAFETY: `check` has just found that it is a ring.
        unsafe { Self::of_ring(fd, bytes) }
    }

    /// Maps `fd`, which is known to be a ring.
    ///
    /// # Safety
    /// `fd` is a map of type `BPF_MAP_TYPE_RINGBUF` whose `max_entries` is `bytes`.
    pub(crate) unsafe fn of_ring(fd: BorrowedFd<'_>, bytes: u32) -> Result<Self, Error> {
        let (size, page) = checked(bytes)?;
        let consumer = map(fd, Region::Consumer, 0, page)?;
        let rest = map(fd, Region::Data, page as u64, page + 2 * size)?;
        // SAFETY: one page of a shared and writable mapping, which is dropped after the claim; the kernel uses only the
        // page's first word, and so does this type.
        let claim = unsafe { Claim::new(consumer.as_mut_ptr(), page) };
        let claim = claim.ok_or(Error::AlreadyOpen { side: Side::Consumer })?;
        Ok(Self { _claim: claim, consumer, rest, page, size: size as u64 })
    }

    fn consumer_word(&self) -> &AtomicU64 {
        let word = self.consumer.as_mut_ptr().cast::<u64>();
        // SAFETY: the mapping is one page, lives as long as `self`, and starts at a page boundary, so its first eight
        // bytes are mapped and aligned. They are shared with the kernel, which accesses them only atomically, and no
        // code makes a plain reference to them.
        unsafe { AtomicU64::from_ptr(word) }
    }

    fn producer_word(&self, offset: usize) -> u64 {
        read_word(&self.rest, offset)
    }
}

impl Sealed for Mapped {}

impl Memory for Mapped {
    type Data<'a> = Pages<'a>;

    fn data(&self) -> Pages<'_> {
        let start = self.rest.as_ptr().wrapping_add(self.page);
        // SAFETY: `rest` maps `page + 2 * size` bytes and lives as long as the
        // borrow of `self`; `size` is a power of two of at least a page.
        unsafe { Pages::new(start, self.size) }
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn consumer(&self) -> u64 {
        self.consumer_word().load(Ordering::Relaxed)
    }

    fn producer(&self) -> u64 {
        self.producer_word(0)
    }

    fn pending(&self) -> u64 {
        self.producer_word(PENDING)
    }

    fn overwrite(&self) -> u64 {
        self.producer_word(OVERWRITE)
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

impl Consume for Mapped {
    fn set_consumer(&self, position: u64, order: Ordering) {
        self.consumer_word().store(position, order);
    }
}

/// Both views of a ring's data: `2 * size` contiguous bytes.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    start: *const u8,
    /// `size - 8`: masks a position to an offset inside the first view, aligned to 8.
    mask: u64,
    memory: PhantomData<&'a AtomicU64>,
}

// SAFETY: `Pages` is a shared borrow of words that are read atomically and of records that nothing writes while they
// are borrowed, which any thread may hold.
unsafe impl Send for Pages<'_> {}
// SAFETY: as above; every method takes the handle by value and only reads.
unsafe impl Sync for Pages<'_> {}

impl Pages<'_> {
    /// Creates a handle on the pages.
    ///
    /// # Safety
    /// `start` is aligned to 8 and valid for reads of `2 * size` bytes for the lifetime of the result; `size` is a
    /// power of two of at least 8. All writes there follow the ring's protocol.
    pub(crate) unsafe fn new(start: *const u8, size: u64) -> Self {
        Self { start, mask: size - 8, memory: PhantomData }
    }

    fn at(self, position: u64) -> *const u8 {
        // The cast is lossless: this crate supports only 64-bit targets.
        self.start.wrapping_add((position & self.mask) as usize)
    }
}

impl Sealed for Pages<'_> {}

impl<'a> Data<'a> for Pages<'a> {
    #[inline]
    fn header(self, position: u64) -> u32 {
        let word = self.at(position).cast::<AtomicU32>();
        // SAFETY: `at` gives a multiple of 8 below `size`, so the four bytes are
        // inside the pages and aligned. They are shared with a producer that
        // writes them atomically; only a relaxed load is made through the
        // reference, which read-only memory allows.
        let word = unsafe { &*word };
        word.load(Ordering::Relaxed)
    }

    #[inline]
    fn word(self, position: u64) -> u32 {
        let offset = position & (self.mask | 4);
        let word = self.start.wrapping_add(offset as usize).cast::<AtomicU32>();
        // SAFETY: `offset` is a multiple of 4 below `size`, so as for `header`.
        let word = unsafe { &*word };
        word.load(Ordering::Relaxed)
    }

    #[inline]
    unsafe fn payload(self, position: u64, length: u32) -> &'a [u8] {
        let start = self.at(position).wrapping_add(8);
        // SAFETY: `at` is inside the pages, which do not lie at the end of the address space, so eight bytes further is
        // not 0 either. This saves the loops a comparison for each record.
        unsafe { std::hint::assert_unchecked(!start.is_null()) };
        // SAFETY: `at` is below `size` and the caller keeps `8 + length` at or below it, so the slice ends inside the
        // second view. The caller has synchronized with the commit and keeps the record unreleased during `'a`: until
        // then the producer writes nothing there.
        unsafe { std::slice::from_raw_parts(start, length as usize) }
    }
}

/// Loads the word at `offset` of a mapping, relaxed; 0 if the mapping ends before `offset`.
pub(super) fn read_word(mapping: &MmapRaw, offset: usize) -> u64 {
    if offset >= mapping.len() || !offset.is_multiple_of(8) {
        return 0;
    }
    let word = mapping.as_ptr().wrapping_add(offset).cast::<AtomicU64>();
    // SAFETY: a mapping is whole pages, so a multiple of 8 before its end is the offset of eight mapped bytes, aligned.
    // Only a relaxed load is made through the reference, which std allows on read-only memory.
    let word = unsafe { &*word };
    word.load(Ordering::Relaxed)
}

/// Maps `length` bytes of the ring from `offset`, writable only if this side may write the region.
pub(super) fn map(fd: BorrowedFd<'_>, region: Region, offset: u64, length: usize) -> Result<MmapRaw, Error> {
    let mut options = MmapOptions::new();
    options.offset(offset).len(length);
    let (prot, mapped) = if region.is_written() {
        ("PROT_READ|PROT_WRITE", options.map_raw(&fd))
    } else {
        ("PROT_READ", options.map_raw_read_only(&fd))
    };
    let answer = outcome(&mapped, |mapping| mapping.as_ptr().addr() as i64);
    report!("mmap", &answer, region.why();
        "addr" = 0, "length" = length, "prot" = prot, "flags" = "MAP_SHARED", "fd" = fd.as_raw_fd(), "offset" = offset);
    mapped.map_err(|source| Error::Map { region, bytes: length, source })
}
