//! Maps, described.
//!
//! A [`MapDef`] says what `bpf(BPF_MAP_CREATE)` will be asked for. The object carries it in the section `.maps` as
//! libbpf has it: not as data but as a type, a struct whose members' types spell the numbers. Every loader reads that.
//!
//! ```
//! use cutaway_programs::{MapDef, MapType};
//!
//! let calls = MapDef::new(MapType::HASH).key::<u64>().value::<[u64; 2]>().max_entries(10_240);
//! let events = MapDef::new(MapType::RINGBUF).max_entries(256 * 1024);
//! ```

use cutaway_sys::{MapFlags, MapType};

use crate::btf::{Describe, Type};

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

    /// How many entries at most; bytes for a ring, slots for a perf event array. 0 may be given, and left to the loader
    /// to replace.
    pub fn max_entries(mut self, entries: u32) -> Self {
        self.max_entries = Some(entries);
        self
    }

    /// Sets `map_flags`.
    pub fn flags(mut self, flags: MapFlags) -> Self {
        self.flags = flags.bits();
        self
    }

    /// `map_extra` (5.16): the number of hash functions of a bloom filter.
    pub fn extra(mut self, extra: u32) -> Self {
        self.extra = extra;
        self
    }

    /// Asks the loader to pin the map under its name, and to use the one that is pinned there already:
    /// `LIBBPF_PIN_BY_NAME`.
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
