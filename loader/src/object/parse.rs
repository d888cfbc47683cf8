//! Parses an object, and lets the caller change what it describes.

use std::{
    ffi::{CStr, CString},
    path::{Path, PathBuf},
};

use cutaway_sys::AttachType;

use super::{
    btf,
    btf_ext::Infos,
    externs::{self, Extern, KCONFIG},
    function::{self, Functions},
    maps,
    section::{self, Section},
    specs::{Contents, MapSpec, ProgramSpec, Skipped},
    value::Value,
    variable::{self, VariableSpec},
    warnings::{self, Warning},
};
use crate::{
    Error, ProgramType,
    btf::{Btf, Ext},
    elf::Elf,
    text::no_such,
};

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
    pub(super) elf: Elf,
    pub(super) license: CString,
    pub(crate) kernel_version: u32,
    /// Some instructions depend on the layout of the kernel's structures.
    pub(super) core: bool,
    pub(super) functions: Functions,
    pub(super) externs: Vec<Extern>,
    /// What the user says about the kernel's configuration.
    pub(super) kconfig: String,
    pub(crate) variables: Vec<VariableSpec>,
    pub(crate) maps: Vec<MapSpec>,
    pub(crate) programs: Vec<ProgramSpec>,
    pub(super) set_aside: Vec<Skipped>,
    pub(super) warnings: Vec<Warning>,
    /// Why the kernel does not take the license for GPL.
    pub(crate) license_fault: Option<String>,
    pub(crate) pins: PathBuf,
}

/// Where maps are pinned by name unless told otherwise, as libbpf does.
const PINS: &str = "/sys/fs/bpf";

impl Object {
    /// Reads an object file as clang, rustc or this project's assembler writes it. Makes no system call.
    ///
    /// # Errors
    ///
    /// [`Error::Object`] if the file is truncated, malformed, or for another machine or byte order. A program that cannot be
    /// loaded is no error: see [`Object::set_aside`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let elf = Elf::read(bytes)?;
        elf.must_be_native()?;
        Self::of(elf)
    }

    /// The same, but an object for machines of the other byte order is read, too, to be looked at: its instructions, types and
    /// maps are told as this machine writes them, while the contents of its variables stay as they are in the file. It
    /// cannot be loaded, nor can that be rehearsed.
    ///
    /// # Errors
    ///
    /// As [`Object::parse`], but for the byte order.
    pub fn parse_foreign(bytes: &[u8]) -> Result<Self, Error> {
        Elf::read(bytes).and_then(Self::of)
    }

    /// Whether it is for machines of the other byte order: see [`Object::parse_foreign`].
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.elf.is_foreign()
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
        // What is left of an address is no text.
        let license = if warnings::has_pointer(&elf) { CString::default() } else { license(elf.contents("license"))? };
        let mut warnings = warnings::of(&elf, &license);
        let maps = maps::read(&elf, btf.as_ref(), &externs, &mut warnings)?;
        let variables = variable::read(&elf, btf.as_ref(), &externs);
        let functions = function::read(&elf, &infos, btf.as_ref());
        let (programs, set_aside) = programs(&elf, &functions);
        Ok(Self {
            license_fault: warnings::license_fault(&elf, &license),
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
            set_aside,
            warnings,
            pins: PathBuf::from(PINS),
        })
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

    /// Returns the descriptions of all programs, in the file's order, to be changed before loading.
    pub fn programs_mut(&mut self) -> impl Iterator<Item = &mut ProgramSpec> {
        self.programs.iter_mut()
    }

    /// A program's description, to be changed before loading.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if there is no such program; [`Error::Unfit`], with the reason, if it is one of
    /// [`Object::set_aside`].
    pub fn program_mut(&mut self, name: &str) -> Result<&mut ProgramSpec, Error> {
        let Some(index) = self.programs.iter().position(|program| program.name == name) else {
            if let Some(skipped) = self.set_aside.iter().find(|skipped| skipped.name == name) {
                return Err(skipped.error("choose"));
            }
            return Err(no_such("program", name, self.programs.iter().map(|program| program.name.as_str())));
        };
        self.programs.get_mut(index).ok_or_else(vanished)
    }

    /// Says what kind of program the function `name` is: one that was set aside because its section's name does not tell, one
    /// that was taken for a function since its section is no program's, or a program that is to be another kind. It is loaded
    /// then, with `expected_attach_type` (`enum bpf_attach_type`; 0 for kinds that have none), and attached by hand.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cutaway::{Object, ProgramType, Uprobe};
    /// let mut object = Object::parse(&std::fs::read("probes.o")?)?;
    /// object.set_type("on_malloc", ProgramType::KPROBE, 0)?; // SEC("my_probes")
    /// let loaded = object.load()?;
    /// let link = Uprobe::new("libc.so.6", "malloc").attach(loaded.program("on_malloc")?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if the object has no function of that name that is visible outside its file.
    pub fn set_type(
        &mut self,
        name: &str,
        program_type: ProgramType,
        expected_attach_type: AttachType,
    ) -> Result<&mut ProgramSpec, Error> {
        if let Some(known) = self.programs.iter().position(|program| program.name == name) {
            let section = &mut self.programs.get_mut(known).ok_or_else(vanished)?.section;
            (section.program_type, section.expected_attach_type) = (program_type, expected_attach_type);
            return self.programs.get_mut(known).ok_or_else(vanished);
        }
        let mut functions = self.functions.iter().filter(|(_, function)| function.global);
        let Some(&(entry, _)) = functions.find(|(_, function)| function.name == name) else {
            let names = self.functions.iter().filter(|(_, function)| function.global);
            return Err(no_such("function", name, names.map(|(_, function)| function.name.as_str())));
        };
        self.set_aside.retain(|aside| aside.name != name);
        let place = self.programs.partition_point(|program| program.entry < entry);
        self.programs.insert(
            place,
            ProgramSpec {
                name: name.to_owned(),
                section_name: self.elf.section(entry.0).ok_or_else(vanished)?.name.clone(),
                section: Section::of(program_type, expected_attach_type),
                entry,
                known: None,
            },
        );
        self.programs.get_mut(place).ok_or_else(vanished)
    }

    /// Says what kind of program the function `name` is and where it is attached, in the words of a section's name:
    /// `tracepoint/syscalls/sys_enter_openat`, `kprobe/do_unlinkat`, `xdp`. As [`Object::set_type`] otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Unfit`] if `section` names no kind of program; [`Error::NoSuchName`] if the object has no function of
    /// that name that is visible outside its file.
    pub fn set_section(&mut self, name: &str, section: &str) -> Result<&mut ProgramSpec, Error> {
        let read = Section::read(section).map_err(|why| Error::Unfit {
            attempt: format!("take the function `{name}` for a program of the section `{section}`"),
            why: why.to_string(),
        })?;
        let program = self.set_type(name, read.program_type, read.expected_attach_type)?;
        section.clone_into(&mut program.section_name);
        program.section = Section { wanted: true, ..read };
        Ok(program)
    }

    /// Returns the programs that cannot be loaded, each with the reason: their section names no kind of program, or
    /// they are `static`. The rest of the object can; and so can the former, once [`Object::set_type`] says what they
    /// are.
    #[must_use]
    pub fn set_aside(&self) -> &[Skipped] {
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
        self.maps.get_mut(index).ok_or_else(vanished)
    }

    /// Sets the folder for maps that are pinned by name; `/sys/fs/bpf` otherwise. It must be there, on a bpf file system.
    pub fn set_pins(&mut self, folder: impl AsRef<Path>) {
        self.pins = folder.as_ref().to_owned();
    }

    /// The global variables, section by section: those of `.data`, `.rodata`, `.bss` and their siblings (`.data.tuning`), and
    /// the constants of the kernel's configuration.
    #[must_use]
    pub fn variables(&self) -> &[VariableSpec] {
        &self.variables
    }

    /// Sets a global variable before loading. For one in `.rodata` this is the last chance: the verifier takes its value
    /// for a constant, and leaves out what it makes unreachable. ([`Loaded::variable`](crate::Loaded::variable) is for
    /// afterwards.)
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let mut object = cutaway::Object::parse(&[])?;
    /// object.set_variable("pid", &42_i32)?; // const volatile int pid;
    /// object.set_variable("name", b"cutaway\0")?; // char name[8];
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if the object has no variable of that name; [`Error::Unfit`] if `value` has another length, or
    /// is of another sign or kind than the object's types tell; the error names the variable, its type and its section.
    pub fn set_variable<T: Value + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let Some(spec) = self.variables.iter().find(|known| known.name == name) else {
            return Err(no_such("variable", name, self.variables.iter().map(|known| known.name.as_str())));
        };
        let unfit = |why: String| variable::unfit("set", spec, why);
        let value = value.bytes();
        if let Some(why) = spec.objection(T::FORM, value.len()) {
            return Err(unfit(why));
        }
        if spec.section == KCONFIG {
            return Err(unfit("the kernel's configuration gives its value: see `Object::set_kconfig`".to_owned()));
        }
        let map = self.maps.iter_mut().find(|map| map.data() == spec.place);
        let map = map.ok_or_else(|| unfit("its section is empty".to_owned()))?;
        let size = map.globals.map_or(map.value_size, |(_, size)| size) as usize;
        let offset = spec.offset as usize;
        if offset.checked_add(value.len()).is_none_or(|end| end > size) {
            return Err(unfit("it reaches beyond its section".to_owned()));
        }
        map.contents.get_or_insert_with(Contents::zeroes).set(offset, &value);
        Ok(())
    }

    /// The licence that the kernel will be told; empty if the object has none. Programs that call GPL-only helpers need a
    /// compatible one.
    #[must_use]
    pub fn license(&self) -> &CStr {
        &self.license
    }

    /// What the programs take from the kernel by name: constants of its configuration, variables, functions.
    #[must_use]
    pub fn externs(&self) -> &[Extern] {
        &self.externs
    }

    /// Says what the kernel's configuration is, in lines of the form `CONFIG_HZ=250`. They count before what the kernel says
    /// of itself; what they do not name is still asked of it.
    pub fn set_kconfig(&mut self, lines: impl Into<String>) {
        self.kconfig = lines.into();
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

    /// Parses `.BTF` as the file has it; `None` if there is none.
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

    /// The object's BTF with what only the linker knows: how large sections of data are, and where in them variables lie.
    /// `None` if it has no types.
    #[must_use]
    pub fn btf(&self) -> Option<Vec<u8>> {
        btf::completed(&self.elf, &self.externs)
    }
}

/// Which functions are programs: the global ones outside `.text`. In a section whose name says nothing, they are functions
/// that programs call, or programs that cannot be loaded. A static function that none refers to was meant to be a
/// program.
fn programs(elf: &Elf, functions: &Functions) -> (Vec<ProgramSpec>, Vec<Skipped>) {
    const STATIC: &str = "it is static, and programs must be global: drop `static`";
    let (mut programs, mut set_aside) = (Vec::new(), Vec::new());
    let mut called = None;
    for &(entry, ref function) in functions.iter() {
        let Some(section) = elf.section(entry.0).filter(|section| !section.name.starts_with(".text")) else { continue };
        let (name, section_name) = (function.name.clone(), section.name.clone());
        if !function.global && !cfg!(feature = "advice") {
            continue;
        }
        let read = Section::read(&section.name);
        let why = match read {
            Ok(section) if function.global => {
                programs.push(ProgramSpec { name, section_name, section, entry, known: None });
                continue;
            }
            // What another program calls is a part of that one.
            _ if !function.global
                && called.get_or_insert_with(|| function::called(elf, functions)).get(&entry).is_some() =>
            {
                continue;
            }
            Ok(_) => STATIC.to_owned(),
            Err(_) if elf.is_referred_to(entry.0) => continue,
            Err(why) if function.global => {
                format!("section `{section_name}`: {why}; {}", section::remedy(&section_name))
            }
            Err(why) => format!("section `{section_name}`: {why}; and {STATIC}"),
        };
        set_aside.push(Skipped { name, section_name, why });
    }
    (programs, set_aside)
}

#[cold]
#[inline(never)]
fn broken(why: impl Into<String>) -> Error {
    Error::Object { why: why.into() }
}

/// For what was found a moment ago.
#[track_caller]
fn vanished() -> Error {
    Error::bug("what an object was found to have is gone a moment later")
}

/// The licence: a C string.
fn license(section: &[u8]) -> Result<CString, Error> {
    let text = section.split(|&byte| byte == 0).next().unwrap_or_default();
    CString::new(text).map_err(|_| broken("its licence holds a NUL"))
}
