//! Maps all pages of a real ring read-only, in one mapping, for an observer.
#![expect(unsafe_code, reason = "follows the address of the data, as for a ring that is consumed")]

use std::os::fd::BorrowedFd;
use std::sync::atomic::{Ordering, fence};

use memmap2::MmapRaw;

use super::mapped::{OVERWRITE, PENDING, Pages, map, read_word};
use super::{Memory, sealed::Sealed};
use crate::error::{Error, Region};
use crate::map::Purpose;
use crate::size::checked;

/// The pages of a real ring, mapped read-only for an observer. The default memory of [`Peek`](crate::Peek).
#[derive(Debug)]
pub struct ReadOnlyMapped {
    pages: MmapRaw,
    page: usize,
    size: u64,
}

impl ReadOnlyMapped {
    pub(crate) fn new(fd: BorrowedFd<'_>, bytes: u32) -> Result<Self, Error> {
        crate::map::check(fd, Purpose::Observe, bytes)?;
        let (size, page) = checked(bytes)?;
        let pages = map(fd, Region::ReadOnly, 0, 2 * (page + size))?;
        Ok(Self { pages, page, size: size as u64 })
    }
}

impl Sealed for ReadOnlyMapped {}

impl Memory for ReadOnlyMapped {
    type Data<'a> = Pages<'a>;

    fn data(&self) -> Pages<'_> {
        let start = self.pages.as_ptr().wrapping_add(2 * self.page);
        // SAFETY: two pages of positions and `2 * size` bytes of data are mapped
        // and live as long as the borrow of `self`; `size` is a power of two of at
        // least a page.
        unsafe { Pages::new(start, self.size) }
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn consumer(&self) -> u64 {
        read_word(&self.pages, 0)
    }

    fn producer(&self) -> u64 {
        read_word(&self.pages, self.page)
    }

    fn pending(&self) -> u64 {
        read_word(&self.pages, self.page + PENDING)
    }

    fn overwrite(&self) -> u64 {
        read_word(&self.pages, self.page + OVERWRITE)
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}
