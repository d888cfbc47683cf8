//! One wait for rings, perf buffers and other files: `Poller`.
//!
//! Records are sent by test runs of programs, so each is sent exactly when a test wants it.

mod perf;

use std::{
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    os::fd::{AsFd, AsRawFd},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use cutaway::{Loaded, Object, Poller, Source, TestRun, Token, Wake, perf_reader};
use cutaway_programs::prelude::*;
use cutaway_sys::memory::page_size;
use rustix::time::{ClockId, clock_gettime};

use self::perf::{
    drain_that_breaks_keeps_the_wait_from_sleeping, idle_perf_set_without_wakeups_makes_no_busy_loop,
    perf_records_below_the_threshold_are_found_by_the_timer, perf_records_of_before_the_add_are_found,
    refresh_that_fails_starves_no_other_source,
};
use crate::{
    harness::{Test, test},
    requirements,
};

pub(crate) fn tests() -> Vec<Test> {
    let tests = [
        test!(rings_perf_buffers_and_a_pipe_share_one_wait),
        test!(stop_from_another_thread_ends_the_wait),
        test!(stop_by_its_fd_ends_a_wait_that_never_sleeps),
        test!(deadline_ends_the_wait_in_time),
        test!(record_without_wakeup_is_found_by_the_timer),
        test!(perf_records_below_the_threshold_are_found_by_the_timer),
        test!(record_sent_while_a_wait_begins_wakes_it),
        test!(removed_source_is_not_waited_for),
        test!(token_of_another_poller_is_unknown),
        test!(exchanged_source_makes_no_busy_loop),
        test!(undrained_source_keeps_the_wait_from_sleeping),
        test!(drain_that_breaks_keeps_the_wait_from_sleeping),
        test!(perf_records_of_before_the_add_are_found),
        test!(idle_perf_set_without_wakeups_makes_no_busy_loop),
        test!(ring_that_is_always_ready_starves_no_other_source),
        test!(closed_pipe_is_an_error_with_its_token),
        test!(refresh_that_fails_starves_no_other_source),
        test!(second_consumer_is_an_error_with_the_token),
    ];
    let since = |test: Test| test.needs(requirements::ring).since(5, 10, "test runs of raw tracepoint programs");
    tests.map(since).into()
}

const LONG: Option<Duration> = Some(Duration::from_secs(10));
const NOW: Option<Duration> = Some(Duration::ZERO);
/// `BPF_RB_NO_WAKEUP`
const NO_WAKEUP: i32 = 1;

/// Loads two rings and a perf event array, and a program that sends 8 bytes into each.
fn load() -> Loaded {
    let mut object = ObjectBuilder::new("GPL");
    let ring = || MapDef::new(MapType::RINGBUF).max_entries(page_size() as u32);
    let first = object.map("first", ring());
    let second = object.map("second", ring());
    let samples = object.map("samples", MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4));
    for (name, ring, flags) in
        [("into_first", first, 0), ("into_second", second, 0), ("quietly_into_first", first, NO_WAKEUP)]
    {
        let mut asm = Assembler::new();
        asm.store(DW, R10, -8, 7);
        asm.load_map(R1, ring);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.mov(R3, 8);
        asm.mov(R4, flags);
        asm.call(Helper::bpf_ringbuf_output);
        asm.mov(R0, 0);
        asm.exit();
        object.program("raw_tracepoint", name, asm);
    }
    let mut asm = Assembler::new();
    asm.store(DW, R10, -8, 7);
    asm.load_map(R2, samples);
    asm.mov(W3, -1); // BPF_F_CURRENT_CPU
    asm.mov(R4, R10);
    asm.add(R4, -8);
    asm.mov(R5, 8);
    asm.call(Helper::bpf_perf_event_output);
    asm.mov(R0, 0);
    asm.exit();
    object.program("raw_tracepoint", "samples_once", asm);
    Object::parse(&object.write().unwrap()).unwrap().load().unwrap()
}

fn send(loaded: &Loaded, program: &str) {
    let sent = loaded.program(program).unwrap().test_run(&TestRun::default());
    assert_eq!(sent.unwrap().value, 0, "{program}");
}

fn ring(loaded: &Loaded, name: &str) -> cutaway::mmap_ring::Ring {
    loaded.map(name).unwrap().ring().unwrap()
}

/// Reads everything that is ready. Returns the number of records or bytes of each source.
fn drain(poller: &mut Poller, pipe: Option<&mut PipeReader>) -> Vec<(Token, usize)> {
    let mut pipe = pipe;
    let drained = poller.ready().map(|(token, source)| {
        let count = match source {
            Source::Ring(ring) => ring.batch().unwrap().records().count(),
            Source::Perf(buffers) => {
                let mut count = 0;
                buffers.drain(|_, record| count += usize::from(record.is_ok())).unwrap();
                count
            }
            Source::PerfSet(set) => {
                let mut count = 0;
                set.drain(|_, record| count += usize::from(record.is_ok()));
                count
            }
            _ => pipe.as_mut().unwrap().read(&mut [0; 64]).unwrap(),
        };
        (token, count)
    });
    drained.collect()
}

fn rings_perf_buffers_and_a_pipe_share_one_wait() {
    let loaded = load();
    let (mut read, mut write) = pipe().unwrap();
    let mut poller = Poller::new().unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    let second = poller.add_ring(ring(&loaded, "second")).unwrap();
    let samples = loaded.map("samples").unwrap();
    let perf = poller.add_perf(samples.perf_buffers(64 * 1024, &perf_reader::Options::new()).unwrap()).unwrap();
    let file = poller.add_fd(&read).unwrap();
    assert_eq!(poller.sources().map(|(token, _)| token).collect::<Vec<_>>(), [first, second, perf, file]);
    assert_eq!(poller.wait(NOW).unwrap(), Wake::TimedOut);
    assert_eq!(poller.ready().count(), 0);
    // One after the other, and each is reported once.
    for _ in 0..3 {
        for (token, program) in [(first, "into_first"), (second, "into_second"), (perf, "samples_once")] {
            send(&loaded, program);
            assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready, "{program}");
            assert_eq!(drain(&mut poller, Some(&mut read)), [(token, 1)], "{program}");
        }
        write.write_all(b"abc").unwrap();
        assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
        assert_eq!(drain(&mut poller, Some(&mut read)), [(file, 3)]);
    }
    assert_eq!(poller.wait(NOW).unwrap(), Wake::TimedOut);
    // All at once.
    for program in ["into_first", "into_first", "into_second", "samples_once"] {
        send(&loaded, program);
    }
    write.write_all(b"abc").unwrap();
    let mut all = Vec::new();
    while poller.wait(NOW).unwrap() == Wake::Ready {
        all.extend(drain(&mut poller, Some(&mut read)));
    }
    assert_eq!(all, [(first, 2), (second, 1), (perf, 1), (file, 3)]);
    assert_eq!(poller.take_changes(perf), perf_reader::HotplugChanges::default());
}

fn stop_from_another_thread_ends_the_wait() {
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    poller.add_ring(ring(&loaded, "first")).unwrap();
    let stopper = poller.stopper();
    let began = Instant::now();
    let stopping = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        stopper.stop();
    });
    assert_eq!(poller.wait(None).unwrap(), Wake::Stopped);
    assert!(began.elapsed() >= Duration::from_millis(20));
    stopping.join().unwrap();
    // It stays stopped until it is resumed, with or without records.
    send(&loaded, "into_first");
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Stopped);
    poller.resume().unwrap();
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
}

/// Stops it as a signal handler does: by write(2).
fn stop_by_its_fd_ends_a_wait_that_never_sleeps() {
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    poller.add_ring(ring(&loaded, "first")).unwrap();
    send(&loaded, "into_first");
    let mut line = PipeWriter::from(poller.stopper().as_fd().try_clone_to_owned().unwrap());
    assert_eq!(poller.wait(NOW).unwrap(), Wake::Ready);
    line.write_all(b"x").unwrap();
    let waits = (0..1000).position(|_| poller.wait(LONG).unwrap() == Wake::Stopped);
    assert!(waits.is_some());
}

fn deadline_ends_the_wait_in_time() {
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    for milliseconds in [0, 1, 20, 150] {
        let time = Duration::from_millis(milliseconds);
        let began = Instant::now();
        let answer = if milliseconds % 2 == 0 { poller.wait(Some(time)) } else { poller.wait_until(began + time) };
        assert_eq!(answer.unwrap(), Wake::TimedOut);
        assert!(began.elapsed() >= time && began.elapsed() < time + Duration::from_secs(5), "{:?}", began.elapsed());
    }
    // An expired deadline still reports the sources that are ready.
    send(&loaded, "into_first");
    assert_eq!(poller.wait_until(Instant::now()).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(first, 1)]);
    // A deadline beyond the clock's range is no limit.
    let stopper = poller.stopper();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(20));
            stopper.stop();
        });
        let began = Instant::now();
        assert_eq!(poller.wait(Some(Duration::MAX)).unwrap(), Wake::Stopped);
        assert!(began.elapsed() >= Duration::from_millis(20));
    });
}

fn record_without_wakeup_is_found_by_the_timer() {
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(10));
            send(&loaded, "quietly_into_first");
        });
        let began = Instant::now();
        assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
    assert_eq!(drain(&mut poller, None), [(first, 1)]);
    // Without the timer it is found when the wait ends for another reason.
    poller.set_idle_poll_interval(None);
    assert_eq!(poller.wait(NOW).unwrap(), Wake::TimedOut);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(10));
            send(&loaded, "quietly_into_first");
        });
        let began = Instant::now();
        assert_eq!(poller.wait(Some(Duration::from_millis(150))).unwrap(), Wake::Ready);
        assert!(began.elapsed() >= Duration::from_millis(150));
    });
}

/// The other thread sends its record on request, just when this one begins to wait. There is no timer to make up for a
/// lost wake-up, which would cost the whole time-out.
fn record_sent_while_a_wait_begins_wakes_it() {
    const ROUNDS: usize = 3000;
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    poller.set_idle_poll_interval(None);
    let (ask, asked) = mpsc::channel::<usize>();
    thread::scope(|scope| {
        let loaded = &loaded;
        scope.spawn(move || {
            for round in asked {
                // The record arrives at different points of the other thread's wait.
                (0..round % 97 * 8).for_each(|_| std::hint::spin_loop());
                send(loaded, "into_first");
            }
        });
        for round in 0..ROUNDS {
            ask.send(round).unwrap();
            let began = Instant::now();
            assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready, "round {round}");
            assert!(began.elapsed() < Duration::from_secs(5), "round {round}: {:?}", began.elapsed());
            assert_eq!(drain(&mut poller, None), [(first, 1)], "round {round}");
        }
        drop(ask);
    });
}

fn removed_source_is_not_waited_for() {
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    let second = poller.add_ring(ring(&loaded, "second")).unwrap();
    send(&loaded, "into_first");
    let Some(Source::Ring(mut taken)) = poller.remove(first) else { panic!("a ring") };
    assert!(poller.remove(first).is_none() && poller.source(first).is_none() && poller.source_mut(first).is_none());
    send(&loaded, "into_first");
    assert_eq!(poller.wait(Some(Duration::from_millis(20))).unwrap(), Wake::TimedOut);
    assert_eq!(taken.batch().unwrap().records().count(), 2);
    // The other source is still there, and a new one gets a token of its own.
    send(&loaded, "into_second");
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(second, 1)]);
    let again = poller.add_ring(taken).unwrap();
    assert!(again > second);
    send(&loaded, "into_first");
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(again, 1)]);
}

fn token_of_another_poller_is_unknown() {
    let (read, _write) = pipe().unwrap();
    let (mut one, mut other) = (Poller::new().unwrap(), Poller::new().unwrap());
    let token = one.add_fd(&read).unwrap();
    let others = other.add_fd(&read).unwrap();
    assert_ne!(token, others);
    assert!(other.source(token).is_none() && other.source_mut(token).is_none() && other.remove(token).is_none());
    assert!(other.take_changes(token) == perf_reader::HotplugChanges::default());
    assert!(one.source(token).is_some() && other.remove(others).is_some());
}

/// A source's former file stays readable and watched: the caller has its fd.
fn exchanged_source_makes_no_busy_loop() {
    const IDLE: Duration = Duration::from_millis(200);
    let ((read, mut write), (empty, mut into_empty)) = (pipe().unwrap(), pipe().unwrap());
    let (mut poller, mut another) = (Poller::new().unwrap(), Poller::new().unwrap());
    let token = poller.add_fd(&read).unwrap();
    let of_another = another.add_fd(&empty).unwrap();
    std::mem::swap(poller.source_mut(token).unwrap(), another.source_mut(of_another).unwrap());
    drop(poller.remove(token));
    write.write_all(b"abc").unwrap();
    let before = cpu_time();
    assert_eq!(poller.wait(Some(IDLE)).unwrap(), Wake::TimedOut);
    let ran = cpu_time() - before;
    // A busy loop runs for all of `IDLE`. An emulated CPU also counts the time in which a busy host does not run it.
    assert!(ran < IDLE / 2, "the wait ran for {ran:?}");
    // Other sources are still watched.
    let token = poller.add_fd(&empty).unwrap();
    into_empty.write_all(b"abc").unwrap();
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(poller.ready().map(|(token, _)| token).collect::<Vec<_>>(), [token]);
    poller.stopper().stop();
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Stopped);
}

/// Returns the CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn undrained_source_keeps_the_wait_from_sleeping() {
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    let options = perf_reader::Options::new();
    let perf = poller.add_perf(loaded.map("samples").unwrap().perf_buffers(64 * 1024, &options).unwrap()).unwrap();
    // The kernel reports only once that a perf buffer has data: the poller remembers it.
    send(&loaded, "samples_once");
    for _ in 0..3 {
        assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    }
    assert_eq!(drain(&mut poller, None), [(perf, 1)]);
    assert_eq!(poller.wait(NOW).unwrap(), Wake::TimedOut);
    send(&loaded, "into_first");
    for _ in 0..3 {
        assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    }
    assert_eq!(drain(&mut poller, None), [(first, 1)]);
    assert_eq!(poller.wait(NOW).unwrap(), Wake::TimedOut);
}

fn ring_that_is_always_ready_starves_no_other_source() {
    let loaded = load();
    let (mut read, mut write) = pipe().unwrap();
    let mut poller = Poller::new().unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    let second = poller.add_ring(ring(&loaded, "second")).unwrap();
    let options = perf_reader::Options::new();
    let perf = poller.add_perf(loaded.map("samples").unwrap().perf_buffers(64 * 1024, &options).unwrap()).unwrap();
    let file = poller.add_fd(&read).unwrap();
    // This one is never read.
    send(&loaded, "into_first");
    for program in ["into_second", "samples_once"] {
        send(&loaded, program);
    }
    write.write_all(b"abc").unwrap();
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    let ready: Vec<_> = poller.ready().map(|(token, _)| token).collect();
    assert_eq!(ready, [first, second, perf, file]);
    assert_eq!(read.read(&mut [0; 8]).unwrap(), 3);
}

fn closed_pipe_is_an_error_with_its_token() {
    let loaded = load();
    let (mut read, mut write) = pipe().unwrap();
    let mut poller = Poller::new().unwrap();
    let file = poller.add_fd(&read).unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    let options = perf_reader::Options::new();
    let perf = poller.add_perf(loaded.map("samples").unwrap().perf_buffers(64 * 1024, &options).unwrap()).unwrap();
    write.write_all(b"abc").unwrap();
    drop(write);
    // The pipe's data is reported first.
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, Some(&mut read)), [(file, 3)]);
    send(&loaded, "samples_once");
    for _ in 0..2 {
        let error = poller.wait(LONG).unwrap_err();
        assert_eq!(error.token, Some(file));
        let line = error.to_string();
        assert!(line.starts_with(&format!("{file}: ")) && line.contains("closed at its other end"), "{line}");
    }
    assert!(poller.remove(file).is_some());
    // No event of another source is lost by the error.
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(perf, 1)]);
    send(&loaded, "into_first");
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(first, 1)]);
    // A file that does not support epoll.
    let regular = std::fs::File::open("/proc/self/exe").unwrap();
    let error = poller.add_fd(&regular).unwrap_err();
    assert_eq!(error.errno().map(cutaway::Errno::raw), Some(libc::EPERM), "{error}");
}

fn second_consumer_is_an_error_with_the_token() {
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    let first = poller.add_ring(ring(&loaded, "first")).unwrap();
    let second = poller.add_ring(ring(&loaded, "second")).unwrap();
    // Another process moves the consumer position; here another mapping of the page does.
    move_consumer(&loaded, 16);
    let error = poller.wait(LONG).unwrap_err();
    assert_eq!(error.token, Some(first), "{error}");
    assert!(matches!(cutaway::Error::from(error), cutaway::Error::Ring(_)));
    drop(poller.remove(first));
    send(&loaded, "into_second");
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(second, 1)]);
}

/// Stores a consumer position in the ring `first`.
#[expect(unsafe_code, reason = "maps the consumer page as another process would")]
fn move_consumer(loaded: &Loaded, position: u64) {
    use std::sync::atomic::{AtomicU64, Ordering};
    let fd = loaded.map("first").unwrap().as_fd().as_raw_fd();
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), page_size(), access, shared, fd, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: the mapping begins with the consumer position, is aligned to a page, and lives until the end of the
    // function.
    let consumer = unsafe { AtomicU64::from_ptr(page.cast()) };
    // ATOMICS: pairs with the load of the consumer position in `publish` of mmap-ring, which orders nothing.
    consumer.store(position, Ordering::Relaxed);
    // SAFETY: the mapping of above, to which no reference is used any more.
    assert_eq!(unsafe { libc::munmap(page, page_size()) }, 0);
}
