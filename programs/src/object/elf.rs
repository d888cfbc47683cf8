//! Sections, symbols and relocations.
//!
//! ```text
//! .text                    functions that are no programs       symbols FUNC, local or global
//! uretprobe/getaddrinfo …  programs                             symbols FUNC, global
//! license                  a string
//! .maps                    zeroes; the types say it all         symbols OBJECT, global
//! .rodata, .bss …          variables                            symbols OBJECT, global
//! .BTF, .BTF.ext           types; functions' types, lines
//! .rel*                    where instructions refer to symbols
//! ```
//!
//! Two relocations are in use: `R_BPF_64_64` for the load of a map's, variable's or function's address, `R_BPF_64_32` for a
//! call. What they add to is in the instruction itself.
//!
//! Kernel: `Documentation/bpf/llvm_reloc.rst`.

use std::{collections::HashMap, iter};

use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf,
    write::{Object, Relocation, SectionId, StandardSegment, Symbol, SymbolId, SymbolSection},
};

use super::{Named, ObjectBuilder, TEXT, lines::lines, maps::definition};
use crate::{
    asm::{Code, Reference},
    btf::{
        BtfWriter, Linkage, Type,
        ext::{self, FunctionInfo, SectionInfo},
    },
    error::Error,
    instruction::{ByteOrder, SLOT},
};

/// The file while it grows.
struct ElfWriter<'a> {
    builder: &'a ObjectBuilder,
    file: Object<'static>,
    btf: BtfWriter,
    maps: Vec<SymbolId>,
    variables: Vec<SymbolId>,
    functions: Vec<Placed<'a>>,
}

/// A function in its section.
struct Placed<'a> {
    section: SectionId,
    symbol: SymbolId,
    offset: u64,
    code: &'a Code,
}

impl ObjectBuilder {
    pub(super) fn write_elf(&self) -> Result<Vec<u8>, Error> {
        let endianness = match self.order {
            ByteOrder::Little => Endianness::Little,
            ByteOrder::Big => Endianness::Big,
        };
        let mut writer = ElfWriter {
            builder: self,
            file: Object::new(BinaryFormat::Elf, Architecture::Bpf, endianness),
            btf: BtfWriter::new(self.order),
            maps: Vec::new(),
            variables: Vec::new(),
            functions: Vec::new(),
        };
        let infos = writer.functions()?;
        let license = writer.section("license", SectionKind::Data);
        let text = [self.license.as_bytes(), &[0]].concat();
        writer.file.append_section_data(license, &text, 1);
        writer.maps();
        writer.variables()?;
        for kind in &self.types {
            writer.btf.add(kind);
        }
        writer.relocations()?;

        let ElfWriter { mut file, btf, .. } = writer;
        // Loaders refuse a `.BTF.ext` that tells of no function.
        let ext = (!infos.is_empty()).then(|| ext::encode(&btf, &infos));
        let btf = btf.finish().map_err(|problem| Error::Format { problem })?;
        for (name, data) in iter::once((".BTF", btf)).chain(ext.map(|ext| (".BTF.ext", ext))) {
            let name = name.as_bytes().to_vec();
            let section = file.add_section(Vec::new(), name, SectionKind::Other);
            file.append_section_data(section, &data, 8);
        }
        file.write().map_err(Error::from)
    }
}

impl<'a> ElfWriter<'a> {
    fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        let segment = self.file.segment_name(StandardSegment::Data).to_vec();
        self.file.add_section(segment, name.as_bytes().to_vec(), kind)
    }

    fn symbol<T>(&mut self, named: &Named<T>, kind: SymbolKind, linkage: Linkage) -> SymbolId {
        self.file.add_symbol(Symbol {
            name: named.name.as_bytes().to_vec(),
            value: 0,
            size: 0,
            kind,
            scope: match linkage {
                Linkage::Static => SymbolScope::Compilation,
                Linkage::Global => SymbolScope::Dynamic,
            },
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    }

    /// Places all functions, `.text` first, then the program sections in the order in which they were first named.
    fn functions(&mut self) -> Result<Vec<SectionInfo>, Error> {
        let functions = &self.builder.functions;
        let mut names: Vec<&str> = Vec::new();
        for function in functions {
            let name = function.item.section();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.sort_by_key(|&name| name != TEXT);

        let mut infos = Vec::with_capacity(names.len());
        let mut placed = HashMap::new();
        for name in names {
            let section = self.section(name, SectionKind::Text);
            let mut info = SectionInfo { name: self.btf.string(name), ..SectionInfo::default() };
            let members = functions.iter().enumerate();
            for (index, function) in members.filter(|(_, f)| f.item.section() == name) {
                let code = function.item.code.as_ref().map_err(Clone::clone)?;
                let symbol = self.symbol(function, SymbolKind::Text, function.item.linkage);
                let bytes = self.encode(code, &placed);
                let offset = self.file.add_symbol_data(symbol, section, &bytes, SLOT as u64);
                let (linkage, signature) = (function.item.linkage, &function.item.signature);
                let in_section = fits(offset + bytes.len() as u64)? - bytes.len() as u32;
                info.functions.push(FunctionInfo {
                    offset: in_section,
                    id: self.btf.function(&function.name, signature, linkage),
                });
                let sources = &self.builder.sources;
                info.lines.extend(lines(&mut self.btf, sources, code, in_section));
                placed.insert(index, Placed { section, symbol, offset, code });
            }
            infos.push(info);
        }
        // Handles count functions in the order of their adding.
        self.functions = (0..functions.len()).filter_map(|index| placed.remove(&index)).collect();
        Ok(infos)
    }

    /// The function's bytes, with what the loader is to add to: a reference to a function says how far into `.text` it is,
    /// because local functions are referred to by their section.
    fn encode(&self, code: &Code, placed: &HashMap<usize, Placed<'_>>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(code.slots() * SLOT);
        for (_, statement) in code.statements() {
            let mut instruction = statement.instruction;
            if let Some(Reference::Function(function)) = statement.reference {
                // Functions precede whoever refers to them, so this one has been placed.
                let offset = placed.get(&function.index).map(|target| target.offset);
                instruction.imm = offset.unwrap_or_default() as i32;
            }
            instruction.encode(self.builder.order, &mut bytes);
        }
        bytes
    }

    fn maps(&mut self) {
        let builder = self.builder;
        if builder.maps.is_empty() {
            return;
        }
        let section = self.section(".maps", SectionKind::Data);
        let mut variables = Vec::with_capacity(builder.maps.len());
        let mut end = 0;
        for map in &builder.maps {
            let (definition, bytes) = definition(&mut self.btf, &map.item);
            let symbol = self.symbol(map, SymbolKind::Data, Linkage::Global);
            let zeroes = vec![0; bytes as usize];
            let offset = self.file.add_symbol_data(symbol, section, &zeroes, 8);
            let variable = self.btf.variable(&map.name, definition);
            variables.push([variable, offset as u32, bytes]);
            end = offset as u32 + bytes;
            self.maps.push(symbol);
        }
        self.btf.section(".maps", end, &variables);
    }

    fn variables(&mut self) -> Result<(), Error> {
        let builder = self.builder;
        let mut symbols = HashMap::new();
        let mut names: Vec<&str> = Vec::new();
        for global in &builder.variables {
            let name = global.item.section.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let kind = if name.starts_with(".bss") {
                SectionKind::UninitializedData
            } else if name.starts_with(".data") {
                SectionKind::Data
            } else {
                SectionKind::ReadOnlyData
            };
            let section = self.section(name, kind);
            let mut variables = Vec::new();
            let mut end = 0;
            let members = builder.variables.iter().enumerate();
            for (index, global) in members.filter(|(_, g)| g.item.section == name) {
                let variable = &global.item.variable;
                let bytes = variable.kind.bytes().unwrap_or_default();
                let symbol = self.symbol(global, SymbolKind::Data, Linkage::Global);
                let align = variable.kind.align();
                let offset = if kind == SectionKind::UninitializedData {
                    self.file.add_symbol_bss(symbol, section, u64::from(bytes), align)
                } else {
                    let mut data = variable.bytes(builder.order).to_vec();
                    data.resize(bytes as usize, 0);
                    self.file.add_symbol_data(symbol, section, &data, align)
                };
                end = fits(offset + u64::from(bytes))?;
                let kind = match kind {
                    SectionKind::ReadOnlyData => Type::Const(Box::new(variable.kind.clone())),
                    _ => variable.kind.clone(),
                };
                let kind = self.btf.add(&kind);
                let id = self.btf.variable(&global.name, kind);
                variables.push([id, end - bytes, bytes]);
                symbols.insert(index, symbol);
            }
            self.btf.section(name, end, &variables);
        }
        self.variables = (0..builder.variables.len()).filter_map(|index| symbols.remove(&index)).collect();
        Ok(())
    }

    /// Ties every instruction that refers to something to the symbol of it.
    fn relocations(&mut self) -> Result<(), Error> {
        for index in 0..self.functions.len() {
            let Some(placed) = self.functions.get(index) else {
                continue;
            };
            let (section, start, code) = (placed.section, placed.offset, placed.code);
            for (slot, statement) in code.statements() {
                let Some(reference) = statement.reference else {
                    continue;
                };
                let offset = start + (slot * SLOT) as u64;
                let (symbol, r_type) = match reference {
                    Reference::Jump(_) | Reference::LongJump(_) => continue,
                    Reference::Map(map) => (self.maps.get(map.index).copied(), elf::R_BPF_64_64),
                    Reference::Variable(variable) => (self.variables.get(variable.index).copied(), elf::R_BPF_64_64),
                    Reference::Call(function) => {
                        let target = self.functions.get(function.index);
                        (target.map(|target| target.symbol), elf::R_BPF_64_32)
                    }
                    Reference::Function(function) => {
                        let target = self.functions.get(function.index);
                        let section = target.map(|target| target.section);
                        let symbol = section.map(|section| self.file.section_symbol(section));
                        (symbol, elf::R_BPF_64_64)
                    }
                };
                let symbol =
                    symbol.ok_or_else(|| Error::Format { problem: format!("{} refers to nothing", statement.at) })?;
                let relocation = Relocation { offset, symbol, addend: 0, flags: RelocationFlags::Elf { r_type } };
                self.file.add_relocation(section, relocation)?;
            }
        }
        Ok(())
    }
}

/// An offset that the formats keep in 32 bits.
fn fits(offset: u64) -> Result<u32, Error> {
    u32::try_from(offset)
        .map_err(|_| Error::Format { problem: format!("a section of {offset} bytes is larger than 4 GiB") })
}

impl From<object::write::Error> for Error {
    fn from(error: object::write::Error) -> Self {
        Self::Format { problem: error.to_string() }
    }
}
