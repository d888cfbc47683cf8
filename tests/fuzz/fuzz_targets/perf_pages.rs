//! See `cases/perf_pages.rs`.
#![no_main]

#[path = "../cases/perf_pages.rs"]
mod perf_pages;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    perf_pages::replay(bytes);
});
