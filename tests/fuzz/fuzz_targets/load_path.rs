//! Any bytes as an object file: it is refused, or processed up to the first system call, against the BTF of a small
//! kernel. The address sanitizer checks memory accesses; run it with `-malloc_limit_mb=64 -timeout=10`.
#![no_main]

#[path = "../../../loader/tests/broken/way.rs"]
mod way;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// The section `.BTF` of an object that has the types of a small kernel.
static KERNEL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let object = cutaway::Object::parse(include_bytes!("../../corpus/core/target.o")).expect("an object");
    object.dry_run(&[]).expect("an object without requirements").btf.expect("types")
});

fuzz_target!(|bytes: &[u8]| {
    way::everything(bytes, &KERNEL);
});
