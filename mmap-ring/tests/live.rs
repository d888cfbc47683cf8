//! The reader on rings of the running kernel.
//!
//! Needs the right to make BPF maps and load programs. Where it is missing,
//! every test is listed as ignored, with the reason before its name; asked for
//! with `--ignored`, they run and fail.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![expect(unsafe_code, reason = "maps pages and waits without the crate under test")]

mod support;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use mmap_ring::{Error, Head, OverwriteRing, Peek, Ring, Seen, Set, UserRing, Wake};
use support::{ADAPTIVE, FORCE_WAKEUP, LONGEST, MOST, NO_WAKEUP, Producer, create_map, create_ring};

const PAGE: u32 = 4096;
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

type Outcome = Result<(), Failed>;
type Test = fn() -> Outcome;

fn main() {
    let arguments = Arguments::from_args();
    let reason = match create_ring(PAGE) {
        Ok(_) => None,
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Some("needs CAP_BPF and CAP_PERFMON, or root"),
        // Whatever else goes wrong is for the tests to fail with.
        Err(_) => None,
    };
    let tests: [(&str, Test); 19] = [
        ("mappings_are_allowed_page_by_page", mappings_are_allowed_page_by_page),
        ("what_is_not_a_ring_is_refused_with_advice", what_is_not_a_ring_is_refused_with_advice),
        ("sizes_from_one_page_to_64_mib", sizes_from_one_page_to_64_mib),
        ("the_longest_record_fits_and_one_byte_more_does_not", the_longest_record_fits),
        ("every_length_comes_back_as_it_was_sent", every_length_comes_back),
        ("discards_are_skipped_and_counted", discards_are_skipped_and_counted),
        ("a_full_ring_refuses_and_reading_makes_room", a_full_ring_refuses),
        ("a_commit_wakes_a_sleeper", a_commit_wakes_a_sleeper),
        ("no_wakeup_leaves_a_sleeper_and_force_wakes_it", no_wakeup_leaves_a_sleeper),
        ("a_discard_without_wakeup_strands_a_waiter", a_discard_without_wakeup),
        ("a_consumer_that_is_behind_is_not_woken", a_consumer_that_is_behind),
        ("a_reopened_ring_goes_on_where_it_was", a_reopened_ring_goes_on),
        ("a_sleeping_reader_loses_nothing", a_sleeping_reader_loses_nothing),
        ("order_is_kept_for_each_of_several_producers", order_is_kept),
        ("a_reader_killed_in_mid_batch_loses_nothing", a_killed_reader_loses_nothing),
        ("a_second_ring_wakes_the_set", a_second_ring_wakes_the_set),
        ("a_bystander_reads_and_does_not_consume", a_bystander_reads_and_does_not_consume),
        ("a_user_ring_can_be_filled", a_user_ring_can_be_filled),
        ("closing_a_ring_leaves_no_descriptor", closing_leaves_no_descriptor),
    ];
    let overwrites = Trial::test("an_overwriting_ring_keeps_the_newest", keeps_the_newest);
    let overwrites = match reason.or_else(reason_without_overwriting) {
        None => overwrites,
        Some(reason) => overwrites.with_kind(reason).with_ignored_flag(true),
    };
    let trials = tests.into_iter().map(|(name, test)| {
        let trial = Trial::test(name, test);
        match reason {
            None => trial,
            Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        }
    });
    libtest_mimic::run(&arguments, trials.chain([overwrites]).collect()).exit();
}

/// Why no ring of this kernel overwrites, if it is too old for it: a newer one
/// that refuses is for the test to fail with.
fn reason_without_overwriting() -> Option<&'static str> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    ((next(), next()) < (Some(6), Some(19))).then_some("needs Linux 6.19")
}

/// A ring of the kernel's, its reader and its producer.
fn ring(bytes: u32) -> (Ring, Producer) {
    let map = create_ring(bytes).expect("making a ring");
    let producer = Producer::new(&map);
    (Ring::open(map, bytes).expect("opening it"), producer)
}

/// The numbers that all waiting records start with.
fn numbers(ring: &mut Ring) -> Vec<u64> {
    let mut batch = ring.batch().expect("a sound ring");
    batch.records().map(number).collect()
}

fn number(record: &[u8]) -> u64 {
    u64::from_ne_bytes(record[..8].try_into().expect("eight bytes"))
}

/// Maps `pages` pages from page `first`; the answer's errno.
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
        ("all of it from the start", 0, 6, READ, None),
        ("one page of the second view", 4, 1, READ, None),
        ("a page more than there is", 1, 6, READ, Some(libc::EINVAL)),
        ("behind the end", 6, 1, READ, Some(libc::EINVAL)),
    ];
    let unmap = |start: *mut libc::c_void, pages: usize| {
        // SAFETY: a mapping that this test made and nobody uses.
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
    // SAFETY: changes nothing but the rights to a mapping of this test's.
    let changed = unsafe { libc::mprotect(data, PAGE as usize, BOTH) };
    assert_eq!((changed, errno()), (-1, libc::EACCES), "mprotect to write");
    // SAFETY: moves or grows a mapping of this test's, or fails.
    let grown = unsafe { libc::mremap(data, 5 * PAGE as usize, 9 * PAGE as usize, libc::MREMAP_MAYMOVE) };
    assert_eq!(grown, libc::MAP_FAILED, "mremap must not grow it");
    unmap(data, 5);
    Ok(())
}

fn what_is_not_a_ring_is_refused_with_advice() -> Outcome {
    let message = |map: OwnedFd, bytes| match Ring::open(map, bytes) {
        Err(error) => error.to_string(),
        Ok(ring) => panic!("opened {ring:?}"),
    };
    for bytes in [0, 1, 4095, 3 * PAGE, 2048] {
        let error = Ring::open(create_ring(PAGE)?, bytes).unwrap_err();
        assert!(matches!(error, Error::Size { .. }), "{bytes}: {error}");
    }
    let smaller = message(create_ring(PAGE)?, 2 * PAGE);
    assert!(smaller.contains("EINVAL: the map is smaller"), "{smaller}");
    let larger = message(create_ring(4 * PAGE)?, 2 * PAGE);
    assert!(larger.contains("larger than the 8192 bytes"), "{larger}");
    let array = message(create_map(support::MAP_TYPE_ARRAY, 4, 4, 4, 0)?, PAGE);
    assert!(array.contains("BPF_MAP_TYPE_RINGBUF"), "{array}");
    let null = message(File::options().read(true).write(true).open("/dev/null")?.into(), PAGE);
    assert!(null.contains("consumer's page"), "{null}");
    let (socket, _) = std::os::unix::net::UnixStream::pair()?;
    let socket = message(socket.into(), PAGE);
    assert!(socket.contains("ENODEV"), "{socket}");
    Ok(())
}

fn sizes_from_one_page_to_64_mib() -> Outcome {
    for log in 0..=14 {
        let bytes = PAGE << log;
        let (mut ring, producer) = ring(bytes);
        assert_eq!(ring.capacity(), u64::from(bytes));
        let payload = [0; 1000];
        let mut sent = 0;
        // Round the ring at least twice, in parts that fit.
        let part = (u64::from(bytes) / 1008 / 2).clamp(1, MOST);
        while sent * 1008 < 2 * u64::from(bytes) + 4096 {
            assert_eq!(producer.output(sent, part, &payload, ADAPTIVE), 0);
            assert_eq!(numbers(&mut ring), (sent..sent + part).collect::<Vec<_>>());
            sent += part;
        }
        let positions = ring.positions();
        assert_eq!(positions.consumer, positions.producer);
        assert_eq!(positions.consumer, sent * 1008);
    }
    Ok(())
}

fn the_longest_record_fits() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    let longest = vec![7; PAGE as usize - 16];
    for number in 0..3 {
        assert_eq!(producer.output(number, 1, &longest, ADAPTIVE), 0);
        let record = ring.record()?.expect("one record");
        assert_eq!(record.len(), longest.len());
        assert_eq!(record[8..], longest[8..]);
    }
    let one_more = vec![7; PAGE as usize - 15];
    assert_eq!(producer.output(0, 1, &one_more, ADAPTIVE), 1);
    Ok(())
}

fn every_length_comes_back() -> Outcome {
    let (mut ring, producer) = ring(2 * PAGE);
    for length in 0..=LONGEST {
        let payload: Vec<u8> = (0..length).map(|at| (at * 31 + length) as u8).collect();
        assert_eq!(producer.output(0, 1, &payload, ADAPTIVE), 0);
        let record = ring.record()?.expect("one record");
        assert_eq!(record.len(), length);
        assert_eq!(record.get(8..), payload.get(8..));
    }
    Ok(())
}

fn discards_are_skipped_and_counted() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    producer.discard(ADAPTIVE);
    producer.submit(1, ADAPTIVE);
    producer.discard(ADAPTIVE);
    producer.discard(ADAPTIVE);
    producer.submit(2, ADAPTIVE);
    producer.discard(ADAPTIVE);
    assert_eq!(numbers(&mut ring), [1, 2]);
    assert_eq!(ring.counters().discarded, 4);
    assert_eq!(ring.head()?, Head::Empty);
    assert_eq!(ring.positions().consumer, 6 * 16);
    Ok(())
}

fn a_full_ring_refuses() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    // 16 bytes each; the last of 256 would fill the ring to the brim.
    assert_eq!(producer.output(0, 300, &[0; 8], ADAPTIVE), 300 - 255);
    assert_eq!(ring.positions().waiting(), 255 * 16);
    assert_eq!(ring.batch()?.at_most(5).count(), 5);
    assert_eq!(producer.output(255, 10, &[0; 8], ADAPTIVE), 5);
    assert_eq!(numbers(&mut ring), (5..260).collect::<Vec<_>>());
    Ok(())
}

fn a_commit_wakes_a_sleeper() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    for number in 0..20 {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(2));
                producer.submit(number, ADAPTIVE);
            });
            assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready);
        });
        assert_eq!(numbers(&mut ring), [number]);
    }
    assert!(ring.counters().wakeups > 0);
    Ok(())
}

fn no_wakeup_leaves_a_sleeper() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| ring.wait(Some(LONG)));
        thread::sleep(SHORT);
        producer.submit(1, NO_WAKEUP);
        thread::sleep(SHORT);
        assert!(!sleeper.is_finished(), "woken by NO_WAKEUP");
        // The consumer stands at record 1, so this one is not its business.
        producer.submit(2, ADAPTIVE);
        thread::sleep(SHORT);
        assert!(!sleeper.is_finished(), "woken although it is behind");
        producer.submit(3, FORCE_WAKEUP);
        assert_eq!(sleeper.join().unwrap().unwrap(), Wake::Ready);
    });
    assert_eq!(numbers(&mut ring), [1, 2, 3]);
    Ok(())
}

fn a_discard_without_wakeup() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| ring.wait(Some(10 * SHORT)));
        thread::sleep(SHORT);
        producer.discard(NO_WAKEUP);
        producer.submit(1, ADAPTIVE);
        let began = Instant::now();
        assert_eq!(sleeper.join().unwrap().unwrap(), Wake::Ready);
        assert!(began.elapsed() > 4 * SHORT, "found by the time-out alone");
    });
    assert_eq!(ring.counters().wakeups, 0);
    assert_eq!(numbers(&mut ring), [1]);
    Ok(())
}

fn a_consumer_that_is_behind() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    producer.submit(1, ADAPTIVE);
    // An edge-triggered waiter of one's own that does not drain.
    // SAFETY: takes no memory.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    // SAFETY: `event` lives during the call.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, ring.as_fd().as_raw_fd(), &mut event) };
    let mut wait = |timeout| {
        // SAFETY: room for one event.
        unsafe { libc::epoll_wait(epoll, &mut event, 1, timeout) }
    };
    assert_eq!(wait(1000), 1, "the record was there");
    producer.submit(2, ADAPTIVE);
    assert_eq!(wait(50), 0, "no wake-up for a consumer that is behind");
    assert_eq!(numbers(&mut ring), [1, 2]);
    assert_eq!(ring.settle()?, Head::Empty);
    producer.submit(3, ADAPTIVE);
    assert_eq!(wait(1000), 1, "a wake-up for one that is not");
    // SAFETY: this test's own descriptor.
    unsafe { libc::close(epoll) };
    Ok(())
}

fn a_reopened_ring_goes_on() -> Outcome {
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let mut first = Ring::open(map.try_clone()?, PAGE)?;
    producer.output(0, 10, &[0; 8], ADAPTIVE);
    assert_eq!(first.batch()?.at_most(4).count(), 4);
    drop(first);
    let mut second = Ring::open(map, PAGE)?;
    assert_eq!(numbers(&mut second), [4, 5, 6, 7, 8, 9]);
    Ok(())
}

fn a_sleeping_reader_loses_nothing() -> Outcome {
    const TOTAL: u64 = 200_000;
    let (mut ring, producer) = ring(PAGE);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 0;
            while next < TOTAL {
                // One record at a time, so that the reader sleeps often.
                if producer.output(next, 1, &[0; 8], ADAPTIVE) == 0 {
                    next += 1;
                }
            }
        });
        let mut next = 0;
        while next < TOTAL {
            assert_eq!(ring.wait(Some(LONG)).unwrap(), Wake::Ready, "a lost wake-up");
            for record in &mut ring.batch().unwrap() {
                assert_eq!(number(record), next);
                next += 1;
            }
        }
    });
    Ok(())
}

fn order_is_kept() -> Outcome {
    const EACH: u64 = 50_000;
    const PRODUCERS: u64 = 3;
    let (mut ring, producer) = ring(16 * PAGE);
    let (mut received, mut next) = (0, [0; PRODUCERS as usize]);
    let failed: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..PRODUCERS)
            .map(|which| {
                let producer = &producer;
                scope.spawn(move || {
                    let length = 16 + which as usize * 700;
                    (0..EACH)
                        .step_by(10)
                        .map(|first| producer.output(which << 32 | first, 10, &vec![which as u8; length], ADAPTIVE))
                        .sum::<u64>()
                })
            })
            .collect();
        let mut running = true;
        while running {
            // Asked before the last look, so that the look misses nothing.
            running = !threads.iter().all(|thread| thread.is_finished());
            ring.wait(Some(Duration::from_millis(5))).unwrap();
            for record in &mut ring.batch().unwrap() {
                let (which, number) = (number(record) >> 32, number(record) as u32);
                assert_eq!(record.len() as u64, 16 + which * 700);
                assert!(record[8..].iter().all(|byte| u64::from(*byte) == which));
                let expected = &mut next[which as usize];
                assert!(number >= *expected, "{which}: {number} after {expected}");
                *expected = number + 1;
                received += 1;
            }
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(received + failed, PRODUCERS * EACH);
    Ok(())
}

/// A pin that is gone when its test is, failed or not.
struct Pin(CString);

impl Pin {
    fn new(fd: BorrowedFd<'_>, name: &str) -> Self {
        let path = format!("/sys/fs/bpf/mmap-ring-{}-{name}", std::process::id());
        let path = CString::new(path).unwrap();
        support::pin(fd, &path).expect("pinning (is bpffs mounted on /sys/fs/bpf?)");
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
        let map = support::get_pinned(&CString::new(path)?, false)?;
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
    let mut ring = Ring::open(support::get_pinned(&pin.0, false)?, PAGE)?;
    // The released three are gone; the four of the open batch come again.
    assert_eq!(numbers(&mut ring), (3..12).collect::<Vec<_>>());
    Ok(())
}

fn a_second_ring_wakes_the_set() -> Outcome {
    let (first, _first_producer) = ring(PAGE);
    let (second, producer) = ring(4 * PAGE);
    let mut set = Set::new();
    set.push(first);
    set.push(second);
    for number in 0..5 {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(2));
                producer.submit(number, ADAPTIVE);
            });
            assert_eq!(set.wait(Some(LONG)).unwrap(), Wake::Ready);
        });
        for (index, ring) in set.ready() {
            assert_eq!(index, 1);
            assert_eq!(numbers(ring), [number]);
        }
    }
    Ok(())
}

fn a_bystander_reads_and_does_not_consume() -> Outcome {
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let pin = Pin::new(map.as_fd(), "peek");
    let read_only = support::get_pinned(&pin.0, true)?;
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

/// Mapping, positions and limits; what drains it is a program of a type that
/// cannot be run here on demand.
fn a_user_ring_can_be_filled() -> Outcome {
    let map = create_map(support::MAP_TYPE_USER_RINGBUF, 0, 0, PAGE, 0)?;
    let mut ring = UserRing::open(map.try_clone()?, PAGE)?;
    assert_eq!(ring.capacity(), u64::from(PAGE));
    assert!(ring.reserve(PAGE - 7).is_err());
    for number in 0..4_u64 {
        let mut sample = ring.reserve(1016)?.expect("room for four");
        sample.fill(number as u8);
        sample.submit();
    }
    assert_eq!(ring.room(), 0);
    let none = ring.reserve_within(8, Some(SHORT))?;
    assert!(none.is_none(), "nobody drains");
    drop(ring);
    let ring = UserRing::open(map, PAGE)?;
    assert_eq!(ring.room(), 0, "goes on where the last producer stopped");
    Ok(())
}

fn keeps_the_newest() -> Outcome {
    let map = create_map(support::MAP_TYPE_RINGBUF, 0, 0, PAGE, support::F_RB_OVERWRITE)?;
    let producer = Producer::new(&map);
    let mut ring = OverwriteRing::open(map, PAGE)?;
    assert_eq!(producer.output(0, 400, &[0; 8], NO_WAKEUP), 0, "never full");
    let mut next = 400 - 255;
    while let Some(record) = ring.record()? {
        assert_eq!(number(record), next);
        next += 1;
    }
    assert_eq!(next, 400);
    assert_eq!(ring.losses().bytes, (400 - 255) * 16);
    Ok(())
}

/// Counts in a process of its own: other tests open and close descriptors
/// meanwhile.
fn closing_leaves_no_descriptor() -> Outcome {
    const ALONE: &str = "MMAP_RING_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let output = Command::new(std::env::current_exe()?)
            .args(["--exact", "closing_a_ring_leaves_no_descriptor", "--include-ignored"])
            .env(ALONE, "1")
            .output()?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
        return Ok(());
    }
    let descriptors = || -> io::Result<usize> { Ok(std::fs::read_dir("/proc/self/fd")?.count()) };
    let mappings = || -> io::Result<usize> {
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        Ok(maps.lines().filter(|line| line.contains("bpf-map")).count())
    };
    let before = (descriptors()?, mappings()?);
    let map = create_ring(PAGE)?;
    let mut ring = Ring::open(map, PAGE)?;
    let stopper = ring.stopper()?;
    ring.wait(Some(Duration::from_millis(1)))?;
    assert_eq!(descriptors()?, before.0 + 4, "ring, epoll, both ends of the pipe");
    assert_eq!(mappings()?, before.1 + 2);
    drop((ring, stopper));
    assert_eq!((descriptors()?, mappings()?), before);
    // And none after a failure.
    assert!(Ring::open(create_ring(PAGE)?, 2 * PAGE).is_err());
    assert_eq!((descriptors()?, mappings()?), before);
    Ok(())
}
