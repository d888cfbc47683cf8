//! An object file as a plain value: what it holds, before any kernel has seen it.
//!
//! [`Object::parse`] makes no system call and gives the same answer on every machine. What it gives can be looked at and
//! changed; [`Object::load`] then meets the kernel.

mod btf;
mod btf_ext;
mod elf;
mod function;
pub(crate) mod link;
mod palatable;
mod section;
mod target;

use std::collections::{BTreeMap, HashMap};

pub use section::Section;
pub use target::Target;

use self::{
    btf_ext::BtfExt,
    function::{Function, Start},
    link::{Linked, Place},
};
use crate::{Error, MapFlags, MapType};

/// A parsed object file.
///
/// ```
/// # fn main() -> Result<(), cutaway::Error> {
/// # let bytes = cutaway_programs::getaddrinfo::Transport::Ring.object().unwrap();
/// let mut object = cutaway::Object::parse(&bytes)?;
/// for map in object.maps() {
///     println!("{} is a {}", map.name, map.map_type);
/// }
/// object.map_mut("events")?.max_entries = 1 << 20; // bytes, since it is a ring
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Object {
    pub(crate) parsed: aya_obj::Object,
    elf: elf::Elf,
    functions: BTreeMap<Start, Function>,
    pub(crate) maps: Vec<MapSpec>,
    pub(crate) programs: Vec<ProgramSpec>,
    set_aside: Vec<SetAside>,
}

/// A map as the object describes it. The public fields may be changed before loading.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MapSpec {
    /// The variable's name in the source, or the section's for global data (`.rodata`).
    pub name: String,
    /// The kind of map.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, on one CPU for a per-CPU map.
    pub value_size: u32,
    /// Elements; bytes for a ring, slots for descriptors in a `PERF_EVENT_ARRAY`. Loading corrects the last two: a ring
    /// gets the next power of two of pages, and a `PERF_EVENT_ARRAY` with 0 or too many slots one for each possible CPU.
    pub max_entries: u32,
    /// How it is to be made.
    pub map_flags: MapFlags,
    /// `map_extra`, whose meaning depends on the kind of map.
    pub map_extra: u64,
    pub(crate) btf_key_type_id: u32,
    pub(crate) btf_value_type_id: u32,
    /// Contents to be written before any program runs: global data.
    pub(crate) contents: Option<Contents>,
    pub(crate) place: Place,
}

/// A data section's bytes.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    pub(crate) bytes: Vec<u8>,
    /// To be frozen, so that the verifier may take them for constants.
    pub(crate) constant: bool,
}

/// A program as the object describes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProgramSpec {
    /// The function's name in the source.
    pub name: String,
    /// The section's name, e.g. `uprobe/libc.so.6:getaddrinfo`.
    pub section_name: String,
    /// What that name says. [`Section::wanted`] may be changed before loading.
    pub section: Section,
    pub(crate) entry: Start,
}

/// A program that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAside {
    /// The function's name in the source.
    pub name: String,
    /// The section's name.
    pub section_name: String,
    /// What is wrong with it.
    pub why: String,
}

impl Object {
    /// Reads an object file as clang, rustc or this project's assembler writes it. Makes no system call.
    ///
    /// # Errors
    ///
    /// [`Error::Object`] if the file is truncated, malformed, or for another machine or byte order. A program that cannot be
    /// loaded is no error: see [`Object::set_aside`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let elf = elf::Elf::read(bytes)?;
        let mut infos = BtfExt::default();
        if !elf.btf(".BTF").is_empty() {
            let strings = btf::check(elf.btf(".BTF"))?;
            if !elf.btf(".BTF.ext").is_empty() {
                btf::check_ext(elf.btf(".BTF.ext"), strings.len() as u32)?;
                infos = BtfExt::read(elf.btf(".BTF.ext"), strings);
            }
        }
        let parsed =
            aya_obj::Object::parse(&palatable::palatable(bytes, &elf)).map_err(|error| broken(chain(&error)))?;
        let functions = function::read(&elf, &infos);
        let (programs, set_aside) = programs(&elf, &functions);

        let mut maps: Vec<_> = parsed.maps.iter().map(|(name, map)| MapSpec::new(name, map)).collect();
        maps.sort_by_key(|map| match map.place {
            Place::Section(section) => (0, section),
            Place::Symbol(symbol) => (1, symbol),
        });
        Ok(Self { parsed, elf, functions, maps, programs, set_aside })
    }

    /// The maps, in the file's order, global data first.
    #[must_use]
    pub fn maps(&self) -> &[MapSpec] {
        &self.maps
    }

    /// The programs, in the file's order.
    #[must_use]
    pub fn programs(&self) -> &[ProgramSpec] {
        &self.programs
    }

    /// A program's description, to be changed before loading.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if there is no such program.
    pub fn program_mut(&mut self, name: &str) -> Result<&mut ProgramSpec, Error> {
        let Some(index) = self.programs.iter().position(|program| program.name == name) else {
            return Err(no_such("program", name, self.programs.iter().map(|program| program.name.as_str())));
        };
        self.programs.get_mut(index).ok_or_else(|| broken("a program has vanished"))
    }

    /// The programs that cannot be loaded, each with the reason. The rest of the object can.
    #[must_use]
    pub fn set_aside(&self) -> &[SetAside] {
        &self.set_aside
    }

    /// A map's description, to be changed before loading.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if there is no such map.
    pub fn map_mut(&mut self, name: &str) -> Result<&mut MapSpec, Error> {
        let Some(index) = self.maps.iter().position(|map| map.name == name) else {
            return Err(no_such("map", name, self.maps.iter().map(|map| map.name.as_str())));
        };
        self.maps.get_mut(index).ok_or_else(|| broken("a map has vanished"))
    }

    /// Sets a global variable before loading. For one in `.rodata` this is the last chance: the verifier takes its value
    /// for a constant, and leaves out what it makes unreachable.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if the object has no variable of that name; [`Error::Unfit`] if `value` has another length.
    pub fn set_variable(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let Some(variable) = self.elf.variable(name) else {
            return Err(no_such("variable", name, self.elf.variables().map(|variable| variable.name.as_str())));
        };
        let unfit = |why: String| Error::Unfit { attempt: format!("set the variable `{name}`"), why };
        if variable.size != value.len() as u64 {
            return Err(unfit(format!("it has {} bytes, and {} are given", variable.size, value.len())));
        }
        let section = variable.section.map(Place::Section);
        let (start, size) = (variable.address as usize, value.len());
        let map = self.maps.iter_mut().find(|map| Some(map.place) == section);
        let map = map.ok_or_else(|| unfit("it lies in no section of data".to_owned()))?;
        // .bss has no contents until somebody sets some.
        let value_size = map.value_size as usize;
        let contents = map.contents.get_or_insert_with(|| Contents { bytes: vec![0; value_size], constant: false });
        match contents.bytes.get_mut(start..start + size) {
            Some(bytes) => bytes.copy_from_slice(value),
            None => return Err(unfit("it reaches beyond its section".to_owned())),
        }
        Ok(())
    }

    /// The licence that the kernel will be told. Programs that call GPL-only helpers need a compatible one.
    #[must_use]
    pub fn license(&self) -> &std::ffi::CStr {
        &self.parsed.license
    }

    /// Whether instructions depend on the layout of the running kernel's structures.
    pub(crate) fn wants_core_relocation(&self) -> bool {
        btf_ext::has_core_relocations(self.elf.btf(".BTF.ext"))
    }

    /// One program's instructions with the maps' descriptors in them.
    pub(crate) fn link(&self, program: &ProgramSpec, maps: &HashMap<Place, i32>) -> Result<Linked, Error> {
        link::link(&self.elf, &self.functions, maps, program.entry, &program.name)
    }
}

impl MapSpec {
    fn new(name: &str, map: &aya_obj::Map) -> Self {
        use aya_obj::EbpfSectionKind as Kind;
        let (btf_key_type_id, btf_value_type_id) = match map {
            aya_obj::Map::Btf(map) => (map.def.btf_key_type_id, map.def.btf_value_type_id),
            aya_obj::Map::Legacy(_) => (0, 0),
        };
        let contents = match map.section_kind() {
            Kind::Data | Kind::Rodata => {
                Some(Contents { bytes: map.data().to_vec(), constant: map.section_kind() == Kind::Rodata })
            }
            // .bss is what a new map holds anyway: zeroes.
            _ => None,
        };
        Self {
            name: name.to_owned(),
            map_type: MapType(map.map_type()),
            key_size: map.key_size(),
            value_size: map.value_size(),
            max_entries: map.max_entries(),
            map_flags: MapFlags::from_bits_retain(map.map_flags()),
            map_extra: map.map_extra(),
            btf_key_type_id,
            btf_value_type_id,
            contents,
            place: map.symbol_index().map_or(Place::Section(map.section_index()), Place::Symbol),
        }
    }
}

/// Which functions are programs: the global ones outside `.text`. In a section whose name says nothing, they are functions
/// that programs call, or programs that cannot be loaded.
fn programs(elf: &elf::Elf, functions: &BTreeMap<Start, Function>) -> (Vec<ProgramSpec>, Vec<SetAside>) {
    let (mut programs, mut set_aside) = (Vec::new(), Vec::new());
    for (&entry, function) in functions.iter().filter(|(_, function)| function.global) {
        let Some(section) = elf.section(entry.0).filter(|section| !section.name.starts_with(".text")) else { continue };
        let (name, section_name) = (function.name.clone(), section.name.clone());
        match Section::read(&section.name) {
            Ok(section) => programs.push(ProgramSpec { name, section_name, section, entry }),
            Err(_) if elf.is_referred_to(entry.0) => {}
            Err(why) => {
                set_aside.push(SetAside { name, why: format!("section `{section_name}`: {why}"), section_name })
            }
        }
    }
    (programs, set_aside)
}

/// The error for a name that is not there, with the names that are.
pub(crate) fn no_such<'a>(what: &'static str, name: &str, there: impl Iterator<Item = &'a str>) -> Error {
    let names: Vec<_> = there.map(|name| format!("`{name}`")).collect();
    let available = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Error::NoSuchName { what, name: name.to_owned(), available }
}

fn broken(why: impl Into<String>) -> Error {
    Error::Object { why: why.into() }
}

/// An error of the parser with all that stands behind it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
