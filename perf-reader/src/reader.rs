//! The protocol of one buffer: look at the head, walk over the records, give them back.

use crate::bytes::Bytes;
use crate::corrupt::Corrupt;
use crate::memory::Memory;
use crate::page::Page;
use crate::record::{Cursor, Record, Records};

/// The reading end of one CPU's perf pages, wherever they live.
///
/// [`Buffer`](crate::Buffer) is this over pages of the kernel. There must be one reader of a buffer only: two would
/// give back each other's records.
#[doc(alias = "perf_event_mmap_page")]
#[derive(Debug)]
pub struct Reader<M> {
    page: Page<M>,
    /// Whether samples carry a time.
    timed: bool,
    /// What LOST records have announced so far.
    lost: u64,
}

impl<M: Memory> Reader<M> {
    /// Reads the pages in `memory`, in which samples carry a time if `timed`.
    ///
    /// # Errors
    /// [`Corrupt::Layout`] if the control page places the data outside of the memory.
    pub fn new(memory: M, timed: bool) -> Result<Self, Corrupt> {
        Ok(Self { page: Page::new(memory)?, timed, lost: 0 })
    }

    /// Opens a batch of the records that are complete at this moment. Those that come later are for the next batch, so
    /// a batch ends however fast a program writes.
    ///
    /// # Errors
    /// [`Corrupt::Positions`] if `data_head` is further from `data_tail` than the ring is long.
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

    /// Bytes of records waiting: 0 when all was drained.
    pub fn fill(&self) -> u64 {
        self.page.head().wrapping_sub(self.page.tail())
    }

    /// Bytes that the ring has room for. One of them always stays free.
    pub fn capacity(&self) -> usize {
        self.page.data_size()
    }

    /// Samples that the LOST records read so far announced as lost.
    pub fn lost_announced(&self) -> u64 {
        self.lost
    }

    /// Gives up all that is in the ring, unread, and answers how many bytes that were, or, of positions that contradict
    /// each other, how far the one is from the other: the way on after [`Corrupt::Record`] or [`Corrupt::Positions`].
    pub fn skip_to_head(&mut self) -> u64 {
        let head = self.page.head();
        let skipped = head.wrapping_sub(self.page.tail());
        #[expect(unsafe_code, reason = "gives bytes back that nobody borrows")]
        // SAFETY: the committed bytes of this page are used by batches and what borrows from them, and a batch borrows
        // `self` mutably.
        unsafe {
            self.page.publish(head);
        }
        skipped
    }
}

/// The records that were complete when the batch was opened, held until it ends.
///
/// Any number of samples can be borrowed from it at once. When it is dropped, `data_tail` moves over all that was
/// walked over, once: also after an early exit or a panic. What was not walked over stays for the next batch.
///
/// A sample cannot outlive its batch, as its memory does not:
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
/// and while a batch is open, no other can be opened:
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
    /// All of it, from `tail` to `head`.
    bytes: Bytes<'b>,
    tail: u64,
    head: u64,
    timed: bool,
    cursor: Cursor,
    /// The reader's count of announced losses.
    lost: &'b mut u64,
}

impl<M: Memory> Batch<'_, M> {
    /// The records from where the last walk over this batch ended.
    #[inline]
    pub fn records(&self) -> Records<'_> {
        let read = self.cursor.position.get().wrapping_sub(self.tail) as usize;
        // Never the default: a walk ends inside the batch, between two records.
        let rest = self.bytes.slice(read..self.bytes.len()).unwrap_or_default();
        Records::new(rest, self.head, self.timed, &self.cursor)
    }

    /// Bytes of records in it, read or not.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether nothing was there when it was opened.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl<M: Memory> Drop for Batch<'_, M> {
    #[inline]
    fn drop(&mut self) {
        let position = self.cursor.position.get();
        if position != self.tail {
            #[expect(unsafe_code, reason = "gives bytes back that nobody borrows")]
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
