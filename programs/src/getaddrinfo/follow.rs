//! Follows a process and its descendants.
//!
//! The descendants of a process are known only when they are created. The tracepoint `task/task_newtask` runs in the
//! parent when a task is created: the child is followed if the parent is. A process leaves the set when its first
//! thread ends. A new process that is *not* followed is removed from the set: its id may be that of an earlier process
//! whose end was missed.
//!
//! (A process whose first thread ends before the others is rare. It is no longer followed from then on.)

use super::{Reason, losses::Counters};
use crate::prelude::*;

pub(super) const SOURCE: crate::Source = source!("follow.rs");

/// The set of followed processes, and the constant that enables it.
pub(super) struct Followed {
    processes: MapRef,
    only_followed: VariableRef,
}

impl Followed {
    /// Jumps to `stranger` if only followed processes are traced and the process in the upper half of R0 is not among
    /// them. Uses eight bytes of the stack at `scratch`. Destroys R0 to R5.
    pub(super) fn jump_unless_followed(&self, asm: &mut Assembler, scratch: i16, stranger: Label) {
        let wanted = asm.label("wanted");
        asm.load_address(R1, self.only_followed, 0);
        asm.load(W, R1, R1, 0);
        asm.jump_if(Eq, R1, 0, wanted);
        asm.rsh(R0, 32);
        asm.store(W, R10, scratch, R0);
        asm.load_map(R1, self.processes);
        asm.mov(R2, R10);
        asm.add(R2, i32::from(scratch));
        asm.call(Helper::bpf_map_lookup_elem);
        asm.jump_if(Eq, R0, 0, stranger);
        asm.bind(wanted);
    }
}

/// The record of the tracepoint `task/task_newtask`; its layout is in tracefs, `events/task/task_newtask/format`.
#[repr(C)]
struct NewTask {
    common: u64,
    pid: u32,
    comm: [u8; 16],
    clone_flags: u64,
}

/// `CLONE_THREAD`: the task is a new thread of the same process.
const CLONE_THREAD: i32 = 0x0001_0000;

/// Offsets in bytes from the frame pointer.
const PARENT: i16 = -4;
const CHILD: i16 = -8;
const YES: i16 = -12;

/// Adds the set and the two programs that maintain it.
pub(super) fn programs(object: &mut ObjectBuilder, losses: &Counters) -> Followed {
    let definition = MapDef::new(MapType::HASH).key::<u32>().value::<u8>().max_entries(65_536);
    let processes = object.map(super::names::FOLLOWED, definition);
    let only_followed = object.variable(".rodata", super::names::ONLY_FOLLOWED, Variable::new(0_u32));

    object.program("tracepoint/task/task_newtask", super::names::FOLLOW, on_fork(processes, losses));
    object.program("tracepoint/sched/sched_process_exit", super::names::UNFOLLOW, on_exit(processes));
    Followed { processes, only_followed }
}

/// Sets `R2` to the address of a key on the stack.
#[track_caller]
fn key(asm: &mut Assembler, at: i16) {
    asm.mov(R2, R10);
    asm.add(R2, i32::from(at));
}

fn on_fork(processes: MapRef, losses: &Counters) -> Assembler {
    let mut asm = Assembler::new();
    let (stranger, done) = (asm.label("stranger"), asm.label("done"));
    asm.load(DW, R2, R1, offset!(NewTask, clone_flags));
    asm.jump_if(Set, R2, CLONE_THREAD, done);
    asm.load(W, R2, R1, offset!(NewTask, pid));
    asm.store(W, R10, CHILD, R2);
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.rsh(R0, 32);
    asm.store(W, R10, PARENT, R0);

    asm.load_map(R1, processes);
    key(&mut asm, PARENT);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, stranger);
    asm.store(W, R10, YES, 1);
    asm.load_map(R1, processes);
    key(&mut asm, CHILD);
    asm.mov(R3, R10);
    asm.add(R3, i32::from(YES));
    asm.mov(R4, 0); // BPF_ANY
    asm.call(Helper::bpf_map_update_elem);
    asm.jump_if(Eq, R0, 0, done);
    losses.count(&mut asm, Reason::NotFollowed);
    asm.jump(done);

    asm.bind(stranger);
    asm.load_map(R1, processes);
    key(&mut asm, CHILD);
    asm.call(Helper::bpf_map_delete_elem);

    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    asm
}

fn on_exit(processes: MapRef) -> Assembler {
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.mov(W1, W0);
    asm.rsh(R0, 32);
    asm.jump_if(Ne, R0, R1, done); // not the first thread
    asm.store(W, R10, CHILD, R0);
    asm.load_map(R1, processes);
    key(&mut asm, CHILD);
    asm.call(Helper::bpf_map_delete_elem);
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    asm
}
