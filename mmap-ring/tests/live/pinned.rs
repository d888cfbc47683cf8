//! Tests a ring that several processes have open: a reader that is killed, an observer, a second reader.

use std::ffi::{CStr, CString};
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::thread;

use mmap_ring::{Corrupt, Error, Peek, PendingRecord, Ring, Wake};

use crate::harness::{Test, test};
use crate::kernel::{self, ADAPTIVE, Producer, create_ring};
use crate::own_mounts::Mounted;
use crate::{LONG, Outcome, PAGE, number, numbers};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(reader_killed_in_mid_batch_loses_nothing),
        test!(observer_does_not_consume),
        test!(two_readers_of_a_pinned_ring_notice_each_other),
    ]
}

/// The environment variable that holds the pin path for a test in a separate process.
const PINNED: &str = "MMAP_RING_PINNED";

/// Opens the pinned ring in a process that [`in_another_process`] started; `None` in any other.
fn open_pinned() -> Option<io::Result<Ring>> {
    let path = CString::new(std::env::var(PINNED).ok()?).ok()?;
    Some(kernel::get_pinned(&path, false).and_then(|map| Ring::open(map, PAGE).map_err(io::Error::other)))
}

/// Returns a command that runs this test in a separate process, which opens the ring by its pin.
fn in_another_process(test: &str, pin: &CStr) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", test]).env(PINNED, pin.to_str().unwrap()).stdout(Stdio::null());
    Ok(command)
}

fn pin(fd: BorrowedFd<'_>, pins: &Mounted) -> CString {
    let path = CString::new(pins.path().join("ring").into_os_string().into_encoded_bytes()).unwrap();
    kernel::pin(fd, &path).expect("pinning");
    path
}

/// Kills the reader, which is another process. It reports that it holds a batch, and is then killed.
fn reader_killed_in_mid_batch_loses_nothing() -> Outcome {
    if let Some(ring) = open_pinned() {
        let mut ring = ring?;
        assert_eq!(ring.batch()?.at_most(3).count(), 3);
        let mut batch = ring.batch()?;
        assert_eq!(batch.at_most(4).count(), 4);
        eprintln!("holding");
        thread::sleep(LONG);
        return Err("this process was not killed".into());
    }
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let pins = Mounted::new("bpf")?;
    let pin = pin(map.as_fd(), &pins);
    producer.output(0, 10, &[0; 8], ADAPTIVE);
    let mut reader =
        in_another_process("reader_killed_in_mid_batch_loses_nothing", &pin)?.stderr(Stdio::piped()).spawn()?;
    let lines = BufReader::new(reader.stderr.take().expect("piped")).lines();
    let held = lines.map_while(Result::ok).any(|line| line == "holding");
    reader.kill()?;
    reader.wait()?;
    assert!(held, "the reader did not come to hold a batch");
    drop(map);
    producer.output(10, 2, &[0; 8], ADAPTIVE);
    let mut ring = Ring::open(kernel::get_pinned(&pin, false)?, PAGE)?;
    // The three released records are gone; the four of the open batch are read again.
    assert_eq!(numbers(&mut ring), (3..12).collect::<Vec<_>>());
    Ok(())
}

fn observer_does_not_consume() -> Outcome {
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let pins = Mounted::new("bpf")?;
    let pin = pin(map.as_fd(), &pins);
    let read_only = kernel::get_pinned(&pin, true)?;
    let refused = Ring::open(read_only.try_clone()?, PAGE).unwrap_err();
    assert!(refused.to_string().contains("EACCES"), "{refused}");
    // The kernel clears VM_SHARED for a mapping of a read-only fd, and then refuses it because it is not shared.
    let refused = Peek::open(read_only, PAGE).unwrap_err();
    assert!(refused.to_string().contains("opened read-only"), "{refused}");
    let peek = Peek::open(&map, PAGE)?;
    producer.discard(ADAPTIVE);
    producer.submit(7, ADAPTIVE);
    let seen: Vec<PendingRecord> = peek.pending().collect();
    let [PendingRecord::Discarded(_), PendingRecord::Committed(header)] = seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((header.position, header.length), (16, 8));
    let mut payload = Vec::new();
    assert!(peek.copy(header, &mut payload));
    assert_eq!(number(&payload), 7);
    let mut ring = Ring::open(map, PAGE)?;
    assert_eq!(numbers(&mut ring), [7], "still in the ring");
    assert!(!peek.copy(header, &mut payload), "released");
    Ok(())
}

/// Lets another process read the ring between two batches of this reader, during a batch, and while this reader sleeps.
/// Each time this reader returns the error, and never stores its own position again.
fn two_readers_of_a_pinned_ring_notice_each_other() -> Outcome {
    const NAME: &str = "two_readers_of_a_pinned_ring_notice_each_other";
    if let Some(ring) = open_pinned() {
        let mut ring = ring?;
        assert_eq!(ring.wait(Some(LONG))?, Wake::Ready);
        let read = numbers(&mut ring).len();
        return if read > 0 { Ok(()) } else { Err("it read nothing".into()) };
    }
    let is_noticed = |answer: Result<(), Error>| match answer {
        Err(error @ Error::Corrupt(Corrupt::Consumer { .. })) => {
            let text = error.to_string();
            assert!(text.contains("second consumer") && text.contains("missed or read twice"), "{text}");
        }
        other => panic!("{other:?}"),
    };
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let pins = Mounted::new("bpf")?;
    let pin = pin(map.as_fd(), &pins);
    let another_reads = || in_another_process(NAME, &pin).and_then(|mut command| command.status());
    let reopen = || io::Result::Ok(Ring::open(kernel::get_pinned(&pin, false)?, PAGE).expect("opening it"));

    let mut ring = reopen()?;
    producer.output(0, 2, &[0; 8], ADAPTIVE);
    assert_eq!(numbers(&mut ring), [0, 1]);
    producer.output(2, 2, &[0; 8], ADAPTIVE);
    assert!(another_reads()?.success());
    is_noticed(ring.batch().map(drop));
    drop(ring);

    let mut ring = reopen()?;
    producer.output(4, 1, &[0; 8], ADAPTIVE);
    let mut batch = ring.batch()?;
    assert_eq!(batch.records().count(), 1);
    producer.output(5, 1, &[0; 8], ADAPTIVE);
    assert!(another_reads()?.success());
    let theirs = Peek::open(&map, PAGE)?.positions().consumer;
    drop(batch);
    assert_eq!(ring.positions().consumer, theirs, "the other reader's position is not overwritten");
    is_noticed(ring.batch().map(drop));
    drop(ring);

    let mut ring = reopen()?;
    let answer = thread::scope(|scope| {
        let sleeper = crate::asleep(scope, || {
            loop {
                // Like a reader that finds all records read by the other one each time it wakes.
                match ring.wait(Some(LONG)) {
                    Ok(Wake::Ready) => match ring.batch() {
                        Ok(batch) => drop(batch),
                        Err(error) => return Err(error),
                    },
                    other => return other.map(drop),
                }
            }
        });
        let another = thread::scope(|scope| {
            let another = scope.spawn(another_reads);
            // Until one of the two has finished.
            while !sleeper.is_finished() && !another.is_finished() {
                producer.output(6, 1, &[0; 8], ADAPTIVE);
                thread::sleep(std::time::Duration::from_millis(20));
            }
            another.join().expect("a thread that ends")
        });
        // The other process may have read the last record.
        producer.output(7, 1, &[0; 8], ADAPTIVE);
        another.map(|status| assert!(status.success())).map(|()| sleeper.join().expect("a thread that ends"))
    })?;
    is_noticed(answer);
    Ok(())
}
