//! Runs the fuzz target `perf_pages` on generated inputs, without libFuzzer. It has no corpus yet.

#![expect(unsafe_code, reason = "the cases act as the kernel")]

#[path = "../../tests/fuzz/cases/perf_pages.rs"]
mod perf_pages;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes hours")]
    fn perf_pages_of_any_content_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 500..2_000)) {
        // Inputs of this length always decode to a case.
        prop_assert!(perf_pages::replay(&bytes));
    }
}
