//! Ensures that this process has one reader per ring and one producer per user ring.
//!
//! A record can be lent as a slice because nothing writes its bytes while it is borrowed: only its reader moves the
//! consumer position. A second reader of the same map would move the consumer position, too. It would free records that
//! the first one has lent, the kernel would overwrite them, and a `&[u8]` would change while it is borrowed. Two
//! producers of a user ring would lend the same bytes for writing. So a map is claimed when it is opened. The claim is
//! released when the map's pages are unmapped. A second claim is refused.
//!
//! bpf(2) and `/proc` can show which map an fd refers to, but a process may not be allowed to use them. So this module
//! compares the memory itself. User space may write the page with this side's position, and the kernel reads only the
//! first word of this page (`struct bpf_ringbuf` in `kernel/bpf/ringbuf.c`). The module writes to an unused word of the
//! page through the new mapping. If an earlier mapping shows the change, it is a mapping of the same page:
//!
//! ```text
//!    an earlier mapping    ──┐  ┌──────────────────────────────┬───────┐
//!                            ├─▶│ u64 consumer_pos        …    │ probe │  one page of the kernel
//!    the new mapping ────────┘  └──────────────────────────────┴───────┘
//! ```
#![expect(unsafe_code, reason = "follows the addresses of pages that are mapped more than once")]

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The probes of all claimed pages.
static CLAIMED: Mutex<Vec<Probe>> = Mutex::new(Vec::new());

fn claimed() -> MutexGuard<'static, Vec<Probe>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the addresses of the last word of a position page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe(*mut u64);

// SAFETY: every thread accesses the word behind it only atomically.
unsafe impl Send for Probe {}

impl Probe {
    fn word(&self) -> &AtomicU64 {
        // SAFETY: `Claim::new` makes a probe of the last word of a mapped, writable page, and it is removed before that
        // page is unmapped. All others that map the page, the kernel included, access this word atomically or not at
        // all.
        unsafe { AtomicU64::from_ptr(self.0) }
    }

    /// Returns whether one of `others` is another address of the same word.
    fn is_among(&self, others: &[Self]) -> bool {
        let token = token();
        let before = self.word().load(Ordering::Relaxed);
        let among = loop {
            self.word().store(token, Ordering::SeqCst);
            // ATOMICS: to the compiler these words are unrelated. The fences keep the loads between the store and its
            // confirmation. If the page is the same, the loads see the store, because memory is coherent by physical
            // address.
            fence(Ordering::SeqCst);
            let among = others.iter().any(|other| other.word().load(Ordering::SeqCst) == token);
            fence(Ordering::SeqCst);
            // Another process that opens this map at the same time also writes its token to this word.
            if self.word().load(Ordering::SeqCst) == token {
                break among;
            }
        };
        self.word().store(before, Ordering::SeqCst);
        among
    }
}

/// Returns a number above 0 that no other process uses at the same time. (`std::hash::RandomState` could return such a
/// number, too, but adds two kilobytes of machine code.)
fn token() -> u64 {
    let mut token = 0_u64;
    let length = size_of::<u64>();
    // SAFETY: the kernel writes at most `length` bytes to `token`, which is as long and may hold any bytes.
    let written = unsafe { libc::getrandom((&raw mut token).cast(), length, libc::GRND_NONBLOCK) };
    if written != length.cast_signed() {
        // A seccomp filter refuses getrandom(2), or the machine has just started. The pid distinguishes processes of
        // one pid namespace, and the time distinguishes processes of different pid namespaces.
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs() << 30 | u64::from(time.subsec_nanos()));
        token = u64::from(std::process::id()).rotate_right(32) ^ time;
    }
    token | 1
}

/// The right to move the position in a page. This process has at most one claim of a page.
#[derive(Debug)]
pub(super) struct Claim(Probe);

impl Claim {
    /// Claims the page of `length` bytes at `page`. Returns `None` if the page is claimed already.
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

    /// Returns a page that can be mapped any number of times.
    fn page() -> File {
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"page".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: the kernel has just created this fd for the caller.
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
        // SAFETY: mapped, shared, writable, dropped after the claim; nothing else uses it.
        let claim = unsafe { Claim::new(page.as_mut_ptr(), page.len()) };
        Mapped { claim, page }
    }

    #[test]
    fn page_is_claimed_once_through_any_mapping() {
        let (one, other) = (page(), page());
        let first = map(&one);
        assert!(first.claim.is_some());
        assert!(map(&one).claim.is_none(), "the same page");
        assert!(map(&other).claim.is_some(), "another page");
        assert!(map(&one.try_clone().unwrap()).claim.is_none(), "by another fd");
        drop(first);
        let again = map(&one);
        assert!(again.claim.is_some(), "released");
        let bytes = again.page.as_ptr();
        // SAFETY: the page is mapped, and nothing writes it now.
        let bytes = unsafe { std::slice::from_raw_parts(bytes, again.page.len()) };
        assert!(bytes.iter().all(|byte| *byte == 0), "unchanged");
    }

    #[test]
    fn one_of_several_threads_gets_the_claim() {
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
