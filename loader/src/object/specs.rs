//! Descriptions of maps and programs: plain values, as the file has them, to be changed before loading.

use std::{borrow::Cow, fmt, sync::Arc};

use cutaway_sys::memory::page_size;

use super::Section;
use crate::{
    Error, MapFlags, MapType,
    elf::{Location, SectionIndex, Start},
};

/// A map as the object describes it. The public fields may be changed before loading.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[doc(alias("bpf_map_create_opts", "bpf_map_def"))]
pub struct MapSpec {
    /// The variable's name in the source, or the section's for global data (`.rodata`).
    pub name: String,
    /// Whether it is created; false for a struct_ops map whose section begins with `?`. A program that uses a map that
    /// is not created cannot be loaded.
    #[doc(alias = "bpf_map__set_autocreate")]
    pub autocreate: bool,
    /// The kind of map.
    #[doc(alias = "bpf_map__set_type")]
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, on one CPU for a per-CPU map.
    #[doc(alias = "bpf_map__set_value_size")]
    pub value_size: u32,
    /// Elements; bytes for a ring, slots for file descriptors in a `PERF_EVENT_ARRAY`. Loading corrects the last two: a
    /// ring gets the next power of two of pages, and a `PERF_EVENT_ARRAY` with 0 or too many slots one for each
    /// possible CPU.
    #[doc(alias = "bpf_map__set_max_entries")]
    pub max_entries: u32,
    /// How it is to be made.
    pub map_flags: MapFlags,
    /// `map_extra`, whose meaning depends on the kind of map.
    pub map_extra: u64,
    /// The node to allocate it on, with [`MapFlags::NUMA_NODE`].
    pub numa_node: u32,
    /// Whether it is pinned by its name.
    pub pinning: Pinning,
    /// The pattern of the maps that this one holds, for a map of maps.
    #[doc(alias("inner_map_fd", "bpf_map__set_inner_map_fd"))]
    pub inner: Option<Box<MapSpec>>,
    /// What it holds from the start: keys, and names of maps or programs.
    #[doc(alias = "init_slots")]
    pub initial_entries: Vec<(u32, String)>,
    pub(crate) btf_key_type_id: u32,
    pub(crate) btf_value_type_id: u32,
    /// Contents to be written before any program runs: global data.
    pub(crate) contents: Option<Contents>,
    pub(crate) location: Location,
    /// For an arena: the section of the global variables that lie in it, and their bytes.
    pub(crate) globals: Option<(SectionIndex, u32)>,
    /// For a struct_ops map: what the object says of it.
    pub(crate) struct_ops: Option<Box<Table>>,
}

/// A struct_ops map as the object describes it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Whether a link ties it to the kernel (`.struct_ops.link`), or the map itself.
    pub(crate) by_link: bool,
    /// Its structure, in the object's BTF.
    pub(crate) type_id: u32,
    /// Initial values, in the object's layout of the structure.
    pub(crate) bytes: Vec<u8>,
    /// Where it holds the address of a program: bytes from its start, and where the program starts.
    pub(crate) programs: Vec<(u32, Start)>,
}

/// Whether a map is pinned, as libbpf's `LIBBPF_PIN_…` say.
#[doc(alias("LIBBPF_PIN_BY_NAME", "PinByName"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// It is not pinned (`LIBBPF_PIN_NONE`).
    None,
    /// It is pinned by its name in the directory for pins, or reused if it is there already and has the same
    /// description (`LIBBPF_PIN_BY_NAME`).
    #[doc(alias = "LIBBPF_PIN_BY_NAME")]
    ByName,
}

/// A data section's bytes: those of the file, and what was set in them before loading.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    /// Shared with the file; empty for a section that is all zeroes, of which there may be gigabytes.
    bytes: Arc<[u8]>,
    /// Where something else was set, and what.
    set: Vec<(usize, Vec<u8>)>,
    /// To be frozen, so that the verifier may take them for constants.
    pub(crate) constant: bool,
}

impl Contents {
    pub(crate) fn new(bytes: Arc<[u8]>, constant: bool) -> Self {
        Self { bytes, set: Vec::new(), constant }
    }

    /// Those of a section without contents in the file.
    pub(crate) fn zeroes() -> Self {
        Self::new(Arc::from([]), false)
    }

    /// Sets some of the bytes.
    pub(crate) fn set(&mut self, offset: usize, value: &[u8]) {
        self.set.retain(|(known, before)| (*known, before.len()) != (offset, value.len()));
        self.set.push((offset, value.to_vec()));
    }

    /// Whether all of them are zero, as in a new map.
    pub(crate) fn is_zero(&self) -> bool {
        self.bytes.is_empty() && self.set.is_empty()
    }

    /// Shows the bytes that are not zeroes to `see`, part by part, with where they are. A later part counts before an
    /// earlier.
    pub(crate) fn parts(&self, see: &mut dyn FnMut(usize, &[u8])) {
        see(0, &self.bytes);
        for (offset, value) in &self.set {
            see(*offset, value);
        }
    }

    /// All of them, of which there are `size` at least.
    pub(crate) fn whole(&self, size: usize) -> Cow<'_, [u8]> {
        if self.set.is_empty() && self.bytes.len() >= size {
            return Cow::Borrowed(&self.bytes);
        }
        // Zeroes that the kernel gives: pages of them take no memory until they are written to.
        // They grow by what was set outside, so that a map that was made too small for it is refused.
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
    /// Returns the BTF id of its keys' type in [`Object::btf`](super::Object::btf); `None` if the object does not tell.
    #[doc(alias("bpf_map__btf_key_type_id", "btf_key_type_id"))]
    #[must_use]
    pub fn key_type(&self) -> Option<u32> {
        (self.btf_key_type_id != 0).then_some(self.btf_key_type_id)
    }

    /// Returns the BTF id of its values' type in [`Object::btf`](super::Object::btf); `None` if the object does not
    /// tell.
    #[doc(alias("bpf_map__btf_value_type_id", "btf_value_type_id"))]
    #[must_use]
    pub fn value_type(&self) -> Option<u32> {
        (self.btf_value_type_id != 0).then_some(self.btf_value_type_id)
    }

    /// Where in the file its contents lie, if it has any from there.
    pub(crate) fn data(&self) -> Location {
        self.globals.map_or(self.location, |(section, _)| Location::Section(section))
    }

    /// Returns how many bytes lie between the start of an arena and its global variables. Globals go at the end of the
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

    pub(super) fn new(name: &str, map_type: MapType, location: Location) -> Self {
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
    /// What that name says. [`Section::autoload`] may be changed before loading.
    pub section: Section,
    pub(crate) entry: Start,
}

/// A program, or a `struct_ops` map, that is not loaded or not attached, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The function's name in the source, or the map's.
    pub name: String,
    /// The section's name; empty for a map.
    pub section_name: String,
    /// The reason, in a sentence without a capital: ``its section `foo` begins with no kind of program …``.
    pub why: String,
}

impl Skipped {
    pub(crate) fn new(name: &str, section_name: &str, why: &str) -> Self {
        Self { name: name.to_owned(), section_name: section_name.to_owned(), why: why.to_owned() }
    }

    /// Returns whether it is loaded if only it is asked for: its section begins with `?`, or [`Section::autoload`] or
    /// [`MapSpec::autocreate`] is false.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.section_name.is_empty() || matches!(self.why.as_str(), Self::OPTIONAL | Self::UNWANTED)
    }

    pub(crate) const OPTIONAL: &str = "its section begins with `?`: it is loaded if `section.autoload` is set to true";
    pub(crate) const UNWANTED: &str = "`section.autoload` is false";

    /// The error for a use of it.
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
    /// Sets the attach target, in the form that follows the slash of a section's name:
    /// `libc.so.6:getaddrinfo` for a section `uprobe`, `syscalls/sys_enter_getpgid` for a section `tracepoint`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `target` is not of that form, or programs of this type are attached to nothing that has a
    /// name (those on network devices, cgroups, sockets).
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
