//! The memory that opening and loading takes, of every object in a directory that this workspace's loader and libbpf
//! both load. Each load is in a process of its own: this binary again.
//!
//! The benchmark subtracts from each peak (`VmHWM`) that of a process that reads the same file and loads nothing. The
//! kernel keeps no peak of the private memory alone: `RssAnon` is read while the object is still open. So memory that
//! the loader has returned to the kernel before is only in the peak.
//!
//! libbpf's figures depend on its version and on the kernel, because most of its memory is the kernel's BTF. On Linux
//! 6.18 version 1.5 takes 11.5 MB at the peak for an object with CO-RE relocations, and 1.7 takes 0.8 MB. cutaway takes
//! 0.8 MB, mostly the pages of the program's own code.

use std::path::Path;
use std::process::Command;

use cutaway::Object;
use libbpf_sys::{bpf_object__load, bpf_object__open_mem, libbpf_set_print};

use crate::corpus::objects;
use crate::table::{self, Table};

#[derive(Clone, Copy)]
enum Peer {
    Nothing,
    Libbpf,
    Cutaway,
}

const PEERS: [Peer; 3] = [Peer::Nothing, Peer::Libbpf, Peer::Cutaway];

/// The largest ratio of the median of all objects to libbpf's.
const MOST: f64 = 0.25;

const PEAK: &str = "peak memory of open and load, above a process that loads nothing";
const PRIVATE: &str = "private memory after open and load, above a process that loads nothing";

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Libbpf => "libbpf",
            Self::Cutaway => "cutaway",
        }
    }

    /// Loads the object in a process of its own. Returns the peak of the memory and the private memory in KiB, or
    /// `None` if the object does not load.
    fn measure(self, path: &Path) -> Option<[f64; 2]> {
        let own = std::env::current_exe().expect("the path of this program");
        let output = Command::new(own).args(["memory-of", self.name()]).arg(path).output().expect("a process");
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        let mut figures = text.split_whitespace().map(|word| word.parse().ok());
        Some([figures.next()??, figures.next()??])
    }
}

/// Loads an object by the named peer and prints the memory of this process. Returns false if the object does not load.
pub fn of(peer: &str, path: &str) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    let print = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        match (value("VmHWM:"), value("RssAnon:")) {
            (Some(peak), Some(private)) => println!("{peak} {private}"),
            _ => println!(),
        }
    };
    match peer {
        "cutaway" => {
            let Ok(loaded) = Object::parse(&bytes).and_then(|object| object.load()) else { return false };
            print();
            drop(loaded);
        }
        "libbpf" => {
            // SAFETY: no function is given: libbpf prints nothing.
            unsafe { libbpf_set_print(None) };
            // SAFETY: the bytes are borrowed for the call, which copies them; there are no options.
            let object = unsafe { bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as _, std::ptr::null()) };
            // SAFETY: the object was opened above and is not loaded yet. The end of the process closes it.
            if object.is_null() || unsafe { bpf_object__load(object) } != 0 {
                return false;
            }
            print();
        }
        _ => print(),
    }
    true
}

pub fn main(quick: bool, directory: &Path, table: &mut Table) {
    let rounds = if quick { 3 } else { 9 };
    let (mut measured, mut skipped) = (0, 0);
    for path in objects(directory) {
        // The first round fills the caches.
        if !PEERS.iter().all(|peer| peer.measure(&path).is_some()) {
            skipped += 1;
            continue;
        }
        measured += 1;
        let mut figures = PEERS.map(|_| [Vec::new(), Vec::new()]);
        for peer in table::in_turn(rounds, &PEERS) {
            for (all, figure) in figures[peer as usize].iter_mut().zip(peer.measure(&path).into_iter().flatten()) {
                all.push(figure);
            }
        }
        let medians = figures.map(|figures| figures.map(median));
        for peer in [Peer::Libbpf, Peer::Cutaway] {
            for (index, what) in [PEAK, PRIVATE].into_iter().enumerate() {
                let above = medians[peer as usize][index] - medians[Peer::Nothing as usize][index];
                table.add(&format!("{what}, all objects"), peer.name(), "KiB", above);
                if has_core_relocations(&path) {
                    table.add(&format!("{what}, objects with CO-RE relocations"), peer.name(), "KiB", above);
                }
            }
        }
    }
    println!("{measured} objects; {skipped} skipped, because one of the loaders does not load them here");
}

/// Returns true if the object's `.BTF.ext` has CO-RE relocations. The section begins with `struct btf_ext_header`,
/// which is found by its first eight bytes: `magic`, `version`, `flags`, and `hdr_len`, which is 24 in `.BTF` and 32
/// here.
fn has_core_relocations(path: &Path) -> bool {
    const START: [u8; 8] = [0x9f, 0xeb, 1, 0, 32, 0, 0, 0];
    const CORE_RELO_LEN: std::ops::Range<usize> = 28..32;
    let bytes = std::fs::read(path).unwrap_or_default();
    let header = bytes.windows(CORE_RELO_LEN.end).find(|window| window.starts_with(&START));
    header.is_some_and(|header| header[CORE_RELO_LEN] != [0; 4])
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints each ratio of medians with the target. Returns true if all were met.
pub fn verdict(table: &Table) -> bool {
    let mut all = true;
    println!("\nlibbpf is {}", crate::libbpf());
    for what in [PEAK, PRIVATE] {
        for which in ["all objects", "objects with CO-RE relocations"] {
            let what = format!("{what}, {which}");
            let medians = [Peer::Cutaway, Peer::Libbpf].map(|peer| table.median(&what, peer.name()));
            let [Some(ours), Some(libbpf)] = medians else { continue };
            let met = ours <= libbpf * MOST;
            all &= met;
            let verdict = if met { "met" } else { "MISSED" };
            println!(
                "{what}: {ours:.0} KiB to {libbpf:.0} KiB, {:.2}; target: at most {MOST}, {verdict}",
                ours / libbpf
            );
        }
    }
    all
}
