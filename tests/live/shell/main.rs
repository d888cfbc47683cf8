//! The command's completion scripts and man pages, and the options that all commands share. Each script is tested with
//! the program that it is for; without that program the test is ignored.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod binary;
mod completion;
mod habits;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
mod keyboard;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/pseudo_terminal.rs"]
mod pseudo_terminal;
#[path = "../support/requirements.rs"]
mod requirements;
#[path = "../support/stalled.rs"]
mod stalled;

use std::{
    fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use binary::Running;
use harness::{Suite, test};
use rustix::process::Signal;
use tempfile::TempDir;

fn main() {
    let tests = vec![
        test!(pages_render_without_a_warning_by_groff).needs(|| missing("groff")),
        test!(pages_render_without_an_error_by_mandoc).needs(|| missing("mandoc")),
        test!(every_page_is_found_by_man).needs(|| missing("man")),
        test!(missing_page_is_an_error),
        test!(failed_write_is_an_error_of_help_too),
        test!(first_signal_ends_commands_that_attach_nothing),
        test!(typed_control_characters_are_escaped),
        test!(pages_replace_older_ones_and_follow_no_link),
        test!(module_is_printed_and_written),
        test!(object_is_not_replaced_by_its_module),
        test!(objects_without_a_module_are_refused),
    ];
    Suite::new([tests, completion::tests(), habits::tests()]).run()
}

fn missing_page_is_an_error() {
    let ended = Running::start(&mut binary::command(["man", "frobnicate"])).end();
    assert!(ended.complaint().contains("trace, "), "{ended:?}");
}

fn failed_write_is_an_error_of_help_too() {
    for words in [["peek", "--help"].as_slice(), &["--version"], &["man"], &["completions", "bash"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = Running::start_without_stdout(binary::command(words).stdout(full)).end();
        assert_eq!(ended.complaint(), "cannot write to stdout: ENOSPC (No space left on device)", "{words:?}");
    }
}

fn first_signal_ends_commands_that_attach_nothing() {
    for words in [["completions", "bash"].as_slice(), &["man"], &["--help"], &["inspect", "--built-in", "ring"]] {
        let (_reader, writer) = stalled::pipe();
        let running = Running::start_without_stdout(binary::command(words).stdout(writer));
        let waits = || running.is_in(&[libc::SYS_write]) || running.is_in(stalled::POLLS);
        patience::wait_until("it waits for its reader", || waits().then_some(()));
        running.send(Signal::TERM);
        assert_eq!(running.end().status.signal(), Some(Signal::TERM.as_raw()), "{words:?}");
    }
}

fn typed_control_characters_are_escaped() {
    let (outer, inner) = pseudo_terminal::open();
    let mut command = binary::command(["peek", "--id", "\u{1b}]0;title\u{7}\u{9b}31m"]);
    let mut child = command.stdin(inner()).stdout(inner()).stderr(inner()).spawn().unwrap();
    drop(command);
    let mut shown = Vec::new();
    let mut part = [0; 4096];
    // EIO once the other end is closed.
    while let Ok(length @ 1..) = (&outer).read(&mut part) {
        shown.extend_from_slice(&part[..length]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(2));
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("invalid value"), "{shown}");
    assert!(shown.chars().all(|shown| !shown.is_control() || matches!(shown, '\n' | '\r')), "{shown:?}");
}

fn pages_replace_older_ones_and_follow_no_link() {
    let folder = TempDir::new().unwrap();
    let (page, link) = (folder.path().join("cutaway.1"), folder.path().join("cutaway-trace.1"));
    fs::write(&page, "old").unwrap();
    printed(&["man", "--directory", folder.path().to_str().unwrap()]);
    assert!(fs::read_to_string(&page).unwrap().starts_with(".TH cutaway"));
    fs::remove_file(&link).unwrap();
    fs::write(folder.path().join("there"), "untouched").unwrap();
    std::os::unix::fs::symlink("there", &link).unwrap();
    let ended = Running::start(binary::command(["man", "--folder"]).arg(folder.path())).end();
    assert!(ended.complaint().contains("cutaway-trace.1: it is a symbolic link"), "{ended:?}");
    assert_eq!(fs::read_to_string(folder.path().join("there")).unwrap(), "untouched");
}

/// Returns the reason why a test cannot run without a program.
fn missing(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    (!found).then(|| format!("needs {program}, which is not installed here"))
}

/// Returns the output of `cutaway` with these words.
fn printed(words: &[&str]) -> String {
    let ended = Running::start(&mut binary::command(words)).end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, "");
    ended.stdout
}

/// Returns the output of a program on both streams.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    text
}

/// Writes the pages to a directory with man(1)'s layout.
fn pages() -> (TempDir, Vec<std::path::PathBuf>) {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(printed(&["man", "--directory", pages.to_str().unwrap()]), "");
    let pages: Vec<_> = fs::read_dir(pages).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 5, "{pages:?}");
    (folder, pages)
}

fn pages_render_without_a_warning_by_groff() {
    for page in pages().1 {
        let warned = Command::new("groff").args(["-man", "-Tutf8", "-ww"]).arg(&page).output().unwrap().stderr;
        assert_eq!(String::from_utf8_lossy(&warned), "", "{}", page.display());
        let text = run(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-rLL=100n", "-P-cbou"]).arg(&page));
        assert!(text.contains("EXIT STATUS"), "{text}");
    }
    let text = {
        let (_folder, pages) = pages();
        let trace = pages.iter().find(|page| page.ends_with("cutaway-trace.1")).unwrap();
        run(Command::new("groff").args(["-man", "-Tutf8", "-rLL=120n", "-P-cbou"]).arg(trace))
    };
    // On a line of its own, and verbatim.
    assert!(
        text.lines().any(|line| line.trim_start().starts_with("cutaway trace -- getent ahosts localhost")),
        "{text}"
    );
}

fn pages_render_without_an_error_by_mandoc() {
    for page in pages().1 {
        // Its style warnings are about clap_mangen's paragraphs, and the missing date.
        let text = run(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page));
        assert_eq!(text, "", "{}", page.display());
    }
}

fn every_page_is_found_by_man() {
    let (folder, pages) = pages();
    for page in &pages {
        let name = page.file_stem().unwrap();
        let text =
            run(Command::new("man").env("MANPATH", folder.path()).env("MANPAGER", "cat").env("LC_ALL", "C").arg(name));
        assert!(text.contains("EXAMPLES") || text.contains("SYNOPSIS"), "{text}");
    }
    let page = fs::read_to_string(pages.iter().find(|page| page.ends_with("cutaway.1")).unwrap()).unwrap();
    assert_eq!(printed(&["man"]), page);
}

/// Returns the path of an object of the corpus.
fn corpus(name: &str) -> String {
    format!("{}/../tests/corpus/bindgen/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn bindgen(words: &[&str]) -> binary::Ended {
    Running::start(&mut binary::command([["bindgen"].as_slice(), words].concat())).end()
}

fn module_is_printed_and_written() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("typed.rs");
    let printed = bindgen(&[&corpus("typed.o")]);
    assert!(printed.status.success() && printed.stdout.contains("pub struct OpenTyped {"), "{printed:?}");
    fs::write(&file, "an older module").unwrap();
    let written = bindgen(&[&corpus("typed.o"), "--output", file.to_str().unwrap()]);
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), printed.stdout);
    let types = bindgen(&[&corpus("typed.o"), "--types-only", "--type", "struct key"]);
    assert!(types.stdout.contains("pub struct Key {") && !types.stdout.contains("OpenTyped"), "{types:?}");
}

fn object_is_not_replaced_by_its_module() {
    let directory = TempDir::new().unwrap();
    let object = directory.path().join("typed.o");
    fs::copy(corpus("typed.o"), &object).unwrap();
    let path = object.to_str().unwrap();
    for words in [["bindgen", path, "--output", path].as_slice(), &["cover", path, "--output", path, "--", "true"]] {
        let ended = Running::start(&mut binary::command(words)).end();
        assert!(ended.complaint().contains("the command reads this file"), "{ended:?}");
    }
    assert_eq!(fs::read(object).unwrap(), fs::read(corpus("typed.o")).unwrap());
}

fn objects_without_a_module_are_refused() {
    let directory = TempDir::new().unwrap();
    let text = directory.path().join("text.o");
    fs::write(&text, "no object").unwrap();
    for (words, why) in [
        (vec![text.to_str().unwrap()], "it is not a 64-bit ELF file"),
        (vec!["missing.o"], "ENOENT"),
        (vec!["/proc/self/exe"], "not for BPF"),
        (vec![&*corpus("typed.o"), "--type", "struct nothing"], "has no type `struct nothing`; it has "),
        (vec![&*corpus("typed.o"), "--type", ""], "has no type"),
        (vec![&*corpus("typed.o"), "--output", "missing/typed.rs"], "does the directory exist?"),
        (vec![&*corpus("typed.o"), "--output", "/dev/full"], "ENOSPC"),
    ] {
        let ended = bindgen(&words);
        assert!(ended.complaint().contains(why), "{words:?}: {ended:?}");
    }
}
