//! Fork, exec and exit of every process on the machine, each sent into a ring and into two sets of perf buffers. So all
//! readers receive the same events.
//!
//! A process is identified by the address of its `struct task_struct`, which all three tracepoints have as an argument.
//! So nothing is read from that structure, whose layout differs between kernels. (`include/trace/events/sched.h`:
//! `sched_process_fork(parent, child)`, `sched_process_exec(p, …)`, `sched_process_exit(p, …)`.)

use super::{Transport, fixed_size::buffer, names};
use crate::prelude::*;

/// The kind of a process event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum TaskEventKind {
    /// The process was created; reported on its parent's CPU.
    Fork = 0,
    /// The process executes another program from now on.
    Exec = 1,
    /// The process ends.
    Exit = 2,
}

impl TaskEventKind {
    /// All kinds, in the order in which a process meets them.
    pub const ALL: [Self; 3] = [Self::Fork, Self::Exec, Self::Exit];

    /// Returns the name of the tracepoint that reports it.
    const fn tracepoint(self) -> &'static str {
        match self {
            Self::Fork => "sched_process_fork",
            Self::Exec => "sched_process_exec",
            Self::Exit => "sched_process_exit",
        }
    }

    /// Returns the offset in the context, in bytes, of the tracepoint's argument that is the process.
    const fn task(self) -> i16 {
        match self {
            Self::Fork => 8,
            Self::Exec | Self::Exit => 0,
        }
    }
}

/// The event of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct TaskEvent {
    /// The time, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The process: the address of its `struct task_struct`, which a later process may get again.
    pub task: u64,
    /// The kind of the event: a [`TaskEventKind`].
    pub moment: u32,
    /// The CPU that sent it.
    pub cpu: u32,
    /// The name of the thread that was running: at a fork, the parent's.
    pub comm: [u8; 16],
}
describe!(TaskEvent { time_ns, task, moment, cpu, comm: char });

impl TaskEvent {
    /// Returns the object file with the three programs, each to be attached to its tracepoint.
    ///
    /// # Errors
    ///
    /// Only if this crate has a bug, which its tests rule out.
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

    /// Decodes an event; `None` if the record has another length.
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
