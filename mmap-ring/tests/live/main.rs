//! The reader on rings of the running kernel.
//!
//! Needs the right to make BPF maps and load programs, and [`kernel::Producer`] needs Linux 5.10. Where either is missing,
//! tests are listed as ignored with the reason.
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

#[path = "../../../tests/live/support/own_mounts.rs"]
#[expect(dead_code, reason = "others mount more")]
mod own_mounts;

use std::sync::mpsc;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use kernel::{Producer, create_ring};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mmap_ring::Ring;

const PAGE: u32 = 4096;
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

type Outcome = Result<(), Failed>;

/// A test, and the kernel that it needs.
struct Test {
    name: &'static str,
    since: (u32, u32),
    what: &'static str,
    /// How many CPUs; more than one must be real, as it is for measuring what they do.
    cpus: usize,
    run: fn() -> Outcome,
}

/// One that needs what they all do.
fn test(name: &'static str, run: fn() -> Outcome) -> Test {
    Test { name, since: (5, 10), what: "raw tracepoints that are run on request", cpus: 1, run }
}

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let arguments = Arguments::from_args();
    kernel::lift_memlock();
    let rooms = [
        forged::tests,
        mappings::tests,
        records::tests,
        waking::tests,
        pinned::tests,
        room::tests,
        user_ring::tests,
        overwriting::tests,
    ];
    let trials = rooms.into_iter().flat_map(|room| room()).map(|test| {
        Trial::ignorable_test(test.name, move || match obstacle(&test) {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => (test.run)().map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&arguments, trials.chain([soak::trial()]).collect()).exit();
}

/// Why a test cannot run here. A kernel that is new enough and refuses is for the test to fail with.
fn obstacle(test: &Test) -> Option<String> {
    let (major, minor) = test.since;
    if kernel::version() < test.since {
        return Some(format!("needs {major}.{minor}: {}", test.what));
    }
    if thread::available_parallelism().map_or(1, usize::from) < test.cpus {
        return Some(format!("needs {} CPUs", test.cpus));
    }
    let emulated = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|cpus| cpus.contains("QEMU TCG"));
    if emulated && test.cpus > 1 {
        return Some("needs real CPUs: emulated ones seem to work when they wait".to_owned());
    }
    let refused = create_ring(PAGE).err()?.raw_os_error() == Some(libc::EPERM);
    refused.then(|| "needs root, or CAP_BPF and CAP_PERFMON".to_owned())
}

/// A ring of the kernel's, its reader and its producer.
fn ring(bytes: u32) -> (Ring, Producer) {
    let map = create_ring(bytes).expect("making a ring");
    let producer = Producer::new(&map);
    (Ring::open(map, bytes).expect("opening it"), producer)
}

/// Starts something that waits, and returns when it sleeps in epoll_wait(2), or has ended: on a machine that stands still now and
/// then, no length of time says so.
fn asleep<'s, T: Send + 's>(scope: &'s Scope<'s, '_>, wait: impl FnOnce() -> T + Send + 's) -> ScopedJoinHandle<'s, T> {
    let (tell, told) = mpsc::channel();
    let sleeper = scope.spawn(move || {
        tell.send(this_thread()).expect("the test is still there");
        wait()
    });
    let thread = told.recv().expect("a thread that runs");
    // The number of the system call that the thread is blocked in, and its arguments; "running" otherwise.
    let blocked = format!("/proc/self/task/{thread}/syscall");
    let began = Instant::now();
    while !sleeper.is_finished() && began.elapsed() < LONG {
        let call = std::fs::read_to_string(&blocked).unwrap_or_default();
        let number: Option<i64> = call.split(' ').next().and_then(|number| number.parse().ok());
        if [libc::SYS_epoll_wait, libc::SYS_epoll_pwait].map(Some).contains(&number) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    sleeper
}

/// The kernel's number of the calling thread.
#[expect(unsafe_code, reason = "a system call without a wrapper here")]
fn this_thread() -> i32 {
    // SAFETY: takes no memory.
    unsafe { libc::gettid() }
}

/// The numbers that all waiting records start with.
fn numbers(ring: &mut Ring) -> Vec<u64> {
    let mut batch = ring.batch().expect("a sound ring");
    batch.records().map(number).collect()
}

fn number(record: &[u8]) -> u64 {
    u64::from_ne_bytes(record[..8].try_into().expect("eight bytes"))
}
