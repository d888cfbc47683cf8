//! Objects of every kind that compilers make, on the running kernel: each loads, attaches and delivers, or is refused with the
//! sentence that is expected, or is ignored here by the name of what the kernel lacks.
//!
//! The objects are those of `tests/corpus/kinds`, beside their sources.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod code;
mod maps;
mod resolver;
mod sections;

#[path = "../attach/lacks.rs"]
#[expect(dead_code, reason = "these tests need other things")]
mod lacks;
#[path = "../support/own_mounts.rs"]
mod own_mounts;
#[path = "../support/requirements.rs"]
#[expect(dead_code, reason = "these tests need other things")]
mod requirements;

use cutaway::{Loaded, Object};
use libtest_mimic::{Arguments, Completion, Trial};
use requirements::Needs;

/// The bytes of an object.
macro_rules! object {
    ($name:literal) => {
        include_bytes!(concat!("../../corpus/kinds/", $name, ".o")).as_slice()
    };
}
pub(crate) use object;

/// A test, ignored if something is lacking.
pub(crate) fn trial(
    name: impl Into<String>,
    lacks: fn() -> Option<String>,
    run: impl FnOnce() + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match Needs::Root.obstacle().or_else(lacks) {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            run();
            Ok(Completion::Completed)
        }
    })
}

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let tests = [sections::tests(), maps::tests(), code::tests(), resolver::tests()];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect()).exit();
}

pub(crate) fn parse(bytes: &[u8]) -> Object {
    Object::parse(bytes).unwrap()
}

/// The object loaded; a refusal fails the test, with the verifier's log.
pub(crate) fn load(object: Object) -> Loaded {
    object.load().unwrap_or_else(|error| panic!("{error}\n{}", error.verifier_log().unwrap_or_default()))
}

/// What a global variable of eight bytes in `.bss` holds.
pub(crate) fn counter(loaded: &Loaded) -> u64 {
    let value = loaded.map(".bss").unwrap().lookup(&0_u32.to_ne_bytes()).unwrap().unwrap();
    u64::from_ne_bytes(*value.first_chunk().unwrap())
}

/// A system call that nobody makes by accident.
pub(crate) fn system_call() {
    let _ = rustix::process::getpgid(None);
}
