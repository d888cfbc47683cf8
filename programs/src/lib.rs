//! A typed eBPF assembler that writes real object files, and the programs that cutaway ships.
//!
//! A BPF program written with it reads like a commented assembly listing with Rust names. The result is an ELF object
//! like clang's: any loader takes it, and the kernel's verifier quotes its Rust lines.
//!
//! ```
//! use cutaway_programs::prelude::*;
//!
//! #[repr(C)]
//! struct Exec {
//!     time_ns: u64,
//!     pid_tgid: u64,
//! }
//! cutaway_programs::describe!(Exec { time_ns, pid_tgid });
//!
//! let mut object = ObjectBuilder::new("GPL");
//! object.describe::<Exec>(); // lets tools decode the records of the ring
//! let events = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(64 * 1024));
//!
//! let mut asm = Assembler::new();
//! let full = asm.label("full");
//! asm.load_map(R1, events);
//! asm.mov(R2, size!(Exec));
//! asm.mov(R3, 0);
//! asm.call(Helper::bpf_ringbuf_reserve);
//! asm.jump_if(Eq, R0, 0, full); // the ring is full
//! asm.mov(R6, R0);
//! asm.call(Helper::bpf_ktime_get_ns);
//! asm.store(DW, R6, offset!(Exec, time_ns), R0);
//! asm.call(Helper::bpf_get_current_pid_tgid);
//! asm.store(DW, R6, offset!(Exec, pid_tgid), R0);
//! asm.mov(R1, R6);
//! asm.mov(R2, 0);
//! asm.call(Helper::bpf_ringbuf_submit);
//! asm.bind(full);
//! asm.mov(R0, 0);
//! asm.exit();
//! object.program("tracepoint/sched/sched_process_exec", "exec", asm);
//!
//! let elf: Vec<u8> = object.write()?;
//! # assert_eq!(elf[..4], *b"\x7fELF");
//! # Ok::<(), cutaway_programs::Error>(())
//! ```
//!
//! The book shows cutaway's programs beside the same programs in C: `docs/4-three-ways.md` in the repository.
//!
//! Writing to the frame pointer does not compile:
//!
//! ```compile_fail,E0277
//! use cutaway_programs::prelude::*;
//! Assembler::new().mov(R10, 0);
//! ```
//!
//! | module | content |
//! | --- | --- |
//! | [`asm`] | the instructions, one method each, and labels |
//! | [`instruction`] | an instruction's parts, bytes and text |
//! | [`btf`] | types, from Rust to the kernel's format |
//! | [`compare`] | the programs of `cutaway compare` |
//! | [`prelude`] | everything that a program needs, for a glob import |

pub mod asm;
pub mod btf;
pub mod compare;
mod error;
/// Needs x86_64 or aarch64: the programs read these architectures' registers.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub mod getaddrinfo;
mod handle;
mod map;
mod object;
mod register;
mod size;
mod source;
mod variable;

pub use cutaway_sys::{ByteOrder, Helper, Instruction, MapFlags, MapType, instruction};

pub use asm::{Assembler, Code, Condition};
pub use error::Error;
pub use handle::{FunctionRef, Label, MapRef, VariableRef};
pub use map::MapDef;
pub use object::ObjectBuilder;
pub use register::*;
pub use size::*;
pub use source::Source;
pub use variable::Variable;

/// Everything that a module with programs needs, for a glob import.
pub mod prelude {
    pub use crate::{
        Assembler,
        Condition::{self, *},
        Error, FunctionRef, Helper, Label, MapDef, MapRef, MapType, ObjectBuilder, Variable, VariableRef,
        btf::{Describe, Signature},
        describe, offset,
        register::*,
        size,
        size::*,
        source,
    };
}

/// Compiles the example of `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
