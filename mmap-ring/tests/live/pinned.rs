//! A ring that several processes have: a reader that dies, a bystander that looks.

use std::ffi::CString;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::thread;

use mmap_ring::{Peek, Ring, Seen};

use crate::kernel::{self, ADAPTIVE, Producer, create_ring};
use crate::{LONG, Outcome, PAGE, Test, number, numbers, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("a_reader_killed_in_mid_batch_loses_nothing", a_killed_reader_loses_nothing),
        test("a_bystander_reads_and_does_not_consume", a_bystander_reads_and_does_not_consume),
    ]
}

/// A pin that is gone when its test is, failed or not.
struct Pin(CString);

impl Pin {
    fn new(fd: BorrowedFd<'_>, name: &str) -> Self {
        let path = format!("/sys/fs/bpf/mmap-ring-{}-{name}", std::process::id());
        let path = CString::new(path).unwrap();
        kernel::pin(fd, &path).unwrap();
        Self(path)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0.to_str().unwrap());
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
    let pin = Pin::new(map.as_fd(), "killed");
    producer.output(0, 10, &[0; 8], ADAPTIVE);
    let mut reader = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_reader_killed_in_mid_batch_loses_nothing"])
        .env(PINNED, pin.0.to_str()?)
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
    let mut ring = Ring::open(kernel::get_pinned(&pin.0, false)?, PAGE)?;
    // The released three are gone; the four of the open batch come again.
    assert_eq!(numbers(&mut ring), (3..12).collect::<Vec<_>>());
    Ok(())
}

fn a_bystander_reads_and_does_not_consume() -> Outcome {
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let pin = Pin::new(map.as_fd(), "peek");
    let read_only = kernel::get_pinned(&pin.0, true)?;
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
