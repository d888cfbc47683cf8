//! Counted losses: attempts = received records + counted failures, exactly, for each method to send.
//!
//! A thread on each CPU runs the program by `BPF_PROG_TEST_RUN`, while one thread reads a buffer of one page.

mod compiled;
mod programs;
mod refused;

use std::{
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use cutaway::{Loaded, LossSite, Map, Object, Program, TestRun, perf_reader};
use cutaway_programs::prelude::*;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{
    harness::{Test, older_than, test},
    repetitions::repetitions,
    requirements::{ring, root},
};
use programs::Method;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(each_attempt_is_received_or_counted, Method::ALL, Method::missing).collect();
    tests.extend(test!(record_larger_than_its_buffer_is_counted, Method::of_any_size(), Method::missing));
    tests.extend([
        test!(function_of_two_programs_has_one_count).needs(ring),
        test!(losses_are_per_map_and_line).needs(ring),
        test!(lost_record_of_an_unknown_map_makes_all_maps_unknown).needs(ring),
        test!(skb_output_is_counted).needs(root).since(5, 5, "tracing programs with BTF").unless(no_btf),
    ]);
    tests.extend(compiled::tests());
    tests.extend(refused::tests());
    tests
}

/// Returns the number of attempts of all threads together.
fn most_attempts() -> u64 {
    repetitions(1_000_000, 100_000)
}

/// Runs of one system call.
const RUNS: u32 = 10_000;
/// A slow machine makes fewer attempts.
const TIME: Duration = Duration::from_secs(6);

fn no_btf() -> Option<String> {
    let there = std::path::Path::new("/sys/kernel/btf/vmlinux").exists();
    (!there).then(|| "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)".to_owned())
}

fn load(mut object: Object) -> Loaded {
    object.count_losses();
    object.load().unwrap_or_else(|error| panic!("{error}\n{}", error.verifier_log().unwrap_or_default()))
}

/// Returns an object whose program `send` reserves and submits a record.
pub(crate) fn reserving() -> Object {
    programs::object(Method::Reserve, 8)
}

pub(crate) fn packet(repeat: u32) -> TestRun {
    TestRun { data: vec![0; 64], repeat, ..TestRun::default() }
}

/// Returns the call sites, each with its count. Each must be counted.
fn sites(loaded: &Loaded) -> Vec<(LossSite, u64)> {
    let sites = loaded.losses().unwrap().sites().unwrap();
    sites.into_iter().map(|site| (site.clone(), site.lost.unwrap_or_else(|why| panic!("not counted: {why}")))).collect()
}

/// Returns the exact losses of a map.
fn lost(loaded: &Loaded, map: &str) -> u64 {
    let maps = loaded.losses().unwrap().maps().unwrap();
    let found = maps.iter().find(|losses| losses.map == map).unwrap_or_else(|| panic!("{map} is not in {maps:?}"));
    found.exact().unwrap_or_else(|| panic!("{found:?}"))
}

fn each_attempt_is_received_or_counted(method: Method) {
    let loaded = load(programs::object(method, 8));
    let (attempts, received) = send_and_receive(&loaded, &[loaded.program("send").unwrap()], "events");
    let lost = lost(&loaded, "events");
    assert_eq!(attempts, received + lost, "received {received}, lost {lost}");
    assert!(received > 0 && lost > 0, "received {received}, lost {lost}");
    let sites = sites(&loaded);
    let [(site, at_site)] = sites.as_slice() else { panic!("{sites:?}") };
    assert_eq!((site.helper, site.function.as_str(), *at_site), (method.helper(), method.function(), lost));
    assert_eq!(site.map.as_deref(), Some("events"));
    let line = site.line.as_ref().unwrap();
    assert!(line.file.ends_with("losses/programs.rs") && line.text.contains(method.helper().name()), "{line:?}");
}

/// Runs the programs in threads, one on each CPU, each thread all of them in turn, and reads the buffers of the map.
/// Returns the number of runs and of records.
fn send_and_receive(loaded: &Loaded, programs: &[&Program], map: &str) -> (u64, u64) {
    let cpus = perf_reader::online_cpus().unwrap();
    let mut buffer = Buffer::open(loaded.map(map).unwrap());
    let (runs, running) = (AtomicU64::new(0), AtomicU64::new(cpus.len() as u64));
    let mut received = 0;
    let (attempts, end) = (most_attempts(), Instant::now() + TIME);
    thread::scope(|scope| {
        for &cpu in &cpus {
            let (runs, running) = (&runs, &running);
            scope.spawn(move || {
                let mut own = CpuSet::new();
                own.set(cpu as usize);
                sched_setaffinity(None, &own).unwrap();
                let mut turn = programs.iter().cycle();
                while runs.fetch_add(RUNS.into(), Ordering::Relaxed) < attempts && Instant::now() < end {
                    turn.next().unwrap().test_run(&packet(RUNS)).unwrap();
                }
                // The last addition was not run.
                runs.fetch_sub(RUNS.into(), Ordering::Relaxed);
                running.fetch_sub(1, Ordering::Release);
            });
        }
        while running.load(Ordering::Acquire) > 0 {
            received += buffer.drain();
        }
    });
    received += buffer.drain();
    (runs.into_inner(), received)
}

/// The reader of a map.
enum Buffer {
    Ring(cutaway::mmap_ring::Ring),
    Perf(Box<perf_reader::AdaptiveReader<cutaway::PerfEventArray>>),
}

impl Buffer {
    fn open(map: &Map) -> Self {
        match map.map_type() {
            MapType::RINGBUF => Self::Ring(map.ring().unwrap()),
            _ => {
                let buffers = map.perf_buffers(programs::page(), &perf_reader::Options::new()).unwrap();
                Self::Perf(Box::new(buffers))
            }
        }
    }

    /// Returns the number of records that have come.
    fn drain(&mut self) -> u64 {
        let mut records = 0;
        match self {
            Self::Ring(ring) => {
                ring.drain(|_| records += 1).unwrap();
            }
            Self::Perf(buffers) => {
                let count = |_, record: Result<perf_reader::Record<'_>, _>| {
                    records += u64::from(matches!(record.unwrap(), perf_reader::Record::Sample(_)));
                };
                buffers.drain(count).unwrap();
            }
        }
        records
    }
}

/// No reader helps: each attempt fails.
fn record_larger_than_its_buffer_is_counted(method: Method) {
    let loaded = load(programs::object(method, 2 * programs::page()));
    let mut buffer = Buffer::open(loaded.map("events").unwrap());
    loaded.program("send").unwrap().test_run(&packet(10)).unwrap();
    assert_eq!(buffer.drain(), 0);
    assert_eq!(lost(&loaded, "events"), 10);
}

fn function_of_two_programs_has_one_count() {
    let loaded = load(programs::sharing());
    let programs = ["one", "two"].map(|name| loaded.program(name).unwrap());
    let (attempts, received) = send_and_receive(&loaded, &programs, "events");
    let sites = sites(&loaded);
    let [(site, lost)] = sites.as_slice() else { panic!("{sites:?}") };
    assert_eq!((site.function.as_str(), *lost), ("emit", attempts - received));
    assert!(received > 0 && *lost > 0, "received {received}, lost {lost}");
}

fn losses_are_per_map_and_line() {
    let loaded = load(programs::several());
    let capacity = |map: &str| loaded.map(map).unwrap().ring().unwrap().capacity() / 16;
    let program = loaded.program("send").unwrap();
    program.test_run(&packet(1000)).unwrap();
    // Each run sends its first and its last record to the first ring.
    let (first, second) = (capacity("first"), capacity("second"));
    assert!((lost(&loaded, "first") - (2000 - first)) <= 1, "{} of {first}", lost(&loaded, "first"));
    assert!((lost(&loaded, "second") - (1000 - second)) <= 1, "{} of {second}", lost(&loaded, "second"));
    let sites = sites(&loaded);
    let found: Vec<_> = sites.iter().map(|(site, _)| (site.map.as_deref().unwrap(), site.helper)).collect();
    assert_eq!(
        found,
        [
            ("first", Helper::bpf_ringbuf_reserve),
            ("second", Helper::bpf_ringbuf_reserve),
            ("first", Helper::bpf_ringbuf_output)
        ]
    );
    let lines: Vec<_> = sites.iter().map(|(site, _)| site.line.clone().unwrap()).collect();
    assert_eq!(lines[0].line, lines[1].line, "the same Rust line appends both calls");
    assert!(lines[2].text.contains("bpf_ringbuf_output") && lines[2].line != lines[0].line, "{lines:?}");
    assert_eq!(sites[0].1 + sites[2].1, lost(&loaded, "first"));
    assert_eq!(sites[1].1, lost(&loaded, "second"));
}

fn lost_record_of_an_unknown_map_makes_all_maps_unknown() {
    let loaded = load(programs::chosen_at_run_time());
    let known = loaded.map("known").unwrap();
    loaded.map("rings").unwrap().update(&[0; 4], &known.as_fd().as_raw_fd().to_ne_bytes()).unwrap();
    let program = loaded.program("send").unwrap();
    program.test_run(&packet(1)).unwrap();
    let maps = || loaded.losses().unwrap().maps().unwrap();
    assert!(maps().iter().all(|map| map.exact() == Some(0)), "{:?}", maps());
    program.test_run(&packet(1000)).unwrap();
    let sites = sites(&loaded);
    let counts: Vec<_> = sites.iter().map(|(site, lost)| (site.map.as_deref(), *lost > 0)).collect();
    assert_eq!(counts, [(None, true), (Some("known"), true)]);
    for map in maps() {
        assert_eq!(map.exact(), None, "{map:?}");
        assert!(map.unknown.as_ref().unwrap().contains("lost by calls whose map is unknown"), "{map:?}");
    }
    let known = maps().into_iter().find(|map| map.map == "known").unwrap();
    assert_eq!(known.counted, sites[1].1);
}

/// The program runs for packets of all processes of the machine, so it counts its attempts itself.
fn skb_output_is_counted() {
    let loaded = load(programs::skb_output());
    let mut buffer = Buffer::open(loaded.map("events").unwrap());
    let links = loaded.attach().unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..2000 {
        socket.send_to(&[0; 8], socket.local_addr().unwrap()).unwrap();
    }
    drop(links);
    let received = buffer.drain();
    let attempts = loaded.variable("attempts").unwrap().read::<u64>().unwrap();
    let lost = lost(&loaded, "events");
    assert!(received > 0 && lost > 0, "received {received}, lost {lost}");
    assert_eq!(attempts, received + lost);
    assert_eq!(sites(&loaded)[0].0.helper, Helper::bpf_skb_output);
}
