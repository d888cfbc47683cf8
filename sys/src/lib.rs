//! Definitions shared by the crates of cutaway: the kernel's BPF names and types, and the few system calls that all of
//! them make.
//!
//! | module | content | kernel source |
//! | --- | --- | --- |
//! | [`instruction`] | `struct bpf_insn`, opcodes, text as `llvm-objdump` prints it | `include/uapi/linux/bpf.h`, `Documentation/bpf/standardization/instruction-set.rst` |
//! | [`map_type`], [`map_flags`], [`element_flags`] | `enum bpf_map_type`, `BPF_F_…` of `BPF_MAP_CREATE`, `BPF_ANY` … | `include/uapi/linux/bpf.h` |
//! | [`program_type`], [`attach_type`] | `enum bpf_prog_type`, `enum bpf_attach_type` | `include/uapi/linux/bpf.h` |
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

pub mod attach_type;
pub mod clock;
pub mod cpus;
pub mod element_flags;
pub mod epoll;
pub mod errno;
pub mod fd;
pub mod file;
pub mod flow;
pub mod helper;
pub mod instruction;
pub mod map_flags;
pub mod map_type;
pub mod memory;
pub mod mount;
pub mod names;
pub mod perf_event;
pub mod program_type;
pub mod pseudo;
pub mod report;
pub mod stop;

pub use attach_type::AttachType;
pub use element_flags::{LookupFlags, UpdateFlags};
pub use errno::Errno;
pub use flow::IntoControlFlow;
pub use helper::Helper;
pub use instruction::{ByteOrder, Instruction};
pub use map_flags::MapFlags;
pub use map_type::MapType;
pub use perf_event::PerfEventAttr;
pub use program_type::ProgramType;
pub use stop::{Stopper, Wake};
