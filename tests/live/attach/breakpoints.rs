//! Hardware breakpoints.

use std::sync::atomic::{AtomicU64, Ordering};

use cutaway::{Breakpoint, LinkTarget, PerfEvent};

use crate::{
    harness::{Test, test},
    sample::{self, runs},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(write_to_an_address_runs_the_program),
        test!(execution_of_an_address_runs_the_program),
        test!(breakpoint_that_the_cpu_cannot_watch_is_refused),
    ]
}

/// Returns the id of this thread, which runs the test.
fn own() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()
}

static WATCHED: AtomicU64 = AtomicU64::new(0);

fn write() {
    // ATOMICS: only one thread accesses it.
    WATCHED.store(1, Ordering::Relaxed);
}

fn read() -> u64 {
    // ATOMICS: as in `write`.
    WATCHED.load(Ordering::Relaxed)
}

/// Returns the reason if this machine's CPU has no debug registers, e.g. a virtual one.
fn unavailable(answer: &Result<cutaway::Link, cutaway::Error>) -> Option<String> {
    let error = answer.as_ref().err()?;
    let errno = error.errno()?.raw();
    // x86-64 and aarch64 have debug registers; ENODEV and EOPNOTSUPP mean that they cannot be used here.
    matches!(errno, libc::ENODEV | libc::EOPNOTSUPP).then(|| format!("no debug register can be used here: {error}"))
}

fn write_to_an_address_runs_the_program() -> Option<String> {
    let loaded = sample::load("perf_event");
    let watched = &raw const WATCHED as u64;
    let answer =
        PerfEvent::breakpoint(Breakpoint::write(watched, 8)).pid(own()).attach(loaded.program("count").unwrap());
    if let Some(reason) = unavailable(&answer) {
        return Some(reason);
    }
    let link = answer.unwrap();
    write();
    assert_eq!(runs(&loaded), 1);
    read();
    assert_eq!(runs(&loaded), 1, "reads are not watched");
    if let Ok(info) = link.info()
        && let LinkTarget::PerfEvent { event_type, .. } = info.target
    {
        assert_eq!(event_type, 5, "PERF_TYPE_BREAKPOINT");
    }
    drop(link);
    write();
    assert_eq!(runs(&loaded), 1);
    let both = PerfEvent::breakpoint(Breakpoint::read_write(watched, 8)).pid(own());
    let link = both.attach(loaded.program("count").unwrap()).unwrap();
    write();
    read();
    assert_eq!(runs(&loaded), 3);
    drop(link);
    // For all processes, on each CPU.
    let link = PerfEvent::breakpoint(Breakpoint::write(watched, 8)).attach(loaded.program("count").unwrap()).unwrap();
    assert!(!link.parts().is_empty());
    write();
    assert_eq!(runs(&loaded), 4);
    drop(link);
    None
}

#[inline(never)]
extern "C" fn called(number: u64) -> u64 {
    std::hint::black_box(number)
}

fn execution_of_an_address_runs_the_program() -> Option<String> {
    let loaded = sample::load("perf_event");
    let address = called as extern "C" fn(u64) -> u64 as usize as u64;
    let answer =
        PerfEvent::breakpoint(Breakpoint::execute(address)).pid(own()).attach(loaded.program("count").unwrap());
    if let Some(reason) = unavailable(&answer) {
        return Some(reason);
    }
    let link = answer.unwrap();
    assert_eq!(std::hint::black_box(called as extern "C" fn(u64) -> u64)(3), 3);
    assert_eq!(runs(&loaded), 1);
    drop(link);
    None
}

fn breakpoint_that_the_cpu_cannot_watch_is_refused() {
    let loaded = sample::load("perf_event");
    let watched = &raw const WATCHED as u64;
    // Only x86 takes no length between its powers of two.
    let odd = cfg!(target_arch = "x86_64").then(|| Breakpoint::write(watched, 3));
    let others = [Breakpoint::write(watched + 1, 8), Breakpoint::write(watched, 64)];
    for breakpoint in odd.into_iter().chain(others) {
        let line = PerfEvent::breakpoint(breakpoint).pid(own()).attach(loaded.program("count").unwrap());
        let line = line.unwrap_err().to_string();
        assert!(line.contains(&format!("open {breakpoint}: E")), "{line}");
        assert!(line.contains("at a multiple of the length"), "{line}");
    }
}
