//! Objects of every kind that compilers make, on the running kernel: each loads, attaches and sends records, or is
//! refused with the expected message. A test is ignored with the name of what the kernel does not support.
//!
//! The objects are those of `tests/corpus/kinds`, beside their sources.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod code;
mod maps;
mod resolver;
mod sections;

#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "others use more of it")]
mod harness;
#[path = "../support/own_mounts.rs"]
mod own_mounts;
#[path = "../support/requirements.rs"]
#[expect(dead_code, reason = "these tests need other things")]
mod requirements;
#[path = "../support/unsupported.rs"]
#[expect(dead_code, reason = "these tests need other things")]
mod unsupported;

use cutaway::{Loaded, Object};
use harness::{Suite, older_than};

/// The bytes of an object.
macro_rules! object {
    ($name:literal) => {
        include_bytes!(concat!("../../corpus/kinds/", $name, ".o")).as_slice()
    };
}
pub(crate) use object;

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let tables = [sections::tests(), maps::tests(), code::tests(), resolver::tests()];
    Suite::new(tables).all_need(requirements::root).run()
}

/// Returns why rings are not supported.
pub(crate) fn ring() -> Option<String> {
    older_than(5, 8, "the ring buffer")
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
