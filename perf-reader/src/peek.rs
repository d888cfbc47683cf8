//! Observes the perf buffer of another process without disturbing its owner.
//!
//! An observer maps the ring read-only and does not store `data_tail`. It never polls the event, because a poll would
//! consume a wake-up of the event's owner. The owner and the kernel do not wait for the observer. So a copy of a record
//! is valid only if `data_tail`, loaded again after the copy, has not passed the record.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use crate::corrupt::Corrupt;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::memory::Memory;
use crate::page::Page;
use crate::record::{HEADER, LOST, SAMPLE};
use crate::remote_fd;

/// A read-only observer of one CPU's perf buffer. `Send` and `Sync`.
#[derive(Debug)]
pub struct Peek<M = Mapping> {
    page: Page<M>,
    /// The borrowed event. `None` for pages without a kernel.
    event: Option<OwnedFd>,
}

/// The positions of a perf buffer's two sides, in bytes since the buffer was created.
#[doc(alias("data_head", "data_tail"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Positions {
    /// `data_tail`: the owner has released all bytes before it.
    pub tail: u64,
    /// `data_head`: the position of the kernel's next record.
    pub head: u64,
}

/// The number of records between two positions of a perf buffer. Returned by [`Peek::count_records`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordCount {
    /// The number of records, of every kind.
    pub records: u64,
    /// The bytes that the counted records take, headers included.
    pub bytes: u64,
}

/// A snapshot of a perf buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeekSnapshot {
    /// Position of the kernel's next record, in bytes since the buffer was created.
    pub head: u64,
    /// Position of the owner's next unread record.
    pub tail: u64,
    /// Size of the ring in bytes.
    pub size: u64,
    /// Whether the ring is written downward (`write_backward`). `head` then counts down from 0, and no records are
    /// pending. Only the ring's owner can read its records, after pausing the kernel's writes.
    pub backward: bool,
    /// The pending records, oldest first.
    pub records: Vec<PendingRecord>,
    /// The number of bytes that the owner released during the snapshot.
    pub released_meanwhile: u64,
    /// A value that no kernel writes, if one was found. Nothing after it can be read.
    pub corrupt: Option<Corrupt>,
}

/// A record that the buffer's owner has not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingRecord {
    /// The record's position, in bytes since the buffer was created.
    pub position: u64,
    /// The record's type, a value of `enum perf_event_type`: 9 for a sample, 2 for a LOST record.
    pub kind: u32,
    /// Whether the record crosses the end of the data area.
    pub wraps: bool,
    /// All bytes after the record's header of 8 bytes. The content of a sample depends on how the owner opened the
    /// event. If a sample has only the raw data of a BPF program, it begins with a `u32` length and ends with up to 7
    /// bytes of padding. The length includes the padding.
    pub body: Vec<u8>,
}

impl PeekSnapshot {
    /// Returns the number of unread bytes.
    #[must_use]
    pub fn fill(&self) -> u64 {
        if self.backward { 0 } else { self.head.wrapping_sub(self.tail) }
    }
}

impl PendingRecord {
    /// Returns the number of bytes of the ring that the record takes, header included.
    #[must_use]
    pub fn space(&self) -> u64 {
        (self.body.len() as u64).wrapping_add(HEADER as u64)
    }

    /// Returns the number of lost samples, or `None` if this is not a LOST record.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        let count = self.body.get(8..)?.first_chunk().copied().map(u64::from_ne_bytes)?;
        (self.kind == LOST).then_some(count)
    }

    /// Returns the time, if the sample has one, and the raw data with its padding. Returns `None` if this is not a
    /// sample, or if the sample has other fields than a time and raw data. The position of the data's length shows
    /// whether there is a time.
    #[must_use]
    pub fn raw(&self) -> Option<(Option<u64>, &[u8])> {
        if self.kind != SAMPLE {
            return None;
        }
        let raw_at = |at: usize| {
            let (length, raw) = self.body.get(at..)?.split_first_chunk()?;
            (u32::from_ne_bytes(*length) as usize == raw.len()).then_some(raw)
        };
        let time = || self.body.first_chunk().copied().map(u64::from_ne_bytes);
        raw_at(0).map(|raw| (None, raw)).or_else(|| raw_at(8).map(|raw| (time(), raw)))
    }
}

impl Peek<Mapping> {
    /// Borrows the perf event that process `pid` has open as fd `fd`, and maps the event's ring read-only.
    ///
    /// Returns `None` if the event has no ring. If the event writes into the ring of another event, kernels from about
    /// 6.18 on report this, and the result is `None`, too. Older kernels map the ring of the other event.
    ///
    /// The event and its ring exist until this observer is dropped, even if the owner dies. While the event is mapped
    /// here, its owner cannot redirect it into another ring: `PERF_EVENT_IOC_SET_OUTPUT` fails with EINVAL. So keep the
    /// observer of a newly opened event only briefly.
    ///
    /// Needs Linux 5.6 and the right to trace the process (CAP_SYS_PTRACE, or the same user).
    ///
    /// # Errors
    /// [`Error::Syscall`] with one of these errnos:
    /// - EPERM without the right to trace the process.
    /// - ENOSYS before Linux 5.6.
    /// - ESRCH or EBADF if the process or the fd does not exist.
    /// - ENODEV if the fd is not a perf event.
    /// - EINVAL if no mapping of the process has the size of the ring, because another process has mapped the ring.
    #[doc(alias = "pidfd_getfd")]
    pub fn of_process(pid: u32, fd: u32) -> Result<Option<Self>, Error> {
        let what = || format!("fd {fd} of process {pid}");
        let failed = |operation: &str| {
            let operation = format!("{operation} {}", what());
            move |error: std::io::Error| Error::system(operation, &error)
        };
        let event = remote_fd::duplicate(pid, fd).map_err(failed("borrow"))?;
        remote_fd::must_be_an_event(event.as_fd()).map_err(failed("find a perf event in"))?;
        if !remote_fd::has_ring(event.as_fd()).map_err(failed("check for a ring of"))? {
            return Ok(None);
        }
        let sizes = remote_fd::mapped_pages(pid).map_err(failed("find the size of the ring of"))?;
        let mapping = match remote_fd::map(&event, &sizes) {
            // The event writes into another event's ring, and only the event that owns the ring may be mapped.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(None),
            mapping => mapping.map_err(failed("map the ring of"))?,
        };
        match Page::new(mapping) {
            Ok(page) => Ok(Some(Self { page, event: Some(event) })),
            Err(corrupt) => Err(Error::Foreign { what: what(), corrupt }),
        }
    }

    /// Returns the number of samples that the kernel has counted as lost through this event. Returns `None` if the
    /// event's owner did not request the count (`PERF_FORMAT_LOST`, Linux 6.0). Also returns `None` if the owner
    /// requested a read format in which another process cannot identify the count.
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Option<u64>, Error> {
        let Some(event) = &self.event else { return Ok(None) };
        remote_fd::lost(event.as_fd())
            .map_err(|error| Error::system("read the counts of a borrowed perf event", &error))
    }

    /// Returns a number that is equal for two events if they write into the same ring, as a waking and a silent event
    /// do. Returns `None` without CAP_SYS_ADMIN.
    #[must_use]
    pub fn ring_identity(&self) -> Option<u64> {
        // A page that was never accessed has no frame yet.
        self.page.head();
        remote_fd::page_frame(self.page.memory().base())
    }
}

impl<M: Memory> Peek<M> {
    /// Observes pages that are not shared with a kernel.
    ///
    /// # Errors
    /// [`Corrupt::Layout`] if the control page places the data outside of the memory.
    #[cfg(feature = "fake")]
    pub fn over(memory: M) -> Result<Self, Corrupt> {
        Ok(Self { page: Page::new(memory)?, event: None })
    }

    /// Returns `data_tail` and `data_head` as they may have been at one moment, even if the observer was interrupted
    /// between the loads.
    #[must_use]
    pub fn positions(&self) -> Positions {
        // This load acquires. Before the kernel stored this head, it had read a `data_tail` that is at most the ring's
        // size behind (`__perf_output_begin`), and later loads return no older value.
        let before = self.page.head();
        let tail = self.page.tail();
        if tail.wrapping_sub(before).cast_signed() <= 0 {
            return Positions { tail, head: before };
        }
        // The owner has read the records between the two positions since the first load, so the kernel had written them
        // before.
        // ATOMICS: pairs with the owner's release of `data_tail`. Before this release, the owner had seen a head that
        // is not behind this tail.
        fence(Ordering::Acquire);
        let after = self.page.head();
        let sound = after.wrapping_sub(tail).cast_signed() >= 0;
        Positions { tail, head: if sound { tail } else { after } }
    }

    /// Counts the records from position `from` to position `to`. A record must begin at `from`, and `to` must be an
    /// earlier `data_head`. Released records count as well, because they stay until the kernel overwrites them. The
    /// count stops after `most` records.
    ///
    /// An observer that samples the buffer can compute records per second from such counts. Returns `None` if
    /// `data_head` was more than half of the buffer past `from` at the end of the count, because the kernel may have
    /// overwritten the records. Also returns `None` for a buffer that is written downward.
    ///
    /// A count may be wrong if the records that the kernel writes at one moment take more than half of the buffer
    /// (large samples in a small buffer).
    #[must_use]
    pub fn count_records(&self, from: u64, to: u64, most: u64) -> Option<RecordCount> {
        let size = self.page.data_size() as u64;
        let mut tally = RecordCount::default();
        let all = to.wrapping_sub(from);
        if all > size || to.cast_signed() < 0 {
            return None;
        }
        while tally.bytes < all && tally.records < most {
            let mut header = [0; HEADER];
            self.page.copy(from.wrapping_add(tally.bytes), &mut header);
            let [.., s0, s1] = header;
            let space = u64::from(u16::from_ne_bytes([s0, s1]));
            if space < HEADER as u64 || !space.is_multiple_of(8) || space > all.wrapping_sub(tally.bytes) {
                return None;
            }
            tally.records = tally.records.wrapping_add(1);
            tally.bytes = tally.bytes.wrapping_add(space);
        }
        // ATOMICS: keeps the load of `data_head` after those of the headers. The other side is
        // `kernel/events/ring_buffer.c`: `__perf_output_begin` reserves a record's space, the record is written, and
        // `perf_output_put_handle` moves `data_head` over it, after smp_wmb(), which pairs with this fence. An observer
        // that sees bytes of a record sees every head that was stored before the last smp_wmb() before that record. So
        // the head that the observer sees may lag behind by the records that are being written, a record and those that
        // interrupted it, and, if the CPU reorders stores, by the record written just before. As long as these take no
        // more than half of the buffer, a head that is at most half of the buffer past `from` shows that none of them
        // reached `from`. A record has at most 64 KiB: in buffers of a few times that, a count may be wrong.
        fence(Ordering::Acquire);
        (self.page.head().wrapping_sub(from) <= size / 2).then_some(tally)
    }

    /// Copies the records that are unread now.
    #[must_use]
    pub fn snapshot(&self) -> PeekSnapshot {
        let Positions { tail, head } = self.positions();
        let size = self.page.data_size() as u64;
        // A downward head counts down from 0, so it is very large. An upward head never gets so large.
        let backward = head.cast_signed() < 0;
        let mut snapshot =
            PeekSnapshot { head, tail, size, backward, records: Vec::new(), released_meanwhile: 0, corrupt: None };
        if backward {
            return snapshot;
        }
        let ahead = head.wrapping_sub(tail);
        if ahead > size || !ahead.is_multiple_of(8) || !tail.is_multiple_of(8) {
            snapshot.corrupt = Some(Corrupt::Positions { tail, head, data_size: size });
            return snapshot;
        }
        let mut bytes = vec![0; ahead as usize];
        self.page.copy(tail, &mut bytes);
        // ATOMICS: before the kernel overwrote these bytes, it had read a `data_tail` after them (a control dependency
        // in `__perf_output_begin`: it writes only if there is room). If this copy has read any new byte, the load
        // after this fence sees this `data_tail` or a later one, on CPUs whose stores reach all other CPUs at once
        // (x86, Armv8, RISC-V).
        fence(Ordering::Acquire);
        let left = self.page.tail();
        walk(&mut snapshot, &bytes, left);
        snapshot
    }
}

/// Adds the records in `bytes` to the snapshot. `bytes` begins at the snapshot's tail. The owner has released the bytes
/// before `left` during the copy.
fn walk(snapshot: &mut PeekSnapshot, bytes: &[u8], left: u64) {
    let passed = left.wrapping_sub(snapshot.tail).min(bytes.len() as u64);
    snapshot.released_meanwhile = passed;
    // Owners release whole records, so a record begins there.
    let (mut position, mut rest) =
        (snapshot.tail.wrapping_add(passed), bytes.get(passed as usize..).unwrap_or_default());
    while let Some((&[k0, k1, k2, k3, _, _, s0, s1], behind)) = rest.split_first_chunk::<HEADER>() {
        let (kind, size) = (u32::from_ne_bytes([k0, k1, k2, k3]), u16::from_ne_bytes([s0, s1]));
        let body = usize::from(size).checked_sub(HEADER).filter(|body| body.is_multiple_of(8));
        let Some((body, behind)) = body.and_then(|body| behind.split_at_checked(body)) else {
            snapshot.corrupt = Some(Corrupt::Record { at: position, kind, size, left: rest.len() as u64 });
            return;
        };
        let offset = position & snapshot.size.wrapping_sub(1);
        let wraps = offset.wrapping_add(u64::from(size)) > snapshot.size;
        snapshot.records.push(PendingRecord { position, kind, wraps, body: body.to_vec() });
        position = position.wrapping_add(u64::from(size));
        rest = behind;
    }
}

#[cfg(test)]
#[cfg(feature = "fake")]
mod tests;
