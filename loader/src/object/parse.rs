//! Parses an object: from the sections of a file to its maps, programs and variables.

use std::{
    ffi::{CStr, CString},
    path::PathBuf,
};

#[cfg(feature = "aya-obj")]
use super::aya::AyaObject;
use super::{
    btf,
    btf_ext::Infos,
    externs::{self, Extern},
    function::{self, Functions},
    license, maps,
    program_section::{self, Section},
    specs::{MapSpec, ProgramSpec, Skipped},
    variable::{self, VariableSpec},
    warnings::{self, Warning},
};
use crate::{
    Error,
    btf::{Btf, Ext},
    elf::Elf,
};

/// A parsed object file. A plain value without file descriptors; `Send` and `Sync`.
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
#[doc(alias("bpf_object", "CollectionSpec", "EbpfLoader"))]
pub struct Object {
    pub(super) elf: Elf,
    pub(super) license: CString,
    pub(crate) kernel_version: u32,
    /// Whether it has CO-RE relocations.
    pub(super) core: bool,
    pub(super) functions: Functions,
    pub(super) externs: Vec<Extern>,
    /// The configuration text of [`Object::set_kconfig`].
    pub(super) kconfig: String,
    pub(crate) variables: Vec<VariableSpec>,
    pub(crate) maps: Vec<MapSpec>,
    pub(crate) programs: Vec<ProgramSpec>,
    pub(super) unknown_programs: Vec<Skipped>,
    pub(super) warnings: Vec<Warning>,
    /// Why the kernel does not take the license for GPL.
    pub(crate) license_fault: Option<String>,
    pub(crate) pins: PathBuf,
    /// The object as aya-obj read it, if it was read by aya-obj.
    #[cfg(feature = "aya-obj")]
    pub(crate) aya: Option<Box<AyaObject>>,
}

/// The default directory for pinned maps, as in libbpf.
pub(super) const PINS: &str = "/sys/fs/bpf";

impl Object {
    /// Parses an object file of clang, rustc or this project's assembler. Makes no system call.
    ///
    /// # Errors
    ///
    /// [`Error::Object`] if the file is truncated, malformed, or for another machine or byte order. A program that
    /// cannot be loaded is no error: see [`Object::unknown_programs`].
    #[doc(alias("bpf_object__open", "bpf_object__open_mem", "LoadCollectionSpec"))]
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let elf = Elf::read(bytes)?;
        elf.must_be_native()?;
        Self::of(elf)
    }

    /// Parses an object file of either byte order, for inspection. In a foreign-endian object, instructions, types and
    /// maps are byte-swapped; the contents of variables stay as they are in the file. Such an object can neither be
    /// loaded nor linked in a dry run.
    ///
    /// # Errors
    ///
    /// As [`Object::parse`], except for the byte order.
    pub fn parse_any_endian(bytes: &[u8]) -> Result<Self, Error> {
        Elf::read(bytes).and_then(Self::of)
    }

    /// Returns whether the object is foreign-endian: see [`Object::parse_any_endian`].
    #[must_use]
    pub fn is_foreign_endian(&self) -> bool {
        self.elf.is_foreign_endian()
    }

    fn of(elf: Elf) -> Result<Self, Error> {
        let btf = match elf.contents(".BTF") {
            [] => None,
            bytes => Some(btf::read(bytes)?),
        };
        let ext = match (&btf, elf.contents(".BTF.ext")) {
            (None, _) | (_, []) => None,
            (Some(btf), bytes) => Some((Ext::parse(bytes, btf).map_err(|why| broken(why.to_string()))?, btf)),
        };
        let infos = ext.as_ref().map(|(ext, btf)| Infos::new(ext, btf, &elf)).unwrap_or_default();
        let core = ext.as_ref().is_some_and(|(ext, _)| ext.core_relo().next().is_some());
        let externs = externs::read(&elf, btf.as_ref())?;
        let license = license::read(&elf)?;
        let mut warnings = warnings::of(&elf, &license);
        let maps = maps::read(&elf, btf.as_ref(), &externs, &mut warnings)?;
        let variables = variable::read(&elf, btf.as_ref(), &externs);
        let functions = function::read(&elf, &infos, btf.as_ref())?;
        let (programs, unknown_programs) = programs(&elf, &functions);
        Ok(Self {
            license_fault: license::fault_of(&elf, &license),
            license,
            kernel_version: elf.contents("version").first_chunk().copied().map_or(0, u32::from_ne_bytes),
            elf,
            core,
            functions,
            externs,
            kconfig: String::new(),
            variables,
            maps,
            programs,
            unknown_programs,
            warnings,
            pins: PathBuf::from(PINS),
            #[cfg(feature = "aya-obj")]
            aya: None,
        })
    }

    /// Returns the maps, in the file's order, global data first.
    #[must_use]
    #[doc(alias = "bpf_object__for_each_map")]
    pub fn maps(&self) -> &[MapSpec] {
        &self.maps
    }

    /// Returns the programs, in the file's order.
    #[must_use]
    #[doc(alias = "bpf_object__for_each_program")]
    pub fn programs(&self) -> &[ProgramSpec] {
        &self.programs
    }

    /// Returns the programs that cannot be loaded, each with the reason: their section names no program type, or they
    /// are `static`. The rest of the object can be loaded. So can a program of an unknown section, after
    /// [`Object::set_program_type`].
    #[must_use]
    pub fn unknown_programs(&self) -> &[Skipped] {
        &self.unknown_programs
    }

    /// Returns the global variables, section by section: those of `.data`, `.rodata`, `.bss` and their siblings
    /// (`.data.tuning`), and the constants of the kernel's configuration.
    #[must_use]
    pub fn variables(&self) -> &[VariableSpec] {
        &self.variables
    }

    /// Returns the license that the kernel is given; empty if the object has none. Programs that call GPL-only helpers
    /// need a GPL-compatible one.
    #[must_use]
    #[doc(alias = "LICENSE")]
    pub fn license(&self) -> &CStr {
        &self.license
    }

    /// Returns the externs: constants of the kernel's configuration, and variables and functions of the kernel.
    #[must_use]
    #[doc(alias("__ksym", "__kconfig", "kfunc"))]
    pub fn externs(&self) -> &[Extern] {
        &self.externs
    }

    /// Returns the probable mistakes in the object. [`Object::load`] logs each at level `warn`. Empty without this
    /// crate's feature `advice`.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    pub(crate) fn elf(&self) -> &Elf {
        &self.elf
    }

    pub(crate) fn function_table(&self) -> &Functions {
        &self.functions
    }

    #[cfg(test)]
    pub(crate) fn function_table_mut(&mut self) -> &mut Functions {
        &mut self.functions
    }

    /// Returns the text of [`Object::set_kconfig`].
    pub(crate) fn kconfig(&self) -> &str {
        &self.kconfig
    }

    /// Parses `.BTF` as it is in the file; `None` if the object has no BTF.
    pub(crate) fn own_btf(&self) -> Result<Option<Btf<'_>>, Error> {
        match self.elf.contents(".BTF") {
            [] => Ok(None),
            bytes => btf::read(bytes).map(Some),
        }
    }

    /// Returns `.BTF.ext` if it has CO-RE relocations.
    pub(crate) fn core_relo_bytes(&self) -> Option<&[u8]> {
        self.core.then(|| self.elf.contents(".BTF.ext"))
    }

    /// Returns the object's BTF, completed with what compilers leave to the linker: sizes of data sections, and offsets
    /// of variables in them. `None` if the object has no types.
    #[must_use]
    #[doc(alias("bpf_object__btf", "btf__raw_data"))]
    pub fn btf(&self) -> Option<Vec<u8>> {
        self.completed_btf().unwrap_or_else(|bug| {
            log::error!("{bug}");
            None
        })
    }

    /// Returns the object's BTF as [`Object::btf`] does, and a bug as an error.
    pub(crate) fn completed_btf(&self) -> Result<Option<Vec<u8>>, Error> {
        #[cfg(feature = "aya-obj")]
        if let Some(aya) = &self.aya {
            return Ok(aya.types.as_deref().map(<[u8]>::to_vec));
        }
        btf::completed(&self.elf, &self.externs)
    }
}

/// Splits functions into programs and programs that cannot be loaded. Programs are the global functions outside
/// `.text`. If a section's name gives no program type, its functions are subprograms (if another section refers to it)
/// or programs that cannot be loaded. A static function that no instruction refers to was probably meant to be a
/// program.
fn programs(elf: &Elf, functions: &Functions) -> (Vec<ProgramSpec>, Vec<Skipped>) {
    const STATIC: &str = "it is static, and programs must be global: drop `static`";
    let (mut programs, mut unknown_programs) = (Vec::new(), Vec::new());
    let mut called = None;
    for &(entry, ref function) in functions.iter() {
        let section = elf.section(entry.0);
        if section.name.starts_with(".text") {
            continue;
        }
        let (name, section_name) = (function.name.clone(), section.name.clone());
        if !function.global && !cfg!(feature = "advice") {
            continue;
        }
        let read = Section::read(&section.name);
        let why = match read {
            Ok(section) if function.global => {
                programs.push(ProgramSpec { name, section_name, section, entry });
                continue;
            }
            // A function that a program calls is part of that program.
            _ if !function.global
                && called.get_or_insert_with(|| function::called(elf, functions)).get(&entry).is_some() =>
            {
                continue;
            }
            Ok(_) => STATIC.to_owned(),
            Err(_) if elf.is_referred_to(entry.0) => continue,
            Err(why) if function.global => {
                format!("section `{section_name}`: {why}; {}", program_section::remedy(&section_name))
            }
            Err(why) => format!("section `{section_name}`: {why}; and {STATIC}"),
        };
        unknown_programs.push(Skipped { name, section_name, why });
    }
    (programs, unknown_programs)
}

#[cold]
#[inline(never)]
fn broken(why: impl Into<String>) -> Error {
    Error::Object { why: why.into() }
}
