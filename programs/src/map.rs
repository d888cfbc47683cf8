//! Maps, described.
//!
//! A [`MapDef`] says what `bpf(BPF_MAP_CREATE)` will be asked for. The object carries it in the section `.maps` as libbpf
//! has it: not as data but as a type, a struct whose members' types spell the numbers. Every loader reads that.
//!
//! ```
//! use cutaway_programs::{MapDef, MapType};
//!
//! let calls = MapDef::new(MapType::HASH).key::<u64>().value::<[u64; 2]>().max_entries(10_240);
//! let events = MapDef::new(MapType::RINGBUF).max_entries(256 * 1024);
//! ```

use crate::btf::{Describe, Type};

/// The kinds of maps, by the kernel's names less their `BPF_MAP_TYPE_` prefix; with the Linux version that brought them.
#[expect(non_camel_case_types, reason = "the kernel's own names, to be found by searching for them")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum MapType {
    /// Keys to values (3.19).
    HASH = 1,
    /// Values by index (3.19).
    ARRAY = 2,
    /// Programs to jump to by tail calls (4.2).
    PROG_ARRAY = 3,
    /// Perf events by CPU, to send records through (4.3).
    PERF_EVENT_ARRAY = 4,
    /// [`HASH`](Self::HASH) with a value for each CPU (4.6).
    PERCPU_HASH = 5,
    /// [`ARRAY`](Self::ARRAY) with a value for each CPU (4.6).
    PERCPU_ARRAY = 6,
    /// Stack traces by their hash (4.6).
    STACK_TRACE = 7,
    /// Control groups by index (4.8).
    CGROUP_ARRAY = 8,
    /// [`HASH`](Self::HASH) that drops what was least recently used when full (4.10).
    LRU_HASH = 9,
    /// [`LRU_HASH`](Self::LRU_HASH) with a value for each CPU (4.10).
    LRU_PERCPU_HASH = 10,
    /// Longest-prefix match (4.11).
    LPM_TRIE = 11,
    /// Maps by index (4.12).
    ARRAY_OF_MAPS = 12,
    /// Maps by key (4.12).
    HASH_OF_MAPS = 13,
    /// Network devices by index (4.14).
    DEVMAP = 14,
    /// Sockets by index (4.14).
    SOCKMAP = 15,
    /// CPUs to hand packets to (4.15).
    CPUMAP = 16,
    /// AF_XDP sockets (4.18).
    XSKMAP = 17,
    /// Sockets by key (4.18).
    SOCKHASH = 18,
    /// Storage of a control group and program (4.19); see [`CGRP_STORAGE`](Self::CGRP_STORAGE).
    CGROUP_STORAGE = 19,
    /// Sockets that share a port (4.19).
    REUSEPORT_SOCKARRAY = 20,
    /// [`CGROUP_STORAGE`](Self::CGROUP_STORAGE) with a value for each CPU (4.20).
    PERCPU_CGROUP_STORAGE = 21,
    /// First in, first out (4.20).
    QUEUE = 22,
    /// Last in, first out (4.20).
    STACK = 23,
    /// Storage of a socket (5.2).
    SK_STORAGE = 24,
    /// Network devices by key (5.4).
    DEVMAP_HASH = 25,
    /// An implementation of a kernel interface (5.6).
    STRUCT_OPS = 26,
    /// The ring buffer (5.8); its `max_entries` are bytes.
    RINGBUF = 27,
    /// Storage of an inode (5.10).
    INODE_STORAGE = 28,
    /// Storage of a task (5.11).
    TASK_STORAGE = 29,
    /// A set that may say yes wrongly (5.16).
    BLOOM_FILTER = 30,
    /// The ring buffer that user space writes (6.1); its `max_entries` are bytes.
    USER_RINGBUF = 31,
    /// Storage of a control group (6.2).
    CGRP_STORAGE = 32,
    /// Memory shared with user space (6.9); its `max_entries` are pages.
    ARENA = 33,
}

/// What a map is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct MapDef {
    pub(crate) kind: MapType,
    pub(crate) key: Option<Part>,
    pub(crate) value: Option<Part>,
    pub(crate) max_entries: Option<u32>,
    pub(crate) flags: u32,
    pub(crate) extra: u32,
    pub(crate) pinned_by_name: bool,
    pub(crate) inner: Option<Box<MapDef>>,
}

/// What a key or a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Bytes(u32),
    Type(Type),
}

/// The map's entries are allocated as they come instead of all at its creation. Kernel: `BPF_F_NO_PREALLOC`.
pub const BPF_F_NO_PREALLOC: u32 = 1 << 0;

impl MapDef {
    /// A map of this kind, without keys, values and entries: they are left out of the object unless given.
    pub fn new(kind: MapType) -> Self {
        Self { kind, key: None, value: None, max_entries: None, flags: 0, extra: 0, pinned_by_name: false, inner: None }
    }

    /// Keys of this type.
    pub fn key<T: Describe>(self) -> Self {
        self.key_type(T::describe())
    }

    /// Values of this type.
    pub fn value<T: Describe>(self) -> Self {
        self.value_type(T::describe())
    }

    /// Keys of this type.
    pub fn key_type(mut self, kind: Type) -> Self {
        self.key = Some(Part::Type(kind));
        self
    }

    /// Values of this type.
    pub fn value_type(mut self, kind: Type) -> Self {
        self.value = Some(Part::Type(kind));
        self
    }

    /// Keys of so many bytes, without a type: what maps that refuse BTF need, perf event arrays among them.
    pub fn key_size(mut self, bytes: u32) -> Self {
        self.key = Some(Part::Bytes(bytes));
        self
    }

    /// Values of so many bytes, without a type.
    pub fn value_size(mut self, bytes: u32) -> Self {
        self.value = Some(Part::Bytes(bytes));
        self
    }

    /// How many entries at most; bytes for a ring, slots for a perf event array. 0 may be given, and left to the loader to
    /// replace.
    pub fn max_entries(mut self, entries: u32) -> Self {
        self.max_entries = Some(entries);
        self
    }

    /// `map_flags`: a union of `BPF_F_…` of `include/uapi/linux/bpf.h`.
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// `map_extra` (5.16): the number of hash functions of a bloom filter.
    pub fn extra(mut self, extra: u32) -> Self {
        self.extra = extra;
        self
    }

    /// Asks the loader to pin the map under its name, and to use the one that is pinned there already: `LIBBPF_PIN_BY_NAME`.
    pub fn pinned_by_name(mut self) -> Self {
        self.pinned_by_name = true;
        self
    }

    /// What the maps in a map of maps look like.
    pub fn holding(mut self, inner: MapDef) -> Self {
        self.inner = Some(Box::new(inner));
        self
    }
}
