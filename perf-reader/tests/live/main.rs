//! On the live kernel, with privileges. Where they are missing, each test is reported as ignored, with the reason.

#![expect(unsafe_code, reason = "bpf(2) by hand, and privileges taken from a thread")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../tests/live/support/own_mounts.rs"]
#[expect(dead_code, reason = "others mount more")]
mod own_mounts;

use libtest_mimic::{Arguments, Completion, Trial};

mod bpf;
mod few_cpus;
mod looking;
mod merge;
mod one_cpu;
mod privileges;
mod several_cpus;
mod soak;
mod stream;

use bpf::Sender;

/// Bytes of so many pages, on any machine.
fn bytes(pages: usize) -> u32 {
    (pages * cutaway_sys::memory::page_size()).try_into().unwrap()
}

/// A test of this name; ignored when it runs, with the reason, if this process may not load BPF programs.
fn live(name: &str, test: impl Fn(&Sender) + Send + 'static) -> Trial {
    ignorable(name, move |sender| {
        test(sender);
        Completion::Completed
    })
}

/// The same, which may find more reasons to be ignored.
fn ignorable(name: &str, test: impl Fn(&Sender) -> Completion + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match Sender::new() {
        Ok(sender) => Ok(test(&sender)),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Ok(Completion::ignored_with("needs root, or CAP_BPF and CAP_PERFMON"))
        }
        Err(error) => Err(format!("loading the sending program: {error}").into()),
    })
}

/// Before Linux 5.11 maps and programs count as locked memory: lets this process lock 256 MiB, where it may say so.
fn lift_memlock() {
    const ENOUGH: u64 = 256 << 20;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is live and writable.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) }, 0);
    if limit.rlim_cur < ENOUGH {
        (limit.rlim_cur, limit.rlim_max) = (ENOUGH, limit.rlim_max.max(ENOUGH));
        // SAFETY: the struct is live. Without privileges it fails, and the tests are ignored for want of them anyway.
        unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
    }
}

/// Whether long runs are asked for.
fn soak() -> bool {
    std::env::var_os("PERF_READER_SOAK").is_some()
}

/// Descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn main() {
    own_mounts::enter(&[("tracefs", "/sys/kernel/tracing")]);
    lift_memlock();
    let before = descriptors();
    let trials = [
        one_cpu::trials(),
        several_cpus::trials(),
        few_cpus::trials(),
        looking::trials(),
        stream::trials(),
        merge::trials(),
        soak::trials(),
        privileges::trials(),
    ];
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect());
    assert_eq!(descriptors(), before, "descriptors leak");
    conclusion.exit();
}
