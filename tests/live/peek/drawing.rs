//! Pictures: of a live ring and of a recording, in the terminal and as SVG, step by step.

use std::fs;

use tempfile::TempDir;

use crate::{
    binary::{Ended, Running, command},
    harness::{Test, test},
    owner::{self, Kind, Owner, SPACE},
    peek,
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(live_ring_is_drawn_step_by_step).needs(ring),
        test!(recording_is_drawn_and_shown_again).needs(ring),
        test!(svg_has_every_record).needs(ring),
        test!(file_that_is_no_recording_is_refused),
    ]
}

/// Runs `cutaway peek` with lines on stdin.
fn with_stdin(words: &str, stdin: &str) -> Ended {
    let mut running = Running::start(&mut command(format!("peek {words}").split_whitespace()));
    running.write(stdin);
    running.end()
}

fn live_ring_is_drawn_step_by_step() {
    let mut owner = Owner::start(Kind::Ring, "draw_live", rustix::param::page_size() as u32);
    let words = format!("peek --id {} --draw --step", owner.id);
    let mut running = Running::start(&mut command(words.split_whitespace()));
    running.stdout_line("the first picture", |line| line.contains("no pending data"));
    owner.produce(20);
    running.write("\n");
    let part = format!("{} bytes, 20 records", 20 * SPACE);
    running.stdout_line("the second", |line| line.contains(&part));
    owner.consume();
    running.write("\nq\n");
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout.matches("page 0").count(), 3, "{}", ended.stdout);
    assert!(ended.stdout.contains("░"), "discarded records are marked: {}", ended.stdout);
}

fn recording_is_drawn_and_shown_again() {
    let mut owner = Owner::start(Kind::Ring, "draw_kept", rustix::param::page_size() as u32);
    let folder = TempDir::new().unwrap();
    let mut text = String::new();
    for count in [5, 10, 20] {
        owner.produce(count);
        text += &peek(&format!("--id {} --format json", owner.id)).stdout;
    }
    let file = owner::file(folder.path(), "snapshots.json", text.as_bytes());
    let fills = |ended: &Ended| -> Vec<String> {
        let lines = ended.stdout.lines().filter(|line| line.contains("zoomed"));
        lines.map(|line| line.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap().to_string()).collect()
    };
    let [five, fifteen, all] = [5, 15, 35].map(|count| (count * SPACE).to_string());
    let ended = with_stdin(&format!("--from {file} --draw"), "");
    assert_eq!(fills(&ended), [&five, &fifteen, &all].map(String::clone), "{ended:?}");
    // Forward, back, forward, forward, and beyond the end.
    let ended = with_stdin(&format!("--from {file} --draw --step"), "\nb\n\n\n\n");
    assert_eq!(fills(&ended), [&five, &fifteen, &five, &fifteen, &all].map(String::clone), "{ended:?}");
    let ended = with_stdin(&format!("--from {file} --draw --step"), "q\n");
    assert_eq!(fills(&ended), [five]);
    let ended = with_stdin(&format!("--from {file}"), "");
    assert!(ended.stdout.contains("35 records: 32 committed, 0 busy, 3 discarded"), "{}", ended.stdout);
    // A replay of the recording in JSON equals the recording.
    let again = with_stdin(&format!("--from {file} --format json"), "").stdout;
    let file = owner::file(folder.path(), "again.json", again.as_bytes());
    assert_eq!(with_stdin(&format!("--from {file} --format json"), "").stdout, again);
}

fn svg_has_every_record() {
    let mut owner = Owner::start(Kind::Ring, "draw_svg", rustix::param::page_size() as u32);
    owner.produce(30);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ring.svg");
    let ended = peek(&format!("--id {} --draw={}", owner.id, file.display()));
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("one picture in"), "{ended:?}");
    let text = fs::read_to_string(&file).unwrap();
    // Each record occurs three times: in either view, and zoomed.
    assert_eq!(text.matches("<title>committed: 16 bytes at position").count(), 3 * 27, "{text}");
    assert_eq!(text.matches("<title>discarded: 16 bytes at position").count(), 3 * 3, "{text}");
    assert_eq!(
        text.matches("<rect").count(),
        text.matches("</rect>").count() + text.matches("/>").count()
            - text.matches("<line").count()
            - text.matches("<polygon").count()
    );
    assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
}

fn file_that_is_no_recording_is_refused() {
    let folder = TempDir::new().unwrap();
    for (text, part) in [("", "there are none"), ("what?\n", "line 1 is not a snapshot"), ("{\"id\": 1}\n", "line 1")] {
        let file = owner::file(folder.path(), "nonsense", text.as_bytes());
        let ended = peek(&format!("--from {file} --draw"));
        assert!(ended.complaint().contains(part), "{ended:?}");
    }
    let ended = peek(&format!("--from {}", folder.path().join("missing").display()));
    assert!(ended.complaint().contains("ENOENT"), "{ended:?}");
}
