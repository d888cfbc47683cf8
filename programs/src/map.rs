//! Definitions of maps.
//!
//! A [`MapDef`] holds the arguments of `bpf(BPF_MAP_CREATE)`. The object carries it in the section `.maps` in libbpf's
//! encoding: as a type, not as data. The types of a struct's members encode the numbers, and every loader reads that.
//!
//! ```
//! use cutaway_programs::{MapDef, MapType};
//!
//! let calls = MapDef::new(MapType::HASH).key::<u64>().value::<[u64; 2]>().max_entries(10_240);
//! let events = MapDef::new(MapType::RINGBUF).max_entries(256 * 1024);
//! ```

use cutaway_sys::{MapFlags, MapType};

use crate::btf::{Describe, Type};

/// The definition of a map.
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

/// A key or a value: its type, or its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Bytes(u32),
    Type(Type),
}

impl MapDef {
    /// Creates a definition of a map of this type. Keys, values and `max_entries` are absent from the object unless
    /// they are set.
    pub fn new(kind: MapType) -> Self {
        Self { kind, key: None, value: None, max_entries: None, flags: 0, extra: 0, pinned_by_name: false, inner: None }
    }

    /// Sets the type of the keys.
    pub fn key<T: Describe>(self) -> Self {
        self.key_type(T::describe())
    }

    /// Sets the type of the values.
    pub fn value<T: Describe>(self) -> Self {
        self.value_type(T::describe())
    }

    /// Sets the type of the keys.
    pub fn key_type(mut self, kind: Type) -> Self {
        self.key = Some(Part::Type(kind));
        self
    }

    /// Sets the type of the values.
    pub fn value_type(mut self, kind: Type) -> Self {
        self.value = Some(Part::Type(kind));
        self
    }

    /// Sets the size of the keys in bytes, without a type, for maps that refuse BTF, such as perf event arrays.
    pub fn key_size(mut self, bytes: u32) -> Self {
        self.key = Some(Part::Bytes(bytes));
        self
    }

    /// Sets the size of the values in bytes, without a type.
    pub fn value_size(mut self, bytes: u32) -> Self {
        self.value = Some(Part::Bytes(bytes));
        self
    }

    /// Sets `max_entries`: entries for most maps, bytes for a ring, slots for a perf event array. 0 leaves the choice
    /// to the loader.
    pub fn max_entries(mut self, entries: u32) -> Self {
        self.max_entries = Some(entries);
        self
    }

    /// Sets `map_flags`.
    pub fn flags(mut self, flags: MapFlags) -> Self {
        self.flags = flags.bits();
        self
    }

    /// Sets `map_extra` (Linux 5.16): the number of hash functions of a bloom filter.
    pub fn extra(mut self, extra: u32) -> Self {
        self.extra = extra;
        self
    }

    /// Makes the loader pin the map under its name, and reuse the map that is already pinned there:
    /// `LIBBPF_PIN_BY_NAME`.
    pub fn pinned_by_name(mut self) -> Self {
        self.pinned_by_name = true;
        self
    }

    /// Sets the definition of the inner maps of a map of maps.
    pub fn holding(mut self, inner: MapDef) -> Self {
        self.inner = Some(Box::new(inner));
        self
    }
}
