//! cutaway: a minimal eBPF loader on raw system calls.
//!
//! Reads an object file, loads and attaches its programs, and gives access to its maps and buffers. Each step is a
//! public function.
//!
//! ```text
//!     bytes ──Object::parse──▶ Object ──load──▶ Loaded ──attach──▶ Link        drop it: detached
//!                              a plain value     │
//!                                                └─map("events")─▶ Map ──ring()──▶ mmap_ring::Ring
//!                                                                      └─perf_buffers()─▶ perf_reader::AdaptiveReader
//! ```
//!
//! [`Object::parse`] makes no system call. [`Object::load`] creates the maps, links the instructions and has the
//! verifier check the programs. A [`Link`] keeps a program attached and detaches it when dropped.
//!
//! # Coming from libbpf, aya or cilium/ebpf
//!
//! The same tasks there: libbpf 1.7, aya 0.14, cilium/ebpf 0.18. A dash means that there is no function for it.
//!
//! | task | here | libbpf | aya | cilium/ebpf |
//! | --- | --- | --- | --- | --- |
//! | read an object, without a system call | [`Object::parse`] | `bpf_object__open_mem` | `aya_obj::Object::parse` | `LoadCollectionSpecFromReader` |
//! | load it: maps and programs | [`Object::load`] | `bpf_object__load` | `Ebpf::load`, and `load` of each program | `NewCollection` |
//! | set a global variable before loading | [`Object::set_variable`] | `bpf_map__set_initial_value` (the section) | `EbpfLoader::override_global` | `VariableSpec.Set` |
//! | read or write it while programs run | [`Loaded::variable`], [`Variable::read`], [`Variable::write`] | `bpf_map__initial_value` (the section) | `Ebpf::map` (the section, as an `Array`) | `Variable.Get`, `Variable.Set` |
//! | leave a program out | [`Section::autoload`] | `bpf_program__set_autoload` | — | delete it from `CollectionSpec.Programs` |
//! | choose the program's type | [`Object::set_program_type`] | `bpf_program__set_type`, `bpf_program__set_expected_attach_type` | — | `ProgramSpec.Type`, `ProgramSpec.AttachType` |
//! | choose the BTF target | [`ProgramSpec::set_attach_target`] | `bpf_program__set_attach_target` | argument of `FEntry::load` and its like | `ProgramSpec.AttachTo` |
//! | change the size of a map | [`Object::map_mut`], [`MapSpec::max_entries`] | `bpf_map__set_max_entries` | `EbpfLoader::map_max_entries` | `MapSpec.MaxEntries` |
//! | pin maps by name below a directory | [`LoadOptions::pin_root`], [`Object::set_pin_root`] | `bpf_object_open_opts.pin_root_path` | `EbpfLoader::default_map_pin_directory` | `MapOptions.PinPath` |
//! | pin a map, open a pinned one | [`Map::pin`], [`Map::from_pin`] | `bpf_map__pin`, `bpf_obj_get` | `MapData::pin`, `MapData::from_pin` | `Map.Pin`, `LoadPinnedMap` |
//! | find a map or a program | [`Loaded::map`], [`Loaded::program`] | `bpf_object__find_map_by_name`, `bpf_object__find_program_by_name` | `Ebpf::map`, `Ebpf::program` | `Collection.Maps`, `Collection.Programs` |
//! | read, set and delete an element | [`Map::lookup`], [`Map::update`], [`Map::delete`] | `bpf_map__lookup_elem`, `bpf_map__update_elem`, `bpf_map__delete_elem` | `HashMap::get`, `HashMap::insert`, `HashMap::remove` | `Map.Lookup`, `Map.Put`, `Map.Delete` |
//! | read or drain all elements in batches | [`Map::entries`], [`Map::drain_entries`] | `bpf_map_lookup_batch`, `bpf_map_lookup_and_delete_batch` | — | `Map.BatchLookup`, `Map.BatchLookupAndDelete` |
//! | set or delete many elements | [`Map::update_batch`], [`Map::delete_batch`] | `bpf_map_update_batch`, `bpf_map_delete_batch` | — | `Map.BatchUpdate`, `Map.BatchDelete` |
//! | read a ring buffer | [`Map::ring`] | `ring_buffer__new` | `RingBuf` | `ringbuf.NewReader` |
//! | read perf buffers | [`Map::perf_buffers`] | `perf_buffer__new` | `PerfEventArray::open`, for each CPU | `perf.NewReader` |
//! | wait for rings, perf buffers and other files at once | [`Poller`] | `ring_buffer__add`: rings alone | — | — |
//! | attach a program by its section's name | [`Program::attach`] | `bpf_program__attach` | — | — |
//! | attach with what the section does not say: process, interface, cgroup, cookie | [`Program::attach_with`] | an `opts` structure for each kind of program | arguments of each type's `attach` | options of each function of `link` |
//! | attach all programs | [`Loaded::attach`] | `bpf_object__attach_skeleton` | — | — |
//! | attach to a function of the kernel | [`Kprobe`], [`KprobeMulti`] | `bpf_program__attach_kprobe_opts`, `bpf_program__attach_kprobe_multi_opts` | `KProbe::attach` | `link.Kprobe`, `link.KprobeMulti` |
//! | attach to a function of a file | [`Uprobe`], [`UprobeMulti`] | `bpf_program__attach_uprobe_opts`, `bpf_program__attach_uprobe_multi` | `UProbe::attach` | `Executable.Uprobe`, `Executable.UprobeMulti` |
//! | attach to a USDT probe | [`Usdt`] | `bpf_program__attach_usdt` | — | — |
//! | attach to a tracepoint | [`Tracepoint`], [`RawTracepoint`] | `bpf_program__attach_tracepoint`, `bpf_program__attach_raw_tracepoint` | `TracePoint::attach`, `RawTracePoint::attach` | `link.Tracepoint`, `link.AttachRawTracepoint` |
//! | attach `fentry`, `fexit`, `lsm` | [`Tracing`] | `bpf_program__attach_trace`, `bpf_program__attach_lsm` | `FEntry::attach`, `FExit::attach`, `Lsm::attach` | `link.AttachTracing`, `link.AttachLSM` |
//! | attach and read an iterator | [`Iter`], [`Link::read_iterator`] | `bpf_program__attach_iter`, `bpf_iter_create` | `Iter::attach`, `IterLink::into_file` | `link.AttachIter`, `Iter.Open` |
//! | attach to a network interface | [`Xdp`], [`Tcx`], [`Tc`] | `bpf_program__attach_xdp`, `bpf_program__attach_tcx`, `bpf_tc_attach` | `Xdp::attach`, `SchedClassifier::attach` | `link.AttachXDP`, `link.AttachTCX` |
//! | attach to a cgroup | [`Cgroup`] | `bpf_program__attach_cgroup` | `CgroupSkb::attach` and its like | `link.AttachCgroup` |
//! | keep a link: pin it, open it again | [`Link::pin`], [`Link::from_pin`] | `bpf_link__pin`, `bpf_link__open` | `FdLink::pin`, `PinnedLink::from_pin` | `Link.Pin`, `link.LoadPinnedLink` |
//! | run a program once | [`Program::test_run`] | `bpf_prog_test_run_opts` | `TestRun::test_run` | `Program.Run` |
//! | read the verifier's log | [`Error::verifier_log`] | `bpf_program__log_buf` | `ProgramError::LoadError` | `VerifierError` |
//! | ask what the kernel supports | [`features`] | `libbpf_probe_bpf_map_type` and its like | `sys::is_map_supported` and its like | package `features` |
//! | list all maps of the machine | [`system::maps`] | `bpf_map_get_next_id` | `maps::loaded_maps` | `MapGetNextID` |
//!
//! An object that aya-obj has parsed is loaded by `Object::from_aya`, and `compare_readers_on_host` says whether aya
//! would see the same in an object file (cargo feature `aya-obj`; `loader/examples/from_aya.rs`).
//!
//! The repository has a short program for each of six of them: load, attach and read a ring
//! (`loader/examples/ring.rs`), set a global variable (`global.rs`), pin and reuse a map (`pin.rs`), attach a uprobe by
//! hand (`uprobe.rs`), read perf buffers (`perf.rs`), batch operations (`batch.rs`).
//!
//! # Features
//!
//! All features but `aya-obj` and `debugdata` are on by default. `ring`, `perf`, `externs`, `aya-obj` and `debugdata`
//! bring a crate each, the others only code. A small program disables the features that its objects do not need, which
//! also shortens its build. An object that needs a disabled feature is refused with an error that names the feature.
//!
//! | feature | for |
//! | --- | --- |
//! | `ring` | reading ring buffers: the crate `mmap_ring` |
//! | `perf` | reading perf buffers: the crate `perf_reader`, and `PerfEventArray` |
//! | `core-relo` | objects with CO-RE relocations |
//! | `externs` | objects with externs: `__kconfig`, `__ksym`; brings `miniz_oxide`, which decompresses the kernel's configuration |
//! | `struct-ops` | struct_ops maps: `Map::attach` |
//! | `tracing` | programs attached by a name in the kernel's BTF: `fentry`, `fexit`, `tp_btf`, `lsm`, `iter`, `freplace`: `Tracing`, `Iter`, `LoadOptions::replace` |
//! | `uprobe` | attaching to functions of programs and libraries: `Uprobe`, `UprobeMulti` |
//! | `usdt` | attaching to statically defined tracepoints of programs: `Usdt`; implies `uprobe` |
//! | `debugdata` | reading the compressed symbols of a stripped file (`.gnu_debugdata`), by the crate `lzma-rust2`; implies `uprobe`; not on by default |
//! | `aya-obj` | loading objects that the crate `aya-obj` has read: `Object::from_aya`, `Object::parse_with`, `compare_readers`; brings `aya-obj`; not on by default |
//! | `kprobe` | attaching to functions of the kernel: `Kprobe`, `KprobeMulti`, `Ksyscall` |
//! | `tracepoint` | attaching to the kernel's tracepoints: `Tracepoint`, `RawTracepoint` |
//! | `perf-event` | attaching to hardware and software counters and clocks: `PerfEvent` |
//! | `network` | attaching to network devices, sockets and namespaces: `Xdp`, `Tc`, `Tcx`, `SocketFilter`, `Sockmap`, `Netns`, `Netfilter` |
//! | `cgroup` | attaching to cgroups: `Cgroup` |
//! | `lirc` | attaching to infrared receivers: `Lirc` |
//! | `advice` | detailed reasons for refusals (privileges, license, helpers, sizes of maps), and [`Object::warnings`] |
//! | `system` | listing all maps and programs of the machine, the processes that hold them, and their pins: the module `system`, `Map::from_id` |
//!
//! Every system call is logged by the crate `log`, at level `trace` with the target `syscall`. The message is the
//! purpose of the call; the key-values are its arguments by the kernel's names.
//!
//! The repository's book makes these calls one by one (`docs/7-loading-by-hand.md`) and shows programs that embed this
//! crate (`docs/9-embedding.md`).
//!
//! The crate supports Linux 5.5 and later. The documentation of an item says so if it needs a newer kernel.

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
#[cfg(feature = "aya-obj")]
mod readers;
mod resolve;
mod sorted;
mod sys;
#[cfg(feature = "system")]
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
pub use dry_run::{DryRun, LinkedProgram, Subprog};
pub use error::Error;
pub use load::{FailedProgram, LoadOptions, Loaded};
pub use map::{Batches, Entries, Map, PerCpu};
#[cfg(feature = "aya-obj")]
pub use object::ObjectReader;
pub use object::{
    Extern, ExternKind, FromBytes, FunctionSpec, Line, MapSpec, Object, Pinning, ProgramSpec, Reference, ScalarKind,
    Section, SectionSpec, Skipped, Target, ToBytes, VariableSpec, Warning,
};
pub use program::{Program, ProgramStats, StatsGuard, TestRun, TestRunResult};
#[cfg(feature = "aya-obj")]
pub use readers::{ReaderComparison, compare_readers, compare_readers_on_host};
pub use resolve::{core_relo, externs::ExternFound};
pub use variable::Variable;

#[cfg(feature = "aya-obj")]
pub use aya_obj;
#[cfg(feature = "ring")]
pub use mmap_ring;
#[cfg(feature = "perf")]
pub use perf_reader;
