//! What is in the file, for whoever wants to look at it: sections, and functions with what they still refer to by name.

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
    /// Its name; empty for the first.
    pub name: String,
    /// Bytes, in memory: `.bss` takes none in the file.
    pub size: u64,
    /// It holds instructions.
    pub executable: bool,
    /// How many of its words refer to symbols.
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
    /// Its instructions, by slot of eight bytes.
    pub instructions: Vec<Instruction>,
    /// What instructions refer to, ascending by slot.
    pub references: Vec<Reference>,
    /// Where instructions come from, ascending by slot; empty if the file does not tell.
    pub lines: Vec<Line>,
}

/// What an instruction refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reference {
    /// Slots from the function's start.
    pub slot: usize,
    /// The symbol's name, or the section's that it stands for.
    pub name: String,
}

/// A line of source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias("bpf_line_info", "line_info"))]
pub struct Line {
    /// Slots from the function's start to the first instruction that comes from it.
    pub slot: usize,
    /// The file, as its compiler knew it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; 0 if unknown.
    pub column: u32,
    /// The line itself, without the space around it.
    pub text: Arc<str>,
}

impl Object {
    /// The file's sections, in its order.
    pub fn sections(&self) -> impl Iterator<Item = SectionSpec> {
        self.elf.sections().map(|(index, section)| SectionSpec {
            name: section.name.clone(),
            size: section.size,
            executable: section.executable,
            references: self.elf.references(index).count(),
        })
    }

    /// The functions, programs among them, by section and offset in it.
    pub fn functions(&self) -> impl Iterator<Item = FunctionSpec> {
        let btf = btf::read(self.elf.contents(".BTF")).unwrap_or_else(|_| Btf::none());
        // Many instructions come from one line, and a line can be long.
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
