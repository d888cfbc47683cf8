//! Perf buffers in a `Poller`.

use std::{
    ops::ControlFlow,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::{Duration, Instant},
};

use cutaway::{Loaded, Poller, Source, Wake, perf_reader};

use super::{LONG, NOW, drain, load, send};

/// Returns a set of perf buffers that the map `samples` sends into.
fn perf_set(loaded: &Loaded, options: &perf_reader::Options) -> perf_reader::PerCpuBuffers {
    let mut set = perf_reader::PerCpuBuffers::open(64 * 1024, options).unwrap();
    let map = loaded.map("samples").unwrap();
    let slot = |cpu: u32, event: BorrowedFd<'_>| {
        let set = map.update(&cpu.to_ne_bytes(), &event.as_raw_fd().to_ne_bytes());
        set.map_err(|error| std::io::Error::other(error.to_string()))
    };
    set.connect(&slot).unwrap();
    set
}

pub(super) fn perf_records_below_the_threshold_are_found_by_the_timer() {
    let loaded = load();
    let mut poller = Poller::new().unwrap();
    let options = perf_reader::Options::new().wakeup(perf_reader::Wakeup::Events(1000));
    let perf = poller.add_perf(loaded.map("samples").unwrap().perf_buffers(64 * 1024, &options).unwrap()).unwrap();
    send(&loaded, "samples_once");
    let began = Instant::now();
    let found = loop {
        assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
        let drained = drain(&mut poller, None);
        if drained != [(perf, 0)] {
            break drained;
        }
    };
    assert_eq!(found, [(perf, 1)]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// A drain that stops after each record: every wait returns at once while records are left, and blocks afterwards.
pub(super) fn drain_that_breaks_keeps_the_wait_from_sleeping() {
    let loaded = load();
    let samples = loaded.map("samples").unwrap();
    let options = perf_reader::Options::new();
    for is_set in [false, true] {
        let mut poller = Poller::new().unwrap();
        let token = if is_set {
            poller.add_perf_set(perf_set(&loaded, &options)).unwrap()
        } else {
            poller.add_perf(samples.perf_buffers(64 * 1024, &options).unwrap()).unwrap()
        };
        (0..5).for_each(|_| send(&loaded, "samples_once"));
        for record in 0..5 {
            assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready, "record {record}");
            let broke = poller.ready().map(|(_, source)| match source {
                Source::Perf(buffers) => buffers.drain(|_, _| ControlFlow::Break(())).unwrap(),
                Source::PerfSet(set) => set.drain(|_, _| ControlFlow::Break(())),
                _ => None,
            });
            assert_eq!(broke.collect::<Vec<_>>(), [Some(())], "record {record}");
        }
        let next_poll = match poller.source(token).unwrap() {
            Source::Perf(buffers) => buffers.next_poll(),
            Source::PerfSet(set) => set.next_poll(),
            _ => panic!("perf buffers"),
        };
        assert_eq!(next_poll, None);
        assert_eq!(poller.wait(Some(Duration::from_millis(20))).unwrap(), Wake::TimedOut);
    }
}

/// Adding a source checks it, which consumes the wake-up of a record that already exists.
pub(super) fn perf_records_of_before_the_add_are_found() {
    let loaded = load();
    let options = perf_reader::Options::new();
    let mut poller = Poller::new().unwrap();
    let buffers = loaded.map("samples").unwrap().perf_buffers(64 * 1024, &options).unwrap();
    send(&loaded, "samples_once");
    let perf = poller.add_perf(buffers).unwrap();
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(perf, 1)]);
    // The same if it is removed and added again, whether the record has been reported or not.
    for waits in [0, 1] {
        let perf = poller.sources().map(|(token, _)| token).next().unwrap();
        send(&loaded, "samples_once");
        (0..waits).for_each(|_| assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready));
        let Some(Source::Perf(buffers)) = poller.remove(perf) else { panic!("perf buffers") };
        let again = poller.add_perf(buffers).unwrap();
        assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
        assert_eq!(drain(&mut poller, None), [(again, 1)]);
    }
    assert_eq!(poller.wait(NOW).unwrap(), Wake::TimedOut);
    let mut poller = Poller::new().unwrap();
    let set = perf_set(&loaded, &options);
    send(&loaded, "samples_once");
    let set = poller.add_perf_set(set).unwrap();
    assert_eq!(poller.wait(LONG).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(set, 1)]);
}

/// The poller polls such a set on its timer, in whatever manner the caller reads it.
pub(super) fn idle_perf_set_without_wakeups_makes_no_busy_loop() {
    const IDLE: Duration = Duration::from_millis(250);
    let loaded = load();
    let options = perf_reader::Options::new().wakeup(perf_reader::Wakeup::Events(10));
    let mut poller = Poller::new().unwrap();
    let token = poller.add_perf_set(perf_set(&loaded, &options)).unwrap();
    for by_cpu in [false, true] {
        send(&loaded, "samples_once");
        let (mut waits, mut records, began) = (0, 0, Instant::now());
        while began.elapsed() < IDLE {
            let wake = poller.wait(Some(IDLE)).unwrap();
            waits += 1;
            for (_, source) in poller.ready().filter(|_| wake == Wake::Ready) {
                let Source::PerfSet(set) = source else { panic!("a set") };
                if by_cpu {
                    for cpu in perf_reader::online_cpus().unwrap() {
                        records += set.get_mut(cpu).unwrap().batch().unwrap().records().count();
                    }
                } else {
                    records += set.iter_mut().map(|buffer| buffer.batch().unwrap().records().count()).sum::<usize>();
                }
            }
        }
        assert_eq!(records, 1);
        assert!(waits <= 6, "{waits} waits in {:?}", began.elapsed());
    }
    // A source that is not read is reported once per return.
    send(&loaded, "samples_once");
    let (mut waits, mut reported, began) = (0, 0, Instant::now());
    while began.elapsed() < IDLE {
        reported += u32::from(poller.wait(Some(IDLE)).unwrap() == Wake::Ready);
        assert!(poller.source_mut(token).is_some());
        waits += 1;
    }
    assert!(reported > 0 && waits <= 6, "{waits} waits in {:?}", began.elapsed());
}

/// The slots of both maps are emptied, and one map refuses new events. Takes a second: the interval at which slots are
/// checked.
pub(super) fn refresh_that_fails_starves_no_other_source() {
    let (frozen, other) = (load(), load());
    let options = perf_reader::Options::new();
    let cpus = perf_reader::online_cpus().unwrap();
    let mut poller = Poller::new().unwrap();
    let [failing, good] = [&frozen, &other].map(|loaded| {
        let samples = loaded.map("samples").unwrap();
        let token = poller.add_perf(samples.perf_buffers(64 * 1024, &options).unwrap()).unwrap();
        cpus.iter().for_each(|cpu| assert!(samples.delete(&cpu.to_ne_bytes()).unwrap()));
        token
    });
    freeze(&frozen);
    let error = poller.wait(LONG).unwrap_err();
    assert_eq!(error.token, Some(failing), "{error}");
    // The other map's slots are filled again, and its set is ready.
    assert_eq!(poller.wait(NOW).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(good, 0)]);
    let changes = perf_reader::HotplugChanges { regained: cpus, ..Default::default() };
    assert_eq!(poller.take_changes(good), changes);
    send(&other, "samples_once");
    assert_eq!(poller.wait(NOW).unwrap(), Wake::Ready);
    assert_eq!(drain(&mut poller, None), [(good, 1)]);
}

/// Makes the map `samples` refuse changes from user space.
#[expect(unsafe_code, reason = "the loader has no function that freezes any map")]
fn freeze(loaded: &Loaded) {
    const MAP_FREEZE: libc::c_int = 22;
    let attr = [loaded.map("samples").unwrap().as_fd().as_raw_fd()];
    // SAFETY: the attribute is alive and as long as stated, and BPF_MAP_FREEZE only reads its `map_fd`.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, MAP_FREEZE, attr.as_ptr(), size_of_val(&attr)) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
}
