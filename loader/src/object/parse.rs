//! Parses an object: from the sections of a file to its maps, programs and variables.

use std::{
    ffi::{CStr, CString},
    path::PathBuf,
};

#[cfg(feature = "aya-obj")]
use super::aya::AyaObject;
#[cfg(feature = "instrument")]
use super::instruments::Instruments;
#[cfg(feature = "core-relo")]
use super::kernel_btf::KernelBtf;
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

/// A parsed object file: its maps, programs and global variables. It is a plain value without file descriptors.
///
/// The caller may change it before it is loaded, for example by [`Object::set_variable`] and [`Object::map_mut`].
///
/// `Send` and `Sync`.
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
    /// The kernel's types for CO-RE relocations; `None` for the running kernel's.
    #[cfg(feature = "core-relo")]
    pub(crate) kernel_btf: Option<KernelBtf>,
    pub(crate) variables: Vec<VariableSpec>,
    pub(crate) maps: Vec<MapSpec>,
    pub(crate) programs: Vec<ProgramSpec>,
    pub(super) unknown_programs: Vec<Skipped>,
    pub(super) warnings: Vec<Warning>,
    /// The reason why the kernel does not count the license as GPL-compatible.
    pub(crate) license_fault: Option<String>,
    pub(crate) pins: PathBuf,
    #[cfg(feature = "instrument")]
    pub(crate) instruments: Instruments,
    /// The object as aya-obj read it; `None` if this crate's reader has read the object.
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
    /// [`Error::Object`] if the file is truncated or malformed, if it is not for BPF, or if it does not have this
    /// machine's byte order. A program that cannot be loaded is not an error: see [`Object::unknown_programs`].
    #[doc(alias("bpf_object__open", "bpf_object__open_mem", "LoadCollectionSpec"))]
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let elf = Elf::read(bytes)?;
        elf.must_be_native()?;
        Self::of(elf)
    }

    /// Parses an object file of either byte order, for inspection. If the object does not have this machine's byte
    /// order (it is foreign-endian), its instructions, types and maps are byte-swapped. The contents of its variables
    /// are not byte-swapped. [`Object::load`] and [`Object::dry_run`] refuse a foreign-endian object.
    ///
    /// # Errors
    ///
    /// As [`Object::parse`], except for the byte order.
    pub fn parse_any_endian(bytes: &[u8]) -> Result<Self, Error> {
        Elf::read(bytes).and_then(Self::of)
    }

    /// Returns true if the object does not have this machine's byte order: see [`Object::parse_any_endian`].
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
            #[cfg(feature = "core-relo")]
            kernel_btf: None,
            variables,
            maps,
            programs,
            unknown_programs,
            warnings,
            pins: PathBuf::from(PINS),
            #[cfg(feature = "instrument")]
            instruments: Instruments::default(),
            #[cfg(feature = "aya-obj")]
            aya: None,
        })
    }

    /// Returns the maps: first those of the data sections (`.data`, `.rodata`, `.bss`), then the others, each group in
    /// the file's order. The map of a data section has one element, which contains all variables of the section.
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

    /// Returns the programs that cannot be loaded, each with the reason. Either the section's name gives no program
    /// type, or the function is `static`. [`Object::load`] skips these programs. Without this crate's feature `advice`,
    /// `static` functions are not listed.
    ///
    /// If only the program type is unknown, [`Object::set_program_type`] makes the program loadable.
    #[must_use]
    pub fn unknown_programs(&self) -> &[Skipped] {
        &self.unknown_programs
    }

    /// Returns the global variables, section by section:
    ///
    /// - those of the sections `.data`, `.rodata`, `.bss`, and of sections such as `.data.tuning`;
    /// - those of an arena (`.addr_space.1`);
    /// - the constants of the kernel's configuration (`__kconfig`).
    #[must_use]
    pub fn variables(&self) -> &[VariableSpec] {
        &self.variables
    }

    /// Returns the license that is passed to the kernel. A program that calls a GPL-only helper needs a GPL-compatible
    /// license. The text is empty if the object has no license, or if the section `license` contains a pointer instead
    /// of text.
    #[must_use]
    #[doc(alias = "LICENSE")]
    pub fn license(&self) -> &CStr {
        &self.license
    }

    /// Returns the externs, the symbols that the object uses and the kernel provides: constants of the kernel's
    /// configuration (`__kconfig`), and variables and functions of the kernel (`__ksym`).
    #[must_use]
    #[doc(alias("__ksym", "__kconfig", "kfunc"))]
    pub fn externs(&self) -> &[Extern] {
        &self.externs
    }

    /// Returns the probable mistakes in the object. Empty without this crate's feature `advice`.
    ///
    /// [`Object::load`] logs each warning at level `warn`. [`Object::load_partial`] does not log [`Warning::License`]
    /// if it skips a program because of the license.
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

    /// Parses the file's section `.BTF`, without changes. Returns `None` if the object has no BTF.
    pub(crate) fn own_btf(&self) -> Result<Option<Btf<'_>>, Error> {
        match self.elf.contents(".BTF") {
            [] => Ok(None),
            bytes => btf::read(bytes).map(Some),
        }
    }

    /// Returns the section `.BTF.ext` if it has CO-RE relocations.
    pub(crate) fn core_relo_bytes(&self) -> Option<&[u8]> {
        self.core.then(|| self.elf.contents(".BTF.ext"))
    }

    /// Returns the object's BTF (the descriptions of its types): the bytes of a section `.BTF`, in native byte order.
    /// Two values are filled in as libbpf does it: the size of each `DATASEC` (the BTF type of a data section), and the
    /// offset of each variable in its section.
    ///
    /// Returns `None` if the object has no BTF. A bug of this crate is logged at level `error`, and also gives `None`.
    #[must_use]
    #[doc(alias("bpf_object__btf", "btf__raw_data"))]
    pub fn btf(&self) -> Option<Vec<u8>> {
        self.completed_btf().unwrap_or_else(|bug| {
            log::error!("{bug}");
            None
        })
    }

    /// Returns the object's BTF as [`Object::btf`] does, but returns a bug as an error instead of logging it.
    pub(crate) fn completed_btf(&self) -> Result<Option<Vec<u8>>, Error> {
        #[cfg(feature = "aya-obj")]
        if let Some(aya) = &self.aya {
            return Ok(aya.types.as_deref().map(<[u8]>::to_vec));
        }
        btf::completed(&self.elf, &self.externs)
    }
}

/// Splits the functions outside `.text` into programs and programs that cannot be loaded.
///
/// - A program is a global function of a section whose name gives a program type.
/// - If the section's name gives no program type, and another section refers to the section, its functions are
///   subprograms: other programs call them. Without such a reference they are programs that cannot be loaded.
/// - If no program calls a static function, it is listed as a program that cannot be loaded: its author probably meant
///   a program.
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
