//! Reads the ELF file, and checks its bounds and structure.

use std::{fmt, sync::Arc};

use super::{
    byteswap,
    index::{SectionIndex, SymbolIndex},
    section::{Section, describes_maps, has_prefix, is_struct_ops},
    symbol::{Relocations, Symbol},
    tables::{Outside, SectionHeader, Tables, Unreadable, abi},
};
use crate::{
    Error,
    sorted::{Sorted, sort},
    text::MAX_NAME,
};

/// The parts that are read.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) sections: Vec<Section>,
    pub(super) symbols: Vec<Symbol>,
    pub(super) relocations: Relocations,
    /// Addresses in the license section and in sections of variables: section and bytes from its start.
    pub(super) addresses: Vec<(SectionIndex, u64)>,
    /// Whether the file is foreign-endian.
    pub(super) foreign: bool,
    /// A part of the file that this crate ignores and aya-obj does not.
    #[cfg(feature = "aya-obj")]
    pub(super) oddity: Option<String>,
}

/// Reads the parts of the file and checks them.
pub(super) fn read(data: &[u8]) -> Result<Parts, Error> {
    let tables = Tables::read(data).map_err(|why| match why {
        Unreadable::Header => {
            broken(format_args!("it is not a 64-bit ELF file: truncated, or not the compiler's output?"))
        }
        Unreadable::Sections => broken(format_args!("its section headers cannot be read: is the file truncated?")),
    })?;
    if tables.machine != abi::EM_BPF {
        return Err(broken(format_args!("it is for ELF machine {}, not for BPF (247)", tables.machine)));
    }
    if tables.kind != abi::ET_REL {
        return Err(broken(format_args!("it is no relocatable object: linked or stripped of its relocations?")));
    }
    let foreign = tables.is_big_endian() != cfg!(target_endian = "big");

    #[cfg(feature = "aya-obj")]
    let oddity = super::oddities::oddity(data, &tables);
    let file = File { size: data.len() as u64, tables };
    let mut sections = file.sections()?;
    let symbols = file.symbols(&sections)?;
    // The first entry of the table is the null symbol.
    if symbols.len() < 2
        && let Some(code) = sections.iter().find(|section| section.executable && section.size != 0)
    {
        return Err(broken(format_args!(
            "it has no symbol table, so programs in section `{}` cannot be found: was it stripped? `llvm-strip -g` removes \
             debugging information and keeps symbols",
            code.name
        )));
    }
    let (relocations, addresses) = file.relocations(&sections, &symbols)?;
    if foreign {
        byteswap::byteswap(&mut sections, &relocations)?;
    }
    Ok(Parts {
        sections,
        symbols,
        relocations,
        addresses,
        foreign,
        #[cfg(feature = "aya-obj")]
        oddity,
    })
}

/// The file while it is being read.
struct File<'d> {
    /// The file's size in bytes.
    size: u64,
    tables: Tables<'d>,
}

impl File<'_> {
    fn sections(&self) -> Result<Vec<Section>, Error> {
        let mut sections = Vec::new();
        let mut kept = 0;
        for (index, section) in self.tables.sections().enumerate() {
            let name = self.tables.name(&section).map_err(unread)?;
            let name = text(name, || format!("section {index}"))?;
            let size = section.size;
            let is_in_file = section.kind != abi::SHT_NOBITS;
            let bytes = self.tables.bytes(&section).ok_or_else(|| {
                broken(format_args!("section `{name}` reaches beyond the end of the file: is the file truncated?"))
            })?;
            let is_btf = matches!(name, ".BTF" | ".BTF.ext");
            let is_text = matches!(name, "license" | "version");
            if is_btf && sections.iter().any(|before: &Section| before.name == name) {
                return Err(broken(format_args!("it has two sections `{name}`")));
            }
            let executable = section.flags & abi::SHF_EXECINSTR != 0;
            if executable && !size.is_multiple_of(8) {
                return Err(broken(format_args!(
                    "section `{name}` holds {size} bytes, not a whole number of instructions"
                )));
            }
            if section.address != 0 {
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
                // Limits the memory: overlapping sections could ask for any amount.
                kept += size;
                if kept > self.size {
                    return Err(broken(format_args!("section `{name}` overlaps others")));
                }
                read.bytes = Some(Arc::from(bytes));
            }
            sections.push(read);
        }
        Ok(sections)
    }

    fn symbols(&self, sections: &[Section]) -> Result<Vec<Symbol>, Error> {
        let symtab = self.tables.symbols().map_err(unread)?;
        let mut symbols = Vec::new();
        for (index, symbol) in symtab.iter().enumerate() {
            let name = symtab.name(&symbol).map_err(unread)?;
            let name = text(name, || format!("symbol {index}"))?.to_owned();
            let section = symtab.section(&symbol, index).map_err(unread)?;
            let (address, size) = (symbol.address, symbol.size);
            if let Some(index) = section {
                let room = sections.get(index).ok_or_else(|| {
                    broken(format_args!("symbol `{name}` is in section {index}, which does not exist"))
                })?;
                if address.checked_add(size).is_none_or(|end| end > room.size) {
                    return Err(broken(format_args!("symbol `{name}` reaches beyond its section `{}`", room.name)));
                }
                if symbol.kind() == abi::STT_FUNC && !(address | size).is_multiple_of(8) {
                    return Err(broken(format_args!("function `{name}` does not start or end on an instruction")));
                }
            }
            let is_section = symbol.kind() == abi::STT_SECTION;
            let is_variable = symbol.kind() == abi::STT_OBJECT && section.is_some();
            let is_code = section.and_then(|index| sections.get(index)).is_some_and(Section::is_code);
            let section = section.map(SectionIndex);
            let is_function = symbol.kind() == abi::STT_FUNC && is_code;
            let global = symbol.binding() != abi::STB_LOCAL;
            let weak = symbol.binding() == abi::STB_WEAK;
            let hidden = matches!(symbol.visibility(), abi::STV_HIDDEN | abi::STV_INTERNAL);
            let is_import = symbol.section == abi::SHN_UNDEF && global && !name.is_empty();
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
        refuse_overlapping_functions(sections, &symbols)?;
        Ok(symbols)
    }

    fn relocations(
        &self,
        sections: &[Section],
        symbols: &[Symbol],
    ) -> Result<(Relocations, Vec<(SectionIndex, u64)>), Error> {
        let (mut relocations, mut addresses) = (Vec::new(), Vec::new());
        // Relocations that overlap in the file could ask for any amount of memory.
        let mut kept = 0;
        let mut keep = |section: &SectionHeader, target: &Section| {
            kept += section.size;
            if kept <= self.size {
                return Ok(());
            }
            Err(broken(format_args!("the relocations of section `{}` overlap others", target.name)))
        };
        for section in self.tables.sections() {
            let changed = section.info as usize;
            if section.kind == abi::SHT_RELA
                && let Some(target) = sections.get(changed)
            {
                if needs_relocations(target) && section.size != 0 {
                    return Err(broken(format_args!(
                        "the relocations of section `{}` are of the form RELA, and those of BPF are of the form REL",
                        target.name
                    )));
                }
                if cfg!(feature = "advice") && holds_data(target) {
                    let entries = self.tables.relocations(&section).map_err(unread)?;
                    keep(&section, target)?;
                    addresses.extend(entries.map(|entry| (SectionIndex(changed), entry.offset)));
                }
                continue;
            }
            if section.kind != abi::SHT_REL {
                continue;
            }
            let entries = self.tables.relocations(&section).map_err(unread)?;
            let target = sections.get(changed).ok_or_else(|| {
                broken(format_args!("there are relocations for section {changed}, which does not exist"))
            })?;
            let is_of_data = cfg!(feature = "advice") && holds_data(target);
            if !is_of_data && !needs_relocations(target) {
                // Relocations of BTF and debug information are not needed.
                continue;
            }
            keep(&section, target)?;
            if is_of_data {
                addresses.extend(entries.map(|entry| (SectionIndex(changed), entry.offset)));
                continue;
            }
            for entry in entries {
                let (offset, symbol) = (entry.offset, entry.symbol);
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
                relocations.push(((SectionIndex(changed), offset), SymbolIndex(symbol)));
            }
        }
        sort(&mut addresses, Ord::cmp);
        Ok((Sorted::of(relocations), addresses))
    }
}

/// Returns whether relocations of the section are resolved.
fn needs_relocations(section: &Section) -> bool {
    section.executable || section.name == ".maps" || is_struct_ops(&section.name)
}

/// Returns whether addresses in the section stay 0, which programs or the kernel would read.
fn holds_data(section: &Section) -> bool {
    section.has_variables() || section.name == "license"
}

/// Limits the memory: many overlapping functions could ask for any amount. (A function may have several names.)
fn refuse_overlapping_functions(sections: &[Section], symbols: &[Symbol]) -> Result<(), Error> {
    let mut functions: Vec<_> = symbols.iter().filter(|symbol| symbol.is_function).collect();
    let location = |symbol: &Symbol| (symbol.section, symbol.address);
    sort(&mut functions, |one, other| (location(one), other.size).cmp(&(location(other), one.size)));
    // The largest of several symbols with the same address counts.
    functions.dedup_by(|one, before| location(one) == location(before));
    let room: u64 = sections.iter().filter(|section| section.is_code()).map(|section| section.size).sum();
    let mut code = 0;
    for function in functions {
        code += function.size;
        if code > room {
            return Err(broken(format_args!("function `{}` overlaps others", function.name)));
        }
    }
    Ok(())
}

/// Checks a name. It must be printable, since errors that show it are one line. Its length is limited, because many
/// long names that overlap in the file could ask for any amount of memory.
fn text(name: &[u8], whose: impl Fn() -> String) -> Result<&str, Error> {
    let refused = |why| Err(broken(format_args!("the name of {} {why}", whose())));
    if name.len() > MAX_NAME {
        return refused("is longer than any compiler makes it");
    }
    match std::str::from_utf8(name) {
        Ok(text) if text.contains(char::is_control) => refused("holds a control character"),
        Ok(text) => Ok(text),
        Err(_) => refused("is not UTF-8"),
    }
}

#[cold]
#[inline(never)]
fn unread(Outside(part): Outside) -> Error {
    broken(format_args!(
        "{part} cannot be read: it lies outside of the file or of its table, ends within an entry, has entries of \
         another size, or is not the only one"
    ))
}

#[cold]
#[inline(never)]
fn broken(why: fmt::Arguments<'_>) -> Error {
    Error::Object { why: why.to_string() }
}
