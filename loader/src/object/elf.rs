//! Admission: the ELF file, read and checked before anybody believes it.
//!
//! Everything here is bounds and structure; what a section *means* is decided elsewhere. All that comes later
//! relies on what is established here: every section lies within the file, every symbol within its section, every relocation
//! on an instruction of the section it changes.

use std::{fmt, ops::Range, sync::Arc};

use object::{
    Endianness,
    elf::{self, FileHeader64},
    read::elf::{FileHeader, SectionHeader, SectionTable, Sym},
};

use super::{foreign, maps::ARENA};
use crate::{
    Error,
    btf::LONGEST_NAME,
    sorted::{Sorted, sort},
};

/// The parts of the file that relocation needs, owned.
#[derive(Debug, Clone)]
pub(crate) struct Elf {
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
    relocations: Relocations,
    /// Where sections of variables, and that of the license, hold addresses, which nothing can fill in: section, and
    /// bytes from its start.
    addresses: Vec<(usize, u64)>,
    foreign: bool,
}

/// What instructions refer to, as a place in the symbol table: by the section that they are in, and bytes from its start.
pub(super) type Relocations = Sorted<(usize, u64), usize>;

#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) executable: bool,
    pub(crate) size: u64,
    /// What is in it, if that matters: code, BTF, maps and data. A section without contents in the file has none, however
    /// large it is: it is all zeroes.
    pub(super) bytes: Option<Arc<[u8]>>,
}

impl Section {
    /// `size` bytes at `address`.
    pub(crate) fn bytes_at(&self, address: u64, size: u64) -> Option<&[u8]> {
        let (start, end) = (usize::try_from(address).ok()?, usize::try_from(address.checked_add(size)?).ok()?);
        self.contents()?.get(start..end)
    }

    pub(crate) fn contents(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// Whether it holds instructions, which are in the file.
    fn is_code(&self) -> bool {
        self.executable && self.bytes.is_some()
    }

    /// Whether it holds global variables, and becomes a map.
    pub(crate) fn is_data(&self) -> bool {
        !self.executable && [".data", ".rodata", ".bss"].iter().any(|kind| has_prefix(&self.name, kind))
    }

    /// Whether it holds global variables.
    pub(crate) fn has_variables(&self) -> bool {
        self.is_data() || self.name == ARENA
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    /// The section it is defined in; `None` for an import or an absolute value.
    pub(crate) section: Option<usize>,
    /// Bytes from the section's start.
    pub(crate) address: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// Visible outside its file.
    pub(crate) global: bool,
    /// It may be missing.
    pub(crate) weak: bool,
    /// Visible to other files while they are linked to one, and to nobody afterwards.
    pub(crate) hidden: bool,
    /// Somebody else defines it.
    pub(crate) is_import: bool,
    is_variable: bool,
    is_function: bool,
    /// It stands for the section itself, and the instruction says where in it.
    pub(crate) is_section: bool,
}

impl Elf {
    pub(crate) fn read(data: &[u8]) -> Result<Self, Error> {
        let header = FileHeader64::<Endianness>::parse(data).map_err(|_| {
            broken(format_args!("it is no 64-bit ELF file (is it complete, and is it the compiler's output?)"))
        })?;
        let endian = header.endian().map_err(unread)?;
        if header.e_machine(endian) != elf::EM_BPF {
            return Err(broken(format_args!("it is for ELF machine {}, not for BPF (247)", header.e_machine(endian))));
        }
        if header.e_type(endian) != elf::ET_REL {
            return Err(broken(format_args!("it is no relocatable object: linked or stripped of its relocations?")));
        }
        let foreign = header.is_big_endian() != cfg!(target_endian = "big");
        let table = header.sections(endian, data).map_err(unread)?;

        let file = File { data, endian, table };
        let mut sections = file.sections()?;
        let symbols = file.symbols(&sections)?;
        // The table's first entry is no symbol.
        if symbols.len() < 2
            && let Some(code) = sections.iter().find(|section| section.executable && section.size != 0)
        {
            return Err(broken(format_args!(
                "it has no symbol table, which tells where in section `{}` programs start: was it stripped? `llvm-strip -g` \
                 takes debugging information away and keeps symbols",
                code.name
            )));
        }
        let (relocations, addresses) = file.relocations(&sections, &symbols)?;
        if foreign {
            foreign::turn(&mut sections, &relocations);
        }
        Ok(Self { sections, symbols, relocations, addresses, foreign })
    }

    /// It is for machines of the other byte order.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// An error if it is for machines of the other byte order.
    pub(super) fn must_be_native(&self) -> Result<(), Error> {
        match self.foreign {
            true => Err(broken(format_args!(
                "its byte order is not this machine's: compile it for bpfel or bpfeb accordingly"
            ))),
            false => Ok(()),
        }
    }

    /// The sections in the file's order.
    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub(crate) fn section(&self, index: usize) -> Option<&Section> {
        self.sections.get(index)
    }

    /// The place of the first section of this name.
    pub(crate) fn position(&self, name: &[u8]) -> Option<usize> {
        self.sections.iter().position(|section| section.name.as_bytes() == name)
    }

    /// What is in the first section of this name; empty if there is none.
    pub(crate) fn contents(&self, name: &str) -> &[u8] {
        let section = self.position(name.as_bytes()).and_then(|place| self.section(place));
        section.and_then(Section::contents).unwrap_or_default()
    }

    /// The functions that the file defines, in its order.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|symbol| symbol.is_function)
    }

    /// What the file refers to and does not define, with places in the table.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (usize, &Symbol)> {
        self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.is_import)
    }

    /// Whether instructions of another section refer to something in this one.
    pub(crate) fn is_referred_to(&self, section: usize) -> bool {
        let mut others = self.relocations.iter().filter(|((changed, _), _)| *changed != section);
        others.any(|(_, symbol)| self.symbols.get(*symbol).is_some_and(|symbol| symbol.section == Some(section)))
    }

    /// The global variables, maps among them, in the file's order.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|symbol| symbol.is_variable)
    }

    /// The named symbols in a section that stand for data, with their places in the table.
    pub(crate) fn symbols_in(&self, section: usize) -> impl Iterator<Item = (usize, &Symbol)> {
        let all = self.symbols.iter().enumerate();
        all.filter(move |(_, symbol)| symbol.section == Some(section) && !symbol.is_section && !symbol.name.is_empty())
    }

    /// What the words of a section refer to: offset and symbol.
    pub(crate) fn references(&self, section: usize) -> impl Iterator<Item = (u64, &Symbol)> {
        self.references_in(section, 0..u64::MAX)
    }

    /// The same of a part of the section, in bytes from its start.
    pub(crate) fn references_in(&self, section: usize, part: Range<u64>) -> impl Iterator<Item = (u64, &Symbol)> {
        let from = self.relocations.from(&(section, part.start)).iter();
        let inside = from.take_while(move |((changed, offset), _)| *changed == section && *offset < part.end);
        inside.filter_map(|((_, offset), symbol)| Some((*offset, self.symbols.get(*symbol)?)))
    }

    /// Where sections of variables, and that of the license, hold addresses: section, and bytes from its start;
    /// ascending.
    pub(crate) fn addresses(&self) -> &[(usize, u64)] {
        &self.addresses
    }

    /// What the instruction at `offset` bytes in `section` refers to, and that symbol's place in the table.
    pub(crate) fn reference(&self, section: usize, offset: u64) -> Option<(usize, &Symbol)> {
        let &symbol = self.relocations.get(&(section, offset))?;
        Some((symbol, self.symbols.get(symbol)?))
    }
}

/// The file while it is being read.
struct File<'d> {
    data: &'d [u8],
    endian: Endianness,
    table: SectionTable<'d, FileHeader64<Endianness>>,
}

impl File<'_> {
    fn sections(&self) -> Result<Vec<Section>, Error> {
        let mut sections = Vec::new();
        let mut kept = 0;
        for (index, section) in self.table.enumerate() {
            let name = self.table.section_name(self.endian, section).map_err(unread)?;
            let name = text(name, || format!("section {}", index.0))?;
            let size = section.sh_size(self.endian);
            let is_in_file = section.sh_type(self.endian) != elf::SHT_NOBITS;
            if is_in_file && section.data(self.endian, self.data).is_err() {
                return Err(broken(format_args!(
                    "section `{name}` reaches beyond the end of the file: is the file truncated?"
                )));
            }
            let is_btf = matches!(name, ".BTF" | ".BTF.ext");
            let is_text = matches!(name, "license" | "version");
            if is_btf && sections.iter().any(|before: &Section| before.name == name) {
                return Err(broken(format_args!("it has two sections `{name}`")));
            }
            let executable = section.sh_flags(self.endian) & u64::from(elf::SHF_EXECINSTR) != 0;
            if executable && !size.is_multiple_of(8) {
                return Err(broken(format_args!(
                    "section `{name}` holds {size} bytes, not a whole number of instructions"
                )));
            }
            if section.sh_addr(self.endian) != 0 {
                return Err(broken(format_args!("section `{name}` has an address: this is no relocatable object")));
            }
            let mut read = Section { name: name.to_owned(), executable, size, bytes: None };
            if read.has_variables() && u32::try_from(size).is_err() {
                return Err(broken(format_args!(
                    "section `{name}` holds {size} bytes, and a map's value at most {}",
                    u32::MAX
                )));
            }
            let wanted = executable
                || is_btf
                || is_text
                || read.has_variables()
                || has_prefix(name, ".maps")
                || is_struct_ops(name)
                || describes_maps(name);
            if wanted && is_in_file {
                // A file whose sections lie one upon the other could ask for any amount of memory.
                kept += size;
                if kept > self.data.len() as u64 {
                    return Err(broken(format_args!("section `{name}` lies where others do")));
                }
                read.bytes = section.data(self.endian, self.data).ok().map(Arc::from);
            }
            sections.push(read);
        }
        Ok(sections)
    }

    fn symbols(&self, sections: &[Section]) -> Result<Vec<Symbol>, Error> {
        let symtab = self.table.symbols(self.endian, self.data, elf::SHT_SYMTAB).map_err(unread)?;
        let mut symbols = Vec::new();
        for (index, symbol) in symtab.enumerate() {
            let name = symbol.name(self.endian, symtab.strings()).map_err(unread)?;
            let name = text(name, || format!("symbol {}", index.0))?.to_owned();
            let section = symtab.symbol_section(self.endian, symbol, index).map_err(unread)?.map(|section| section.0);
            let (address, size) = (symbol.st_value(self.endian), symbol.st_size(self.endian));
            if let Some(index) = section {
                let room = sections.get(index).ok_or_else(|| {
                    broken(format_args!("symbol `{name}` is in section {index}, which does not exist"))
                })?;
                if address.checked_add(size).is_none_or(|end| end > room.size) {
                    return Err(broken(format_args!("symbol `{name}` reaches beyond its section `{}`", room.name)));
                }
                if symbol.st_type() == elf::STT_FUNC && !(address | size).is_multiple_of(8) {
                    return Err(broken(format_args!("function `{name}` does not start or end on an instruction")));
                }
            }
            let is_section = symbol.st_type() == elf::STT_SECTION;
            let is_variable = symbol.st_type() == elf::STT_OBJECT && section.is_some();
            let is_code = section.and_then(|index| sections.get(index)).is_some_and(Section::is_code);
            let is_function = symbol.st_type() == elf::STT_FUNC && is_code;
            let global = symbol.st_bind() != elf::STB_LOCAL;
            let weak = symbol.st_bind() == elf::STB_WEAK;
            let hidden = matches!(symbol.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL);
            let is_import = symbol.st_shndx(self.endian) == elf::SHN_UNDEF && global && !name.is_empty();
            symbols.push(Symbol {
                name,
                section,
                address,
                size,
                global,
                weak,
                hidden,
                is_import,
                is_variable,
                is_function,
                is_section,
            });
        }
        not_one_upon_the_other(sections, &symbols)?;
        Ok(symbols)
    }

    fn relocations(&self, sections: &[Section], symbols: &[Symbol]) -> Result<(Relocations, Vec<(usize, u64)>), Error> {
        let (mut relocations, mut addresses) = (Vec::new(), Vec::new());
        for (_, section) in self.table.enumerate() {
            let changed = section.info_link(self.endian).0;
            if section.sh_type(self.endian) == elf::SHT_RELA
                && let Some(target) = sections.get(changed)
            {
                if needs_relocations(target) && section.sh_size(self.endian) != 0 {
                    return Err(broken(format_args!(
                        "the relocations of section `{}` are of the form RELA, and those of BPF are of the form REL",
                        target.name
                    )));
                }
                if cfg!(feature = "advice") && holds_data(target) {
                    let entries = section.rela(self.endian, self.data).map_err(unread)?;
                    let entries = entries.map(|(entries, _)| entries).unwrap_or_default();
                    addresses.extend(entries.iter().map(|entry| (changed, entry.r_offset.get(self.endian))));
                }
                continue;
            }
            let Some((entries, _)) = section.rel(self.endian, self.data).map_err(unread)? else {
                continue;
            };
            let target = sections.get(changed).ok_or_else(|| {
                broken(format_args!("there are relocations for section {changed}, which does not exist"))
            })?;
            if cfg!(feature = "advice") && holds_data(target) {
                addresses.extend(entries.iter().map(|entry| (changed, entry.r_offset.get(self.endian))));
                continue;
            }
            if !needs_relocations(target) {
                // BTF and debug information have relocations too; nobody needs them.
                continue;
            }
            for entry in entries {
                let (offset, symbol) = (entry.r_offset.get(self.endian), entry.r_sym(self.endian) as usize);
                if !offset.is_multiple_of(8) || offset >= target.size {
                    return Err(broken(format_args!(
                        "a relocation at {offset:#x} misses the instructions of `{}`",
                        target.name
                    )));
                }
                if symbol >= symbols.len() {
                    return Err(broken(format_args!(
                        "a relocation in `{}` names symbol {symbol}, which does not exist",
                        target.name
                    )));
                }
                relocations.push(((changed, offset), symbol));
            }
        }
        sort(&mut addresses, Ord::cmp);
        Ok((Sorted::of(relocations), addresses))
    }
}

/// Whether references of the section to symbols are resolved.
fn needs_relocations(section: &Section) -> bool {
    section.executable || section.name == ".maps" || is_struct_ops(&section.name)
}

/// Whether addresses in the section stay 0: programs would read them, or the kernel.
fn holds_data(section: &Section) -> bool {
    section.has_variables() || section.name == "license"
}

/// A function may have several names. But many that lie one upon the other could ask for any amount of memory.
fn not_one_upon_the_other(sections: &[Section], symbols: &[Symbol]) -> Result<(), Error> {
    let mut functions: Vec<_> = symbols.iter().filter(|symbol| symbol.is_function).collect();
    let place = |symbol: &Symbol| (symbol.section, symbol.address);
    sort(&mut functions, |one, other| (place(one), other.size).cmp(&(place(other), one.size)));
    // Of several names for one place, the one that claims most counts.
    functions.dedup_by(|one, before| place(one) == place(before));
    let room: u64 = sections.iter().filter(|section| section.is_code()).map(|section| section.size).sum();
    let mut code = 0;
    for function in functions {
        code += function.size;
        if code > room {
            return Err(broken(format_args!("function `{}` lies where others do", function.name)));
        }
    }
    Ok(())
}

/// Maps in the older form, each by a few words.
pub(super) fn describes_maps(name: &str) -> bool {
    has_prefix(name, "maps")
}

/// Tables of functions.
pub(super) fn is_struct_ops(name: &str) -> bool {
    matches!(name.strip_prefix('?').unwrap_or(name), ".struct_ops" | ".struct_ops.link")
}

/// A name that can be shown: it will be part of errors, which are one line. Many names can lie in the same bytes, so that long
/// ones could ask for any amount of memory.
fn text(name: &[u8], whose: impl Fn() -> String) -> Result<&str, Error> {
    let refused = |why| Err(broken(format_args!("the name of {} {why}", whose())));
    if name.len() > LONGEST_NAME {
        return refused("is longer than any compiler makes it");
    }
    match std::str::from_utf8(name) {
        Ok(text) if text.contains(char::is_control) => refused("holds a control character"),
        Ok(text) => Ok(text),
        Err(_) => refused("is not UTF-8"),
    }
}

/// `name` is `kind`, or `kind` with something behind a dot or slash.
fn has_prefix(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
}

/// What the crate `object` says of the file's structure.
#[cold]
#[inline(never)]
fn unread(error: object::Error) -> Error {
    broken(format_args!("{error}"))
}

#[cold]
#[inline(never)]
fn broken(why: fmt::Arguments<'_>) -> Error {
    Error::Object { why: why.to_string() }
}
