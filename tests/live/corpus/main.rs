//! Objects of every kind that compilers make, on the running kernel: each loads, attaches and sends records, or is
//! refused with the expected message. The reason to ignore a test names the feature that the kernel lacks.
//!
//! The objects are those of `tests/corpus/kinds`, beside their sources.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod code;
#[cfg(feature = "instrument")]
#[path = "instrumented.rs"]
mod instrumented_objects;
mod maps;
mod resolver;
mod sections;
#[cfg(all(feature = "instrument", feature = "parallel"))]
mod threads;

#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[cfg(feature = "instrument")]
#[path = "../support/instrumented.rs"]
mod instrumented;
#[path = "../support/own_mounts.rs"]
mod own_mounts;
#[path = "../support/requirements.rs"]
#[expect(dead_code, reason = "these tests have other requirements")]
mod requirements;
#[path = "../support/unsupported.rs"]
#[expect(dead_code, reason = "these tests have other requirements")]
mod unsupported;

use cutaway::{Loaded, Object};
use harness::{Suite, older_than};

/// Returns the bytes of an object.
macro_rules! object {
    ($name:literal) => {
        include_bytes!(concat!("../../corpus/kinds/", $name, ".o")).as_slice()
    };
}
pub(crate) use object;

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let tables = [
        sections::tests(),
        maps::tests(),
        code::tests(),
        resolver::tests(),
        #[cfg(feature = "instrument")]
        instrumented_objects::tests(),
        #[cfg(all(feature = "instrument", feature = "parallel"))]
        threads::tests(),
    ];
    Suite::new(tables).all_need(requirements::root).run()
}

/// Returns the reason why rings are not supported.
pub(crate) fn ring() -> Option<String> {
    older_than(5, 8, "the ring buffer")
}

pub(crate) fn parse(bytes: &[u8]) -> Object {
    Object::parse(bytes).unwrap()
}

/// Loads the object. A refusal fails the test with the verifier's log.
pub(crate) fn load(object: Object) -> Loaded {
    object.load().unwrap_or_else(|error| panic!("{error}\n{}", error.verifier_log().unwrap_or_default()))
}

/// Returns the value of a global variable of eight bytes in `.bss`.
pub(crate) fn counter(loaded: &Loaded) -> u64 {
    let value = loaded.map(".bss").unwrap().lookup(&0_u32.to_ne_bytes()).unwrap().unwrap();
    u64::from_ne_bytes(*value.first_chunk().unwrap())
}

/// Makes a system call that no other code of the test makes.
pub(crate) fn system_call() {
    let _ = rustix::process::getpgid(None);
}
