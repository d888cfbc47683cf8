//! The flight recorder: a ring that keeps the newest records and overwrites the oldest, read when something has
//! happened.
//!
//! ```text
//!             data_head, moving down
//!                 ▼
//!  ┌──────────────┬────────┬────────┬────────┬─────────┐
//!  │ …oldest, cut │ newest │        │        │  older… │     read upward from data_head, wrapping
//!  └──────────────┴────────┴────────┴────────┴─────────┘
//! ```
//!
//! `write_backward` (Linux 4.7) makes the kernel put each record in front of the one before, so that `data_head` is
//! always the beginning of the newest; the mapping is read-only, so that it does not ask whether anybody has read the
//! oldest (`__perf_output_begin`, `kernel/events/ring_buffer.c`). Such a ring can only be read while nothing is
//! written: `PERF_EVENT_IOC_PAUSE_OUTPUT` stops new writers, a grace period lets those that had begun finish.

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

/// One CPU's overwritable buffer. Its fd goes into the program's map like that of a [`Buffer`](crate::Buffer).
///
/// Programs never find it full. Nobody has to read it, and usually nobody waits for it: with
/// [`Wakeup::Events(0)`](crate::Wakeup::Events) it wakes only at each half ring.
#[doc(alias = "write_backward")]
#[derive(Debug)]
pub struct OverwriteBuffer {
    /// Unmapped before the event is closed.
    page: Page<Mapping>,
    event: Event,
    timed: bool,
}

impl OverwriteBuffer {
    /// Opens it on `cpu` with a ring of `bytes` bytes: a power of two and a multiple of the page size. Needs Linux 4.7
    /// and the privileges of [`Buffer::open`](crate::Buffer::open).
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

    /// The number of its CPU, which is its key in the map.
    pub fn cpu(&self) -> u32 {
        self.event.cpu()
    }

    /// Pauses the recording and opens what it holds. Takes a grace period, some milliseconds.
    ///
    /// Samples sent while it is paused are lost: the program gets ENOSPC, and the first record after the pause is
    /// [`Record::Lost`] with their number.
    ///
    /// # Errors
    /// [`Error::Syscall`] if ioctl(2) fails; [`Error::Corrupt`] if `data_head` is at no record's alignment.
    #[doc(alias("PERF_EVENT_IOC_PAUSE_OUTPUT", "Reader.Pause"))]
    pub fn pause(&mut self) -> Result<Snapshot<'_>, Error> {
        /// Where no grace period can be had (ENOSYS, or EINVAL with `nohz_full`): far longer than the helper runs,
        /// which it does in one go. There, time is what the borrowing below rests upon.
        const LONG: Duration = Duration::from_millis(20);
        self.event.pause(true)?;
        // From here on, dropping it resumes.
        let paused = Paused(&self.event);
        if sys::membarrier_global().is_err() {
            std::thread::sleep(LONG);
        }
        #[expect(unsafe_code, reason = "nobody writes into a ring that is paused")]
        // SAFETY: new writers find the ring paused. Those that had begun are within an RCU read-side section
        // (`__perf_output_begin` to `perf_output_end`), and the grace period, or the time taken for one, ended after
        // they did. It stays paused as long as `paused` lives, which the snapshot keeps.
        let recorded = unsafe { self.page.recorded() };
        let (bytes, cut) = recorded.map_err(|corrupt| Error::Corrupt { cpu: self.event.cpu(), corrupt })?;
        Ok(Snapshot { recorded: Walk { bytes, cut, timed: self.timed, cursor: Cursor::at(0) }, _paused: paused })
    }

    /// How many samples found no room: those sent during a pause, and those larger than the ring; `None` before Linux
    /// 6.0, where the kernel does not say.
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

/// A ring that is paused; goes on when dropped.
#[derive(Debug)]
struct Paused<'r>(&'r Event);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // Nobody to tell; and it worked in the other direction.
        let _ = self.0.pause(false);
    }
}

/// What an [`OverwriteBuffer`] held when it was paused. The recording goes on when this is dropped.
#[derive(Debug)]
#[must_use = "the recording is paused until this is dropped"]
pub struct Snapshot<'r> {
    recorded: Walk<'r>,
    _paused: Paused<'r>,
}

impl Snapshot<'_> {
    /// The records, the newest first, back to the oldest that is still whole.
    pub fn records(&self) -> SnapshotRecords<'_> {
        self.recorded.records()
    }

    /// Whether older records were overwritten.
    pub fn is_cut(&self) -> bool {
        self.recorded.cut
    }
}

/// A downward ring at rest.
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

/// The records of a [`Snapshot`], the newest first. Their positions count from the newest.
#[derive(Debug)]
pub struct SnapshotRecords<'s> {
    records: Records<'s>,
    cut: bool,
}

impl<'s> Iterator for SnapshotRecords<'s> {
    type Item = Result<Record<'s>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.records.next() {
            // The newest record lies over the end of this one.
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

    /// The numbers of the samples in a ring at rest.
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

    /// However much was written: the newest come first, without a gap, and as many as whole records fit.
    #[test]
    fn the_newest_are_kept() {
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
