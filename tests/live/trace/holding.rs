//! Threads of strangers that are held until probes are on their C library, and those that must not be.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::{
    binary::Running,
    containers::{Root, Way, end, tracer, trial},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_held_thread_goes_on_when_its_tracer_is_killed", killed),
        trial("without_holding_no_thread_stands_still_or_runs_first", without),
    ]
}

/// Whether a thread of the tracer holds the process now.
fn is_held_by(pid: u32, tracer: &Running) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let holder = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap().trim();
    holder != "0" && fs::exists(format!("/proc/{}/task/{holder}", tracer.pid())).unwrap()
}

fn killed() -> Option<String> {
    /// Other tests' tracers may be the ones that hold it.
    const TIMES: usize = 10;
    for _ in 0..TIMES {
        let root = Root::new("127.0.6.1", Way::Chroot);
        let tracer = tracer(&[]);
        let mut asker = root.start();
        let begin = Instant::now();
        let mut held = false;
        while !held && begin.elapsed() < Duration::from_millis(500) {
            held = is_held_by(asker.pid(), &tracer);
        }
        tracer.send(Signal::KILL);
        drop(tracer.end());
        // It would never answer if it stood still.
        asker.ask(1);
        if held {
            return None;
        }
    }
    Some(format!("in {TIMES} tries the thread was held by other tests' tracers, or not at all"))
}

fn without() -> Option<String> {
    let tracer = tracer(&["--no-hold"]);
    let root = Root::new("127.0.6.2", Way::Chroot);
    let mut asker = root.start();
    for _ in 0..40 {
        assert!(!is_held_by(asker.pid(), &tracer));
        asker.ask(1);
        thread::sleep(Duration::from_millis(25));
    }
    for thread in fs::read_dir(format!("/proc/{}/task", tracer.pid())).unwrap() {
        // Field 41 is the policy (proc(5)), 0 the ordinary one.
        let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        assert_eq!(stat.rsplit_once(") ").unwrap().1.split(' ').nth(41 - 3), Some("0"), "{stat}");
    }
    let events = &end(tracer, &["127.0.6.2"])[0];
    // The first ones may be missed.
    assert!(events.len() > 1 && events.len() <= 40, "{}", events.len());
    None
}
