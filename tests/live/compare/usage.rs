//! Wrong usage exits with status 2, and `--quiet` shows no progress.

use std::{io::Read, process::Stdio};

use crate::{
    binary::{Running, command},
    harness::{Test, test},
    pseudo_terminal,
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![test!(wrong_usage_ends_with_status_2), test!(quiet_comparison_shows_no_progress).needs(ring)]
}

/// Returns what a terminal gets on stderr.
fn progress(words: &[&str]) -> String {
    let (mut outer, inner) = pseudo_terminal::open();
    let mut command = command([&["compare", "--quick", "--only", "stack-limit"], words].concat());
    let mut child =
        command.env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::null()).stderr(inner()).spawn().unwrap();
    drop(command);
    let mut shown = Vec::new();
    // EIO once no process has the inner end open.
    let _ = outer.read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap()
}

fn quiet_comparison_shows_no_progress() {
    let usual = progress(&[]);
    assert!(usual.contains("stack-limit") && usual.contains('%'), "{usual:?}");
    assert_eq!(progress(&["-q"]), "");
}

fn wrong_usage_ends_with_status_2() {
    for (words, blamed) in [
        ("compare --only", "--only"),
        ("compare --only everything", "everything"),
        ("compare --format xml", "xml"),
        ("compare --report", "--report"),
        ("compare --quick=much", "--quick"),
        ("compare copies", "copies"),
    ] {
        let ended = Running::start(&mut command(words.split_whitespace())).end();
        assert_eq!(ended.status.code(), Some(2), "{words}: {ended:?}");
        assert!(ended.stderr.contains(blamed), "{words}: {ended:?}");
        assert_eq!(ended.stdout, "", "{words}");
    }
}
