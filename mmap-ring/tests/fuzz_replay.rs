//! Replays the corpus of the fuzz target `ring_pages`, without libFuzzer.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../tests/fuzz/cases/ring_pages.rs"]
mod ring_pages;

use std::fs;
use std::path::Path;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus");

/// Nearly all files of the corpus must decode to cases; otherwise this decoding no longer matches the fuzz target's.
#[test]
#[cfg_attr(miri, ignore = "reads a directory, and takes hours")]
fn ring_pages_corpus_is_read_to_its_end() {
    let (mut files, mut cases) = (0, 0);
    for entry in fs::read_dir(Path::new(CORPUS).join("ring_pages")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        cases += u32::from(ring_pages::replay(&bytes));
    }
    assert!(files > 400 && cases * 10 > files * 9, "{cases} cases in {files} files");
}

#[test]
fn every_corpus_is_replayed() {
    for entry in fs::read_dir(CORPUS).unwrap() {
        let name = entry.unwrap().file_name();
        assert_eq!(name, "ring_pages", "a corpus that no test replays");
    }
}
