//! One reader a ring, one producer a user ring: as far as this process goes.
//!
//! A record is lent as a slice because nothing writes there while it is held, and that is so because nobody but its
//! reader moves the consumer position. A second reader of the same map would: it frees what the first one has lent, the
//! kernel writes there, and a `&[u8]` changes under its holder. Two producers of a user ring would even lend the same
//! bytes twice, to be written. So a map is claimed when it is opened and given back when its pages are unmapped, and
//! the second one is refused.
//!
//! Which map an fd stands for, bpf(2) could tell, and /proc where there is one that may be read. The memory itself
//! always can: the page that holds this side's position is user space's to write, and the kernel reads its first word
//! and no other (`struct bpf_ringbuf` in `kernel/bpf/ringbuf.c`). So a word of the page that is not used is written
//! through the new mapping, and a mapping that shows the change is of the same page:
//!
//! ```text
//!    a mapping of long ago ──┐  ┌──────────────────────────────┬───────┐
//!                            ├─▶│ u64 consumer_pos        …    │ probe │  one page of the kernel's
//!    the new mapping ────────┘  └──────────────────────────────┴───────┘
//! ```
#![expect(unsafe_code, reason = "follows the addresses of pages that are mapped more than once")]

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The probes of all pages that are claimed.
static CLAIMED: Mutex<Vec<Probe>> = Mutex::new(Vec::new());

fn claimed() -> MutexGuard<'static, Vec<Probe>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last word of a position page, by one of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe(*mut u64);

// SAFETY: the word behind it is accessed atomically only, by whichever thread.
unsafe impl Send for Probe {}

impl Probe {
    fn word(&self) -> &AtomicU64 {
        // SAFETY: a probe is made by `Claim::new` of the last word of a mapped, writable page, and is forgotten before
        // that is unmapped. Whoever maps the page too, the kernel included, accesses this word atomically or not at
        // all.
        unsafe { AtomicU64::from_ptr(self.0) }
    }

    /// Whether one of `others` is another address of the same word.
    fn is_among(&self, others: &[Self]) -> bool {
        let token = token();
        let before = self.word().load(Ordering::Relaxed);
        let among = loop {
            self.word().store(token, Ordering::SeqCst);
            // ATOMICS: to the compiler these are words that have nothing to do with each other. The fences keep the
            // loads between the store and its confirmation; that they see it, if the page is the same, is the coherence
            // of memory, which knows no addresses but physical ones.
            fence(Ordering::SeqCst);
            let among = others.iter().any(|other| other.word().load(Ordering::SeqCst) == token);
            fence(Ordering::SeqCst);
            // Another process that opens this map at this very moment writes here, too; its token is another one.
            if self.word().load(Ordering::SeqCst) == token {
                break among;
            }
        };
        self.word().store(before, Ordering::SeqCst);
        among
    }
}

/// A number above 0 that no other process takes at this moment. (`std::hash::RandomState` gives such a number, too, and
/// brings two kilobytes of machine code along.)
fn token() -> u64 {
    let mut token = 0_u64;
    let length = size_of::<u64>();
    // SAFETY: the kernel writes at most `length` bytes to `token`, which is as long and may hold any bytes.
    let written = unsafe { libc::getrandom((&raw mut token).cast(), length, libc::GRND_NONBLOCK) };
    if written != length.cast_signed() {
        // A seccomp filter, or a machine that has just started: by process, and by time for those of other namespaces.
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs() << 30 | u64::from(time.subsec_nanos()));
        token = u64::from(std::process::id()).rotate_right(32) ^ time;
    }
    token | 1
}

/// The right to move the position in a page, which this process has once.
#[derive(Debug)]
pub(super) struct Claim(Probe);

impl Claim {
    /// Claims the page of `length` bytes at `page`; `None` if it is claimed.
    ///
    /// # Safety
    /// The page is mapped, shared and writable, at an address that is a multiple of its length, until the claim is
    /// dropped, and its last eight bytes are not used for anything else.
    pub(super) unsafe fn new(page: *mut u8, length: usize) -> Option<Self> {
        let probe = Probe(page.wrapping_add(length.saturating_sub(size_of::<u64>())).cast());
        let mut claimed = claimed();
        if probe.is_among(&claimed) {
            return None;
        }
        claimed.push(probe);
        Some(Self(probe))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        claimed().retain(|probe| *probe != self.0);
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use cutaway_sys::memory::page_size;
    use memmap2::{MmapOptions, MmapRaw};
    use std::fs::File;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::thread;

    /// A page that can be mapped as often as one likes.
    fn page() -> File {
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"page".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: just made, and nobody else's.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.set_len(page_size() as u64).unwrap();
        file
    }

    /// Dropped in this order, as the memories of rings are.
    struct Mapped {
        claim: Option<Claim>,
        page: MmapRaw,
    }

    fn map(file: &File) -> Mapped {
        let page = MmapOptions::new().map_raw(file).unwrap();
        // SAFETY: mapped, shared, writable, dropped after the claim; nobody else uses it.
        let claim = unsafe { Claim::new(page.as_mut_ptr(), page.len()) };
        Mapped { claim, page }
    }

    #[test]
    fn a_page_is_claimed_once_by_whatever_address() {
        let (one, other) = (page(), page());
        let first = map(&one);
        assert!(first.claim.is_some());
        assert!(map(&one).claim.is_none(), "the same page");
        assert!(map(&other).claim.is_some(), "another page");
        assert!(map(&one.try_clone().unwrap()).claim.is_none(), "by another fd");
        drop(first);
        let again = map(&one);
        assert!(again.claim.is_some(), "given back");
        let bytes = again.page.as_ptr();
        // SAFETY: the page is mapped, and nobody writes it now.
        let bytes = unsafe { std::slice::from_raw_parts(bytes, again.page.len()) };
        assert!(bytes.iter().all(|byte| *byte == 0), "left as it was");
    }

    #[test]
    fn of_many_at_once_one_gets_it() {
        for _ in 0..20 {
            let file = page();
            let mappings: Vec<Mapped> = thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| map(&file))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(mappings.iter().filter(|mapped| mapped.claim.is_some()).count(), 1);
        }
    }
}
