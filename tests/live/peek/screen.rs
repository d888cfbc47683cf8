//! The live screen in a real terminal.

use rustix::process::Signal;

use crate::{
    harness::{Test, test},
    owner::{Kind, Owner, SPACE},
    patience::wait_until,
    perf::no_borrowing,
    requirements::{ring, root},
    terminal::Terminal,
};

pub(crate) fn tests() -> Vec<Test> {
    const SIZES: [(u16, u16); 5] = [(80, 24), (120, 40), (200, 50), (60, 15), (40, 10)];
    let sizes = SIZES.map(|(columns, rows)| (format!("{columns}_by_{rows}"), (columns, rows)));
    let mut tests: Vec<_> = test!(screen_of_a_ring_fits, sizes.clone()).map(|test| test.needs(ring)).collect();
    tests.extend([
        test!(keys_do_what_the_screen_says).needs(ring),
        test!(screen_follows_the_terminal_size).needs(ring),
        test!(screen_outlives_the_owner).needs(ring),
        test!(screen_ends_with_its_terminal).needs(ring),
        test!(second_signal_gives_the_terminal_back).needs(ring),
        test!(record_rate_of_a_ring_is_shown).needs(ring),
        test!(contents_scroll_to_the_sides).needs(ring),
        test!(paused_screen_shows_one_moment).needs(ring),
    ]);
    let others = [test!(keys_select_a_perf_buffer), test!(record_rate_of_a_perf_buffer_is_shown)];
    let perf = test!(screen_of_perf_buffers_fits, sizes).chain(others);
    tests.extend(perf.map(|test| test.needs(root).unless(no_borrowing)));
    tests
}

fn record_rate_of_a_ring_is_shown() {
    rates(Kind::Ring);
}

fn record_rate_of_a_perf_buffer_is_shown() {
    rates(Kind::Perf);
}

/// The terminal accepts no output, so the screen blocks in the middle of a frame.
fn second_signal_gives_the_terminal_back() {
    let owner = owner();
    let terminal = Terminal::start(&format!("--id {}", owner.id), 200, 50);
    terminal.shows("q quit");
    terminal.stall();
    terminal.ends_by_two([Signal::INT, Signal::TERM]);
}

fn owner() -> Owner {
    let mut owner = Owner::start(Kind::Ring, "peek_screen", rustix::param::page_size() as u32);
    owner.produce(30);
    owner
}

/// Asserts that the screen of these words fits a terminal of this size, with this title. A wide screen must contain all
/// of `parts`.
fn fits((columns, rows): (u16, u16), words: &str, title: &str, parts: &[&str]) {
    let mut terminal = Terminal::start(words, columns, rows);
    let text = terminal.shows("q quit");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), usize::from(rows), "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= usize::from(columns)), "{text}");
    assert!(lines[0].starts_with(title), "{text}");
    // A narrow screen has less space between them.
    assert!(lines.last().unwrap().replace("  ", " ").starts_with("q quit p pause"), "{text}");
    if columns >= 80 {
        assert!(lines[0].ends_with("every 0.1 s"), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    terminal.key("q");
    terminal.ends();
}

fn screen_of_a_ring_fits(size: (u16, u16)) {
    let owner = owner();
    fits(
        size,
        &format!("--id {}", owner.id),
        &format!("ring {} `peek_screen`", owner.id),
        &[
            "30 records: 27 committed",
            "oldest record: ",
            "records written",
            "per column",
            "░",
            "POSITION",
            "committed  00000000",
        ],
    );
}

fn keys_do_what_the_screen_says() {
    let mut owner = owner();
    let mut terminal = Terminal::start(&format!("--id {}", owner.id), 100, 40);
    terminal.shows("d hide picture");
    terminal.key("d");
    terminal.shows("d picture");
    terminal.without("the same pages");
    terminal.key("p");
    terminal.shows("paused");
    owner.produce(5);
    // While paused, the screen changes only by the key for one snapshot.
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert!(terminal.text().contains("30 records"), "{}", terminal.text());
    terminal.key("s");
    terminal.shows("35 records");
    terminal.shows("paused");
    terminal.key("p");
    terminal.shows("every 0.1 s");
    terminal.key("-");
    terminal.shows("every 0.2 s");
    terminal.key("+");
    terminal.shows("every 0.1 s");
    // The first record scrolls off.
    let first = format!("{:>8} {:>#10x}", 0, 0);
    terminal.shows(&first);
    terminal.key("\x1b[B");
    terminal.without(&first);
    terminal.key("\x1b[A");
    terminal.shows(&first);
    owner.consume();
    terminal.shows("the reader has caught up");
    terminal.shows(&format!("consumer {:>21}", 35 * SPACE));
    terminal.key("\x03");
    terminal.ends();
}

fn contents_scroll_to_the_sides() {
    let owner = owner();
    let mut terminal = Terminal::start(&format!("--id {}", owner.id), 100, 40);
    terminal.shows("committed  01000000 00000000 01000000 00000000");
    terminal.key(">");
    terminal.shows("PAYLOAD from column 21");
    terminal.shows("committed  000000 00000000");
    // There is nothing more to the right.
    terminal.key(">");
    terminal.key("d");
    terminal.without("per column");
    assert!(terminal.text().contains("PAYLOAD from column 21"), "{}", terminal.text());
    terminal.key("<");
    terminal.shows("committed  01000000 00000000 01000000 00000000");
    // A single buffer has no neighbors, so the arrows scroll too.
    terminal.key("\x1b[C");
    terminal.shows("committed  000000 00000000");
    terminal.key("\x1b[H");
    terminal.shows("committed  01000000 00000000 01000000 00000000");
    terminal.key("q");
    terminal.ends();
}

fn paused_screen_shows_one_moment() {
    let mut owner = Owner::start(Kind::Ring, "peek_moment", 1 << 16);
    owner.produce(600);
    let held = format!("({}, fd", owner.pid());
    let mut terminal = Terminal::start(&format!("--id {}", owner.id), 100, 40);
    terminal.shows("600 records");
    terminal.key("d");
    terminal.without("per column");
    terminal.key("p");
    terminal.shows("paused");
    owner.consume();
    owner.kill();
    // More records than fit any screen, which are released by now.
    terminal.key(&"\x1b[6~".repeat(10));
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.key(&"\x1b[6~".repeat(10));
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.key(&"\x1b[6~".repeat(10));
    let text = terminal.shows(&format!("{:>8} {:>#10x}", 300 * SPACE, 300 * SPACE));
    assert!(text.contains("committed  2c010000 00000000 2c010000 00000000"), "{text}");
    assert!(text.contains(&held) && text.contains("600 records"), "{text}");
    // After the process's users are found again, the next moment is shown.
    terminal.key("p");
    terminal.shows("held by   no process");
    terminal.shows("0 records");
    terminal.key("q");
    terminal.ends();
}

fn screen_follows_the_terminal_size() {
    let owner = owner();
    let mut terminal = Terminal::start(&format!("--id {}", owner.id), 80, 24);
    terminal.shows("q quit");
    terminal.resize(132, 30);
    wait_until("the keys are on the last of 30 lines", || {
        let text = terminal.text();
        let lines: Vec<_> = text.lines().collect();
        (lines.len() == 30 && lines[29].starts_with("q quit") && lines[0].chars().count() == 132).then_some(())
    });
    terminal.key("q");
    terminal.ends();
}

fn screen_outlives_the_owner() {
    let owner = owner();
    let mut terminal = Terminal::start(&format!("--id {}", owner.id), 80, 24);
    terminal.shows(&format!("({}, fd", owner.pid()));
    owner.kill();
    terminal.shows("held by   no process");
    assert!(terminal.text().contains("30 records"), "{}", terminal.text());
    terminal.key("\x1b");
    terminal.ends();
}

/// The window is closed: no more keys can arrive, and the command must not loop.
fn screen_ends_with_its_terminal() {
    let owner = owner();
    let terminal = Terminal::start(&format!("--id {}", owner.id), 80, 24);
    terminal.shows("q quit");
    terminal.close();
}

/// Returns two perf buffers of one process; the second one is empty.
fn perf_owner() -> Owner {
    let mut owner = Owner::start(Kind::Perf, "peek_screen", rustix::param::page_size() as u32);
    owner.map();
    owner.produce(30);
    owner
}

fn screen_of_perf_buffers_fits(size: (u16, u16)) {
    let owner = perf_owner();
    fits(
        size,
        &format!("--pid {}", owner.pid()),
        "2 perf buffers of peek",
        &[
            &format!("({}, ", owner.pid()),
            ">  ",
            "data_head",
            "records written",
            "waiting   30 samples, 0 loss records",
            "oldest record: ",
            "lost      0 reported",
            "per column",
            "T data_tail  H data_head",
            "█ sample",
            "POSITION",
        ],
    );
}

fn keys_select_a_perf_buffer() {
    let mut owner = perf_owner();
    let mut terminal = Terminal::start(&format!("--pid {}", owner.pid()), 100, 40);
    terminal.shows("←→ buffers");
    terminal.shows("waiting   30 samples");
    terminal.key("\x1b[C");
    terminal.shows("waiting   0 samples");
    terminal.shows("no pending data");
    terminal.key("\t");
    terminal.shows("waiting   30 samples");
    terminal.key("d");
    terminal.without("per column");
    let first = format!("{:>8} {:>#10x}", 0, 0);
    terminal.shows(&first);
    terminal.key("\x1b[B");
    terminal.without(&first);
    owner.consume();
    terminal.shows("waiting   0 samples");
    // More than fits: the loss is reported by the next record that fits.
    owner.produce(1_000);
    owner.consume();
    owner.produce(1);
    terminal.shows("1 loss record");
    terminal.key("\x1b[H");
    terminal.shows("lost here");
    terminal.key("\x03");
    terminal.ends();
}

/// Checks the records per second of both sides: they must not be guessed if there is time to count.
fn rates(kind: Kind) {
    let mut owner = Owner::start(kind, "peek_rates", 1 << 16);
    let words = if kind == Kind::Ring { format!("--id {}", owner.id) } else { format!("--pid {}", owner.pid()) };
    let mut terminal = Terminal::start(&words, 80, 24);
    terminal.shows("0 B/s           0/s records written");
    owner.begin_load(20);
    for verb in ["written", "released"] {
        wait_until(&format!("a thousand records {verb} a second are shown"), || {
            let text = terminal.text();
            let line = text.lines().find(|line| line.ends_with(&format!("records {verb}")))?;
            (line.contains("kB/s") || line.contains("MB/s")).then_some(())?;
            (line.contains(" k/s ") || line.contains(" M/s ")).then_some(())
        });
    }
    terminal.key("p");
    terminal.shows("-             - records written");
    terminal.key("q");
    terminal.ends();
}
