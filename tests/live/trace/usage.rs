//! Wrong usage exits with status 2 and prints the usage on stderr; a request for help exits with 0.

use crate::{
    binary::{Running, command},
    harness::{Test, test},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(wrong_usage_ends_with_status_2),
        test!(command_without_dashes_gets_a_hint),
        test!(help_and_version_go_to_stdout),
    ]
}

fn wrong_usage_ends_with_status_2() {
    for (words, blamed) in [
        ("", "Usage"),
        ("frobnicate", "frobnicate"),
        ("trace --frobnicate", "--frobnicate"),
        ("trace --transport pigeon", "pigeon"),
        ("trace --format xml", "xml"),
        ("trace --pid 0", "0"),
        ("trace --pid -1", "-1"),
        ("trace --pid self", "self"),
        ("trace --pid 99999999999", "99999999999"),
        ("trace --pid 1 -- true", "--pid"),
        ("trace --count 0", "0"),
        ("trace --count many", "many"),
        ("trace --duration 0", "0"),
        ("trace --duration -1", "-1"),
        ("trace --duration 1x", "1x"),
        ("trace -d 5q", "5q"),
        ("trace --min-latency 0", "0"),
        ("trace --min-latency ms", "ms"),
        ("trace --uid no-such-user", "no-such-user"),
        ("trace --uid -1", "-1"),
        ("trace --host=", "empty"),
        ("trace --children", "--pid"),
        ("trace --interval 1", "--summary"),
        ("trace --summary --interval 0", "0"),
        ("trace --summary=never", "never"),
        ("trace --pid 1,0", "0"),
        ("trace -p 1 -- true", "--pid"),
        ("trace --buffer 64Q", "64Q"),
        ("trace -b 2G", "2G"),
        ("trace --duration nan", "nan"),
        ("trace --buffer 0", "0"),
        ("trace --buffer 99999999999", "99999999999"),
        ("trace --library", "--library"),
        ("trace true", "true"),
        ("doctor now", "now"),
    ] {
        let ended = Running::start(&mut command(words.split_whitespace())).end();
        assert_eq!(ended.status.code(), Some(2), "{words}: {ended:?}");
        assert!(ended.stderr.contains(blamed), "{words}: {ended:?}");
        assert_eq!(ended.stdout, "", "{words}");
    }
}

fn command_without_dashes_gets_a_hint() {
    for (words, hint) in [
        ("trace getent ahosts localhost", Some("put -- before the command: cutaway trace -- getent …\n")),
        ("--explain trace --count 1 true", Some("put -- before the command: cutaway trace -- true\n")),
        ("run program.o getent ahosts", Some("put -- before the command: cutaway run OBJECT -- getent …\n")),
        ("run --built-in ring getent ahosts", Some("cutaway run --built-in TRANSPORT -- COMMAND\n")),
        ("run --built-in ring true", Some("put -- before it: cutaway run --built-in TRANSPORT -- COMMAND\n")),
        ("run program.o --built-in ring -- true", None),
        ("trace --frobnicate", None),
        ("doctor now", None),
    ] {
        let ended = Running::start(&mut command(words.split_whitespace())).end();
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{words}: {ended:?}");
        match hint {
            Some(hint) => assert!(ended.stderr.contains(hint), "{words}: {ended:?}"),
            None => assert!(!ended.stderr.contains("before"), "{words}: {ended:?}"),
        }
    }
}

fn help_and_version_go_to_stdout() {
    for (words, part) in [("--help", "trace"), ("trace --help", "--transport"), ("--version", "cutaway ")] {
        let ended = Running::start(&mut command(words.split_whitespace())).end();
        assert!(ended.status.success(), "{words}: {ended:?}");
        assert!(ended.stdout.contains(part), "{words}: {ended:?}");
        assert_eq!(ended.stderr, "", "{words}");
    }
}
