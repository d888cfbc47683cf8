//! Tests the reader on rings of the running kernel.
//!
//! Needs the right to create BPF maps and load programs; [`kernel::Producer`] needs Linux 5.10. If either is missing,
//! tests are listed as ignored, with the reason.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod forged;
mod kernel;
mod mappings;
mod noise;
mod overwriting;
mod pinned;
mod records;
mod room;
mod soak;
mod user_ring;
mod waking;

#[path = "../../../tests/live/support/harness.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod harness;
#[path = "../../../tests/live/support/own_mounts.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod own_mounts;
#[path = "../../../tests/live/support/repetitions.rs"]
mod repetitions;

use std::sync::mpsc;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use harness::Suite;
use kernel::{Producer, create_ring};
use libtest_mimic::Failed;
use mmap_ring::Ring;

/// The system calls behind epoll_wait(3). Newer architectures have the second one only.
const SLEEPS: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
];

const PAGE: u32 = 4096;
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

type Outcome = Result<(), Failed>;

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    kernel::lift_memlock();
    let tables = [
        forged::tests(),
        mappings::tests(),
        records::tests(),
        waking::tests(),
        pinned::tests(),
        room::tests(),
        user_ring::tests(),
        overwriting::tests(),
        soak::tests(),
    ];
    // Checked after a test's own requirements, so that the reason names the newest feature that the test needs.
    let tables = tables.map(|tests| {
        let tests = tests.into_iter();
        tests.map(|test| test.since(5, 10, "raw tracepoints that are run on request").needs(privileges)).collect()
    });
    Suite::new(tables).run()
}

/// Returns why maps cannot be created here. If creation fails for another reason, the test itself fails.
fn privileges() -> Option<String> {
    let refused = create_ring(PAGE).err()?.raw_os_error() == Some(libc::EPERM);
    refused.then(|| "needs root, or CAP_BPF and CAP_PERFMON".to_owned())
}

/// Returns why two threads cannot run at the same time here.
fn two_cpus() -> Option<String> {
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Some("needs 2 CPUs".to_owned());
    }
    let emulated = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|cpus| cpus.contains("QEMU TCG"));
    emulated.then(|| "needs real CPUs: emulated ones seem busy while they wait".to_owned())
}

/// Creates a ring in the kernel. Returns its reader and its producer.
fn ring(bytes: u32) -> (Ring, Producer) {
    let map = create_ring(bytes).expect("making a ring");
    let producer = Producer::new(&map);
    (Ring::open(map, bytes).expect("opening it"), producer)
}

/// Runs `wait` on a new thread. Returns when that thread sleeps in epoll_wait(2) or has ended. No delay of fixed length
/// ensures this on a machine that stalls now and then.
fn asleep<'s, T: Send + 's>(scope: &'s Scope<'s, '_>, wait: impl FnOnce() -> T + Send + 's) -> ScopedJoinHandle<'s, T> {
    let (sender, receiver) = mpsc::channel();
    let sleeper = scope.spawn(move || {
        sender.send(this_thread()).expect("the test still waits");
        wait()
    });
    let thread = receiver.recv().expect("a thread that runs");
    // The file holds the number of the system call that the thread is blocked in and its arguments, otherwise
    // "running".
    let blocked = format!("/proc/self/task/{thread}/syscall");
    let began = Instant::now();
    while !sleeper.is_finished() && began.elapsed() < LONG {
        let call = std::fs::read_to_string(&blocked).unwrap_or_default();
        let number: Option<i64> = call.split(' ').next().and_then(|number| number.parse().ok());
        if number.is_some_and(|number| SLEEPS.contains(&number)) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    sleeper
}

/// Returns the thread id of the caller.
#[expect(unsafe_code, reason = "a system call without a wrapper here")]
fn this_thread() -> i32 {
    // SAFETY: takes no memory.
    unsafe { libc::gettid() }
}

/// Reads all committed records. Returns the numbers that they start with.
fn numbers(ring: &mut Ring) -> Vec<u64> {
    let mut batch = ring.batch().expect("a sound ring");
    batch.records().map(number).collect()
}

fn number(record: &[u8]) -> u64 {
    u64::from_ne_bytes(record[..8].try_into().expect("eight bytes"))
}
