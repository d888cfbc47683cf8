//! A look at the perf buffer of another process, disturbing nobody.
//!
//! A bystander maps the ring read-only, stores no `data_tail` and never polls the event, since that would take a
//! wake-up away from its owner. The ring moves on meanwhile: what was copied is true only if `data_tail`, looked at
//! once more, has not passed it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use crate::corrupt::Corrupt;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::memory::Memory;
use crate::page::Page;
use crate::record::{HEADER, LOST, SAMPLE};
use crate::remote_fd;

/// A bystander of one CPU's perf buffer.
#[derive(Debug)]
pub struct Peek<M = Mapping> {
    page: Page<M>,
    /// `None` for pages without a kernel.
    event: Option<OwnedFd>,
}

/// Where a perf buffer's two sides are.
#[doc(alias("data_head", "data_tail"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Positions {
    /// `data_tail`: everything before it was given back by the owner.
    pub tail: u64,
    /// `data_head`: where the kernel's next record will begin.
    pub head: u64,
}

/// How many records lie in a stretch of a perf buffer. Made by [`Peek::count_records`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordCount {
    /// Records of every kind.
    pub records: u64,
    /// The bytes that they take, headers included: all of the stretch, or as much of it as was counted.
    pub bytes: u64,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeekSnapshot {
    /// Where the kernel's next record will begin, in bytes since the buffer was made.
    pub head: u64,
    /// Where its owner's next record begins.
    pub tail: u64,
    /// Bytes of the ring.
    pub size: u64,
    /// The ring is written downward (`write_backward`): `head` counts down from 0, and nothing waits; its records are
    /// its owner's to read, after it has paused the kernel.
    pub backward: bool,
    /// What waits, oldest first.
    pub records: Vec<PendingRecord>,
    /// Bytes that were given back while they were looked at.
    pub released_meanwhile: u64,
    /// What no kernel writes, if it was found; nothing behind it can be told.
    pub corrupt: Option<Corrupt>,
}

/// A record that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingRecord {
    /// Where it begins, in bytes since the buffer was made.
    pub position: u64,
    /// `enum perf_event_type`: 9 for a sample, 2 for a count of losses.
    pub kind: u32,
    /// Whether it runs over the ring's end.
    pub wraps: bool,
    /// All that follows its header of 8 bytes. What is in a sample depends on how its owner opened the event; one of a
    /// BPF program alone begins with the payload's length and ends with up to 7 bytes of padding.
    pub body: Vec<u8>,
}

impl PeekSnapshot {
    /// Bytes that wait.
    #[must_use]
    pub fn fill(&self) -> u64 {
        if self.backward { 0 } else { self.head.wrapping_sub(self.tail) }
    }
}

impl PendingRecord {
    /// Bytes of the ring that it takes, header included.
    #[must_use]
    pub fn space(&self) -> u64 {
        (self.body.len() as u64).wrapping_add(HEADER as u64)
    }

    /// Of a count of losses, how many.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        let count = self.body.get(8..)?.first_chunk().copied().map(u64::from_ne_bytes)?;
        (self.kind == LOST).then_some(count)
    }

    /// Of a sample that holds nothing but raw data, or a time in front of it: the time, and the data with its padding.
    /// Which of the two it is shows in the length that the data has in front.
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
    /// Borrows the perf event that process `pid` has as fd `fd`, and maps its ring read-only. `None` if it has none, or
    /// writes into that of another event and the kernel says so (from about 6.18 on; older ones map the same ring
    /// then).
    ///
    /// Its owner may die meanwhile: event and ring live on until this is dropped. An owner that redirects this very
    /// event into another ring (`PERF_EVENT_IOC_SET_OUTPUT`) while it is mapped here gets EINVAL, so be brief with
    /// those that were just opened.
    ///
    /// Needs Linux 5.6 and the right to trace the process (CAP_SYS_PTRACE, or the same user).
    ///
    /// # Errors
    /// [`Error::Syscall`]: EPERM without that right, ENOSYS before 5.6, ESRCH or EBADF if process or fd is gone,
    /// ENODEV if the fd is not a perf event,
    /// EINVAL if the ring has a size that no mapping of that process has: it was mapped by another one.
    #[doc(alias = "pidfd_getfd")]
    pub fn of_process(pid: u32, fd: u32) -> Result<Option<Self>, Error> {
        let what = || format!("fd {fd} of process {pid}");
        let failed = |operation: &str| {
            let operation = format!("{operation} {}", what());
            move |error: std::io::Error| Error::system(operation, &error)
        };
        let event = remote_fd::duplicate(pid, fd).map_err(failed("borrow"))?;
        remote_fd::must_be_an_event(event.as_fd()).map_err(failed("look for a perf event behind"))?;
        if !remote_fd::has_ring(event.as_fd()).map_err(failed("ask for the ring behind"))? {
            return Ok(None);
        }
        let sizes = remote_fd::mapped_pages(pid).map_err(failed("find the size of the ring behind"))?;
        let mapping = match remote_fd::map(&event, &sizes) {
            // It has been redirected, and only the event whose ring it is may be mapped.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(None),
            mapping => mapping.map_err(failed("map the ring behind"))?,
        };
        match Page::new(mapping) {
            Ok(page) => Ok(Some(Self { page, event: Some(event) })),
            Err(corrupt) => Err(Error::Foreign { what: what(), corrupt }),
        }
    }

    /// What the kernel has counted as lost through this event; `None` if its owner did not ask it to count
    /// (`PERF_FORMAT_LOST`, Linux 6.0), or not in a way that can be told from outside.
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Option<u64>, Error> {
        let Some(event) = &self.event else { return Ok(None) };
        remote_fd::lost(event.as_fd())
            .map_err(|error| Error::system("read the counts of a borrowed perf event", &error))
    }

    /// A number that is the same for events that write into the same ring, as a waking and a silent event do. `None`
    /// without CAP_SYS_ADMIN.
    #[must_use]
    pub fn ring_identity(&self) -> Option<u64> {
        // A page that was never touched has no frame yet.
        self.page.head();
        remote_fd::page_frame(self.page.memory().base())
    }
}

impl<M: Memory> Peek<M> {
    /// Observes pages that have no kernel behind them.
    ///
    /// # Errors
    /// [`Corrupt::Layout`] if the control page places the data outside of the memory.
    #[cfg(feature = "fake")]
    pub fn over(memory: M) -> Result<Self, Corrupt> {
        Ok(Self { page: Page::new(memory)?, event: None })
    }

    /// `data_tail` and `data_head`, as they may have been at one moment, however long the observer was interrupted in
    /// between.
    #[must_use]
    pub fn positions(&self) -> Positions {
        // It is acquired: the kernel had read a `data_tail` that is at most the ring's size behind before it stored
        // this head (`__perf_output_begin`), and whatever is loaded from now on is no older than that.
        let before = self.page.head();
        let tail = self.page.tail();
        if tail.wrapping_sub(before).cast_signed() <= 0 {
            return Positions { tail, head: before };
        }
        // What lies between was read meanwhile, and so it was written before.
        // ATOMICS: pairs with the owner's own release of `data_tail`: it had seen a head that is not behind it.
        fence(Ordering::Acquire);
        let after = self.page.head();
        let sound = after.wrapping_sub(tail).cast_signed() >= 0;
        Positions { tail, head: if sound { tail } else { after } }
    }

    /// Counts the records from position `from`, where one must begin, to position `to`, where `data_head` was: also
    /// those that were given back already, for they stay until the kernel comes round. It stops after `most`.
    ///
    /// This is how somebody who looks now and then tells records a second, which no position shows. `None` if
    /// `data_head` had come further than half the buffer past `from` when the count was done, as what lies there may be
    /// another round's; and of a buffer that is written downward. A count may be wrong where the records that the
    /// kernel writes at one moment take more than half of the buffer: large samples in a small one.
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
        // ATOMICS: keeps the load of `data_head` behind those of the headers. The other side is
        // `kernel/events/ring_buffer.c`: `__perf_output_begin` reserves a record's space, the record is written, and
        // `perf_output_put_handle` moves `data_head` over it, behind smp_wmb(), which pairs with this fence: an
        // observer that sees bytes of a record sees every head that was stored before the smp_wmb() in front of it. So
        // the head is seen late by what is being written, a record and those that interrupted it, and by what was
        // written just before, if the CPU lets stores pass each other. As long as these take no more than half of the
        // buffer, a head that has not come further than the other half tells that none of them reached `from`. A record
        // has at most 64 KiB: in buffers of a few times that, a count may be wrong.
        fence(Ordering::Acquire);
        (self.page.head().wrapping_sub(from) <= size / 2).then_some(tally)
    }

    /// Copies the unread records as they are now.
    #[must_use]
    pub fn snapshot(&self) -> PeekSnapshot {
        let Positions { tail, head } = self.positions();
        let size = self.page.data_size() as u64;
        // It counts down from 0, and no other one ever comes near.
        let backward = head.cast_signed() < 0;
        let mut look =
            PeekSnapshot { head, tail, size, backward, records: Vec::new(), released_meanwhile: 0, corrupt: None };
        if backward {
            return look;
        }
        let ahead = head.wrapping_sub(tail);
        if ahead > size || !ahead.is_multiple_of(8) || !tail.is_multiple_of(8) {
            look.corrupt = Some(Corrupt::Positions { tail, head, data_size: size });
            return look;
        }
        let mut bytes = vec![0; ahead as usize];
        self.page.copy(tail, &mut bytes);
        // ATOMICS: the kernel had read a `data_tail` behind these bytes before it wrote over them
        // (`__perf_output_begin`: only if there is room are they written, a control dependency). Having read any byte
        // that it wrote so, the load behind this fence sees that `data_tail` or a later one, on CPUs whose stores reach
        // all others at once (x86, Armv8, RISC-V).
        fence(Ordering::Acquire);
        let left = self.page.tail();
        walk(&mut look, &bytes, left);
        look
    }
}

/// Takes the records from `bytes`, which begin at the look's tail; those before `left` were given back meanwhile.
fn walk(look: &mut PeekSnapshot, bytes: &[u8], left: u64) {
    let passed = left.wrapping_sub(look.tail).min(bytes.len() as u64);
    look.released_meanwhile = passed;
    // Owners give back whole records, so that a record begins there.
    let (mut position, mut rest) = (look.tail.wrapping_add(passed), bytes.get(passed as usize..).unwrap_or_default());
    while let Some((&[k0, k1, k2, k3, _, _, s0, s1], behind)) = rest.split_first_chunk::<HEADER>() {
        let (kind, size) = (u32::from_ne_bytes([k0, k1, k2, k3]), u16::from_ne_bytes([s0, s1]));
        let body = usize::from(size).checked_sub(HEADER).filter(|body| body.is_multiple_of(8));
        let Some((body, behind)) = body.and_then(|body| behind.split_at_checked(body)) else {
            look.corrupt = Some(Corrupt::Record { at: position, kind, size, left: rest.len() as u64 });
            return;
        };
        let offset = position & look.size.wrapping_sub(1);
        let wraps = offset.wrapping_add(u64::from(size)) > look.size;
        look.records.push(PendingRecord { position, kind, wraps, body: body.to_vec() });
        position = position.wrapping_add(u64::from(size));
        rest = behind;
    }
}

#[cfg(test)]
#[cfg(feature = "fake")]
mod tests;
