//! Fork, exec and exit of every process on the machine, each sent into a ring and into two sets of perf buffers at
//! once, so that their readers have the same lives to tell of.
//!
//! A process is known by the address of its `struct task_struct`, which all three tracepoints have as an argument. So
//! nothing is read from that structure, whose layout is each kernel's own.
//! (`include/trace/events/sched.h`: `sched_process_fork(parent, child)`, `sched_process_exec(p, …)`,
//! `sched_process_exit(p, …)`.)

use super::{Transport, fixed_size::buffer, names};
use crate::prelude::*;

/// What has happened to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum TaskEventKind {
    /// It was made; told on its parent's CPU.
    Fork = 0,
    /// It runs another program from now on.
    Exec = 1,
    /// It ends.
    Exit = 2,
}

impl TaskEventKind {
    /// In the order in which a process meets them.
    pub const ALL: [Self; 3] = [Self::Fork, Self::Exec, Self::Exit];

    /// The tracepoint that tells of it.
    const fn tracepoint(self) -> &'static str {
        match self {
            Self::Fork => "sched_process_fork",
            Self::Exec => "sched_process_exec",
            Self::Exit => "sched_process_exit",
        }
    }

    /// Which of the tracepoint's arguments is the process, as an offset in the context.
    const fn task(self) -> i16 {
        match self {
            Self::Fork => 8,
            Self::Exec | Self::Exit => 0,
        }
    }
}

/// The event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct TaskEvent {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The process: the address of its `struct task_struct`, which a later one may get again.
    pub task: u64,
    /// What happened: a [`TaskEventKind`].
    pub moment: u32,
    /// Where.
    pub cpu: u32,
    /// The name of the thread that ran then: at a fork, the parent's.
    pub comm: [u8; 16],
}
describe!(TaskEvent { time_ns, task, moment, cpu, comm: char });

impl TaskEvent {
    /// The object file with the three programs, which are to be attached to their tracepoints.
    ///
    /// # Errors
    ///
    /// Only if this crate is wrong, which its tests rule out.
    pub fn object() -> Result<Vec<u8>, Error> {
        let mut object = ObjectBuilder::new("Dual MIT/GPL");
        object.source(source!("task_event.rs"));
        object.describe::<Self>();
        let ring = object.map(names::RING, buffer(Transport::Reserve));
        let perf = [names::PERF, names::MERGED].map(|name| object.map(name, buffer(Transport::Heap)));
        for moment in TaskEventKind::ALL {
            let section = format!("raw_tracepoint/{}", moment.tracepoint());
            object.program(&section, moment.tracepoint(), program(moment, ring, perf));
        }
        object.write()
    }

    /// Reads an event.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Self> {
        let (words, comm) = record.split_at_checked(24)?;
        let (words, _) = words.as_chunks::<8>();
        let &[time_ns, task, both] = words else { return None };
        let [moment, cpu] = halves(both);
        Some(Self {
            time_ns: u64::from_ne_bytes(time_ns),
            task: u64::from_ne_bytes(task),
            moment,
            cpu,
            comm: *comm.first_chunk()?,
        })
    }
}

fn halves([a, b, c, d, e, f, g, h]: [u8; 8]) -> [u32; 2] {
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

fn program(moment: TaskEventKind, ring: MapRef, perf: [MapRef; 2]) -> Assembler {
    const EVENT: i16 = -(size_of::<TaskEvent>() as i16);
    let mut asm = Assembler::new();
    asm.mov(R6, R1);
    asm.call(Helper::bpf_ktime_get_ns);
    asm.store(DW, R10, EVENT + offset!(TaskEvent, time_ns), R0);
    asm.load(DW, R1, R6, moment.task());
    asm.store(DW, R10, EVENT + offset!(TaskEvent, task), R1);
    asm.store(W, R10, EVENT + offset!(TaskEvent, moment), moment as i32);
    asm.call(Helper::bpf_get_smp_processor_id);
    asm.store(W, R10, EVENT + offset!(TaskEvent, cpu), R0);
    asm.mov(R1, R10);
    asm.add(R1, i32::from(EVENT + offset!(TaskEvent, comm)));
    asm.mov(R2, 16);
    asm.call(Helper::bpf_get_current_comm);

    asm.load_map(R1, ring);
    asm.mov(R2, R10);
    asm.add(R2, i32::from(EVENT));
    asm.mov(R3, size!(TaskEvent));
    asm.mov(R4, 0);
    asm.call(Helper::bpf_ringbuf_output);
    for buffers in perf {
        asm.mov(R1, R6);
        asm.load_map(R2, buffers);
        asm.mov(W3, -1); // BPF_F_CURRENT_CPU
        asm.mov(R4, R10);
        asm.add(R4, i32::from(EVENT));
        asm.mov(R5, size!(TaskEvent));
        asm.call(Helper::bpf_perf_event_output);
    }
    asm.mov(R0, 0);
    asm.exit();
    asm
}
