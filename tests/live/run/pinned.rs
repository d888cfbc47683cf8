//! Two runs of an object whose buffer is pinned. A slot of a perf event array has one event, so the later run takes
//! over all slots. A ring has one consumer position, so one of the two runs ends.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cutaway_programs::prelude::*;

use crate::{
    binary::{self, Running},
    harness::{Test, test},
    own_mounts,
    patience::wait_until,
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(two_readers_of_one_perf_event_array_notice_each_other).needs(root).since(
            5,
            10,
            "running a program on a chosen CPU",
        ),
        test!(second_reader_of_a_ring_ends_with_an_error).needs(ring),
    ]
}

/// A directory of pins that is removed on drop.
pub(crate) struct Pins(pub(crate) PathBuf);

impl Pins {
    pub(crate) fn new(test: &str) -> Self {
        let directory = Path::new(own_mounts::BPFFS.1).join(format!("cutaway-run-{}-{test}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn started(object: &Path, pins: &Path) -> Running {
    let mut command = binary::command(["run", "--type", "u64", "--format", "json", "--pins"]);
    let running = Running::start(command.arg(pins).arg(object));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    running
}

fn two_readers_of_one_perf_event_array_notice_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let pins = Pins::new("perf");
    let object = folder.path().join("pinned.o");
    fs::write(&object, sends(MapType::PERF_EVENT_ARRAY)).unwrap();

    let first = started(&object, &pins.0);
    let second = started(&object, &pins.0);
    second.stderr_line("it takes over the slots", |line| {
        line.contains("the map's slots held the events of another reader")
    });
    first
        .stderr_line("it is reported", |line| line.contains("`events`: another reader has taken the slots of the map"));
    let before = first.stdout_lines();
    rustix::process::getpgid(None).unwrap();
    second.stdout_line("the second run gets it", |line| !line.is_empty());
    assert_eq!(first.stdout_lines(), before, "the first run does not print it");
    second.send(rustix::process::Signal::INT);
    let ended = second.end();
    assert!(ended.status.success(), "{ended:?}");
    first.stderr_line("the slots are free", |line| {
        line.contains("`events`: the slots on CPU ") && line.contains(" were empty and are taken back")
    });
    rustix::process::getpgid(None).unwrap();
    first.stdout_nth("the first run gets it again", before);
    first.send(rustix::process::Signal::INT);
    let ended = first.end();
    // While the slots were empty, its program may have failed to send: other tests call getpgid, too.
    let last = ended.stderr.lines().last().unwrap();
    let why = "(records that another reader received are not included)";
    let inexact = [", lost at least ", ", lost unknown "].iter().any(|lost| last.contains(lost));
    assert!(inexact && last.ends_with(why), "{ended:?}");
    assert_eq!(ended.stderr.matches("another reader has taken").count(), 1, "{ended:?}");
}

/// Both are woken by each record, and one or both read it. The run that finds that the other has read the record
/// reports that.
fn second_reader_of_a_ring_ends_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let pins = Pins::new("ring");
    let object = folder.path().join("pinned.o");
    fs::write(&object, sends(MapType::RINGBUF)).unwrap();
    let mut readers = vec![started(&object, &pins.0), started(&object, &pins.0)];
    let first = wait_until("one of the two reports it", || {
        rustix::process::getpgid(None).unwrap();
        readers.iter().position(|reader| reader.has_said("second consumer"))
    });
    let ended = readers.remove(first).end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    for part in ["cutaway: `events`: the ring has a second consumer", "missed or read twice", "`cutaway peek` lists"] {
        assert!(ended.stderr.contains(part), "{ended:?}");
    }
    // The other run has the ring for itself now, and continues.
    let other = readers.remove(0);
    let before = other.stdout_lines();
    rustix::process::getpgid(None).unwrap();
    other.stdout_nth("it gets what is sent", before);
    other.send(rustix::process::Signal::INT);
    let ended = other.end();
    assert!(ended.status.success(), "{ended:?}");
}

/// Returns an object that sends 8 bytes with each call of getpgid, through a perf event array or a ring that is pinned
/// by name.
fn sends(kind: MapType) -> Vec<u8> {
    let mut object = ObjectBuilder::new("GPL");
    let definition = match kind {
        MapType::RINGBUF => MapDef::new(kind).max_entries(1 << 18),
        _ => MapDef::new(kind).key_size(4).value_size(4),
    };
    let events = object.map("events", definition.pinned_by_name());
    let mut asm = Assembler::new();
    asm.store(DW, R10, -8, 1);
    if kind == MapType::RINGBUF {
        asm.load_map(R1, events);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.mov(R3, 8);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_ringbuf_output);
    } else {
        asm.load_map(R2, events);
        asm.mov(W3, -1); // BPF_F_CURRENT_CPU
        asm.mov(R4, R10);
        asm.add(R4, -8);
        asm.mov(R5, 8);
        asm.call(Helper::bpf_perf_event_output);
    }
    asm.mov(R0, 0);
    asm.exit();
    object.program("tracepoint/syscalls/sys_enter_getpgid", "sends", asm);
    object.write().unwrap()
}
