//! Compiled objects of the corpus, attached: each call of getpgid(2), on any CPU, sends to rings of one page.

use std::{
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use cutaway::{MapType, Object, perf_reader};
use rustix::{
    process::getpgid,
    thread::{CpuSet, sched_setaffinity},
};

use super::{Buffer, TIME, load, lost, most_attempts, programs::page};
use crate::{
    corpus,
    harness::{Test, test},
    requirements::ring,
};

/// The objects, each with its directory. Every run of their program sends one record to each of these rings.
const OBJECTS: [(&str, (&str, &[&str])); 12] = [
    ("one_ring", ("kinds", &["events"])),
    ("ambiguous", ("events", &["events"])),
    ("arrays", ("events", &["events"])),
    ("bitfields", ("events", &["events"])),
    ("enums", ("events", &["events"])),
    ("floats", ("events", &["events"])),
    ("integers", ("events", &["events"])),
    ("named", ("events", &["events"])),
    ("nested", ("events", &["events"])),
    ("several", ("events", &["opened", "closed", "counted"])),
    ("unions", ("events", &["events"])),
    ("wide", ("events", &["wides"])),
];

/// Calls between two looks at the clock.
const CALLS: u64 = 1000;

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let named = OBJECTS.map(|(name, (directory, rings))| (name, (name, directory, rings)));
    test!(each_call_is_received_or_counted, named).map(|test| test.needs(ring))
}

fn each_call_is_received_or_counted((name, directory, rings): (&str, &str, &'static [&'static str])) {
    let mut object = Object::parse(&corpus::read(directory, &format!("{name}.o"))).unwrap();
    object.set_variable("own", &process::id()).unwrap();
    let names: Vec<String> =
        object.maps().iter().filter(|map| map.map_type == MapType::RINGBUF).map(|map| map.name.clone()).collect();
    for map in &names {
        object.map_mut(map).unwrap().max_entries = page();
    }
    let loaded = load(object);
    let mut buffers: Vec<_> = rings.iter().map(|ring| Buffer::open(loaded.map(ring).unwrap())).collect();
    let _links = loaded.attach().unwrap();
    let cpus = perf_reader::online_cpus().unwrap();
    let (calls, running) = (AtomicU64::new(0), AtomicU64::new(cpus.len() as u64));
    let mut received = vec![0; rings.len()];
    let (attempts, end) = (most_attempts(), Instant::now() + TIME);
    thread::scope(|scope| {
        for &cpu in &cpus {
            let (calls, running) = (&calls, &running);
            scope.spawn(move || {
                let mut own = CpuSet::new();
                own.set(cpu as usize);
                sched_setaffinity(None, &own).unwrap();
                while calls.fetch_add(CALLS, Ordering::Relaxed) < attempts && Instant::now() < end {
                    for _ in 0..CALLS {
                        let _ = getpgid(None);
                    }
                }
                // The last addition was not called.
                calls.fetch_sub(CALLS, Ordering::Relaxed);
                running.fetch_sub(1, Ordering::Release);
            });
        }
        while running.load(Ordering::Acquire) > 0 {
            // The rings are full most of the time.
            thread::yield_now();
            received.iter_mut().zip(&mut buffers).for_each(|(received, buffer)| *received += buffer.drain());
        }
    });
    received.iter_mut().zip(&mut buffers).for_each(|(received, buffer)| *received += buffer.drain());
    for (ring, received) in rings.iter().zip(received) {
        let lost = lost(&loaded, ring);
        assert_eq!(calls.load(Ordering::Relaxed), received + lost, "{ring}: received {received}, lost {lost}");
        assert!(received > 0 && lost > 0, "{ring}: received {received}, lost {lost}");
    }
}
