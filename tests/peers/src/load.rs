//! Opening and loading of objects: this workspace's loader and libbpf, the same objects in turn.
//!
//! Each object is large in one respect: CO-RE relocations, constants of the kernel's configuration, features to probe,
//! zeroed memory. Compilers are not needed: some objects are assembled, others are in the corpus.

use std::ffi::CString;
use std::path::Path;
use std::time::Instant;

use cutaway_programs::prelude::*;
use libbpf_sys::{bpf_object__close, bpf_object__load, bpf_object__open_file, libbpf_set_print};

use crate::table::{self, Table};

#[path = "../../live/support/many_core.rs"]
mod many_core;

/// An object, and the target: the largest ratio to libbpf's time.
struct Case {
    what: &'static str,
    most: f64,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Peer {
    Cutaway,
    Libbpf,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Cutaway => "cutaway",
            Self::Libbpf => "libbpf",
        }
    }

    /// Opens and loads the object in this file. Returns the time in milliseconds. The object is closed afterwards.
    fn load(self, path: &Path) -> f64 {
        match self {
            Self::Cutaway => {
                let start = Instant::now();
                let bytes = std::fs::read(path).expect("the object has just been written");
                let loaded = cutaway::Object::parse(&bytes).and_then(cutaway::Object::load);
                let time = start.elapsed();
                drop(loaded.expect("cutaway loads the object"));
                time.as_secs_f64() * 1e3
            }
            Self::Libbpf => {
                let path = CString::new(path.to_str().expect("a path of text")).expect("a path without NUL");
                let start = Instant::now();
                // SAFETY: the path is a C string; there are no options.
                let object = unsafe { bpf_object__open_file(path.as_ptr(), std::ptr::null()) };
                assert!(!object.is_null(), "libbpf opens the object");
                // SAFETY: the object was opened above and is not loaded yet.
                let answer = unsafe { bpf_object__load(object) };
                let time = start.elapsed();
                // SAFETY: the object was opened above and is not used any more.
                unsafe { bpf_object__close(object) };
                assert_eq!(answer, 0, "libbpf loads the object");
                time.as_secs_f64() * 1e3
            }
        }
    }
}

pub fn main(quick: bool, table: &mut Table) {
    // SAFETY: no function is given: libbpf prints nothing.
    unsafe { libbpf_set_print(None) };
    let folder = std::env::temp_dir().join(format!("cutaway-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a directory for the objects");
    let path = folder.join("object.o");
    let rounds = if quick { 5 } else { 15 };
    for Case { what, bytes, .. } in cases() {
        std::fs::write(&path, bytes).expect("the object can be written");
        // The first round fills the caches.
        for peer in [Peer::Cutaway, Peer::Libbpf] {
            peer.load(&path);
        }
        for peer in table::in_turn(rounds, &[Peer::Libbpf, Peer::Cutaway]) {
            table.add(what, peer.name(), "ms", peer.load(&path));
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
}

/// Prints each figure with its target. Returns true if all targets were met.
pub fn verdict(table: &Table) -> bool {
    let mut all = true;
    println!();
    for Case { what, most, .. } in cases() {
        let Some(ratio) = table.ratio(what, Peer::Cutaway.name(), Peer::Libbpf.name()) else { continue };
        let met = ratio <= most;
        all &= met;
        let word = if met { "met" } else { "MISSED" };
        println!("{what}: {ratio:.2} of libbpf's time, target: at most {most:.2}, {word}");
    }
    all
}

fn cases() -> Vec<Case> {
    let corpus = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/externs").join(name);
        std::fs::read(path).expect("an object of the corpus")
    };
    vec![
        Case { what: "29,750 CO-RE relocations", most: 1.0, bytes: many_core::object(85, 350) },
        Case { what: "59,500 CO-RE relocations", most: 1.0, bytes: many_core::object(170, 350) },
        Case { what: "constants of the kernel's configuration", most: 1.5, bytes: corpus("kconfig_kernel.o") },
        // Both remember the kernel's features after the first object, which only fills the caches.
        Case { what: "features of the kernel (LINUX_HAS_*)", most: 1.5, bytes: corpus("kconfig_features.o") },
        Case { what: "a .bss of 70 MB", most: 1.0, bytes: zeroes() },
    ]
}

fn zeroes() -> Vec<u8> {
    let mut object = ObjectBuilder::new("GPL");
    let zeroes = object.variable(".bss", "zeroes", Variable::zeroed::<[u8; 70_000_000]>());
    let mut asm = Assembler::new();
    asm.load_address(R1, zeroes, 0);
    asm.load(B, R0, R1, 0);
    asm.exit();
    object.program("raw_tp/sys_enter", "reads", asm);
    object.write().expect("the program can be written")
}
