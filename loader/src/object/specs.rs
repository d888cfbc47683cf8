//! Descriptions of maps and programs: plain values as in the file, to be changed before loading.

#[cfg(feature = "maps")]
use std::path::PathBuf;
use std::{borrow::Cow, fmt, sync::Arc};

use cutaway_sys::memory::page_size;

use super::Section;
use crate::{
    Error, MapFlags, MapType, ProgramType,
    elf::{Location, SectionIndex, Start},
};

/// A map as the object describes it. Its public fields may be changed before loading.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[doc(alias("bpf_map_create_opts", "bpf_map_def"))]
pub struct MapSpec {
    /// The variable's name in the source, or the section's for global data (`.rodata`).
    pub name: String,
    /// Whether it is created. False for a struct_ops map whose section begins with `?`. A program that uses a map that
    /// is not created cannot be loaded.
    #[doc(alias = "bpf_map__set_autocreate")]
    pub autocreate: bool,
    /// The map type.
    #[doc(alias = "bpf_map__set_type")]
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value; for a per-CPU map, of the value of one CPU.
    #[doc(alias = "bpf_map__set_value_size")]
    pub value_size: u32,
    /// The number of elements; bytes for a ring, slots for file descriptors in a `PERF_EVENT_ARRAY`. Loading corrects
    /// the last two. A ring gets the next power of two of pages. A `PERF_EVENT_ARRAY` with 0 or too many slots gets one
    /// for each possible CPU.
    #[doc(alias = "bpf_map__set_max_entries")]
    pub max_entries: u32,
    /// The flags of `BPF_MAP_CREATE`.
    pub map_flags: MapFlags,
    /// `map_extra`, whose meaning depends on the map type.
    pub map_extra: u64,
    /// The NUMA node to allocate it on, with [`MapFlags::NUMA_NODE`].
    pub numa_node: u32,
    /// Whether it is pinned by name.
    pub pinning: Pinning,
    /// Where it is pinned, whatever its name and the directory for pins: a path in a BPF file system. Loading uses the
    /// map that is pinned there, if it has the same description, and otherwise pins the new map there.
    ///
    /// Needs this crate's feature `maps`.
    #[cfg(feature = "maps")]
    #[doc(alias("bpf_map__set_pin_path", "bpf_map__pin_path", "PinPath"))]
    pub pin_path: Option<PathBuf>,
    /// The SHA-256 of the only program that may use the map ([`program_hash`](crate::program_hash)); `None` for any
    /// program. Linux 6.18 (`map_create` in `kernel/bpf/syscall.c`).
    ///
    /// Needs this crate's feature `maps`.
    #[cfg(feature = "maps")]
    #[doc(alias("excl_prog_hash", "bpf_map__set_exclusive_program"))]
    pub exclusive_hash: Option<[u8; 32]>,
    /// The index of the network device that the map is offloaded to; 0 for a map of the kernel itself. Only drivers
    /// that run programs on the device have such maps (Linux 4.16).
    ///
    /// Needs this crate's feature `maps`.
    #[cfg(feature = "maps")]
    #[doc(alias("map_ifindex", "bpf_map__set_ifindex"))]
    pub ifindex: u32,
    /// For a map of maps: the description of its inner maps.
    #[doc(alias("inner_map_fd", "bpf_map__set_inner_map_fd"))]
    pub inner: Option<Box<MapSpec>>,
    /// Its initial elements: keys, and names of maps or programs.
    #[doc(alias = "init_slots")]
    pub initial_entries: Vec<(u32, String)>,
    pub(crate) btf_key_type_id: u32,
    pub(crate) btf_value_type_id: u32,
    /// Contents that are written before any program runs: global data.
    pub(crate) contents: Option<Contents>,
    pub(crate) location: Location,
    /// For an arena: the section of its global variables, and their size in bytes.
    pub(crate) globals: Option<(SectionIndex, u32)>,
    /// For a struct_ops map: its structure and initial values.
    pub(crate) struct_ops: Option<Box<Table>>,
}

/// A struct_ops map as the object describes it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Whether a link registers it with the kernel (`.struct_ops.link`), or an update of the map itself.
    pub(crate) has_link_flag: bool,
    /// The type id of its structure in the object's BTF.
    pub(crate) type_id: u32,
    /// Initial values, in the layout that the object has of the structure.
    pub(crate) bytes: Vec<u8>,
    /// The function pointers that are programs: offset in bytes in the structure, and the program's start.
    pub(crate) programs: Vec<(u32, Start)>,
}

/// Whether a map is pinned (libbpf's `LIBBPF_PIN_…`).
#[doc(alias("LIBBPF_PIN_BY_NAME", "PinByName"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// It is not pinned (`LIBBPF_PIN_NONE`).
    None,
    /// It is pinned by its name in the directory for pins. If a map with the same description is pinned there already,
    /// that map is reused (`LIBBPF_PIN_BY_NAME`).
    #[doc(alias = "LIBBPF_PIN_BY_NAME")]
    ByName,
}

/// The bytes of a data section: those of the file, with what was set before loading.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    /// Shared with the file. Empty for a section of zeroes only, which may have gigabytes.
    bytes: Arc<[u8]>,
    /// Changes: offset and bytes.
    set: Vec<(usize, Vec<u8>)>,
    /// Whether the map is frozen, so that the verifier treats the contents as constants.
    pub(crate) constant: bool,
}

impl Contents {
    pub(crate) fn new(bytes: Arc<[u8]>, constant: bool) -> Self {
        Self { bytes, set: Vec::new(), constant }
    }

    /// Returns the contents of a section without bytes in the file.
    pub(crate) fn zeroes() -> Self {
        Self::new(Arc::from([]), false)
    }

    /// Sets bytes at `offset`.
    pub(crate) fn set(&mut self, offset: usize, value: &[u8]) {
        self.set.retain(|(known, before)| (*known, before.len()) != (offset, value.len()));
        self.set.push((offset, value.to_vec()));
    }

    /// Returns whether all bytes are zero, as in a new map.
    pub(crate) fn is_zero(&self) -> bool {
        self.bytes.is_empty() && self.set.is_empty()
    }

    /// Passes the parts that are not zeroes to `see`, each with its offset. Later parts override earlier ones.
    pub(crate) fn parts(&self, see: &mut dyn FnMut(usize, &[u8])) {
        see(0, &self.bytes);
        for (offset, value) in &self.set {
            see(*offset, value);
        }
    }

    /// Returns all bytes: `size`, or more if more are set.
    pub(crate) fn whole(&self, size: usize) -> Cow<'_, [u8]> {
        if self.set.is_empty() && self.bytes.len() >= size {
            return Cow::Borrowed(&self.bytes);
        }
        // The kernel provides zeroed pages, which take no memory until they are written to. The bytes grow by what was
        // set beyond `size`, so that the kernel refuses a map that the caller made too small.
        let mut whole = vec![0; size.max(self.bytes.len())];
        self.parts(&mut |offset, part| {
            let end = offset.saturating_add(part.len());
            if end > whole.len() {
                whole.resize(end, 0);
            }
            if let Some(into) = whole.get_mut(offset..end) {
                into.copy_from_slice(part);
            }
        });
        Cow::Owned(whole)
    }
}

impl MapSpec {
    /// Returns the BTF id of the keys' type in [`Object::btf`](super::Object::btf); `None` if the object does not give
    /// one.
    #[doc(alias("bpf_map__btf_key_type_id", "btf_key_type_id"))]
    #[must_use]
    pub fn key_type(&self) -> Option<u32> {
        (self.btf_key_type_id != 0).then_some(self.btf_key_type_id)
    }

    /// Returns the BTF id of the values' type in [`Object::btf`](super::Object::btf); `None` if the object does not
    /// give one.
    #[doc(alias("bpf_map__btf_value_type_id", "btf_value_type_id"))]
    #[must_use]
    pub fn value_type(&self) -> Option<u32> {
        (self.btf_value_type_id != 0).then_some(self.btf_value_type_id)
    }

    /// Returns the location of its contents in the file, if any are there.
    pub(crate) fn data(&self) -> Location {
        self.globals.map_or(self.location, |(section, _)| Location::Section(section))
    }

    /// Returns the number of bytes between the start of an arena and its global variables. Globals go at the end of the
    /// arena, so no global is at offset 0 (programs treat that pointer as NULL) and low page numbers stay free. Arenas
    /// above `BPF_MAX_VAR_OFF` (1 << 29) place them at the start instead, because the verifier rejects larger offsets
    /// before Linux 7.0.
    pub(crate) fn base(&self) -> u32 {
        /// `BPF_MAX_VAR_OFF`
        const MOST: u64 = 1 << 29;
        let page = page_size() as u64;
        let size = self.globals.map_or(0, |(_, size)| u64::from(size));
        let whole = u64::from(self.max_entries) * page;
        if whole > MOST { 0 } else { whole.saturating_sub(size.next_multiple_of(page)) as u32 }
    }

    /// Returns the description of a map of no object, for [`Map::create`](crate::Map::create). Its sizes are 0, except
    /// what the caller sets.
    ///
    /// Needs this crate's feature `maps`.
    #[cfg(feature = "maps")]
    #[doc(alias = "bpf_map_create_opts")]
    #[must_use]
    pub fn new(name: &str, map_type: MapType) -> Self {
        Self::at(name, map_type, Location::Nowhere)
    }

    pub(super) fn at(name: &str, map_type: MapType, location: Location) -> Self {
        Self {
            name: name.to_owned(),
            autocreate: true,
            map_type,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            map_flags: MapFlags::default(),
            map_extra: 0,
            numa_node: 0,
            pinning: Pinning::None,
            #[cfg(feature = "maps")]
            pin_path: None,
            #[cfg(feature = "maps")]
            exclusive_hash: None,
            #[cfg(feature = "maps")]
            ifindex: 0,
            inner: None,
            initial_entries: Vec::new(),
            btf_key_type_id: 0,
            btf_value_type_id: 0,
            contents: None,
            location,
            globals: None,
            struct_ops: None,
        }
    }
}

/// A program as the object describes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[doc(alias = "bpf_program")]
pub struct ProgramSpec {
    /// The function's name in the source.
    pub name: String,
    /// The section's name, e.g. `uprobe/libc.so.6:getaddrinfo`.
    pub section_name: String,
    /// The properties that this name gives. [`Section::autoload`] may be changed before loading.
    pub section: Section,
    pub(crate) entry: Start,
}

/// A program or map that is not loaded or not attached, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The function's name in the source, or the map's.
    pub name: String,
    /// The section's name; empty for a map.
    pub section_name: String,
    /// The reason, as a sentence in lower case: ``section `foo`: its name gives no known program type; …``.
    pub why: String,
}

impl Skipped {
    pub(crate) fn new(name: &str, section_name: &str, why: &str) -> Self {
        Self { name: name.to_owned(), section_name: section_name.to_owned(), why: why.to_owned() }
    }

    /// Returns whether it is skipped only because it is optional: its section begins with `?`, or [`Section::autoload`]
    /// or [`MapSpec::autocreate`] is false.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.section_name.is_empty() || matches!(self.why.as_str(), Self::OPTIONAL | Self::UNWANTED)
    }

    pub(crate) const OPTIONAL: &str = "its section begins with `?`: it is loaded if `section.autoload` is set to true";
    pub(crate) const UNWANTED: &str = "`section.autoload` is false";

    /// Returns the error for an attempt to use it.
    pub(crate) fn error(&self, attempt: &str) -> Error {
        let what = if self.section_name.is_empty() { "map" } else { "program" };
        Error::Invalid { operation: format!("{attempt} the {what} `{}`", self.name), why: self.why.clone() }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.name, self.why)
    }
}

impl ProgramSpec {
    /// Describes a program that is already in the kernel.
    pub(crate) fn of_kernel(name: String, section: Section) -> Self {
        Self { name, section_name: String::new(), section, entry: (SectionIndex::NONE, 0) }
    }

    /// Returns whether the program was already in the kernel, and the caller has not named its section.
    pub(crate) fn is_opened(&self) -> bool {
        self.section_name.is_empty()
    }

    /// Returns whether the program's attach type must be known but is not: the kernel does not report it.
    pub(crate) fn lacks_attach_type(&self) -> bool {
        use ProgramType as T;
        let types = [T::CGROUP_SKB, T::CGROUP_SOCK, T::CGROUP_SOCK_ADDR, T::CGROUP_SOCKOPT, T::SK_SKB];
        self.is_opened() && types.contains(&self.section.program_type)
    }

    /// Sets the attach target, in the form that follows the slash of a section name: `libc.so.6:getaddrinfo` for a
    /// section `uprobe`, `syscalls/sys_enter_getpgid` for a section `tracepoint`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `target` is not of that form, or if programs of this type have no target with a name
    /// (those on network devices, cgroups, sockets).
    #[doc(alias = "bpf_program__set_attach_target")]
    pub fn set_attach_target(&mut self, target: &str) -> Result<(), Error> {
        let found = Section::read_target(&self.section_name, target).map_err(|why| Error::Invalid {
            operation: format!("attach the program `{}` (section `{}`) to `{target}`", self.name, self.section_name),
            why: why.to_string(),
        })?;
        self.section.target = Some(found);
        Ok(())
    }
}
