//! File descriptors: the same number before and after, on success and on failure.

use std::{any::Any, time::Duration};

use cutaway::{Error, Object, Uprobe, perf_reader::Options};
use cutaway_programs::getaddrinfo::{FUNCTION, LIBRARY, Transport, names};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    harness::{Test, open_fds, test},
    requirements::root,
    sample,
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(load_and_attach_leave_no_fd_open, transports(), transports::missing).collect();
    tests.extend(test!(failure_at_any_fd_limit_leaks_none, transports(), transports::missing));
    tests.push(test!(loaded_parts_close_in_any_order).needs(root));
    tests
}

/// Runs everything that `cutaway trace` does with the crate.
fn live(transport: Transport) -> Result<(), Error> {
    let mut object = Object::parse(&transport.object().unwrap())?;
    object.set_variable(names::ONLY_FOLLOWED, &1_u32.to_ne_bytes())?;
    let loaded = object.load()?;
    let events = loaded.map(names::EVENTS)?;
    let probe = Uprobe::new(LIBRARY, FUNCTION);
    let wait = Some(Duration::from_millis(1));
    match transport {
        Transport::Ring => {
            let mut ring = events.ring()?;
            let _stopper = ring.stopper()?;
            let _entry = probe.attach(loaded.program(names::ENTRY)?)?;
            let _return = probe.clone().retprobe(true).attach(loaded.program(names::RETURN)?)?;
            ring.wait(wait)?;
            ring.batch()?.records().for_each(drop);
        }
        Transport::PerfStack | Transport::PerfHeap => {
            let mut buffers = events.perf_buffers(64 * 1024, &Options::new())?;
            let _stopper = buffers.stopper()?;
            let _entry = probe.attach(loaded.program(names::ENTRY)?)?;
            let _return = probe.clone().retprobe(true).attach(loaded.program(names::RETURN)?)?;
            buffers.wait(wait)?;
            buffers.drain(|_, _| {})?;
        }
    }
    loaded.map(names::LOSSES)?.lookup_per_cpu(&0_u32.to_ne_bytes()).map(drop)
}

fn load_and_attach_leave_no_fd_open(transport: Transport) {
    let before = open_fds();
    for _ in 0..3 {
        live(transport).unwrap();
        assert_eq!(open_fds(), before);
    }
}

/// The fd limit grows step by step, so that each step fails at another point where an fd is created, until none fails.
fn failure_at_any_fd_limit_leaks_none(transport: Transport) {
    // The kernel's features are probed only once, and not under this limit.
    live(transport).unwrap();
    let before = open_fds();
    let usual = getrlimit(Resource::Nofile);
    let mut failures = Vec::new();
    let mut extra = 0;
    loop {
        let limit = before.len() as u64 + extra;
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: usual.maximum }).unwrap();
        let answer = live(transport);
        setrlimit(Resource::Nofile, usual).unwrap();
        assert_eq!(open_fds(), before, "with {extra} more fds: {answer:?}");
        match answer {
            Ok(()) => break,
            Err(error) => failures.push(error.to_string()),
        }
        extra += 1;
        assert!(extra < 100, "{failures:#?}");
    }
    // About six maps, three programs, buffers, probes, links.
    assert!(failures.len() > 8, "{failures:#?}");
    for failure in &failures {
        let reported = failure.contains("EMFILE") || failure.to_lowercase().contains("too many open files");
        assert!(reported && !failure.contains('\n'), "{failure}");
    }
}

/// Links, programs, maps and readers hold references to each other in the kernel; here each is closed first once.
fn loaded_parts_close_in_any_order() {
    let before = open_fds();
    let probe = Uprobe::new("libc.so.6", "a64l");
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let loaded = sample::object("uprobe").load().unwrap();
        let link = probe.attach(loaded.program(sample::names::PROGRAM).unwrap()).unwrap();
        let perf = Object::parse(&Transport::PerfHeap.object().unwrap()).unwrap().load().unwrap();
        let buffers = perf.map(names::EVENTS).unwrap().perf_buffers(64 * 1024, &Options::new()).unwrap();
        let mut parts: [Option<Box<dyn Any>>; 3] =
            [Some(Box::new(link)), Some(Box::new((loaded, perf))), Some(Box::new(buffers))];
        for index in order {
            parts[index] = None;
        }
        drop(parts);
        assert_eq!(open_fds(), before, "{order:?}");
    }
}
