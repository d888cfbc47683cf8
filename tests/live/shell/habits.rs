//! Options and pages that all commands share: `help COMMAND`, colors, units of durations and sizes, and the common
//! sections of the manual.

use std::io::Read;

use rustix::termios::{Winsize, tcsetwinsize};

use crate::{
    binary::{self, Running},
    harness::{Test, test},
    printed, pseudo_terminal,
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(help_of_a_command_is_printed),
        test!(colors_are_chosen),
        test!(help_fits_the_terminal),
        test!(durations_and_sizes_have_units).needs(ring),
        test!(wrong_units_are_wrong_usage),
        test!(manual_has_keys_and_environment),
    ]
}

fn help_of_a_command_is_printed() {
    for command in ["trace", "doctor", "completions"] {
        assert_eq!(printed(&["help", command]), printed(&[command, "--help"]), "{command}");
    }
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    let ended = Running::start(&mut binary::command(["help", "frobnicate"])).end();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

fn help_fits_the_terminal() {
    let widest = |text: &str| text.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
    for words in [["trace", "--help"], ["help", "cover"], ["doctor", "-h"], ["run", "--help"]] {
        let usual = printed(&words);
        assert!(widest(&usual) <= 80, "{usual}");
        let plain = |columns| on_terminal_of(&words, Some("1"), columns).replace("\r\n", "\n");
        assert_eq!(plain(80), usual, "{words:?}");
        let (narrow, wide) = (plain(40), plain(200));
        assert!(narrow.lines().count() > usual.lines().count(), "{narrow}");
        // An example may have a longer word, and the line of usage is not wrapped.
        let prose: String = narrow.lines().filter(|line| !line.contains("cutaway ")).collect::<Vec<_>>().join("\n");
        assert!(widest(&prose) <= 60, "{prose}");
        assert!(widest(&wide) <= 120 && (words[1] == "-h" || widest(&wide) > 100), "{wide}");
        let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
        assert_eq!([letters(&narrow), letters(&wide)], [letters(&usual), letters(&usual)], "{words:?}");
    }
}

/// Returns what a terminal gets on stdout and stderr.
fn on_terminal(words: &[&str], no_color: Option<&str>) -> String {
    on_terminal_of(words, no_color, 80)
}

/// Returns what a terminal of this width gets on stdout and stderr.
fn on_terminal_of(words: &[&str], no_color: Option<&str>, columns: u16) -> String {
    let (outer, inner) = pseudo_terminal::open();
    tcsetwinsize(&outer, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let mut command = binary::command(words);
    command.env("TERM", "xterm").env_remove("COLUMNS").stdin(inner()).stdout(inner()).stderr(inner());
    command.envs(no_color.map(|value| ("NO_COLOR", value)));
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut shown = Vec::new();
    let mut part = [0; 4096];
    // EIO once the other end is closed.
    while let Ok(length @ 1..) = (&outer).read(&mut part) {
        shown.extend_from_slice(&part[..length]);
    }
    child.wait().unwrap();
    String::from_utf8(shown).unwrap()
}

fn colors_are_chosen() {
    const DOCTOR: &[&str] = &["doctor", "--for", "vm"];
    const ESCAPE: &str = "\u{1b}[";
    for (words, no_color, colored) in [
        ([].as_slice(), None, true),
        (&[], Some("1"), false),
        (&[], Some(""), true),
        (&["--color=never"], None, false),
        (&["--color", "always"], Some("1"), true),
    ] {
        let shown = on_terminal(&[DOCTOR, words].concat(), no_color);
        assert!(shown.contains("QEMU"), "{shown}");
        assert_eq!(shown.contains(ESCAPE), colored, "{words:?} {no_color:?}: {shown:?}");
    }
    for (words, colored) in [(["--color=auto"], false), (["--color=always"], true)] {
        let ended = Running::start(&mut binary::command([DOCTOR, &words].concat())).end();
        assert_eq!(ended.stdout.contains(ESCAPE), colored, "{ended:?}");
        let help = Running::start(&mut binary::command([&words, ["--help"].as_slice()].concat())).end();
        assert_eq!(help.stdout.contains(ESCAPE), colored, "{help:?}");
    }
    let ended = Running::start(&mut binary::command(["doctor", "--color", "blue"])).end();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

/// The kernel's size of a ring is rounded up to a power of two.
fn durations_and_sizes_have_units() {
    let words = ["run", "--built-in", "ring", "-d", "100ms", "-b", "100K", "--format", "json", "--explain=json"];
    let ended = Running::start(&mut binary::command(words)).end();
    assert!(ended.status.success(), "{ended:?}");
    let rings: Vec<_> = ended.stderr.lines().filter(|line| line.contains("RINGBUF")).collect();
    assert!(rings.iter().any(|line| line.contains("131072")), "{rings:?}");
    let words = ["run", "--built-in", "ring", "--duration", "0.4s", "--maps", "-i", "100ms", "--format", "json"];
    let ended = Running::start(&mut binary::command(words)).end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.matches("\"maps_at\"").count() >= 2, "{ended:?}");
}

fn wrong_units_are_wrong_usage() {
    for words in [
        ["run", "--built-in", "ring", "--duration", "5x"],
        ["run", "--built-in", "ring", "--buffer", "64Q"],
        ["cover", "--built-in", "ring", "--duration", "0s"],
    ] {
        let ended = Running::start(&mut binary::command(words)).end();
        assert_eq!(ended.status.code(), Some(2), "{words:?}: {ended:?}");
        assert!(ended.stderr.contains("with a unit") || ended.stderr.contains("optional suffix"), "{ended:?}");
    }
}

fn manual_has_keys_and_environment() {
    let page = printed(&["man", "peek"]);
    assert!(page.contains(".SH KEYS\n") && page.contains("PgUp"), "{page}");
    assert!(!printed(&["man", "trace"]).contains(".SH KEYS"));
    for page in [page, printed(&["man"]), printed(&["man", "inspect"])] {
        let (_, environment) = page.split_once(".SH ENVIRONMENT\n").unwrap();
        for variable in ["RUST_LOG", "NO_COLOR", "COLUMNS"] {
            assert!(environment.contains(&format!(".TP\n{variable}\n")), "{environment}");
        }
    }
}
