//! Pages that the kernel and this process share through mmap(2).

use std::num::NonZero;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{fmt, io};

use cutaway_sys::{report, report::outcome};
use memmap2::{MmapOptions, MmapRaw};

use crate::memory::{Memory, Sealed};

/// The pages of one perf event, mapped shared from offset 0. Unmapped when dropped.
///
/// With a writable mapping, the kernel does not overwrite unread records. With a read-only mapping, the kernel
/// overwrites them (`perf_mmap` in `kernel/events/core.c`).
#[doc(alias = "perf_event_mmap_page")]
pub struct Mapping {
    pages: MmapRaw,
    page_size: usize,
    writable: bool,
}

impl Mapping {
    /// Maps the control page and the `data_pages` pages after it.
    pub(crate) fn new(event: BorrowedFd<'_>, data_pages: NonZero<usize>, writable: bool) -> io::Result<Self> {
        let why = if writable {
            "maps the control page and the ring of one CPU, writable so that data_tail can give space back"
        } else {
            "maps the control page and the ring of one CPU read-only, so that the kernel overwrites the oldest records"
        };
        Self::with(event, data_pages, writable, why)
    }

    /// Maps the pages of an event that has a ring already, read-only. The ring does not change.
    pub(crate) fn of_another(event: BorrowedFd<'_>, data_pages: NonZero<usize>, why: &str) -> io::Result<Self> {
        Self::with(event, data_pages, false, why)
    }

    fn with(event: BorrowedFd<'_>, data_pages: NonZero<usize>, writable: bool, why: &str) -> io::Result<Self> {
        let page_size = cutaway_sys::memory::page_size();
        let len = data_pages
            .get()
            .checked_add(1)
            .and_then(|pages| pages.checked_mul(page_size))
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let mut options = MmapOptions::new();
        options.len(len);
        let mapped =
            if writable { options.map_raw(event.as_raw_fd()) } else { options.map_raw_read_only(event.as_raw_fd()) };
        report!("mmap", &outcome(&mapped, |pages| pages.as_ptr().addr() as i64), why;
            "addr" = 0,
            "length" = len,
            "prot" = if writable { "PROT_READ|PROT_WRITE" } else { "PROT_READ" },
            "flags" = "MAP_SHARED",
            "fd" = event.as_raw_fd(),
            "offset" = 0);
        Ok(Self { pages: mapped?, page_size, writable })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        report!("munmap", &Ok(0), "unmaps the pages of one CPU";
            "addr" = report::Value::from_debug(&self.pages.as_ptr()), "length" = self.pages.len());
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("base", &self.pages.as_ptr())
            .field("len", &self.pages.len())
            .field("writable", &self.writable)
            .finish()
    }
}

impl Sealed for Mapping {}

#[expect(unsafe_code, reason = "vouches for a mapping that this file created and owns")]
// SAFETY: mmap returned a page-aligned address of `len` readable bytes, and `MmapRaw` keeps them mapped at that address
// until it is dropped. `data_tail` is writable when the mapping is. The kernel is the other side: it moves `data_head`
// last (`perf_output_put_handle`), accesses both words whole, and with a writable mapping writes no data that lies
// between `data_tail` and `data_head` (`ring_buffer_has_space`, `kernel/events/ring_buffer.c`). The exception is a
// kernel bug that no reader can foresee: a payload of more than 65,516 bytes, which is written over more than was
// reserved for it (see "Limitations" on the crate's front page).
unsafe impl Memory for Mapping {
    fn base(&self) -> *mut u8 {
        self.pages.as_mut_ptr()
    }

    fn len(&self) -> usize {
        self.pages.len()
    }

    fn page_size(&self) -> usize {
        self.page_size
    }

    fn writable(&self) -> bool {
        self.writable
    }
}
