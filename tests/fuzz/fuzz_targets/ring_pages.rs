//! See `cases/ring_pages.rs`.
#![no_main]

#[path = "../cases/ring_pages.rs"]
mod ring_pages;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    ring_pages::replay(bytes);
});
