//! Any bytes for an object file that aya-obj reads: they are refused, or come as far as the
//! first system call, against the types of a small kernel. libFuzzer ends at every panic, also
//! at one that is caught, so its hook is replaced: a panic of aya-obj becomes an error.
#![no_main]

#[path = "../../../loader/tests/readers/way.rs"]
mod way;

use std::{panic, process, sync::LazyLock};

use cutaway::ObjectReader;
use libfuzzer_sys::fuzz_target;

/// The section `.BTF` of an object that has the types of a small kernel.
static KERNEL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // Here, since libFuzzer has set its own hook by now.
    panic::set_hook(Box::new(|panic| {
        if !ObjectReader::is_catching_panics() {
            eprintln!("{panic}");
            process::abort();
        }
    }));
    let object = cutaway::Object::parse(include_bytes!("../../corpus/core/target.o")).expect("an object");
    object.dry_run(&[]).expect("an object that wants nothing").btf.expect("types")
});

fuzz_target!(|bytes: &[u8]| {
    way::is_read(bytes, &KERNEL);
});
