//! Encodes `.BTF.ext`: the type of each function, and the Rust line of each instruction.
//!
//! ```text
//! ┌────────┬───────────────────────────────────┬───────────────────────────────────┐
//! │ header │ function info                     │ line info                         │
//! │        │  record size                      │  record size                      │
//! │        │  for each program section:        │  for each program section:        │
//! │        │   its name, number of records     │   its name, number of records     │
//! │        │   {offset, type} …                │   {offset, file, text, line/col} …│
//! └────────┴───────────────────────────────────┴───────────────────────────────────┘
//! ```
//!
//! Offsets count bytes from the start of the program section. File names and the lines' text are strings of `.BTF`. The
//! third part of the header, CO-RE relocations, is empty: these programs read none of the kernel's structs.

use super::encode::{BtfWriter, MAGIC};

/// A function: its offset in the section in bytes, and the id of its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FunctionInfo {
    pub(crate) offset: u32,
    pub(crate) id: u32,
}

/// A line: the offset in bytes of the first instruction that came from it, its file and text, and its line and column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineInfo {
    pub(crate) offset: u32,
    pub(crate) file: u32,
    pub(crate) text: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// The function and line information of one program section.
#[derive(Debug, Default)]
pub(crate) struct SectionInfo {
    /// The section's name: its offset in the strings of `.BTF`.
    pub(crate) name: u32,
    pub(crate) functions: Vec<FunctionInfo>,
    pub(crate) lines: Vec<LineInfo>,
}

const HEADER: u32 = 32;
const FUNCTION_RECORD: u32 = 8;
const LINE_RECORD: u32 = 16;

/// Encodes the whole section.
pub(crate) fn encode(btf: &BtfWriter, sections: &[SectionInfo]) -> Vec<u8> {
    let mut functions = vec![FUNCTION_RECORD];
    let mut lines = vec![LINE_RECORD];
    for section in sections {
        functions.extend([section.name, section.functions.len() as u32]);
        for info in &section.functions {
            functions.extend([info.offset, info.id]);
        }
        lines.extend([section.name, section.lines.len() as u32]);
        for info in &section.lines {
            // `line_col`: 22 bits of line, 10 bits of column.
            let line_col = info.line << 10 | info.column.min(0x3ff);
            lines.extend([info.offset, info.file, info.text, line_col]);
        }
    }

    let order = btf.order();
    let (functions_len, lines_len) = (functions.len() as u32 * 4, lines.len() as u32 * 4);
    let end = functions_len + lines_len;
    let mut section = Vec::with_capacity((HEADER + end) as usize);
    section.extend(order.u16(MAGIC));
    section.extend([1, 0]); // version, flags
    let header = [HEADER, 0, functions_len, functions_len, lines_len, end, 0];
    for word in header.into_iter().chain(functions).chain(lines) {
        section.extend(order.u32(word));
    }
    section
}
