//! Three programs that send what `getaddrinfo` answered, in C: from the stack, from a heap, in a ring.

use std::net::ToSocketAddrs;

use cutaway::{Loaded, perf_reader};
use libtest_mimic::Trial;

use crate::{lacks, load, object, parse, trial};

pub(crate) fn tests() -> Vec<Trial> {
    let ring = || lacks::at_least(5, 8, "the ring buffer");
    vec![
        trial("getaddrinfo_from_the_stack", lacks::nothing, || answered(object!("getaddrinfo_stack"))),
        trial("getaddrinfo_from_a_heap", lacks::nothing, || answered(object!("getaddrinfo_heap"))),
        trial("getaddrinfo_in_a_ring", ring, || answered(object!("getaddrinfo_ring"))),
        trial("getaddrinfo_of_an_older_compiler", ring, || answered(object!("getaddrinfo_ring_old"))),
        trial("getaddrinfo_stripped", ring, || answered(object!("getaddrinfo_ring_stripped"))),
    ]
}

/// What the event begins with, and where the address is in it.
const PID: usize = 8;
const ANSWER: usize = 20;
const FAMILY: usize = 44;
const ADDRESS: usize = 60;

fn word(event: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*event[at..].first_chunk().unwrap())
}

fn answered(bytes: &[u8]) {
    let loaded = load(parse(bytes));
    let mut events = events(&loaded, || {
        let links = loaded.attach().unwrap();
        assert!(("127.0.0.1", 80).to_socket_addrs().unwrap().next().is_some());
        // A numeric address is no question for the resolver; a name is one.
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

/// What is sent while `happen` runs.
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
