//! Writes sections, symbols and relocations.
//!
//! ```text
//! .text                    functions that are not programs      symbols FUNC, local or global
//! uretprobe/getaddrinfo …  programs                             symbols FUNC, global
//! license                  a string
//! .maps                    zeroes; the types hold the content   symbols OBJECT, global
//! .rodata, .bss …          variables                            symbols OBJECT, global
//! .BTF, .BTF.ext           types; functions' types, lines
//! .rel*                    relocations of instructions to symbols
//! ```
//!
//! Two relocation types are used: `R_BPF_64_64` for loading the address of a map, variable or function, `R_BPF_64_32`
//! for a call. The addend is in the instruction itself.
//!
//! Kernel: `Documentation/bpf/llvm_reloc.rst`.

use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf,
    write::{Object, Relocation, SectionId, StandardSegment, Symbol, SymbolId, SymbolSection},
};

use cutaway_sys::{ByteOrder, Instruction};

use super::{Global, Named, ObjectBuilder, TEXT, lines::lines, maps::definition};
use crate::{
    asm::{Code, Reference},
    btf::{
        BtfWriter, Linkage, Type,
        ext::{self, FunctionInfo, SectionInfo},
    },
    error::Error,
};

/// The file under construction. The symbols are added first, in the order of the handles' indexes. Each gets its
/// location when its section is written.
struct ElfWriter<'a> {
    builder: &'a ObjectBuilder,
    file: Object<'static>,
    btf: BtfWriter,
    functions: Vec<SymbolId>,
    maps: Vec<SymbolId>,
    variables: Vec<SymbolId>,
}

impl ObjectBuilder {
    pub(super) fn write_elf(&self) -> Result<Vec<u8>, Error> {
        let endianness = match self.order {
            ByteOrder::Little => Endianness::Little,
            ByteOrder::Big => Endianness::Big,
        };
        let mut file = Object::new(BinaryFormat::Elf, Architecture::Bpf, endianness);
        let functions = self.functions.iter().map(|function| {
            let name = &function.name;
            file.add_symbol(symbol(name, SymbolKind::Text, function.item.linkage))
        });
        let functions = functions.collect();
        let mut data = |name: &str| file.add_symbol(symbol(name, SymbolKind::Data, Linkage::Global));
        let maps = self.maps.iter().map(|map| data(&map.name)).collect();
        let variables = self.variables.iter().map(|variable| data(&variable.name)).collect();

        let btf = BtfWriter::new(self.order);
        let mut writer = ElfWriter { builder: self, file, btf, functions, maps, variables };
        let infos = writer.functions()?;
        writer.license();
        writer.maps();
        writer.variables()?;
        for kind in &self.types {
            writer.btf.add(kind);
        }
        writer.relocations()?;
        writer.finish(&infos)
    }
}

/// Returns a symbol that has no location yet.
fn symbol(name: &str, kind: SymbolKind, linkage: Linkage) -> Symbol {
    Symbol {
        name: name.as_bytes().to_vec(),
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
    }
}

/// Returns the names of the sections, each once, in the order of their first use.
fn sections<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut sections = Vec::new();
    for name in names {
        if !sections.contains(&name) {
            sections.push(name);
        }
    }
    sections
}

impl ElfWriter<'_> {
    fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        let segment = self.file.segment_name(StandardSegment::Data).to_vec();
        self.file.add_section(segment, name.as_bytes().to_vec(), kind)
    }

    /// Writes all functions, `.text` first, so that a called function has its location before the program that calls
    /// it.
    fn functions(&mut self) -> Result<Vec<SectionInfo>, Error> {
        let functions = &self.builder.functions;
        let mut names = sections(functions.iter().map(|function| function.item.section()));
        names.sort_by_key(|&name| name != TEXT);

        let mut infos = Vec::with_capacity(names.len());
        for name in names {
            let section = self.section(name, SectionKind::Text);
            let mut info = SectionInfo { name: self.btf.string(name), ..SectionInfo::default() };
            for (function, symbol) in functions.iter().zip(self.functions.clone()) {
                if function.item.section() != name {
                    continue;
                }
                let code = function.item.code.as_ref().map_err(Clone::clone)?;
                let bytes = self.encode(code);
                let offset = fits(self.file.add_symbol_data(symbol, section, &bytes, Instruction::SIZE as u64))?;
                let id = self.btf.function(&function.name, &function.item.signature, function.item.linkage);
                info.functions.push(FunctionInfo { offset, id });
                info.lines.extend(lines(&mut self.btf, &self.builder.sources, code, offset));
            }
            infos.push(info);
        }
        Ok(infos)
    }

    /// Returns a function's bytes. An address of a function is relocated against the section `.text`, as local
    /// functions require, and the instruction holds the function's offset in it.
    fn encode(&self, code: &Code) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(code.slots() * Instruction::SIZE);
        for (_, statement) in code.statements() {
            let mut instruction = statement.instruction;
            if let Some(Reference::Function(function)) = statement.reference
                && let Some(&symbol) = self.functions.get(function.index)
            {
                instruction.imm = self.file.symbol(symbol).value as i32;
            }
            for slot in [Some(instruction), statement.second].into_iter().flatten() {
                bytes.extend(slot.encode(self.builder.order));
            }
        }
        bytes
    }

    fn license(&mut self) {
        let section = self.section("license", SectionKind::Data);
        let text = [self.builder.license.as_bytes(), &[0]].concat();
        self.file.append_section_data(section, &text, 1);
    }

    fn maps(&mut self) {
        if self.maps.is_empty() {
            return;
        }
        let section = self.section(".maps", SectionKind::Data);
        let mut variables = Vec::with_capacity(self.maps.len());
        let mut end = 0;
        for (map, symbol) in self.builder.maps.iter().zip(self.maps.clone()) {
            let (definition, bytes) = definition(&mut self.btf, &map.item);
            let zeroes = vec![0; bytes as usize];
            let offset = self.file.add_symbol_data(symbol, section, &zeroes, 8) as u32;
            variables.push([self.btf.variable(&map.name, definition), offset, bytes]);
            end = offset + bytes;
        }
        self.btf.section(".maps", end, &variables);
    }

    fn variables(&mut self) -> Result<(), Error> {
        let variables = &self.builder.variables;
        for name in sections(variables.iter().map(|variable| variable.item.section.as_str())) {
            let kind = if name.starts_with(".bss") {
                SectionKind::UninitializedData
            } else if name.starts_with(".data") {
                SectionKind::Data
            } else {
                SectionKind::ReadOnlyData
            };
            let section = self.section(name, kind);
            let mut written = Vec::new();
            let mut end = 0;
            for (variable, symbol) in variables.iter().zip(self.variables.clone()) {
                if variable.item.section == name {
                    let [id, offset, bytes] = self.variable(variable, symbol, section, kind)?;
                    written.push([id, offset, bytes]);
                    end = fits(u64::from(offset) + u64::from(bytes))?;
                }
            }
            self.btf.section(name, end, &written);
        }
        Ok(())
    }

    /// Writes one variable. Returns its BTF type id, its offset in the section and its size in bytes.
    fn variable(
        &mut self,
        global: &Named<Global>,
        symbol: SymbolId,
        section: SectionId,
        kind: SectionKind,
    ) -> Result<[u32; 3], Error> {
        let variable = &global.item.variable;
        let bytes = variable.kind.bytes().unwrap_or_default();
        let align = variable.kind.align();
        let offset = if kind == SectionKind::UninitializedData {
            self.file.add_symbol_bss(symbol, section, u64::from(bytes), align)
        } else {
            let mut data = variable.bytes(self.builder.order).to_vec();
            data.resize(bytes as usize, 0);
            self.file.add_symbol_data(symbol, section, &data, align)
        };
        let id = match kind {
            SectionKind::ReadOnlyData => self.btf.add(&Type::Const(Box::new(variable.kind.clone()))),
            _ => self.btf.add(&variable.kind),
        };
        Ok([self.btf.variable(&global.name, id), fits(offset)?, bytes])
    }

    /// Adds a relocation for every instruction that refers to a symbol.
    fn relocations(&mut self) -> Result<(), Error> {
        for (function, symbol) in self.builder.functions.iter().zip(self.functions.clone()) {
            let code = function.item.code.as_ref().map_err(Clone::clone)?;
            let start = self.file.symbol(symbol).value;
            let Some(section) = self.file.symbol(symbol).section.id() else {
                continue;
            };
            for (slot, statement) in code.statements() {
                if let Some((symbol, r_type)) = statement.reference.and_then(|reference| self.target(reference)) {
                    let offset = start + (slot * Instruction::SIZE) as u64;
                    let relocation = Relocation { offset, symbol, addend: 0, flags: RelocationFlags::Elf { r_type } };
                    self.file.add_relocation(section, relocation).map_err(write_error)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the symbol and the relocation type of a reference; `None` for a jump. `check` has verified that all
    /// handles belong to this object.
    fn target(&mut self, reference: Reference) -> Option<(SymbolId, u32)> {
        match reference {
            Reference::Jump(_) | Reference::LongJump(_) => None,
            Reference::Map(map) => Some((*self.maps.get(map.index)?, elf::R_BPF_64_64)),
            Reference::Variable(variable) => Some((*self.variables.get(variable.index)?, elf::R_BPF_64_64)),
            Reference::Call(function) => Some((*self.functions.get(function.index)?, elf::R_BPF_64_32)),
            Reference::Function(function) => {
                let symbol = *self.functions.get(function.index)?;
                let section = self.file.symbol(symbol).section.id()?;
                Some((self.file.section_symbol(section), elf::R_BPF_64_64))
            }
        }
    }

    fn finish(mut self, infos: &[SectionInfo]) -> Result<Vec<u8>, Error> {
        let ext = ext::encode(&self.btf, infos);
        let types = self.btf.finish().map_err(|problem| Error::Format { problem })?;
        let mut sections = vec![(".BTF", types)];
        // Loaders refuse a `.BTF.ext` without function information.
        if !infos.is_empty() {
            sections.push((".BTF.ext", ext));
        }
        for (name, data) in sections {
            let section = self.file.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Other);
            self.file.append_section_data(section, &data, 8);
        }
        self.file.write().map_err(write_error)
    }
}

/// Converts an offset to the 32 bits that the formats have for it.
fn fits(offset: u64) -> Result<u32, Error> {
    let problem = |_| Error::Format { problem: format!("a section of {offset} bytes is larger than 4 GiB") };
    u32::try_from(offset).map_err(problem)
}

/// Converts an error of the crate `object`.
fn write_error(error: object::write::Error) -> Error {
    Error::Format { problem: error.to_string() }
}
