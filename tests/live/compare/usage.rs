//! Wrong usage exits with status 2.

use crate::{
    binary::{Running, command},
    harness::{Test, test},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![test!(wrong_usage_ends_with_status_2)]
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
