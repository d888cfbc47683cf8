//! cutaway: a minimal eBPF loader on raw system calls.
//!
//! The crate reads an object file, loads and attaches its programs, and gives access to its maps and buffers. Each step
//! is a public function:
//!
//! ```text
//!     bytes ──Object::parse──▶ Object ──load──▶ Loaded ──attach──▶ Links
//!                              a plain value     │
//!                                                └─map("events")─▶ Map ──ring()──▶ mmap_ring::Ring
//!                                                                      └─perf_buffers()─▶ perf_reader::AdaptiveReader
//! ```
//!
//! - [`Object::parse`] reads the file's bytes. It makes no system call.
//! - [`Object::load`] creates the maps, links the instructions, and passes the programs to the kernel. The kernel's
//!   verifier checks them.
//! - [`Loaded::attach`] attaches each program to the target that its section names. [`Links`] keeps the programs
//!   attached; dropping it detaches them.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cutaway::{Object, Wake};
//!
//! let object = Object::parse(&std::fs::read("probes.o")?)?;
//! let loaded = object.load()?;
//! let _links = loaded.attach()?;
//! let mut ring = loaded.map("events")?.ring()?;
//! while ring.wait(None)? == Wake::Ready {
//!     for record in &mut ring.batch()? {
//!         println!("a record of {} bytes", record.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Requirements
//!
//! - Linux 5.5 or later. If an item needs a newer kernel, its documentation names the version.
//! - x86_64 or aarch64; the tests run on x86_64.
//! - `CAP_BPF`, and `CAP_PERFMON` for tracing programs or `CAP_NET_ADMIN` for network programs. Before Linux 5.8,
//!   `CAP_SYS_ADMIN` instead of `CAP_BPF` and `CAP_PERFMON`. Attaching a [`Uprobe`] also needs `CAP_SYS_ADMIN` since
//!   Linux 6.16, and on stable kernels since July 2025.
//! - In a user namespace, the capabilities of the namespace and a BPF token (Linux 6.9): see [`BpfToken`].
//! - Locked memory: before Linux 5.11 the kernel charges maps and programs to `RLIMIT_MEMLOCK`. If the limit is
//!   reached, the crate raises it.
//!
//! # Ownership, threads and panics
//!
//! A program stays attached until its [`Link`] is dropped, or longer if the link is pinned. The link keeps the program
//! and its maps in the kernel, even after [`Loaded`] is dropped. (Keep the [`Loaded`] if the programs use tail calls,
//! timers or work queues: its documentation gives the reason.) A reader of a ring or of perf buffers has its own file
//! descriptors and does not borrow [`Loaded`].
//!
//! [`Object`], [`Loaded`], [`Map`], [`Link`] and [`Links`] are `Send` and `Sync`.
//!
//! If the crate violates one of its own invariants, the function returns [`Error::Bug`] and does not panic.
//!
//! # Coming from libbpf, aya or cilium/ebpf
//!
//! The table shows how each task is done in libbpf 1.7, aya 0.14 and cilium/ebpf 0.18. A dash means that the library
//! has no function for the task.
//!
//! | task | here | libbpf | aya | cilium/ebpf |
//! | --- | --- | --- | --- | --- |
//! | read an object, without a system call | [`Object::parse`] | `bpf_object__open_mem` | `aya_obj::Object::parse` | `LoadCollectionSpecFromReader` |
//! | load an object: create its maps, load its programs | [`Object::load`] | `bpf_object__load` | `Ebpf::load`, and `load` of each program | `NewCollection` |
//! | set a global variable before loading | [`Object::set_variable`] | `bpf_map__set_initial_value` (the whole section) | `EbpfLoader::override_global` | `VariableSpec.Set` |
//! | read or write a global variable while programs run | [`Loaded::variable`], [`Variable::read`], [`Variable::write`] | `bpf_map__initial_value` (the whole section) | `Ebpf::map` (the whole section, as an `Array`) | `Variable.Get`, `Variable.Set` |
//! | skip a program | [`Section::autoload`] | `bpf_program__set_autoload` | do not call its `load` | delete it from `CollectionSpec.Programs` |
//! | choose the program's type | [`Object::set_program_type`] | `bpf_program__set_type`, `bpf_program__set_expected_attach_type` | — | `ProgramSpec.Type`, `ProgramSpec.AttachType` |
//! | choose the kernel function or hook that `fentry`, `lsm` and similar programs attach to | [`ProgramSpec::set_attach_target`] | `bpf_program__set_attach_target` | an argument of `FEntry::load` and similar functions | `ProgramSpec.AttachTo` |
//! | change the size of a map | [`Object::map_mut`], [`MapSpec::max_entries`] | `bpf_map__set_max_entries` | `EbpfLoader::map_max_entries` | `MapSpec.MaxEntries` |
//! | load in a user namespace with a BPF token | by itself; [`LoadOptions::token`] | by itself; `bpf_object_open_opts.bpf_token_path` | — | by itself |
//! | pin maps by name below a directory | [`LoadOptions::pin_root`], [`Object::set_pin_root`] | `bpf_object_open_opts.pin_root_path` | `EbpfLoader::default_map_pin_directory` | `MapOptions.PinPath` |
//! | pin a map, open a pinned map | [`Map::pin`], [`Map::from_pin`] | `bpf_map__pin`, `bpf_obj_get` | `MapData::pin`, `MapData::from_pin` | `Map.Pin`, `LoadPinnedMap` |
//! | find a map or a program by name | [`Loaded::map`], [`Loaded::program`] | `bpf_object__find_map_by_name`, `bpf_object__find_program_by_name` | `Ebpf::map`, `Ebpf::program` | `Collection.Maps`, `Collection.Programs` |
//! | read, set and delete an element | [`Map::lookup`], [`Map::update`], [`Map::delete`] | `bpf_map__lookup_elem`, `bpf_map__update_elem`, `bpf_map__delete_elem` | `HashMap::get`, `HashMap::insert`, `HashMap::remove` | `Map.Lookup`, `Map.Put`, `Map.Delete` |
//! | read all elements in batches, or read and delete them | [`Map::entries`], [`Map::drain_entries`] | `bpf_map_lookup_batch`, `bpf_map_lookup_and_delete_batch` | — | `Map.BatchLookup`, `Map.BatchLookupAndDelete` |
//! | set or delete many elements | [`Map::update_batch`], [`Map::delete_batch`] | `bpf_map_update_batch`, `bpf_map_delete_batch` | — | `Map.BatchUpdate`, `Map.BatchDelete` |
//! | read a ring buffer | [`Map::ring`] | `ring_buffer__new` | `RingBuf` | `ringbuf.NewReader` |
//! | read perf buffers | [`Map::perf_buffers`] | `perf_buffer__new` | `PerfEventArray::open`, for each CPU | `perf.NewReader` |
//! | wait for rings, perf buffers and other file descriptors at once | [`Poller`] | `ring_buffer__add` (rings only) | — | — |
//! | attach a program by its section's name | [`Program::attach`] | `bpf_program__attach` | — | — |
//! | attach with settings that the section's name cannot give: process, interface, cgroup, cookie | [`Program::attach_with`] | an `opts` structure for each kind of program | arguments of each type's `attach` | options of each function of `link` |
//! | attach all programs | [`Loaded::attach`] | `bpf_object__attach_skeleton` | — | — |
//! | attach to a function of the kernel | [`Kprobe`], [`KprobeMulti`] | `bpf_program__attach_kprobe_opts`, `bpf_program__attach_kprobe_multi_opts` | `KProbe::attach` | `link.Kprobe`, `link.KprobeMulti` |
//! | attach to a function of an executable or library | [`Uprobe`], [`UprobeMulti`] | `bpf_program__attach_uprobe_opts`, `bpf_program__attach_uprobe_multi` | `UProbe::attach` | `Executable.Uprobe`, `Executable.UprobeMulti` |
//! | attach to a USDT probe (a static tracepoint) of an executable or library | [`Usdt`] | `bpf_program__attach_usdt` | — | — |
//! | attach to a tracepoint of the kernel | [`Tracepoint`], [`RawTracepoint`] | `bpf_program__attach_tracepoint`, `bpf_program__attach_raw_tracepoint` | `TracePoint::attach`, `RawTracePoint::attach` | `link.Tracepoint`, `link.AttachRawTracepoint` |
//! | attach `fentry`, `fexit`, `lsm` programs | [`Tracing`] | `bpf_program__attach_trace`, `bpf_program__attach_lsm` | `FEntry::attach`, `FExit::attach`, `Lsm::attach` | `link.AttachTracing`, `link.AttachLSM` |
//! | attach an iterator and read its output | [`Iter`], [`Link::read_iterator`] | `bpf_program__attach_iter`, `bpf_iter_create` | `Iter::attach`, `IterLink::into_file` | `link.AttachIter`, `Iter.Open` |
//! | attach to a network interface | [`Xdp`], [`Tcx`], [`Tc`] | `bpf_program__attach_xdp`, `bpf_program__attach_tcx`, `bpf_tc_attach` | `Xdp::attach`, `SchedClassifier::attach` | `link.AttachXDP`, `link.AttachTCX` |
//! | attach to a cgroup | [`Cgroup`] | `bpf_program__attach_cgroup` | `CgroupSkb::attach` and similar functions | `link.AttachCgroup` |
//! | pin a link, open a pinned link | [`Link::pin`], [`Link::from_pin`] | `bpf_link__pin`, `bpf_link__open` | `FdLink::pin`, `PinnedLink::from_pin` | `Link.Pin`, `link.LoadPinnedLink` |
//! | run a program once, without attaching it | [`Program::test_run`] | `bpf_prog_test_run_opts` | `TestRun::test_run` | `Program.Run` |
//! | read the verifier's log | [`Error::verifier_log`] | `bpf_program__log_buf` | `ProgramError::LoadError` | `VerifierError` |
//! | probe what the kernel supports | [`features`] | `libbpf_probe_bpf_map_type` and similar functions | `sys::is_map_supported` and similar functions | package `features` |
//! | count the records that a full ring refused, without changing the program | [`Object::count_losses`], [`Loaded::losses`] | — | — | — |
//! | report the source lines of the programs that have run | [`Object::cover`], [`Loaded::coverage`] | — | — | — |
//! | list all maps of the machine | [`system::maps`] | `bpf_map_get_next_id` | `maps::loaded_maps` | `MapGetNextID` |
//!
//! `Object::from_aya` converts an object that the crate aya-obj has parsed (`loader/examples/from_aya.rs`).
//! `compare_readers_on_host` reports whether aya-obj reads the same maps, programs and instructions from an object file
//! as this crate. Both functions need the cargo feature `aya-obj`.
//!
//! # Examples
//!
//! The repository has a short program for each of these tasks, in `loader/examples`:
//!
//! | program | task |
//! | --- | --- |
//! | `embed.rs` | load an object, attach its programs, and read one ring: the shortest program |
//! | `ring.rs` | read a ring |
//! | `perf.rs` | read perf buffers |
//! | `poller.rs` | wait for several rings and perf buffers at once |
//! | `global.rs` | set a global variable, and read another one while the program runs |
//! | `batch.rs` | set, delete and read many elements of a map in one system call |
//! | `pin.rs` | pin a map, or reuse the pinned map |
//! | `uprobe.rs` | attach a uprobe whose section names no function |
//! | `token.rs` | load in a user namespace, with a BPF token |
//! | `from_aya.rs` | load an object that aya-obj has parsed |
//!
//! # Features
//!
//! All features except `aya-obj` and `debugdata` are on by default. The features `ring`, `perf`, `externs`, `aya-obj`
//! and `debugdata` each add a dependency; the others add none. Disable the features that your objects do not need: the
//! program becomes smaller and its build shorter. If an object needs a disabled feature, loading or attaching returns
//! an error that names the feature.
//!
//! | feature | enables | items |
//! | --- | --- | --- |
//! | `ring` | reading ring buffers, with the crate `mmap_ring` | `Map::ring`, `Poller` |
//! | `perf` | reading perf buffers, with the crate `perf_reader` | `Map::perf_buffers`, `PerfEventArray`, `Poller` |
//! | `core-relo` | objects with CO-RE relocations, which adapt a program to the running kernel's structures | |
//! | `externs` | objects with externs (`__kconfig`, `__ksym`), which the kernel provides by name; adds `miniz_oxide` to decompress the kernel's configuration | |
//! | `struct-ops` | struct_ops maps, whose programs implement functions of a kernel subsystem | `Map::attach` |
//! | `tracing` | programs whose target is a name in the kernel's BTF (`fentry`, `fexit`, `tp_btf`, `lsm`, `iter`), or a function of a loaded program (`freplace`) | `Tracing`, `Iter`, `LoadOptions::replace` |
//! | `uprobe` | attaching to functions of executables and libraries | `Uprobe`, `UprobeMulti` |
//! | `usdt` | attaching to USDT probes, the static tracepoints of executables and libraries; implies `uprobe` | `Usdt` |
//! | `debugdata` | reading the compressed symbols of a stripped file (`.gnu_debugdata`); adds `lzma-rust2`; implies `uprobe`; not on by default | |
//! | `aya-obj` | loading objects that the crate `aya-obj` has parsed; adds `aya-obj`; not on by default | `Object::from_aya`, `Object::parse_with`, `compare_readers` |
//! | `kprobe` | attaching to functions of the kernel | `Kprobe`, `KprobeMulti`, `Ksyscall` |
//! | `tracepoint` | attaching to tracepoints of the kernel | `Tracepoint`, `RawTracepoint` |
//! | `perf-event` | attaching to hardware and software perf events | `PerfEvent` |
//! | `network` | attaching to network devices, sockets and network namespaces | `Xdp`, `Tc`, `Tcx`, `SocketFilter`, `Sockmap`, `Netns`, `Netfilter` |
//! | `cgroup` | attaching to cgroups | `Cgroup` |
//! | `lirc` | attaching to infrared receivers | `Lirc` |
//! | `instrument` | inserting instructions into programs when they are loaded: counts of lost records, marks of the code that runs | [`Object::count_losses`], [`Object::cover`], [`CoverageReport`] |
//! | `token` | loading with a BPF token, the rights that a privileged process delegates to a user namespace | [`BpfToken`], [`LoadOptions::token`] |
//! | `advice` | detailed reasons in errors (privileges, license, helpers, sizes of maps), and warnings about the object | [`Object::warnings`] |
//! | `system` | listing all maps and programs of the machine, the processes that hold them, and their pins | the module `system`, `Map::from_id` |
//!
//! # Logs
//!
//! The crate logs with the crate `log`. It logs every system call at level `trace` with the target `syscall`: the
//! message is the purpose of the call, and the key-value pairs are the arguments, named as in the kernel's headers.
//! With the feature `advice`, loading logs skipped programs and warnings about the object at level `warn`.
//!
//! # Further reading
//!
//! The repository has a book. Chapter 7 (`docs/7-loading-by-hand.md`) shows the system calls of a load, one by one.
//! Chapter 9 (`docs/9-embedding.md`) has programs that embed this crate.

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
#[cfg(feature = "instrument")]
mod instrument;
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
mod token;
mod variable;

pub use cutaway_sys::{
    AttachType, Errno, Helper, Instruction, LookupFlags, MapFlags, MapType, ProgramType, UpdateFlags, instruction,
};

pub use attach::*;
#[cfg(feature = "perf")]
pub use buffers::PerfEventArray;
#[cfg(any(feature = "ring", feature = "perf"))]
pub use buffers::{PollError, Poller, Source, Token};
#[cfg(any(feature = "ring", feature = "perf"))]
pub use cutaway_sys::{Stopper, Wake};
pub use dry_run::{DryRun, LinkedProgram, Subprog};
pub use error::Error;
#[cfg(feature = "instrument")]
pub use instrument::{
    Coverage, CoverageReport, FileCoverage, FunctionCoverage, Insertion, LcovError, LineCoverage, LossSite, Losses,
    MapLosses, NotMeasured, Run, SourceLine, Totals,
};
pub use load::{FailedProgram, LoadOptions, Loaded};
pub use map::{Batches, Entries, Map, PerCpu, TypedMap};
#[cfg(feature = "aya-obj")]
pub use object::ObjectReader;
pub use object::{
    Extern, ExternKind, FromBytes, FunctionSpec, Line, MapSpec, Object, Pinning, Pod, ProgramSpec, Reference,
    ScalarKind, Section, SectionSpec, Skipped, Target, ToBytes, VariableSpec, Warning,
};
pub use program::{Program, ProgramStats, StatsGuard, TestRun, TestRunResult};
#[cfg(feature = "aya-obj")]
pub use readers::{ReaderComparison, compare_readers, compare_readers_on_host};
pub use resolve::{core_relo, externs::ExternFound};
#[cfg(feature = "token")]
pub use token::{BpfToken, Delegation};
pub use variable::Variable;

#[cfg(feature = "aya-obj")]
pub use aya_obj;
#[cfg(feature = "ring")]
pub use mmap_ring;
#[cfg(feature = "perf")]
pub use perf_reader;
