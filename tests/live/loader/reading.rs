//! The readers of a map's records.

use cutaway::{Object, mmap_ring, perf_reader};
use cutaway_programs::{
    getaddrinfo::{Transport, names},
    prelude::*,
};

use crate::{
    harness::{Test, test},
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(wrong_reader_for_a_map_is_refused).needs(ring),
        test!(array_with_too_few_slots_is_read_partly).needs(root),
        test!(second_reader_of_an_array_is_noticed).since(5, 10, "running a program on a chosen CPU").needs(root),
        test!(readers_without_records_time_out).needs(ring),
    ]
}

fn load(transport: Transport) -> cutaway::Loaded {
    Object::parse(&transport.object().unwrap()).unwrap().load().unwrap()
}

fn wrong_reader_for_a_map_is_refused() {
    let ring = load(Transport::Ring);
    let perf = load(Transport::PerfHeap);
    let options = perf_reader::Options::new();
    let (ring, perf) = (ring.map(names::EVENTS).unwrap(), perf.map(names::EVENTS).unwrap());
    let error = perf.ring().unwrap_err().to_string();
    assert!(error.contains("`events`") && error.contains("it is a PERF_EVENT_ARRAY, not a RINGBUF"), "{error}");
    let error = ring.perf_buffers(64 * 1024, &options).unwrap_err().to_string();
    assert!(error.contains("`events`") && error.contains("it is a RINGBUF, not a PERF_EVENT_ARRAY"), "{error}");
    let error = perf.perf_buffers(3 * 64 * 1024, &options).unwrap_err().to_string();
    assert!(error.ends_with("give 131072 or 262144"), "{error}");
    let error = ring.lookup(&[]).unwrap_err().to_string();
    assert!(error.contains("look up a key in the map `events` (RINGBUF)") && error.contains("ENOTSUPP"), "{error}");
}

fn array_with_too_few_slots_is_read_partly() {
    let mut object = ObjectBuilder::new("GPL");
    object.map("events", MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(1));
    let loaded = Object::parse(&object.write().unwrap()).unwrap().load().unwrap();
    let mut stream = loaded.map("events").unwrap().perf_buffers(64 * 1024, &perf_reader::Options::new()).unwrap();
    let online = perf_reader::online_cpus().unwrap();
    assert_eq!(stream.set().without_slot(), online.get(1..).unwrap_or_default());
    assert_eq!(stream.set().len(), 1);
    assert_eq!(stream.refresh().unwrap(), perf_reader::HotplugChanges::default(), "the missing slots stay empty");
}

/// Two fds of one map, as two processes have them. The kernel empties the slots when the fd that filled them is closed.
fn second_reader_of_an_array_is_noticed() {
    let loaded = load(Transport::PerfHeap);
    let map = loaded.map(names::EVENTS).unwrap();
    let options = perf_reader::Options::new();
    let mut first = map.perf_buffers(64 * 1024, &options).unwrap();
    let online = perf_reader::online_cpus().unwrap();
    let none = perf_reader::HotplugChanges::default();
    for _ in 0..3 {
        assert_eq!(first.refresh().unwrap(), none, "its own events are recognized");
    }
    let other = cutaway::Map::from_id(map.id()).unwrap();
    let mut second = other.perf_buffers(64 * 1024, &options).unwrap();
    assert_eq!(second.refresh().unwrap(), none);
    let taken = perf_reader::HotplugChanges { taken: online.clone(), ..none.clone() };
    assert_eq!(first.refresh().unwrap(), taken);
    assert_eq!(first.refresh().unwrap(), none, "reported once");
    assert_eq!(second.refresh().unwrap(), none, "the check has changed no slot");
    drop((second, other));
    // The kernel releases the fds after the system call that closes them.
    let regained = perf_reader::HotplugChanges { regained: online, ..none.clone() };
    assert_eq!(first.refresh().unwrap(), regained);
    assert_eq!(first.refresh().unwrap(), none);
}

fn readers_without_records_time_out() {
    let wait = Some(std::time::Duration::from_millis(1));
    let loaded = load(Transport::Ring);
    let mut ring = loaded.map(names::EVENTS).unwrap().ring().unwrap();
    assert_eq!(ring.wait(wait).unwrap(), mmap_ring::Wake::TimedOut);
    assert_eq!(ring.batch().unwrap().records().count(), 0);
    let loaded = load(Transport::PerfStack);
    let mut buffers = loaded.map(names::EVENTS).unwrap().perf_buffers(64 * 1024, &perf_reader::Options::new()).unwrap();
    assert_eq!(buffers.wait(wait).unwrap(), perf_reader::Wake::TimedOut);
    let mut records = 0;
    buffers.drain(|_, _| records += 1).unwrap();
    assert_eq!(records, 0, "no program is attached");
    assert_eq!(buffers.lost().unwrap().samples, 0);
}
