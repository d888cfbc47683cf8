//! Definitions shared by the crates of cutaway: the kernel's BPF names and types, and the few system calls that all of
//! them make.
//!
//! | module | content | kernel source |
//! | --- | --- | --- |
//! | [`instruction`] | `struct bpf_insn`, opcodes, text as `llvm-objdump` prints it | `include/uapi/linux/bpf.h`, `Documentation/bpf/standardization/instruction-set.rst` |
//! | [`map_type`], [`map_flags`], [`element_flags`] | `enum bpf_map_type`, `BPF_F_…` of `BPF_MAP_CREATE`, `BPF_ANY` … | `include/uapi/linux/bpf.h` |
//! | [`program_type`], [`attach_type`], [`link_type`] | `enum bpf_prog_type`, `enum bpf_attach_type`, `enum bpf_link_type` | `include/uapi/linux/bpf.h` |
//! | [`helper`] | ids and names of helper functions | `___BPF_FUNC_MAPPER` |
//! | [`errno`] | error numbers with names | `include/uapi/asm-generic/errno.h` |
//! | [`report`](mod@report) | reports of finished system calls to the crate `log` | |
//! | [`fd`], [`file`](mod@file), [`mount`], [`pseudo`] | file descriptors, files, private mounts, files that only the kernel can have written | `fs/open.c`, `fs/namespace.c` |
//! | [`cpus`] | online and possible CPUs | `drivers/base/cpu.c` |
//! | [`epoll`], [`stop`] | waiting for several file descriptors; ending a wait from another thread or a signal handler | `fs/eventpoll.c` |
//! | [`perf_event`] | `struct perf_event_attr`, perf_event_open(2) | `kernel/events/core.c` |
//! | [`names`] | lists of names in one string each, which needs no relocations | |
//! | [`flow`] | return types of a reader's callback | |
//! | [`memory`], [`clock`] | page size, `CLOCK_MONOTONIC` | |
//!
//! The public crates re-export the types that appear in their interfaces. Everything else here serves them and can
//! change with any version: depend on `cutaway`, `mmap-ring` or `perf-reader` instead.

// All crates of cutaway depend on this one, so a build for another target stops here, with this error alone. The
// modules that make system calls are disabled there: their type errors would bury the reason.
#[cfg(all(target_os = "linux", not(target_pointer_width = "64")))]
compile_error!(
    "cutaway, mmap-ring, perf-reader and the crates that they share support 64-bit targets only: a 32-bit process cannot \
     read the 64-bit positions that a 64-bit kernel keeps in a BPF ring buffer (their type is the kernel's `unsigned \
     long`), and no version was tested on a 32-bit kernel; build for a 64-bit target of this machine"
);
#[cfg(not(target_os = "linux"))]
compile_error!(
    "cutaway, mmap-ring, perf-reader and the crates that they share support Linux only: they make system calls of the \
     Linux kernel; build for a Linux target, such as x86_64-unknown-linux-musl"
);

pub mod attach_type;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod clock;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod cpus;
pub mod element_flags;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod epoll;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod errno;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod fd;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod file;
pub mod flow;
pub mod helper;
pub mod instruction;
pub mod link_type;
pub mod map_flags;
pub mod map_type;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod memory;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod mount;
pub mod names;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod perf_event;
pub mod program_type;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod pseudo;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod report;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod stop;

pub use attach_type::AttachType;
pub use element_flags::{LookupFlags, UpdateFlags};
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use errno::Errno;
pub use flow::IntoControlFlow;
pub use helper::Helper;
pub use instruction::{ByteOrder, Instruction};
pub use link_type::LinkType;
pub use map_flags::MapFlags;
pub use map_type::MapType;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use perf_event::PerfEventAttr;
pub use program_type::ProgramType;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use stop::{Stopper, Wake};
