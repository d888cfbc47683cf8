//! The ring as a picture, before its records are consumed: all at once, or one by one.

use std::fs;

use cutaway_programs::getaddrinfo::Event;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    binary::{Ended, Running, trace},
    child::{Job, Question},
    harness::{Test, test},
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(event_is_drawn_before_it_is_printed).needs(ring),
        test!(step_takes_one_record).needs(ring),
        test!(signal_ends_a_pause_of_the_viewer).needs(ring),
        test!(svg_is_drawn_beside_json).needs(ring),
        test!(undrawable_transport_is_refused).needs(ring),
    ]
}

/// The bytes that an event takes in the ring.
const SPACE: usize = (8 + size_of::<Event>()).next_multiple_of(8);

fn questions(count: u32) -> Job {
    Job::new((0..count).map(|number| Question::hopeless(&format!("question-{number}"))))
}

/// Returns the number of pending bytes in each picture.
fn waiting(ended: &Ended) -> Vec<usize> {
    let lines = ended.stdout.lines().filter(|line| line.contains("pending data (zoomed)"));
    lines.map(|line| line.split(' ').find_map(|word| word.parse().ok()).unwrap()).collect()
}

fn event_is_drawn_before_it_is_printed() {
    let ended = Running::start(&mut trace("--draw", questions(5).command_line())).end();
    assert_eq!(ended.success(), (5, 0));
    let drawn: usize = waiting(&ended).iter().sum();
    // A record that was still busy is drawn again.
    assert!(drawn >= 5 * SPACE, "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("producer_pos {}", 5 * SPACE)), "{}", ended.stdout);
    let picture = ended.stdout.find("page 0").unwrap();
    assert!(picture < ended.stdout.find("question-0").unwrap(), "{}", ended.stdout);
}

/// Seven records are pending when the reader first reads the ring. Each step consumes one, until the viewer quits.
fn step_takes_one_record() {
    let job = questions(7).wait().pinned();
    let mut running = Running::start(&mut trace("--draw --step", job.command_line()));
    running.write("\n\n\nq\n");
    let ended = running.end();
    assert_eq!(ended.success(), (7, 0));
    let waiting = waiting(&ended);
    assert_eq!(waiting.len(), 4, "{}", ended.stdout);
    // Consuming moves the consumer position, record by record.
    let consumers: Vec<usize> =
        ended.stdout.lines().filter_map(|line| line.split_once("consumer_pos ")?.1.parse().ok()).collect();
    assert_eq!(consumers, [0, SPACE, 2 * SPACE, 3 * SPACE], "{}", ended.stdout);
    // A record is printed between two pictures.
    let positions: Vec<_> =
        ["question-0", "question-1", "question-2"].map(|name| ended.stdout.find(name).unwrap()).to_vec();
    let pictures: Vec<_> = ended.stdout.match_indices("page 0").map(|(at, _)| at).collect();
    for (index, position) in positions.iter().enumerate() {
        assert!(pictures[index] < *position && *position < pictures[index + 1], "{}", ended.stdout);
    }
}

fn signal_ends_a_pause_of_the_viewer() {
    let job = questions(3);
    let running = Running::start(&mut trace("--draw --step", job.command_line()));
    running.stdout_line("the first picture", |line| line.contains("committed"));
    running.send(Signal::INT);
    assert_eq!(running.end().success(), (3, 0));
}

fn svg_is_drawn_beside_json() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ring.svg");
    let words = format!("--format json --draw={}", file.display());
    let ended = Running::start(&mut trace(&words, questions(4).command_line())).end();
    assert_eq!(ended.success(), (4, 0));
    assert_eq!(ended.stdout.lines().count(), 4, "JSON and nothing else: {}", ended.stdout);
    assert!(ended.stderr.contains("in ") && ended.stderr.contains("ring.svg"), "{}", ended.stderr);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("<title>committed: {} bytes at position 0</title>", size_of::<Event>())), "{text}");

    // Without a record there is no picture.
    let none = folder.path().join("none.svg");
    let words = format!("--draw={}", none.display());
    let ended = Running::start(&mut trace(&words, ["true".into()])).end();
    assert_eq!(ended.success(), (0, 0));
    assert!(ended.stderr.contains("nothing was drawn") && !none.exists(), "{ended:?}");
}

fn undrawable_transport_is_refused() {
    for (words, part) in
        [("--draw --transport perf-heap", "--transport ring"), ("--draw --format json", "--draw=FILE.svg")]
    {
        let ended = Running::start(&mut trace(words, questions(1).command_line())).end();
        assert!(ended.complaint().contains(part), "{ended:?}");
    }
}
