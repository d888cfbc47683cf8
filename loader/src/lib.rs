//! cutaway: a minimal eBPF loader on raw system calls.
//!
//! An object file goes in; running programs and readable buffers come out; and every step between is in the open.
//!
//! ```text
//!     bytes ──Object::parse──▶ Object ──load──▶ Loaded ──attach──▶ Link        drop it: detached
//!                              a plain value     │
//!                                                └─map("events")─▶ Map ──ring()──▶ mmap_ring::Ring
//!                                                                      └─perf_buffers()─▶ perf_reader::Stream
//! ```
//!
//! [`Object::parse`] makes no system call. [`Object::load`] makes the maps, links the instructions, and has the verifier
//! check them. A [`Link`] keeps a program attached and detaches it when dropped.
//!
//! # Features
//!
//! All are on by default. Two bring a crate each, the others only code. A small program leaves out what its objects do not
//! need; an object that needs it after all is refused with an error that names the feature.
//!
//! | feature | for |
//! | --- | --- |
//! | `ring` | reading ring buffers: the crate [`mmap_ring`] |
//! | `perf` | reading perf buffers: the crate [`perf_reader`] |
//! | `core-relo` | objects with CO-RE relocations |
//! | `externs` | objects with externs: `__kconfig`, `__ksym` |
//! | `struct-ops` | tables of functions for the kernel |
//! | `tracing` | what hangs on a name in the kernel's BTF: `fentry`, `fexit`, `tp_btf`, `lsm`, `iter`, `freplace` |
//! | `uprobe` | attaching by the sections `uprobe`, `uretprobe`, `uprobe.multi` … |
//! | `usdt` | attaching to statically defined tracepoints, by the section `usdt` or by hand |
//! | `kprobe` | attaching by the sections `kprobe`, `kretprobe`, `kprobe.multi`, `ksyscall` … |
//! | `tracepoint` | attaching by the sections `tracepoint`, `raw_tracepoint` |
//!
//! The types by which a program is attached by hand ([`Uprobe`], [`Xdp`] …) are always there, and cost nothing if they are not
//! used.
//!
//! Every system call is reported to the crate `log` at level `trace` under the target `syscall`, with its arguments by
//! the kernel's names as key-values and the reason for it as the message.
//!
//! The repository's book walks through these calls one after the other (`docs/7-loading-by-hand.md`), and through programs
//! that embed this crate (`docs/9-embedding.md`).
//!
//! Linux 5.5 is the oldest kernel that this crate is written for; what needs a newer one says so.

mod attach;
pub mod btf;
mod buffers;
pub mod census;
pub mod core_relo;
mod cpus;
mod error;
mod externs;
mod load;
mod map;
mod map_flags;
mod map_type;
mod object;
mod privileges;
pub mod probe;
mod program;
mod program_type;
mod sorted;
mod struct_ops;
mod sys;
mod variable;

pub use attach::{
    Cgroup, Iter, Kprobe, KprobeMulti, Ksyscall, Link, Links, Lirc, Netfilter, NetfilterHook, Netns, PerfEvent,
    RawTracepoint, SocketFilter, Sockmap, Tc, Tcx, Tracepoint, Tracing, Uprobe, UprobeMulti, Usdt, UsdtPlace, Xdp,
    XdpMode, interface_index,
};
#[cfg(feature = "perf")]
pub use buffers::PerfEventArray;
pub use error::Error;
pub use externs::{Extern, ExternFound, ExternKind};
pub use load::{Loaded, Refused};
pub use map::{Batches, Entries, Map, PerCpu};
pub use map_flags::MapFlags;
pub use map_type::MapType;
pub use object::{
    FunctionSpec, Line, MapSpec, Object, Part, Pinning, ProgramSpec, Reference, Rehearsal, Rehearsed, Section,
    SectionSpec, SetAside, Target,
};
pub use program::{Outcome, Program, Run, RunStatistics, Runs};
pub use program_type::ProgramType;
pub use sys::Errno;
pub use variable::{Form, Plain, Value, Variable, VariableSpec};

#[cfg(feature = "ring")]
pub use mmap_ring;
#[cfg(feature = "perf")]
pub use perf_reader;
