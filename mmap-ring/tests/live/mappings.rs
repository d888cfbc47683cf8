//! Tests which pages of a ring the kernel allows to map, which fds are refused, and that nothing stays mapped.
#![expect(unsafe_code, reason = "maps pages without the crate under test")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use mmap_ring::{Error, OverwriteRing, Peek, Ring, Side};

use crate::harness::{Test, test};
use crate::kernel::{self, ADAPTIVE, Producer, create_map, create_ring};
use crate::{Outcome, PAGE, numbers};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(mappings_are_allowed_page_by_page),
        test!(fd_that_is_no_ring_is_refused_with_advice),
        test!(closing_a_ring_leaves_no_fd),
        test!(ring_is_opened_once_at_a_time),
    ]
}

/// Maps `pages` pages from page `first`. Returns the errno on failure.
fn map(fd: &OwnedFd, first: usize, pages: usize, prot: i32) -> Result<*mut libc::c_void, i32> {
    let page = PAGE as usize;
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let start = unsafe {
        libc::mmap(std::ptr::null_mut(), pages * page, prot, libc::MAP_SHARED, fd.as_raw_fd(), (first * page) as i64)
    };
    if start == libc::MAP_FAILED {
        return Err(errno());
    }
    Ok(start)
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn mappings_are_allowed_page_by_page() -> Outcome {
    const READ: i32 = libc::PROT_READ;
    const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;
    // Two pages of data: the file has 2 + 2 * 2 pages.
    let fd = create_ring(2 * PAGE)?;
    let matrix = [
        ("the consumer's page, writable", 0, 1, BOTH, None),
        ("both position pages, writable", 0, 2, BOTH, Some(libc::EPERM)),
        ("the producer's page, writable", 1, 1, BOTH, Some(libc::EPERM)),
        ("the data, writable", 2, 2, BOTH, Some(libc::EPERM)),
        ("the producer's page and the data", 1, 5, READ, None),
        ("all pages", 0, 6, READ, None),
        ("one page of the second view", 4, 1, READ, None),
        ("one page too many", 1, 6, READ, Some(libc::EINVAL)),
        ("after the end", 6, 1, READ, Some(libc::EINVAL)),
    ];
    let unmap = |start: *mut libc::c_void, pages: usize| {
        // SAFETY: a mapping that this test created and nothing uses.
        unsafe { libc::munmap(start, pages * PAGE as usize) }
    };
    for (what, first, pages, prot, refusal) in matrix {
        let mapped = map(&fd, first, pages, prot);
        assert_eq!(mapped.err(), refusal, "{what}");
        if let Ok(start) = mapped {
            unmap(start, pages);
        }
    }
    let data = map(&fd, 1, 5, READ).expect("allowed above");
    // SAFETY: changes only the protection of this test's own mapping.
    let changed = unsafe { libc::mprotect(data, PAGE as usize, BOTH) };
    assert_eq!((changed, errno()), (-1, libc::EACCES), "mprotect to write");
    // SAFETY: moves or grows this test's own mapping, or fails.
    let grown = unsafe { libc::mremap(data, 5 * PAGE as usize, 9 * PAGE as usize, libc::MREMAP_MAYMOVE) };
    assert_eq!(grown, libc::MAP_FAILED, "mremap must not grow it");
    unmap(data, 5);
    Ok(())
}

fn fd_that_is_no_ring_is_refused_with_advice() -> Outcome {
    let message = |map: OwnedFd, bytes| match Ring::open(map, bytes) {
        Err(error) => error.to_string(),
        Ok(ring) => panic!("opened {ring:?}"),
    };
    for bytes in [0, 1, 4095, 3 * PAGE, 2048] {
        let error = Ring::open(create_ring(PAGE)?, bytes).unwrap_err();
        assert!(matches!(error, Error::InvalidSize { .. }), "{bytes}: {error}");
    }
    let smaller = message(create_ring(PAGE)?, 2 * PAGE);
    assert!(smaller.contains("has 4096 bytes, not 8192"), "{smaller}");
    let larger = message(create_ring(4 * PAGE)?, 2 * PAGE);
    assert!(larger.contains("has 16384 bytes, not 8192"), "{larger}");
    let array = message(create_map(kernel::MAP_TYPE_ARRAY, 4, 4, 4, 0)?, PAGE);
    assert!(array.contains("of type 2 (enum bpf_map_type), not BPF_MAP_TYPE_RINGBUF"), "{array}");
    let null = message(File::options().read(true).write(true).open("/dev/null")?.into(), PAGE);
    assert!(null.contains("not a BPF map"), "{null}");
    Ok(())
}

/// Counts in a separate process, because other tests open and close fds meanwhile.
fn closing_a_ring_leaves_no_fd() -> Outcome {
    const ALONE: &str = "MMAP_RING_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let output = Command::new(std::env::current_exe()?)
            .args(["--exact", "closing_a_ring_leaves_no_fd", "--include-ignored"])
            .env(ALONE, "1")
            .output()?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
        return Ok(());
    }
    let fds = || -> io::Result<usize> { Ok(std::fs::read_dir("/proc/self/fd")?.count()) };
    let mappings = || -> io::Result<usize> {
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        Ok(maps.lines().filter(|line| line.contains("bpf-map")).count())
    };
    let before = (fds()?, mappings()?);
    let map = create_ring(PAGE)?;
    let mut ring = Ring::open(map, PAGE)?;
    let stopper = ring.stopper()?;
    // The first sleep creates the epoll instance. On a machine that stalls, the timeout may pass before that sleep.
    while ring.counters().sleeps == 0 {
        ring.wait(Some(Duration::from_millis(1)))?;
    }
    assert_eq!(fds()?, before.0 + 4, "ring, epoll, both ends of the pipe");
    assert_eq!(mappings()?, before.1 + 2);
    drop((ring, stopper));
    assert_eq!((fds()?, mappings()?), before);
    // No fd or mapping is left after a failure either.
    assert!(Ring::open(create_ring(PAGE)?, 2 * PAGE).is_err());
    assert_eq!((fds()?, mappings()?), before);
    Ok(())
}

/// Checks that safe code does not get two readers of one ring through any fd: one would free records that the other has
/// lent.
fn ring_is_opened_once_at_a_time() -> Outcome {
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let mut ring = Ring::open(map.try_clone()?, PAGE)?;
    producer.output(0, 3, &[0; 8], ADAPTIVE);
    let mut batch = ring.batch()?;
    let held: Vec<&[u8]> = batch.records().collect();
    let taken = |opened: Option<Error>| {
        assert!(matches!(opened, Some(Error::AlreadyOpen { side: Side::Consumer })), "{opened:?}")
    };
    taken(Ring::open(map.try_clone()?, PAGE).err());
    taken(OverwriteRing::open(map.try_clone()?, PAGE).err());
    assert_eq!(Peek::open(&map, PAGE)?.pending().count(), 3, "an observer does not count");
    let other = create_ring(PAGE)?;
    assert!(Ring::open(other, PAGE).is_ok(), "another ring does not count");
    assert_eq!(held.len(), 3);
    drop(batch);
    drop(ring);
    producer.output(3, 1, &[0; 8], ADAPTIVE);
    let mut ring = Ring::open(map, PAGE)?;
    assert_eq!(numbers(&mut ring), [3]);
    Ok(())
}
