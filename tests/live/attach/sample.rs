//! A program for every attach type: it counts its runs, and stores the cookie on request.

use cutaway::{Error, Loaded, Object};
use cutaway_programs::prelude::*;

/// Indexes of the map `seen`.
const RUNS: u32 = 0;
const COOKIE: u32 = 1;

/// The program's action besides counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Also {
    Nothing,
    /// Stores the return value of `bpf_get_attach_cookie`.
    NotesCookie,
    /// Counts only this process.
    OnlyThisProcess,
}

/// Returns an object with the program `count` in this section, which returns `answer`.
pub(crate) fn object(section: &str, answer: i32, also: Also) -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let seen = object.map("seen", MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(2));
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.mov(R6, R1);
    if also == Also::OnlyThisProcess {
        asm.call(Helper::bpf_get_current_pid_tgid);
        asm.rsh(R0, 32);
        asm.jump_if(Ne, R0, std::process::id() as i32, done);
    }
    asm.store(W, R10, -4, RUNS as i32);
    asm.load_map(R1, seen);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, done);
    asm.mov(R1, 1);
    asm.atomic_add(DW, R0, 0, R1);
    if also == Also::NotesCookie {
        asm.mov(R1, R6);
        asm.call(Helper::bpf_get_attach_cookie);
        asm.store(DW, R10, -16, R0);
        asm.store(W, R10, -4, COOKIE as i32);
        asm.load_map(R1, seen);
        asm.mov(R2, R10);
        asm.add(R2, -4);
        asm.mov(R3, R10);
        asm.add(R3, -16);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_map_update_elem);
    }
    asm.bind(done);
    asm.mov(R0, answer);
    asm.exit();
    object.program(section, "count", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

/// Loads the object; panics if that fails.
pub(crate) fn load(section: &str) -> Loaded {
    object(section, 0, Also::Nothing).load().unwrap()
}

/// Loads the object with this return value.
pub(crate) fn answering(section: &str, answer: i32) -> Result<Loaded, Error> {
    object(section, answer, Also::Nothing).load()
}

/// Returns the number of the program's runs.
pub(crate) fn runs(loaded: &Loaded) -> u64 {
    slot(loaded, RUNS)
}

/// Returns the last cookie that the program has seen.
pub(crate) fn cookie(loaded: &Loaded) -> u64 {
    slot(loaded, COOKIE)
}

fn slot(loaded: &Loaded, slot: u32) -> u64 {
    let value = loaded.map("seen").unwrap().lookup(&slot.to_ne_bytes()).unwrap().unwrap();
    u64::from_ne_bytes(value.try_into().unwrap())
}
