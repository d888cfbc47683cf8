//! The protocol of one buffer: loads `data_head`, reads the records, and releases them.

use crate::bytes::Bytes;
use crate::corrupt::Corrupt;
use crate::memory::Memory;
use crate::page::Page;
use crate::record::{Cursor, Record, Records};

/// The reader of one CPU's perf pages, in any memory.
///
/// A [`Buffer`](crate::Buffer) contains a reader of the kernel's pages. A buffer must have only one reader, because two
/// readers would release each other's records.
#[doc(alias = "perf_event_mmap_page")]
#[derive(Debug)]
pub struct Reader<M> {
    page: Page<M>,
    /// Whether samples carry a time.
    timed: bool,
    /// The sum of the LOST records that were read so far.
    lost: u64,
}

impl<M: Memory> Reader<M> {
    /// Creates a reader of the pages in `memory`. `timed` is true if samples carry a time.
    ///
    /// # Errors
    /// [`Corrupt::Layout`] if the control page places the data outside of the memory.
    pub fn new(memory: M, timed: bool) -> Result<Self, Corrupt> {
        Ok(Self { page: Page::new(memory)?, timed, lost: 0 })
    }

    /// Opens a batch of the records that are complete at this moment. Later records belong to the next batch. So a
    /// batch ends even if a program writes without a pause.
    ///
    /// # Errors
    /// [`Corrupt::Positions`] if `data_head` is further from `data_tail` than the ring's size.
    #[inline]
    pub fn batch(&mut self) -> Result<Batch<'_, M>, Corrupt> {
        let tail = self.page.tail();
        let head = self.page.head();
        Ok(Batch {
            page: &self.page,
            bytes: self.page.committed(tail, head)?,
            tail,
            head,
            timed: self.timed,
            cursor: Cursor::at(tail),
            lost: &mut self.lost,
        })
    }

    /// Returns the number of bytes of unread records. It is 0 if all records are read.
    pub fn fill(&self) -> u64 {
        self.page.head().wrapping_sub(self.page.tail())
    }

    /// Returns the size of the ring in bytes. One byte of it always stays free.
    pub fn capacity(&self) -> usize {
        self.page.data_size()
    }

    /// Returns the number of lost samples, according to the LOST records that were read so far.
    pub fn lost_announced(&self) -> u64 {
        self.lost
    }

    /// Releases all bytes in the ring unread, to go on after [`Corrupt::Record`] or [`Corrupt::Positions`]. Returns the
    /// distance from `data_tail` to `data_head`, which is the number of released bytes unless the positions are
    /// corrupt.
    pub fn skip_to_head(&mut self) -> u64 {
        let head = self.page.head();
        let skipped = head.wrapping_sub(self.page.tail());
        #[expect(unsafe_code, reason = "releases bytes that nothing borrows")]
        // SAFETY: only batches, and values that borrow from them, use the committed bytes of this page, and a batch
        // borrows `self` mutably.
        unsafe {
            self.page.publish(head);
        }
        skipped
    }
}

/// The records that were complete when the batch was opened. `Send`, not `Sync`.
///
/// The caller can borrow any number of samples from the batch at once. When the batch is dropped, `data_tail` moves
/// once past all records that were read, even after an early exit or a panic. The other records stay for the next
/// batch.
///
/// A sample cannot outlive its batch:
///
/// ```compile_fail,E0505
/// # let (mut kernel, pages) = perf_reader::fake::perf_buffer(4096);
/// # let mut reader = perf_reader::Reader::new(pages, false)?;
/// let batch = reader.batch()?;
/// let record = batch.records().next();
/// drop(batch); // error[E0505]: cannot move out of `batch` because it is borrowed
/// println!("{record:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// While a batch is open, no other batch can be opened:
///
/// ```compile_fail,E0499
/// # let (mut kernel, pages) = perf_reader::fake::perf_buffer(4096);
/// # let mut reader = perf_reader::Reader::new(pages, false)?;
/// let batch = reader.batch()?;
/// let another = reader.batch()?; // error[E0499]: cannot borrow `reader` as mutable more than once at a time
/// println!("{:?}", batch.records().next());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a batch releases what was read through it"]
pub struct Batch<'b, M: Memory> {
    page: &'b Page<M>,
    /// All bytes from `tail` to `head`.
    bytes: Bytes<'b>,
    tail: u64,
    head: u64,
    timed: bool,
    cursor: Cursor,
    /// The reader's sum of LOST records.
    lost: &'b mut u64,
}

impl<M: Memory> Batch<'_, M> {
    /// Returns the records, oldest first. A second call continues where the iterator that was dropped last ended.
    #[inline]
    pub fn records(&self) -> Records<'_> {
        let read = self.cursor.position.get().wrapping_sub(self.tail) as usize;
        // Never the default: an iterator ends inside the batch, between two records.
        let rest = self.bytes.slice(read..self.bytes.len()).unwrap_or_default();
        Records::new(rest, self.head, self.timed, &self.cursor)
    }

    /// Returns the number of bytes of records in the batch, read or not.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Returns whether there were no records when the batch was opened.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl<M: Memory> Drop for Batch<'_, M> {
    #[inline]
    fn drop(&mut self) {
        let position = self.cursor.position.get();
        if position != self.tail {
            #[expect(unsafe_code, reason = "releases bytes that nothing borrows")]
            // SAFETY: every record borrows from this batch, which ends here and does not use its bytes again, and a
            // reader has one batch at a time.
            unsafe {
                self.page.publish(position);
            }
        }
        *self.lost = self.lost.wrapping_add(self.cursor.lost.get());
    }
}

impl<'d, M: Memory> IntoIterator for &'d Batch<'_, M> {
    type Item = Result<Record<'d>, Corrupt>;
    type IntoIter = Records<'d>;

    #[inline]
    fn into_iter(self) -> Records<'d> {
        self.records()
    }
}
