//! The table on a terminal: no line is longer than the terminal is wide.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use rustix::termios::{Winsize, tcsetwinsize};

use crate::{
    binary,
    child::{Job, Question},
    harness::{Test, test},
    patience::wait_until,
    pseudo_terminal,
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![test!(table_fits_the_terminal).needs(root), test!(wide_table_has_whole_values).needs(root)]
}

/// Returns what a trace of the job writes to a terminal of this width.
fn shown(words: &str, columns: u16, job: &Job) -> String {
    let (outer, inner) = pseudo_terminal::open();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&outer, size).unwrap();
    let mut command = binary::trace(words, job.command_line());
    command.env("NO_COLOR", "1").env_remove("COLUMNS");
    command.stdin(inner()).stdout(inner()).stderr(Stdio::null());
    let mut child = pseudo_terminal::start(command);
    let text = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&text);
    pseudo_terminal::read(&outer, move |bytes| {
        shared.lock().unwrap().extend(bytes);
        true
    });
    assert!(child.wait().unwrap().success());
    let lines = job.answers().len() + 1;
    let text = wait_until("all lines are shown", || {
        let text = String::from_utf8(text.lock().unwrap().clone()).ok()?;
        (text.lines().count() >= lines && text.ends_with('\n')).then_some(text)
    });
    text.replace('\r', "")
}

const LONG: &str = "a-host.with-a-long-name.in-a-long-domain.of-a-large-company.example.com";

fn job() -> Job {
    let local = Question::new("127.0.0.1").service("80");
    Job::new([
        local,
        Question::new("::1"),
        Question::hopeless(LONG),
        Question::hopeless("漢字漢字漢字漢字漢字漢字.例え"),
    ])
}

fn table_fits_the_terminal() {
    for (words, columns) in [("", 60), ("", 80), ("", 120), ("--containers", 80), ("--containers", 160)] {
        let text = shown(words, columns, &job());
        let lines: Vec<_> = text.lines().collect();
        for line in &lines {
            assert!(width(line) <= usize::from(columns), "{columns}: {line}");
        }
        assert!(lines[0].starts_with("TIME ") && lines[0].contains("RESULT"), "{text}");
        assert_eq!(lines[0].contains("SERVICE"), columns >= 120, "{text}");
        // The start of a long name, and a mark.
        assert!(lines[3].contains("a-h") && (lines[3].contains('…') || columns == 160), "{text}");
        let host = if columns < 100 { "127.0.0.1:80" } else { "127.0.0.1 " };
        assert!(lines[1].contains(host) || columns == 60 || !words.is_empty(), "{text}");
        // A wide letter does not shift what follows.
        let ends = [2, 4].map(|line: usize| {
            let at = lines[line].find(if line == 4 { "EAI_" } else { "ok " }).unwrap();
            width(&lines[line][..at])
        });
        assert_eq!(ends[0], ends[1], "{text}");
    }
}

/// Returns the width of a line of these tests: a Chinese or Japanese letter takes two columns.
fn width(line: &str) -> usize {
    line.chars().map(|letter| if ('\u{3000}'..'\u{a000}').contains(&letter) { 2 } else { 1 }).sum()
}

fn wide_table_has_whole_values() {
    let text = shown("--wide", 60, &job());
    assert!(text.contains(LONG) && text.contains("SERVICE") && !text.contains('…'), "{text}");
    // A pipe gets whole values too.
    let ended = binary::Running::start(&mut binary::trace("", job().command_line())).end();
    assert_eq!(ended.success(), (4, 0));
    assert!(ended.stdout.contains(LONG) && !ended.stdout.contains('…'), "{}", ended.stdout);
}
