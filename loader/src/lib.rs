//! cutaway: a minimal eBPF loader on raw system calls.
//!
//! An object file goes in; running programs and readable buffers come out; and every step between is in the open.
//!
//! ```text
//!     bytes ──Object::parse──▶ Object ──load──▶ Loaded ──attach──▶ Link        drop it: detached
//!                              a plain value     │
//!                                                └─map("events")─▶ Map ──ring()──▶ mmap_ring::Ring
//!                                                                      └─perf_buffers()─▶ perf_reader::AdaptiveReader
//! ```
//!
//! [`Object::parse`] makes no system call. [`Object::load`] makes the maps, links the instructions, and has the verifier
//! check them. A [`Link`] keeps a program attached and detaches it when dropped.
//!
//! # Features
//!
//! All but `debugdata` are on by default. That one and two others bring a crate each, the rest only code. A small program leaves out what its objects do not
//! need, which makes its build shorter, too; an object that needs it after all is refused with an error that names the feature.
//!
//! | feature | for |
//! | --- | --- |
//! | `ring` | reading ring buffers: the crate `mmap_ring` |
//! | `perf` | reading perf buffers: the crate `perf_reader`, and `PerfEventArray` |
//! | `core-relo` | objects with CO-RE relocations |
//! | `externs` | objects with externs: `__kconfig`, `__ksym` |
//! | `struct-ops` | tables of functions for the kernel: `Map::attach` |
//! | `tracing` | what hangs on a name in the kernel's BTF: `fentry`, `fexit`, `tp_btf`, `lsm`, `iter`, `freplace`: `Tracing`, `Iter`, `LoadOptions::replace` |
//! | `uprobe` | attaching to functions of programs and libraries: `Uprobe`, `UprobeMulti` |
//! | `usdt` | attaching to statically defined tracepoints of programs: `Usdt`; implies `uprobe` |
//! | `debugdata` | the symbols that a stripped file carries compressed (`.gnu_debugdata`), by the crate `lzma-rust2`; implies `uprobe`; not on by default |
//! | `kprobe` | attaching to functions of the kernel: `Kprobe`, `KprobeMulti`, `Ksyscall` |
//! | `tracepoint` | attaching to tracepoints: `Tracepoint`, `RawTracepoint` |
//! | `perf-event` | attaching to counters and clocks: `PerfEvent` |
//! | `network` | attaching to network devices, sockets and namespaces: `Xdp`, `Tc`, `Tcx`, `SocketFilter`, `Sockmap`, `Netns`, `Netfilter` |
//! | `cgroup` | attaching to cgroups: `Cgroup` |
//! | `lirc` | attaching to infrared receivers: `Lirc` |
//! | `advice` | longer reasons for refusals (privileges, license, helpers, sizes of maps), and [`Object::warnings`] |
//! | `census` | who is there: maps, programs, their holders and pins: the module `census`, `Map::from_id` |
//!
//! Every system call is reported to the crate `log` at level `trace` under the target `syscall`, with its arguments by
//! the kernel's names as key-values and the reason for it as the message.
//!
//! The repository's book walks through these calls one after the other (`docs/7-loading-by-hand.md`), and through programs
//! that embed this crate (`docs/9-embedding.md`).
//!
//! Linux 5.5 is the oldest kernel that this crate is written for; what needs a newer one says so.

// Helpers used only by a disabled feature are dead code in that build; with default features there is no dead code.
#![cfg_attr(not(feature = "default"), allow(dead_code, reason = "only disabled features call it"))]

mod attach;
pub mod btf;
mod buffers;
mod dry_run;
mod elf;
mod error;
pub mod features;
mod gate;
mod link;
mod load;
mod map;
mod object;
mod pin;
mod privileges;
mod program;
mod resolve;
mod sorted;
mod sys;
#[cfg(feature = "census")]
pub mod system;
mod text;
mod variable;

pub use cutaway_sys::{AttachType, Errno, Helper, Instruction, MapFlags, MapType, ProgramType, instruction};

pub use attach::*;
#[cfg(feature = "perf")]
pub use buffers::PerfEventArray;
#[cfg(any(feature = "ring", feature = "perf"))]
pub use buffers::{PollError, Poller, Source, Token};
#[cfg(any(feature = "ring", feature = "perf"))]
pub use cutaway_sys::{Stopper, Wake};
pub use dry_run::{Part, Rehearsal, Rehearsed};
pub use error::Error;
pub use load::{LoadOptions, Loaded, Refused};
pub use map::{Batches, Entries, Map, PerCpu};
pub use object::{
    Extern, ExternKind, Form, FunctionSpec, Line, MapSpec, Object, Pinning, Plain, ProgramSpec, Reference, Section,
    SectionSpec, Skipped, Target, Value, VariableSpec, Warning,
};
pub use program::{Outcome, Program, Run, RunStatistics, Runs};
pub use resolve::{core_relo, externs::ExternFound};
pub use variable::Variable;

#[cfg(feature = "ring")]
pub use mmap_ring;
#[cfg(feature = "perf")]
pub use perf_reader;
