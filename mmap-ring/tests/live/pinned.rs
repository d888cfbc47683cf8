//! A ring that several processes have: a reader that dies, a bystander that looks.

use std::ffi::CString;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use mmap_ring::{Peek, Ring, Seen};

use crate::kernel::{self, ADAPTIVE, Producer, create_ring};
use crate::mounts::{self, on_a_thread};
use crate::{LONG, Outcome, PAGE, Test, number, numbers, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("a_reader_killed_in_mid_batch_loses_nothing", || on_a_thread(a_killed_reader_loses_nothing)),
        test("a_bystander_reads_and_does_not_consume", || on_a_thread(a_bystander_reads_and_does_not_consume)),
    ]
}

/// A bpffs that this thread and its children see, on a directory that is gone when the test is, failed or not.
struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("mmap-ring-{}-{name}", std::process::id()));
        std::fs::create_dir(&directory)?;
        let pins = Self(directory);
        mounts::of_this_thread()?;
        mounts::mount("bpf", &pins.0)?;
        Ok(pins)
    }

    fn pin(&self, fd: BorrowedFd<'_>) -> CString {
        let path = CString::new(self.0.join("ring").into_os_string().into_encoded_bytes()).unwrap();
        kernel::pin(fd, &path).expect("pinning");
        path
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = mounts::unmount(&self.0);
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The reader is another process, which says when it holds a batch and is then
/// killed.
fn a_killed_reader_loses_nothing() -> Outcome {
    const PINNED: &str = "MMAP_RING_PINNED";
    if let Ok(path) = std::env::var(PINNED) {
        let map = kernel::get_pinned(&CString::new(path)?, false)?;
        let mut ring = Ring::open(map, PAGE)?;
        assert_eq!(ring.batch()?.at_most(3).count(), 3);
        let mut batch = ring.batch()?;
        assert_eq!(batch.at_most(4).count(), 4);
        eprintln!("holding");
        thread::sleep(LONG);
        return Err("nobody killed this process".into());
    }
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let pins = Pins::new("killed")?;
    let pin = pins.pin(map.as_fd());
    producer.output(0, 10, &[0; 8], ADAPTIVE);
    let mut reader = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_reader_killed_in_mid_batch_loses_nothing"])
        .env(PINNED, pin.to_str()?)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(reader.stderr.take().expect("piped")).lines();
    let held = lines.map_while(Result::ok).any(|line| line == "holding");
    reader.kill()?;
    reader.wait()?;
    assert!(held, "the reader did not come to hold a batch");
    drop(map);
    producer.output(10, 2, &[0; 8], ADAPTIVE);
    let mut ring = Ring::open(kernel::get_pinned(&pin, false)?, PAGE)?;
    // The released three are gone; the four of the open batch come again.
    assert_eq!(numbers(&mut ring), (3..12).collect::<Vec<_>>());
    Ok(())
}

fn a_bystander_reads_and_does_not_consume() -> Outcome {
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let pins = Pins::new("peek")?;
    let pin = pins.pin(map.as_fd());
    let read_only = kernel::get_pinned(&pin, true)?;
    let refused = Ring::open(read_only.try_clone()?, PAGE).unwrap_err();
    assert!(refused.to_string().contains("EACCES"), "{refused}");
    // The kernel takes VM_SHARED from a mapping of a read-only descriptor, and then
    // refuses it because it is not shared.
    let refused = Peek::open(read_only, PAGE).unwrap_err();
    assert!(refused.to_string().contains("opened read-only"), "{refused}");
    let peek = Peek::open(&map, PAGE)?;
    producer.discard(ADAPTIVE);
    producer.submit(7, ADAPTIVE);
    let seen: Vec<Seen> = peek.pending().collect();
    let [Seen::Discarded(_), Seen::Committed(place)] = seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((place.position, place.length), (16, 8));
    let mut payload = Vec::new();
    assert!(peek.copy(place, &mut payload));
    assert_eq!(number(&payload), 7);
    let mut ring = Ring::open(map, PAGE)?;
    assert_eq!(numbers(&mut ring), [7], "still there");
    assert!(!peek.copy(place, &mut payload), "and now released");
    Ok(())
}
