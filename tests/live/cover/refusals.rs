//! Usage, files and objects that `cutaway cover` refuses.

use std::fs;

use crate::{
    branches, cover,
    harness::{Test, test},
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(wrong_usage_of_cover_ends_with_status_2),
        test!(broken_lcov_is_refused_with_its_line),
        test!(endless_input_of_a_test_run_is_refused),
        test!(unknown_program_of_a_test_run_is_refused),
        test!(output_that_cannot_be_written_is_refused_before_loading),
        test!(failed_test_run_ends_with_its_reason).needs(ring),
        test!(object_without_programs_that_run_is_refused).needs(root),
    ]
}

fn wrong_usage_of_cover_ends_with_status_2() {
    let object = branches();
    let object = object.to_str().unwrap();
    for words in [
        &[][..],
        &["--merge"],
        &["--merge", object],
        &["--merge", object, "--pid", "1"],
        &["--merge", object, "--duration", "1"],
        &["--merge", object, "--test-run", "filter"],
        &["--merge", object, "--", "true"],
        &[object, "--program", "enter", "--test-run", "filter"],
        &[object, "--interface", "lo", "--test-run", "filter"],
        &[object, "--test-run", "=hex:00"],
        &[object, "--test-run", "filter="],
        &[object, "--format", "xml"],
        &[object, "--duration", "0"],
        &[object, "--built-in", "ring"],
        &[object, "--set", "a=1", "--set", "a=2"],
    ] {
        let ended = cover(words);
        assert_eq!(ended.status.code(), Some(2), "{words:?}: {ended:?}");
        assert_eq!(ended.stdout, "");
    }
}

fn broken_lcov_is_refused_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "TN:\nSF:a.c\nDA:1,x\nend_of_record\n").unwrap();
    let path = file.path().to_str().unwrap();
    let ended = cover(["--merge", path]);
    let why = ended.complaint();
    assert!(why.starts_with(&format!("cannot read `{path}` as lcov: line 3: a count is")), "{why}");
    fs::write(file.path(), [0x7f, b'E', b'L', 0xff]).unwrap();
    assert!(cover(["--merge", path]).complaint().contains("line 1: "));
    let object = cover(["--merge".into(), branches().into_os_string()]);
    assert!(object.stderr.contains("give OBJECT before --merge"), "{object:?}");
    assert!(cover([""; 0]).stderr.contains("--merge"));
    assert!(cover(["--merge", "/nonexistent"]).complaint().contains("ENOENT"));
}

fn endless_input_of_a_test_run_is_refused() {
    let ended = cover([branches().to_str().unwrap(), "--test-run", "filter=/dev/zero"]);
    assert!(ended.complaint().ends_with("no input of a program is"), "{ended:?}");
}

fn unknown_program_of_a_test_run_is_refused() {
    let ended = cover([branches().to_str().unwrap(), "--test-run", "nothing"]);
    assert!(ended.complaint().contains("`nothing`"), "{ended:?}");
}

fn output_that_cannot_be_written_is_refused_before_loading() {
    let ended = cover([branches().to_str().unwrap(), "--output", "/nonexistent/all.info", "--test-run", "filter"]);
    assert!(ended.complaint().starts_with("cannot write coverage to /nonexistent/all.info: ENOENT"), "{ended:?}");
}

fn failed_test_run_ends_with_its_reason() {
    // A raw tracepoint has at most 12 arguments (`bpf_prog_test_run_raw_tp` in `net/bpf/test_run.c`).
    let arguments = format!("enter=hex:{}", "00".repeat(13 * 8));
    let ended = cover([branches().to_str().unwrap(), "--test-run", &arguments]);
    assert!(ended.complaint().contains("EINVAL"), "{ended:?}");
}

fn object_without_programs_that_run_is_refused() {
    let object = branches();
    let ended = cover([object.to_str().unwrap(), "--program", "filter", "--duration", "0.1"]);
    assert!(ended.complaint().contains("--interface NAME"), "{ended:?}");
}
