//! A ring that keeps the newest records and overwrites the oldest ones. A program can write all the time, and the
//! reader reads the last records only after an event of interest.
//!
//! ```text
//!             data_head, moving down
//!                 ▼
//!  ┌──────────────┬────────┬────────┬────────┬─────────┐
//!  │ …oldest, cut │ newest │        │        │  older… │     read upward from data_head, wrapping
//!  └──────────────┴────────┴────────┴────────┴─────────┘
//! ```
//!
//! With `write_backward` (Linux 4.7), the kernel puts each record below the previous one. So `data_head` is always the
//! start of the newest record. The mapping is read-only, so the kernel does not check whether the oldest records were
//! read (`__perf_output_begin` in `kernel/events/ring_buffer.c`). Such a ring can only be read while nothing writes to
//! it. `PERF_EVENT_IOC_PAUSE_OUTPUT` stops new writers. After a grace period, the earlier writers have finished.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::bytes::Bytes;
use crate::corrupt::Corrupt;
use crate::error::Error;
use crate::event::{Direction, Event};
use crate::mapping::Mapping;
use crate::options::Options;
use crate::page::Page;
use crate::record::{Cursor, Record, Records};
use crate::size::data_pages;
use crate::sys;

/// The buffer of one CPU, which keeps the newest records and overwrites the oldest ones. `Send` and `Sync`.
///
/// The caller puts the buffer's fd into the program's map, as the fd of a [`Buffer`](crate::Buffer). The buffer is
/// never full, so it need not be read. Usually no reader waits for it. With
/// [`Wakeup::Events(0)`](crate::Wakeup::Events), it sends a wake-up only each time that half of the ring was filled.
#[doc(alias = "write_backward")]
#[derive(Debug)]
pub struct OverwriteBuffer {
    /// The pages, which are unmapped before the event is closed.
    page: Page<Mapping>,
    event: Event,
    timed: bool,
}

impl OverwriteBuffer {
    /// Opens the buffer on `cpu` with a ring of `bytes` bytes: a power of two and a multiple of the page size. Needs
    /// Linux 4.7 and the privileges of [`Buffer::open`](crate::Buffer::open).
    ///
    /// # Errors
    /// As [`Buffer::open`](crate::Buffer::open).
    #[doc(alias = "write_backward")]
    pub fn open(cpu: u32, bytes: u32, options: &Options) -> Result<Self, Error> {
        let pages = data_pages(bytes)?;
        let event = Event::open(cpu, options, Direction::Backward)?;
        let page = Page::new(event.map(pages, false)?).map_err(|corrupt| Error::Corrupt { cpu, corrupt })?;
        event.enable()?;
        Ok(Self { page, event, timed: options.timestamps })
    }

    /// Returns the id of the buffer's CPU, which is its key in the map.
    pub fn cpu(&self) -> u32 {
        self.event.cpu()
    }

    /// Pauses the kernel's writes and returns the records. Takes some milliseconds (a grace period).
    ///
    /// Samples that are sent during the pause are lost: the helper fails with ENOSPC. The first record after the pause
    /// is [`Record::Lost`] with the number of these samples.
    ///
    /// # Errors
    /// [`Error::Syscall`] if ioctl(2) fails. [`Error::Corrupt`] if `data_head` is not aligned to a record.
    #[doc(alias("PERF_EVENT_IOC_PAUSE_OUTPUT", "Reader.Pause"))]
    pub fn pause(&mut self) -> Result<Snapshot<'_>, Error> {
        /// The delay if the kernel offers no grace period (ENOSYS, or EINVAL with `nohz_full`). It is far longer than
        /// the helper runs, because the helper is not preempted. The borrow below then relies on this delay.
        const LONG: Duration = Duration::from_millis(20);
        self.event.pause(true)?;
        // From here on, dropping `paused` resumes the output.
        let paused = Paused(&self.event);
        if sys::membarrier_global().is_err() {
            std::thread::sleep(LONG);
        }
        #[expect(unsafe_code, reason = "nothing writes into a paused ring")]
        // SAFETY: new writers find the ring paused. Those that had begun are within an RCU read-side section
        // (`__perf_output_begin` to `perf_output_end`), and the grace period, or the time taken for one, ended after
        // they did. It stays paused as long as `paused` lives, which the snapshot keeps.
        let recorded = unsafe { self.page.recorded() };
        let (bytes, cut) = recorded.map_err(|corrupt| Error::Corrupt { cpu: self.event.cpu(), corrupt })?;
        Ok(Snapshot { recorded: Walk { bytes, cut, timed: self.timed, cursor: Cursor::at(0) }, _paused: paused })
    }

    /// Returns the number of lost samples: those sent during a pause, and those larger than the ring. Returns `None`
    /// before Linux 6.0, because the kernel does not count them.
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Option<u64>, Error> {
        self.event.lost()
    }
}

impl AsFd for OverwriteBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// A paused ring. Dropping this resumes its output.
#[derive(Debug)]
struct Paused<'r>(&'r Event);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // A drop cannot return an error, and the same ioctl has succeeded in the other direction.
        let _ = self.0.pause(false);
    }
}

/// The content of a paused [`OverwriteBuffer`]. When the snapshot is dropped, the kernel's writes resume. `Send`, not
/// `Sync`.
#[derive(Debug)]
#[must_use = "the recording is paused until this is dropped"]
pub struct Snapshot<'r> {
    recorded: Walk<'r>,
    _paused: Paused<'r>,
}

impl Snapshot<'_> {
    /// Returns the records, from the newest to the oldest one that is whole.
    pub fn records(&self) -> SnapshotRecords<'_> {
        self.recorded.records()
    }

    /// Returns whether older records were overwritten.
    pub fn is_cut(&self) -> bool {
        self.recorded.cut
    }
}

/// The pages of a downward ring to which nothing writes.
#[derive(Debug)]
struct Walk<'r> {
    bytes: Bytes<'r>,
    cut: bool,
    timed: bool,
    cursor: Cursor,
}

impl Walk<'_> {
    fn records(&self) -> SnapshotRecords<'_> {
        let end = self.bytes.len() as u64;
        SnapshotRecords { records: Records::new(self.bytes, end, self.timed, &self.cursor), cut: self.cut }
    }
}

/// An iterator over the records of a [`Snapshot`], newest first. Positions count from the start of the newest record.
#[derive(Debug)]
pub struct SnapshotRecords<'s> {
    records: Records<'s>,
    cut: bool,
}

impl<'s> Iterator for SnapshotRecords<'s> {
    type Item = Result<Record<'s>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.records.next() {
            // The newest record overwrote the end of this record.
            Some(Err(Corrupt::Record { size, left, .. })) if self.cut && u64::from(size) > left => None,
            record => record,
        }
    }
}

#[cfg(test)]
#[cfg(feature = "fake")]
mod tests {
    use super::*;
    use crate::fake::{Pages, flight_recorder};

    /// Returns the numbers of the samples in a ring that nothing writes, and whether it is cut.
    fn numbers(page: &Page<Pages>) -> (Vec<u64>, bool) {
        // SAFETY: the fake kernel writes nothing now.
        #[expect(unsafe_code, reason = "the test is its own writer")]
        let (bytes, cut) = unsafe { page.recorded() }.unwrap();
        let walk = Walk { bytes, cut, timed: false, cursor: Cursor::at(0) };
        let numbers = walk.records().map(|record| match record.unwrap() {
            Record::Sample(sample) => {
                let number: u64 = u64::from_ne_bytes(sample.padded().array(0).unwrap());
                let len = 8 + number as usize % 5 * 8;
                assert_eq!(sample.payload(len).unwrap().to_vec(), number.to_ne_bytes().repeat(len / 8));
                number
            }
            other => panic!("{other:?}"),
        });
        (numbers.collect(), cut)
    }

    /// For any records written, the newest come first, without a gap, and as many as fit whole.
    #[test]
    fn newest_records_are_kept() {
        let (mut kernel, pages) = flight_recorder(512);
        let page = Page::new(pages).unwrap();
        assert_eq!(numbers(&page), (vec![], false));
        let mut sizes = Vec::new();
        for number in 0..if cfg!(miri) { 60 } else { 2000_u64 } {
            let words = 1 + number as usize % 5;
            kernel.sample(&number.to_ne_bytes().repeat(words)).unwrap();
            sizes.push(16 + words * 8);
            let mut room = 512_usize;
            let fit = sizes.iter().rev().take_while(|&&size| room.checked_sub(size).map(|left| room = left).is_some());
            let fit = fit.count() as u64;
            let expected: Vec<u64> = (0..=number).rev().take(fit as usize).collect();
            let written: usize = sizes.iter().sum();
            assert_eq!(numbers(&page), (expected, written > 512), "after {number}");
        }
    }
}
