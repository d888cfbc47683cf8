//! Objects whose programs take the verifier long: this workspace's loader on one thread and on as many as there are
//! CPUs, and libbpf, the same object in turn.

use std::time::Instant;

use cutaway::{LoadOptions, Object};
use libbpf_sys::{bpf_object__close, bpf_object__load, bpf_object__open_mem, libbpf_set_print};

use crate::table::{self, Table};

#[path = "../../live/support/slow_programs.rs"]
mod slow_programs;

/// The number of programs of the object.
const PROGRAMS: usize = 64;

/// The rounds of each program's loop: the verifier takes some 20 ms on the machine of the published figures.
const ROUNDS: i32 = 5000;

/// The largest ratio to the time of libbpf, and to that on one thread, on two CPUs.
const MOST: f64 = 0.6;

const WHAT: &str = "64 programs that take the verifier long";

#[derive(Clone, Copy)]
enum Peer {
    Libbpf,
    OneThread,
    AllThreads,
}

impl Peer {
    const ALL: [Self; 3] = [Self::Libbpf, Self::OneThread, Self::AllThreads];

    fn name(self) -> &'static str {
        match self {
            Self::Libbpf => "libbpf",
            Self::OneThread => "cutaway, one thread",
            Self::AllThreads => "cutaway",
        }
    }

    /// Opens and loads the object. Returns the time in milliseconds. The object is closed afterwards.
    fn load(self, bytes: &[u8]) -> f64 {
        let start = Instant::now();
        let time = match self {
            Self::Libbpf => {
                // SAFETY: the bytes are borrowed for the call, which copies them; there are no options.
                let object = unsafe { bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as _, std::ptr::null()) };
                assert!(!object.is_null(), "libbpf opens the object");
                // SAFETY: the object was opened above and is not loaded yet.
                let answer = unsafe { bpf_object__load(object) };
                let time = start.elapsed();
                // SAFETY: the object was opened above and is not used any more.
                unsafe { bpf_object__close(object) };
                assert_eq!(answer, 0, "libbpf loads the object");
                time
            }
            Self::OneThread | Self::AllThreads => {
                let mut options = LoadOptions::new();
                if matches!(self, Self::OneThread) {
                    options.threads(1);
                }
                let loaded = Object::parse(bytes).and_then(|object| object.load_with(&options));
                let time = start.elapsed();
                assert_eq!(loaded.expect("cutaway loads the object").programs().count(), PROGRAMS);
                time
            }
        };
        time.as_secs_f64() * 1e3
    }
}

pub fn main(quick: bool, table: &mut Table) {
    // SAFETY: no function is given: libbpf prints nothing.
    unsafe { libbpf_set_print(None) };
    let bytes = slow_programs::object(PROGRAMS, ROUNDS);
    // The first round fills the caches.
    for peer in Peer::ALL {
        peer.load(&bytes);
    }
    for peer in table::in_turn(if quick { 3 } else { 9 }, &Peer::ALL) {
        table.add(WHAT, peer.name(), "ms", peer.load(&bytes));
    }
}

/// Prints each ratio, on two or more CPUs with its target. Returns true if all targets were met.
pub fn verdict(table: &Table) -> bool {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = true;
    println!();
    for other in [Peer::Libbpf, Peer::OneThread] {
        let Some(ratio) = table.ratio(WHAT, Peer::AllThreads.name(), other.name()) else { continue };
        let verdict = match cpus {
            1 => "no target on one CPU".to_owned(),
            _ => format!("target: at most {MOST:.2}, {}", if ratio <= MOST { "met" } else { "MISSED" }),
        };
        all &= cpus == 1 || ratio <= MOST;
        println!("{WHAT}, {cpus} CPUs: {ratio:.2} of the time of {}, {verdict}", other.name());
    }
    all
}
