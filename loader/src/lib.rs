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
//! - 64-bit Linux: x86_64 or aarch64, and the crate builds for riscv64 and s390x. Each change is tested on x86_64; on
//!   aarch64 the tests have passed on an emulated Linux 6.12. A build for a 32-bit target stops with one error that
//!   gives the reason.
//! - Rust 1.88.
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
//! The table shows how each task is done in libbpf 1.7 (`bpf_program__attach_tracing_multi`: 1.8), aya 0.14 and
//! cilium/ebpf 0.22. A dash means that the library has no function for the task.
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
//! | use the kernel's types from a file, for CO-RE relocations | [`Object::set_kernel_btf`] | `bpf_object_open_opts.btf_custom_path` | `EbpfLoader::btf` | `ProgramOptions.KernelTypes` |
//! | verify the programs of an object on several CPUs | [`Object::load`] does; [`LoadOptions::threads`] is the limit | — | — | — |
//! | pin maps by name below a directory | [`LoadOptions::pin_root`], [`Object::set_pin_root`] | `bpf_object_open_opts.pin_root_path` | `EbpfLoader::default_map_pin_directory` | `MapOptions.PinPath` |
//! | pin a map, open a pinned map | [`Map::pin`], [`Map::from_pin`] | `bpf_map__pin`, `bpf_obj_get` | `MapData::pin`, `MapData::from_pin` | `Map.Pin`, `LoadPinnedMap` |
//! | find a map or a program by name | [`Loaded::map`], [`Loaded::program`] | `bpf_object__find_map_by_name`, `bpf_object__find_program_by_name` | `Ebpf::map`, `Ebpf::program` | `Collection.Maps`, `Collection.Programs` |
//! | keep a map or a program without the rest of its object | [`Map::try_clone`], [`Program::try_clone`] | — (`MapHandle::try_from` in libbpf-rs) | `Ebpf::take_map` | `Map.Clone`, `Program.Clone` |
//! | read and write keys and values as types | [`Map::typed`], [`Pod`], [`pod!`] | — | `Pod`, `HashMap<_, K, V>` | any type of fixed size |
//! | create a map without an object | [`MapBuilder`], [`Map::create`] | `bpf_map_create` | `HashMap::create` | `NewMap` |
//! | open a map by its fd or id | [`Map::from_fd`], `Map::from_id` | `bpf_map_get_fd_by_id` | `MapData::from_fd`, `MapData::from_id` | `NewMapFromFD`, `NewMapFromID` |
//! | use an existing map in place of an object's | [`LoadOptions::map`] | `bpf_map__reuse_fd` | `EbpfLoader::map_pin_path` (pins only) | `CollectionOptions.MapReplacements` |
//! | pin a map at a path of its own, remove a pin | [`MapSpec::pin_path`], [`Map::unpin`], [`Loaded::unpin_maps`] | `bpf_map__set_pin_path`, `bpf_map__unpin` | `EbpfLoader::map_pin_path` | `Map.Unpin` |
//! | read, set and delete an element | [`Map::lookup`], [`Map::update`], [`Map::delete`] | `bpf_map__lookup_elem`, `bpf_map__update_elem`, `bpf_map__delete_elem` | `HashMap::get`, `HashMap::insert`, `HashMap::remove` | `Map.Lookup`, `Map.Put`, `Map.Delete` |
//! | add only new keys, change only existing ones, lock the value | [`Map::update_with`], [`UpdateFlags`] | `flags` of `bpf_map__update_elem` | `flags` of `insert` | `Map.Update` |
//! | push to and pop from queues and stacks; Bloom filters | [`Map::push`], [`Map::pop`], [`Map::contains`] | `bpf_map_update_elem` without a key | `Queue`, `Stack`, `BloomFilter` | `Map.Put`, `Map.LookupAndDelete` with a nil key |
//! | read and write an array without system calls | [`Map::mapped`] | `mmap` | — | `Map.Memory` |
//! | forbid user space to write to a map | [`Map::freeze`] | `bpf_map_freeze` | — | `Map.Freeze` |
//! | read the kernel's description of a map | [`Map::info`] | `bpf_map_get_info_by_fd` | `MapInfo` | `Map.Info` |
//! | allow only one program to use a map | [`MapSpec::exclusive_hash`], [`program_hash`] | `bpf_map__set_exclusive_program` | — | — |
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
//! | attach one program to many functions by a link, with their arguments on entry and return | [`TracingMulti`] | `bpf_program__attach_tracing_multi` | — | — |
//! | attach an iterator and read its output | [`Iter`], [`Link::read_iterator`] | `bpf_program__attach_iter`, `bpf_iter_create` | `Iter::attach`, `IterLink::into_file` | `link.AttachIter`, `Iter.Open` |
//! | attach to a network interface | [`Xdp`], [`Tcx`], [`Tc`] | `bpf_program__attach_xdp`, `bpf_program__attach_tcx`, `bpf_tc_attach` | `Xdp::attach`, `SchedClassifier::attach` | `link.AttachXDP`, `link.AttachTCX` |
//! | attach to a cgroup | [`Cgroup`] | `bpf_program__attach_cgroup` | `CgroupSkb::attach` and similar functions | `link.AttachCgroup` |
//! | choose the position among the programs of a network device or a cgroup | [`Order`], [`Tcx::order`], [`Cgroup::order`] | `bpf_tcx_opts.relative_fd` and similar fields, `BPF_F_BEFORE` | `LinkOrder` | `link.Anchor` |
//! | list the programs of a network device, cgroup, network namespace or socket map | [`Tcx::attached`], [`Cgroup::attached`] and methods of the same name | `bpf_prog_query_opts` | `SchedClassifier::query_tcx` | `link.QueryPrograms` |
//! | replace the program of a link | [`Link::update`], [`Link::update_if`] | `bpf_link__update_program`, `bpf_link_update` | `Xdp::attach_to_link`, `SchedClassifier::attach_to_link` | `Link.Update`, `RawLink.UpdateArgs` |
//! | replace the struct_ops map of a link | [`Link::update_map`] | `bpf_link__update_map` | — | — |
//! | detach a link that other processes hold | [`Link::detach`] | `bpf_link__detach` | — | `Link.Detach` |
//! | read the kernel's information about a link | [`Link::info`] | `bpf_link_get_info_by_fd` | `LinkInfo` | `Link.Info` |
//! | list all links of the machine, open one by its id | [`system::links`], [`Link::from_id`] | `bpf_link_get_next_id`, `bpf_link_get_fd_by_id` | `loaded_links` | `link.Iterator`, `link.NewFromID` |
//! | watch an address with the CPU's debug registers | [`PerfEvent::breakpoint`] | — | `PerfEvent::attach` | — |
//! | pin a link, open a pinned link | [`Link::pin`], [`Link::from_pin`] | `bpf_link__pin`, `bpf_link__open` | `FdLink::pin`, `PinnedLink::from_pin` | `Link.Pin`, `link.LoadPinnedLink` |
//! | load a program from instructions, without an object | [`ProgramBuilder`] | `bpf_prog_load` | — | `NewProgram` |
//! | open a program by its pin, id or fd | [`Program::from_pin`], [`Program::from_id`], [`Program::from_fd`] | `bpf_obj_get`, `bpf_prog_get_fd_by_id` | `Xdp::from_pin` and similar functions | `LoadPinnedProgram`, `NewProgramFromID`, `NewProgramFromFD` |
//! | describe a loaded program: tag, runs, maps, sizes | [`Program::info`], [`Program::used_maps`] | `bpf_prog_get_info_by_fd` | `ProgramInfo` | `Program.Info` |
//! | read a loaded program's instructions, source lines and machine code | [`Program::code`] | `bpf_prog_get_info_by_fd` | — | `ProgramInfo.Instructions`, `ProgramInfo.JitedInsns` |
//! | run a program once, without attaching it | [`Program::test_run`] | `bpf_prog_test_run_opts` | `TestRun::test_run` | `Program.Run` |
//! | read what a program prints to its streams | [`Program::read_stream`] | `bpf_prog_stream_read` | — | — |
//! | bind a map to a program that does not use it | [`Program::bind_map`], [`LoadOptions::bind_map`] | `bpf_prog_bind_map` | — | `Program.BindMap` |
//! | associate a program with a struct_ops map | [`Program::associate_struct_ops`] | `bpf_program__assoc_struct_ops` | — | — |
//! | read the verifier's log of a refused program | [`Error::verifier_log`] | `bpf_program__log_buf` | `ProgramError::LoadError` | `VerifierError` |
//! | read the verifier's log and figures of an accepted program | [`LoadOptions::verifier_log`], [`Program::verifier_log`], [`Program::verifier_stats`] | `bpf_program__set_log_level`, `bpf_program__log_buf` | `EbpfLoader::verifier_log_level` | `ProgramOptions.LogLevel`, `Program.VerifierLog` |
//! | probe what the kernel supports | [`features`] | `libbpf_probe_bpf_map_type` and similar functions | `sys::is_map_supported` and similar functions | package `features` |
//! | count the records that a full ring refused, without changing the program | [`Object::count_losses`], [`Loaded::losses`] | — | — | — |
//! | report the source lines of the programs that have run | [`Object::cover`], [`Loaded::coverage`] | — | — | — |
//! | generate types from an object, and a type that opens, loads and attaches it (cargo feature `bindgen`) | `bindgen::Builder` | `bpftool gen skeleton` (C; `libbpf-cargo` for Rust) | `aya-tool` (types of the kernel) | `bpf2go` (Go) |
//! | attach all programs, and find their links by name | [`Loaded::attach_named`] | `bpf_object__attach_skeleton` | — | — |
//! | access a global variable by its type | [`Variable::typed`] | fields of a skeleton | — | `Variable.Get`, `Variable.Set` |
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
//! | `maps.rs` | create a map, use it in place of an object's, read and write it as Rust types |
//! | `pin.rs` | pin a map, or reuse the pinned map |
//! | `uprobe.rs` | attach a uprobe whose section names no function |
//! | `token.rs` | load in a user namespace, with a BPF token |
//! | `from_aya.rs` | load an object that aya-obj has parsed |
//!
//! # Features
//!
//! All features except `aya-obj`, `bindgen` and `debugdata` are on by default. The features `ring`, `perf`,
//! `externs`, `uprobe`, `aya-obj` and `debugdata` each add a dependency; the others add none. Disable the features that
//! your objects do not need: the program becomes smaller and its build shorter. If an object needs a disabled feature,
//! loading or attaching returns an error that names the feature.
//!
//! | feature | enables | items |
//! | --- | --- | --- |
//! | `ring` | reading ring buffers, with the crate `mmap_ring` | `Map::ring` |
//! | `perf` | reading perf buffers, with the crate `perf_reader` | `Map::perf_buffers`, `PerfEventArray` |
//! | `poller` | waiting for several rings, perf buffers and other file descriptors at once; with `ring` or `perf` | `Poller` |
//! | `core-relo` | objects with CO-RE relocations, which adapt a program to the running kernel's structures | [`core_relo::relocate`] |
//! | `externs` | objects with externs (`__kconfig`, `__ksym`), which the kernel provides by name; adds `miniz_oxide` to decompress the kernel's configuration | |
//! | `struct-ops` | struct_ops maps, whose programs implement functions of a kernel subsystem | `Map::attach` |
//! | `tracing` | programs whose target is a name in the kernel's BTF (`fentry`, `fexit`, `tp_btf`, `lsm`, `iter`), or a function of a loaded program (`freplace`); many functions by one link (`fentry.multi`) | `Tracing`, `TracingMulti`, `Iter`, `LoadOptions::replace` |
//! | `uprobe` | attaching to functions of executables and libraries; adds `object`, which reads these files | `Uprobe`, `UprobeMulti` |
//! | `usdt` | attaching to USDT probes, the static tracepoints of executables and libraries; implies `uprobe` and `info` | `Usdt` |
//! | `debugdata` | reading the compressed symbols of a stripped file (`.gnu_debugdata`); adds `lzma-rust2`; implies `uprobe`; not on by default | |
//! | `aya-obj` | loading objects that the crate `aya-obj` has parsed; adds `aya-obj`; not on by default | `Object::from_aya`, `Object::parse_with`, `compare_readers` |
//! | `kprobe` | attaching to functions of the kernel | `Kprobe`, `KprobeMulti`, `Ksyscall` |
//! | `tracepoint` | attaching to tracepoints of the kernel | `Tracepoint`, `RawTracepoint` |
//! | `perf-event` | attaching to hardware and software perf events, and to breakpoints | `PerfEvent`, `Breakpoint` |
//! | `network` | attaching to network devices, sockets and network namespaces | `Xdp`, `Tc`, `Tcx`, `SocketFilter`, `Sockmap`, `Netns`, `Netfilter` |
//! | `cgroup` | attaching to cgroups | `Cgroup` |
//! | `lirc` | attaching to infrared receivers | `Lirc` |
//! | `maps` | creating maps without an object, using existing maps in place of an object's, pinning maps at paths of their own | [`MapBuilder`], [`LoadOptions::map`], [`MapSpec::pin_path`] |
//! | `elements` | access to map elements beyond one key at a time: batches, each CPU's elements, queues, stacks, Bloom filters, keys and values as Rust types; modules that `bindgen` has written need it | [`Map::entries`], [`Map::push`], [`Map::typed`] |
//! | `programs` | loading programs without an object, opening programs that are already in the kernel; implies `info` | [`ProgramBuilder`], [`Program::from_pin`] |
//! | `info` | what the kernel knows about a program: its description, its code, its run statistics, the text that it prints | [`Program::info`], [`Program::code`], [`ProgramStats`], [`Stream`] |
//! | `links` | managing a link after attaching: its description, another program, detaching | [`Link::info`], [`Link::update`], [`Link::detach`], [`Link::unpin`] |
//! | `test-run` | running a program without an event | [`TestRun`] |
//! | `instrument` | inserting instructions into programs when they are loaded: counts of lost records, marks of the code that runs | [`Object::count_losses`], [`Object::cover`], [`CoverageReport`] |
//! | `token` | loading with a BPF token, the rights that a privileged process delegates to a user namespace | [`BpfToken`], [`LoadOptions::token`] |
//! | `parallel` | passing large programs to the verifier on several threads at once | [`LoadOptions::threads`] |
//! | `bindgen` | writing a Rust module with the types of an object, from a `build.rs`; not on by default | the module `bindgen` |
//! | `advice` | detailed reasons in errors (privileges, license, helpers, sizes of maps), and warnings about the object | [`Object::warnings`] |
//! | `load-options` | settings of one load that few programs need: the verifier's log of accepted programs, and maps that are bound to programs | [`LoadOptions::verifier_log`], [`LoadOptions::bind_map`], [`VerifierStats`] |
//! | `system` | listing all maps, programs and links of the machine, the processes that hold them, and their pins; opening maps, programs and links by id; implies `programs` and `links` | the module `system`, `Map::from_id`, `Program::from_id`, `Program::used_maps`, `Link::from_id` |
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
#[cfg(feature = "bindgen")]
pub mod bindgen;
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
#[cfg(feature = "links")]
mod link_info;
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
    AttachType, Errno, Helper, Instruction, LinkType, LookupFlags, MapFlags, MapType, ProgramType, UpdateFlags,
    instruction,
};

pub use attach::*;
#[cfg(feature = "perf")]
pub use buffers::PerfEventArray;
#[cfg(all(feature = "poller", any(feature = "ring", feature = "perf")))]
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
#[cfg(feature = "links")]
pub use link_info::{IterScope, LinkInfo, LinkTarget};
pub use load::{FailedProgram, LoadOptions, Loaded};
#[cfg(feature = "elements")]
pub use map::{Batches, Entries, TypedMap};
pub use map::{Map, MapInfo, MapMemory, PerCpu};
#[cfg(feature = "maps")]
pub use map::{MapBuilder, program_hash};
#[cfg(feature = "aya-obj")]
pub use object::ObjectReader;
pub use object::{
    Extern, ExternKind, FromBytes, FunctionSpec, Line, MapSpec, Object, Pinning, Pod, ProgramSpec, Reference,
    ScalarKind, Section, SectionSpec, Skipped, Target, ToBytes, VariableSpec, Warning,
};
pub use program::Program;
#[cfg(feature = "programs")]
pub use program::ProgramBuilder;
#[cfg(feature = "load-options")]
pub use program::{FunctionCost, LogLevel, VerifierStats};
#[cfg(feature = "info")]
pub use program::{ProgramCode, ProgramFunction, ProgramInfo, ProgramStats, StatsGuard, Stream};
#[cfg(feature = "test-run")]
pub use program::{TestRun, TestRunResult};
#[cfg(feature = "aya-obj")]
pub use readers::{ReaderComparison, compare_readers, compare_readers_on_host};
pub use resolve::{core_relo, externs::ExternFound};
#[cfg(feature = "token")]
pub use token::{BpfToken, Delegation};
pub use variable::{TypedVariable, Variable};

#[cfg(feature = "aya-obj")]
pub use aya_obj;
#[cfg(feature = "ring")]
pub use mmap_ring;
#[cfg(feature = "perf")]
pub use perf_reader;

/// Compiles the example of `README.md`.
#[cfg(all(doctest, feature = "ring"))]
#[doc = include_str!("../README.md")]
struct Readme;
