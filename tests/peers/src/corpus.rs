//! Opening and loading of every object in a directory that this workspace's loader and libbpf both load: each object in
//! turn by libbpf, by this loader on one thread, and by this loader with its own choice of threads.

use std::path::{Path, PathBuf};
use std::time::Instant;

use cutaway::{LoadOptions, Object};
use libbpf_sys::{bpf_object__close, bpf_object__load, bpf_object__open_mem, libbpf_set_print};

use crate::table::{self, Table};

#[derive(Clone, Copy)]
enum Peer {
    Libbpf,
    OneThread,
    Cutaway,
}

const PEERS: [Peer; 3] = [Peer::Libbpf, Peer::OneThread, Peer::Cutaway];

/// The largest ratio of the median of all objects to libbpf's.
const MOST: f64 = 0.6;

/// The largest ratio to that on one thread: what measuring alone may differ by.
const MOST_OF_ONE_THREAD: f64 = 1.05;

const WHAT: &str = "open and load, the median of each object, over all objects";

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Libbpf => "libbpf",
            Self::OneThread => "cutaway, one thread",
            Self::Cutaway => "cutaway",
        }
    }

    /// Opens and loads the object. Returns the time in milliseconds, or `None` if it does not load. It is closed
    /// afterwards.
    fn load(self, bytes: &[u8]) -> Option<f64> {
        let start = Instant::now();
        let time = match self {
            Self::Libbpf => {
                // SAFETY: the bytes are borrowed for the call, which copies them; there are no options.
                let object = unsafe { bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as _, std::ptr::null()) };
                if object.is_null() {
                    return None;
                }
                // SAFETY: the object was opened above and is not loaded yet.
                let answer = unsafe { bpf_object__load(object) };
                let time = start.elapsed();
                // SAFETY: the object was opened above and is not used any more.
                unsafe { bpf_object__close(object) };
                (answer == 0).then_some(time)?
            }
            Self::OneThread | Self::Cutaway => {
                let mut options = LoadOptions::new();
                if matches!(self, Self::OneThread) {
                    options.threads(1);
                }
                let loaded = Object::parse(bytes).and_then(|object| object.load_with(&options)).ok()?;
                let time = start.elapsed();
                drop(loaded);
                time
            }
        };
        Some(time.as_secs_f64() * 1e3)
    }
}

pub fn main(quick: bool, directory: &Path, table: &mut Table) {
    // SAFETY: no function is given: libbpf prints nothing.
    unsafe { libbpf_set_print(None) };
    let rounds = if quick { 5 } else { 15 };
    for path in objects(directory) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        // The first round fills the caches.
        if !PEERS.iter().all(|peer| peer.load(&bytes).is_some()) {
            continue;
        }
        let mut times = PEERS.map(|_| Vec::new());
        for peer in table::in_turn(rounds, &PEERS) {
            times[peer as usize].extend(peer.load(&bytes));
        }
        for (peer, mut times) in PEERS.into_iter().zip(times) {
            times.sort_by(f64::total_cmp);
            table.add(WHAT, peer.name(), "ms", times[times.len() / 2]);
        }
    }
}

/// Returns the object files below a directory.
pub fn objects(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory of objects").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(objects(&path));
        } else if path.extension().is_some_and(|extension| extension == "o") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Prints each ratio with its target. Returns true if all targets were met.
pub fn verdict(table: &Table) -> bool {
    let mut all = true;
    println!();
    for (other, most) in [(Peer::Libbpf, MOST), (Peer::OneThread, MOST_OF_ONE_THREAD)] {
        let Some(ratio) = table.ratio(WHAT, Peer::Cutaway.name(), other.name()) else { continue };
        all &= ratio <= most;
        let verdict = if ratio <= most { "met" } else { "MISSED" };
        println!("{WHAT}: {ratio:.2} of the time of {}, target: at most {most:.2}, {verdict}", other.name());
    }
    all
}
