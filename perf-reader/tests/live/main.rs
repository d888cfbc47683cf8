//! On the live kernel, with privileges. Where they are missing, each test is reported as ignored, with the reason.

#![expect(unsafe_code, reason = "bpf(2) by hand, and privileges taken from a thread")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use libtest_mimic::{Arguments, Completion, Trial};

mod bpf;
mod one_cpu;
mod privileges;
mod several_cpus;

use bpf::Sender;

/// A test of this name; ignored when it runs, with the reason, if this process may not load BPF programs.
fn live(name: &str, test: impl Fn(&Sender) + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match Sender::new() {
        Ok(sender) => {
            test(&sender);
            Ok(Completion::Completed)
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Ok(Completion::ignored_with("needs root, or CAP_BPF and CAP_PERFMON"))
        }
        Err(error) => Err(format!("loading the sending program: {error}").into()),
    })
}

/// Descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn main() {
    let before = descriptors();
    let trials = [one_cpu::trials(), several_cpus::trials(), privileges::trials()];
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect());
    assert_eq!(descriptors(), before, "descriptors leak");
    conclusion.exit();
}
