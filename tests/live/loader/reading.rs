//! From a map to the reader of what comes out of it.

use cutaway::{Object, mmap_ring, perf_reader};
use cutaway_programs::{
    getaddrinfo::{Transport, names},
    prelude::*,
};

use crate::{Test, requirements::Needs};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("the_wrong_reader_for_a_map_is_refused", Needs::Ring, wrong_reader),
        Test::new("an_array_with_too_few_slots_is_refused", Needs::Root, too_few_slots),
        Test::new("without_records_readers_time_out", Needs::Ring, time_out),
    ]
}

fn load(transport: Transport) -> cutaway::Loaded {
    Object::parse(&transport.object().unwrap()).unwrap().load().unwrap()
}

fn wrong_reader() {
    let ring = load(Transport::Ring);
    let perf = load(Transport::PerfHeap);
    let options = perf_reader::Options::new();
    let (ring, perf) = (ring.map(names::EVENTS).unwrap(), perf.map(names::EVENTS).unwrap());
    let error = perf.ring().unwrap_err().to_string();
    assert!(error.contains("`events`") && error.contains("it is a PERF_EVENT_ARRAY, not a RINGBUF"), "{error}");
    let error = ring.perf_buffers(1, &options).unwrap_err().to_string();
    assert!(error.contains("`events`") && error.contains("it is a RINGBUF, not a PERF_EVENT_ARRAY"), "{error}");
    let error = perf.perf_buffers(3, &options).unwrap_err().to_string();
    assert!(error.contains("2 or 4"), "{error}");
    let error = ring.lookup(&[]).unwrap_err().to_string();
    assert!(error.contains("look up a key in the map `events` (RINGBUF)") && error.contains("ENOTSUPP"), "{error}");
}

fn too_few_slots() {
    let mut object = ObjectBuilder::new("GPL");
    object.map("events", MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(1));
    let loaded = Object::parse(&object.write().unwrap()).unwrap().load().unwrap();
    let answer = loaded.map("events").unwrap().perf_buffers(1, &perf_reader::Options::new());
    match std::thread::available_parallelism().unwrap().get() {
        1 => assert!(answer.is_ok(), "one CPU, one slot"),
        _ => assert!(answer.unwrap_err().to_string().contains("E2BIG")),
    }
}

fn time_out() {
    let wait = Some(std::time::Duration::from_millis(1));
    let loaded = load(Transport::Ring);
    let mut ring = loaded.map(names::EVENTS).unwrap().ring().unwrap();
    assert_eq!(ring.wait(wait).unwrap(), mmap_ring::Wake::TimedOut);
    assert_eq!(ring.batch().unwrap().records().count(), 0);
    let loaded = load(Transport::PerfStack);
    let mut buffers = loaded.map(names::EVENTS).unwrap().perf_buffers(1, &perf_reader::Options::new()).unwrap();
    assert_eq!(buffers.wait(wait).unwrap(), perf_reader::Wake::TimedOut);
    buffers.drain(|_, _| panic!("nothing is attached")).unwrap();
    assert_eq!(buffers.lost_total().unwrap().samples, 0);
}
