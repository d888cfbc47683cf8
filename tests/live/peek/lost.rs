//! Lost records of a ring, which the ring's programs count if `cutaway run` has loaded them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cutaway_programs::prelude::*;
use serde_json::json;

use crate::{
    binary::{self, Running},
    harness::{Test, test},
    own_mounts,
    owner::{Kind, Owner},
    peek,
    requirements::ring,
    sender::Sender,
    snapshots,
    terminal::Terminal,
};

pub(crate) fn tests() -> Vec<Test> {
    let feature = "an array of one element that is mapped, which holds the counts";
    vec![
        test!(losses_that_a_run_counts_are_shown).needs(ring).since(5, 5, feature),
        test!(losses_of_a_ring_whose_programs_do_not_count_are_unknown).needs(ring),
        test!(program_that_does_not_count_makes_losses_a_lower_bound).needs(ring).since(5, 5, feature),
        test!(other_maps_of_that_name_are_not_read).needs(ring),
    ]
}

pub(crate) fn corpus(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../tests/corpus", &format!("{name}.o")].iter().collect()
}

/// Starts a run of an object, and stops its reader: then a ring of 4096 bytes holds 255 records of 8 bytes.
pub(crate) fn stopped(object: &Path, words: &[&str]) -> Running {
    let mut command = binary::command(["run", "--buffer", "4096"]);
    let running = Running::start(command.arg(object).args(words));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    running.stop();
    running
}

/// Returns the option that makes an object send for this sender's calls only.
pub(crate) fn own(sender: &Sender) -> String {
    format!("own={}", sender.pid())
}

fn losses_that_a_run_counts_are_shown() {
    let mut sender = Sender::start(1000);
    let running = stopped(&corpus("events/named"), &["--set", &own(&sender)]);
    let words = format!("--pid {}", running.pid());
    let lost = |words: &str| {
        let snapshot = snapshots(words).remove(0);
        ["lost", "lost_at_least", "lost_why", "lost_lines"].map(|field| snapshot[field].clone())
    };
    assert_eq!(lost(&words), [json!(0), json!(null), json!(null), json!([])]);
    sender.go();
    sender.end();
    assert_eq!(lost(&words), [json!(745), json!(null), json!(null), json!([{ "line": 14, "lost": 745 }])]);
    let text = peek(&words).stdout;
    let lines =
        "\n  lost           745, counted by its programs (map `cutaway_losses`)\n                 745 at line 14\n";
    assert!(text.contains(lines), "{text}");

    let text = peek(&format!("{words} --watch --interval 0.1 --count 2")).stdout;
    let column: Vec<_> = text.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(column, ["LOST", "745", "745"], "{text}");

    let mut terminal = Terminal::start(&words, 80, 24);
    let text = terminal.shows("lost      745 (0/s), counted by its programs (map `cutaway_losses`)");
    assert!(text.lines().any(|line| line == "          745 at line 14"), "{text}");
    terminal.key("q");
    terminal.ends();
}

fn losses_of_a_ring_whose_programs_do_not_count_are_unknown() {
    let owner = Owner::start(Kind::Ring, "peek_uncounted", rustix::param::page_size() as u32);
    let why = "its programs have no map `cutaway_losses`";
    let text = peek(&format!("--id {}", owner.id)).stdout;
    assert!(text.contains(&format!("\n  lost           unknown: {why}\n")), "{text}");
    let snapshot = snapshots(&format!("--id {}", owner.id)).remove(0);
    assert_eq!((&snapshot["lost"], &snapshot["lost_why"]), (&json!(null), &json!(why)));
}

/// A directory of pins that is removed on drop.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn program_that_does_not_count_makes_losses_a_lower_bound() {
    let pins = Pins(Path::new(own_mounts::BPFFS.1).join(format!("cutaway-lost-{}", std::process::id())));
    fs::create_dir(&pins.0).unwrap();
    let mut sender = Sender::start(300);
    let (object, own) = (corpus("kinds/pinned"), own(&sender));
    let words = ["--type", "u64", "--set", &own, "--pins", pins.0.to_str().unwrap()];
    let first = stopped(&object, &words);
    sender.go();
    sender.end();
    let shown = || peek(&format!("--pid {}", first.pid())).stdout;
    assert!(shown().contains("\n  lost           45, counted by its programs"), "{}", shown());
    let _second = stopped(&object, &[&words[..], &["--no-count-losses"]].concat());
    assert!(shown().contains("\n  lost           at least 45: the program `adds` does not count\n"), "{}", shown());
}

/// The sizes are not those of counters: not a multiple of 16 bytes, more than one element.
fn other_maps_of_that_name_are_not_read() {
    for (bytes, elements) in [(24, 1), (32, 2)] {
        let mut object = ObjectBuilder::new("GPL");
        let events = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
        let definition = MapDef::new(MapType::ARRAY).key_size(4).value_size(bytes).max_entries(elements);
        let other = object.map("cutaway_losses", definition);
        let mut asm = Assembler::new();
        asm.load_map(R1, events);
        asm.load_map(R1, other);
        asm.mov(R0, 0);
        asm.exit();
        object.program("tracepoint/syscalls/sys_enter_getpgid", "uses", asm);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object.o");
        fs::write(&path, object.write().unwrap()).unwrap();
        let running = stopped(&path, &["--type", "u64"]);
        let ended = peek(&format!("--pid {}", running.pid()));
        assert!(ended.stdout.contains("\n  lost           unknown: its programs have no map"), "{ended:?}");
    }
}
