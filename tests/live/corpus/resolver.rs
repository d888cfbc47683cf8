//! Three C programs that send the result of `getaddrinfo`: from the stack, from a heap, in a ring.

use std::net::ToSocketAddrs;

use cutaway::{Loaded, perf_reader};

use crate::{
    harness::{Test, test},
    load, object, parse, ring,
};

pub(crate) fn tests() -> Vec<Test> {
    let perf = [("from_the_stack", object!("getaddrinfo_stack")), ("from_a_heap", object!("getaddrinfo_heap"))];
    let rings = [
        ("in_a_ring", object!("getaddrinfo_ring")),
        ("of_an_older_compiler", object!("getaddrinfo_ring_old")),
        ("stripped", object!("getaddrinfo_ring_stripped")),
    ];
    test!(getaddrinfo_result_arrives, perf, |_| x86())
        .chain(test!(getaddrinfo_result_arrives, rings, |_| x86().or_else(ring)))
        .collect()
}

/// The reason why the programs do not run elsewhere: a return value is in another register.
fn x86() -> Option<String> {
    (!cfg!(target_arch = "x86_64")).then(|| "the C programs are compiled for the registers of x86-64".to_owned())
}

/// Offsets in the event: its first fields, and the address.
const PID: usize = 8;
const ANSWER: usize = 20;
const FAMILY: usize = 44;
const ADDRESS: usize = 60;

fn word(event: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*event[at..].first_chunk().unwrap())
}

fn getaddrinfo_result_arrives(bytes: &[u8]) {
    let loaded = load(parse(bytes));
    let mut events = events(&loaded, || {
        let links = loaded.attach().unwrap();
        assert!(("127.0.0.1", 80).to_socket_addrs().unwrap().next().is_some());
        // The resolver is not called for a numeric address, only for a name.
        assert!(("localhost", 80).to_socket_addrs().unwrap().next().is_some());
        drop(links);
    });
    events.retain(|event| word(event, PID) == std::process::id());
    let event = &events[0];
    assert_eq!(word(event, ANSWER), 0);
    let family = word(event, FAMILY) as i32;
    let address: &[u8] = match family {
        libc::AF_INET => &event[ADDRESS + 4..ADDRESS + 8],
        libc::AF_INET6 => &event[ADDRESS + 8..ADDRESS + 24],
        family => panic!("the family {family}"),
    };
    let loopback6 = std::net::Ipv6Addr::LOCALHOST.octets();
    assert!(address == [127, 0, 0, 1] || address == loopback6, "{address:?}");
    assert_eq!(u16::from_ne_bytes(*event[ADDRESS..].first_chunk().unwrap()), family as u16);
}

/// Returns the events that are sent while `happen` runs.
fn events(loaded: &Loaded, happen: impl FnOnce()) -> Vec<Vec<u8>> {
    let map = loaded.map("events").unwrap();
    if let Ok(mut ring) = map.ring() {
        happen();
        let mut batch = ring.batch().unwrap();
        return batch.records().map(|record| record.to_vec()).collect();
    }
    let mut buffers = map.perf_buffers(8 * 64 * 1024, &perf_reader::Options::new()).unwrap();
    happen();
    let mut events = Vec::new();
    buffers
        .drain(|_, record| {
            if let perf_reader::Record::Sample(sample) = record.unwrap() {
                events.push(sample.padded().to_vec());
            }
        })
        .unwrap();
    events
}
