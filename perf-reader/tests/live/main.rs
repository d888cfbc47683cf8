//! Tests on the running kernel, with privileges. If privileges are missing, each test is reported as ignored, with the
//! reason.

#![expect(unsafe_code, reason = "bpf(2) without a loader, and privileges dropped in a thread")]
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/live/support/harness.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod harness;
#[path = "../../../tests/live/support/own_mounts.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod own_mounts;

use harness::{Outcome, Suite, open_fds};
use libtest_mimic::{Completion, Failed};

mod bpf;
mod few_cpus;
mod merge;
mod observing;
mod one_cpu;
mod privileges;
mod several_cpus;
mod soak;
mod stream;

use bpf::Sender;

/// Returns the size of `pages` pages, in bytes.
fn bytes(pages: usize) -> u32 {
    (pages * cutaway_sys::memory::page_size()).try_into().unwrap()
}

/// Creates a test with the name of its function, which gets a [`Sender`].
macro_rules! live {
    ($function:ident) => {
        $crate::harness::Test::new(stringify!($function), || $crate::with_sender($function))
    };
}
pub(crate) use live;

/// Runs a test; ignores it, with the reason, if this process may not load BPF programs.
fn with_sender<T: Outcome>(test: fn(&Sender) -> T) -> Result<Completion, Failed> {
    match Sender::new() {
        Ok(sender) => test(&sender).completion(),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Ok(Completion::ignored_with("needs root, or CAP_BPF and CAP_PERFMON"))
        }
        Err(error) => Err(format!("loading the sending program: {error}").into()),
    }
}

/// Raises the limit of locked memory to 256 MiB, if this process may. Before Linux 5.11 maps and programs count against
/// it.
fn lift_memlock() {
    const ENOUGH: u64 = 256 << 20;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is live and writable.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) }, 0);
    if limit.rlim_cur < ENOUGH {
        (limit.rlim_cur, limit.rlim_max) = (ENOUGH, limit.rlim_max.max(ENOUGH));
        // SAFETY: the struct is live. Without privileges it fails, and then the tests are ignored anyway.
        unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
    }
}

/// Returns whether long runs are requested.
fn soak() -> bool {
    std::env::var_os("PERF_READER_SOAK").is_some()
}

fn main() {
    own_mounts::enter(&[("tracefs", "/sys/kernel/tracing")]);
    lift_memlock();
    let before = open_fds();
    let tables = [
        one_cpu::tests(),
        several_cpus::tests(),
        few_cpus::tests(),
        observing::tests(),
        stream::tests(),
        merge::tests(),
        soak::tests(),
        privileges::tests(),
    ];
    Suite::new(tables).run_then(|| assert_eq!(open_fds(), before, "fds leaked"))
}
