//! Lists sections, and functions with their unresolved references, for tools that inspect a file.

use std::{collections::BTreeMap, sync::Arc};

use super::{Object, btf};
use crate::{
    Instruction,
    btf::{Btf, shown},
};

/// A section of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionSpec {
    /// Its name; empty for the first section of an ELF file, the null section.
    pub name: String,
    /// Its size in memory, in bytes. `.bss` has no bytes in the file.
    pub size: u64,
    /// True if it contains instructions.
    pub executable: bool,
    /// The number of relocations in it.
    pub references: usize,
}

/// A function as it is in the file, before its references are resolved.
#[doc(alias = "bpf_program__insns")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionSpec {
    /// Its name in the source.
    pub name: String,
    /// Its section's name.
    pub section: String,
    /// Its offset in the section, in bytes.
    pub offset: u64,
    /// True if it is visible outside its file.
    pub global: bool,
    /// Its instruction slots of 8 bytes. A 16-byte instruction (`BPF_LD | BPF_IMM | BPF_DW`) takes two slots.
    pub instructions: Vec<Instruction>,
    /// The references of its instructions, in ascending order of their slots.
    pub references: Vec<Reference>,
    /// The source lines of its instructions, in ascending order of their slots. Empty if the file has no line
    /// information.
    pub lines: Vec<Line>,
}

/// A reference of an instruction to a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// The index of the instruction slot in the function.
    pub slot: usize,
    /// The symbol's name; for a section symbol, the section's name.
    pub name: String,
}

/// A line of source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias("bpf_line_info", "line_info"))]
pub struct Line {
    /// The index in the function of the first instruction slot of this line.
    pub slot: usize,
    /// The path of the source file, as the compiler recorded it.
    pub file: Arc<str>,
    /// The line; the first line is 1.
    pub line: u32,
    /// The column; the first column is 1. 0 if the column is unknown.
    pub column: u32,
    /// The text of the line, without leading and trailing space.
    pub text: Arc<str>,
}

impl Object {
    /// Returns the sections, in the file's order.
    pub fn sections(&self) -> impl Iterator<Item = SectionSpec> {
        self.elf.sections().map(|(index, section)| SectionSpec {
            name: section.name.clone(),
            size: section.size,
            executable: section.executable,
            references: self.elf.references(index).count(),
        })
    }

    /// Returns all functions, including the programs, sorted by section and then by offset in the section.
    pub fn functions(&self) -> impl Iterator<Item = FunctionSpec> {
        let btf = btf::read(self.elf.contents(".BTF")).unwrap_or_else(|_| Btf::none());
        // Share the texts: many instructions belong to the same line, and a line can be long.
        let mut known: BTreeMap<u32, Arc<str>> = BTreeMap::new();
        self.functions.iter().map(move |&((section, offset), ref function)| {
            let mut text = |offset| {
                let new = || Arc::from(shown(btf.string(offset).trim_ascii()));
                Arc::clone(known.entry(offset).or_insert_with(new))
            };
            let references = (0_u64..).zip(&function.instructions).filter_map(|(slot, _)| {
                let (_, symbol) = self.elf.reference(section, offset + slot * 8)?;
                let name = match symbol.section.filter(|_| symbol.is_section) {
                    Some(section) => self.elf.section(section).name.clone(),
                    None => symbol.name.clone(),
                };
                Some(Reference { slot: slot as usize, name })
            });
            let lines = function.line_info.iter().map(|info| Line {
                slot: info.insn_off as usize,
                file: text(info.file_name_off),
                line: info.line_col >> 10,
                column: info.line_col & 0x3ff,
                text: text(info.line_off),
            });
            FunctionSpec {
                name: function.name.clone(),
                section: self.elf.section(section).name.clone(),
                offset,
                global: function.global,
                instructions: function.instructions.clone(),
                references: references.collect(),
                lines: lines.collect(),
            }
        })
    }
}
