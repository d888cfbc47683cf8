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
    /// Its name; empty for the null section, which is the first.
    pub name: String,
    /// Bytes in memory. (`.bss` takes no bytes in the file.)
    pub size: u64,
    /// Whether it holds instructions.
    pub executable: bool,
    /// The number of relocations in it.
    pub references: usize,
}

/// A function as the file holds it: no reference is resolved.
#[doc(alias = "bpf_program__insns")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionSpec {
    /// Its name in the source.
    pub name: String,
    /// Its section's name.
    pub section: String,
    /// Bytes from the section's start.
    pub offset: u64,
    /// Visible outside its file.
    pub global: bool,
    /// Its instructions. A 16-byte instruction (`BPF_LD | BPF_IMM | BPF_DW`) takes two slots.
    pub instructions: Vec<Instruction>,
    /// The references of its instructions, ascending by slot.
    pub references: Vec<Reference>,
    /// The source lines of its instructions, ascending by slot; empty if the file has no line information.
    pub lines: Vec<Line>,
}

/// A reference of an instruction to a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// Slots from the function's start.
    pub slot: usize,
    /// The symbol's name; for a section symbol, the section's name.
    pub name: String,
}

/// A line of source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias("bpf_line_info", "line_info"))]
pub struct Line {
    /// Slots from the function's start to the first instruction of this line.
    pub slot: usize,
    /// The path of the source file, as the compiler recorded it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; 0 if unknown.
    pub column: u32,
    /// The text of the line, without leading and trailing space.
    pub text: Arc<str>,
}

impl Object {
    /// Returns the file's sections, in its order.
    pub fn sections(&self) -> impl Iterator<Item = SectionSpec> {
        self.elf.sections().map(|(index, section)| SectionSpec {
            name: section.name.clone(),
            size: section.size,
            executable: section.executable,
            references: self.elf.references(index).count(),
        })
    }

    /// Returns all functions, programs included, by section and offset in it.
    pub fn functions(&self) -> impl Iterator<Item = FunctionSpec> {
        let btf = btf::read(self.elf.contents(".BTF")).unwrap_or_else(|_| Btf::none());
        // Share the texts: many instructions come from one line, and a line can be long.
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
