//! Any bytes as an object file that aya-obj reads. The file is refused, or linked against the
//! types of a small kernel; no system call is made. libFuzzer ends at every panic, even one
//! that is caught, so its hook is replaced: a panic of aya-obj becomes an error.
#![no_main]

#[path = "../../../loader/tests/readers/way.rs"]
mod way;

use std::{panic, process, sync::LazyLock};

use cutaway::ObjectReader;
use libfuzzer_sys::fuzz_target;

/// The section `.BTF` of an object that has the types of a small kernel.
static KERNEL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // Set here, because libFuzzer has set its own hook before it runs the target.
    panic::set_hook(Box::new(|panic| {
        if !ObjectReader::is_catching_panics() {
            eprintln!("{panic}");
            process::abort();
        }
    }));
    let object = cutaway::Object::parse(include_bytes!("../../corpus/core/target.o")).expect("an object");
    object.dry_run(&[]).expect("an object that needs nothing of the kernel").btf.expect("types")
});

fuzz_target!(|bytes: &[u8]| {
    way::is_read(bytes, &KERNEL);
});
