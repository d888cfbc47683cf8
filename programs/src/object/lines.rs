//! Maps instructions to the Rust lines they came from.

use cutaway_sys::Instruction;

use crate::{
    asm::{Code, Statement},
    btf::{BtfWriter, ext::LineInfo},
    source::Source,
};

/// Returns the line information of a function that starts `offset` bytes into its section: a record wherever the line
/// changes, and one for the first instruction, which the kernel requires.
pub(super) fn lines(btf: &mut BtfWriter, sources: &[Source], code: &Code, offset: u32) -> Vec<LineInfo> {
    let mut lines: Vec<LineInfo> = Vec::new();
    for (slot, statement) in code.statements() {
        let info = LineInfo {
            offset: offset + (slot * Instruction::SIZE) as u32,
            file: btf.string(statement.at.file()),
            text: btf.string(&text(sources, statement)),
            line: statement.at.line(),
            column: statement.at.column(),
        };
        let same_as = |last: &LineInfo| {
            (last.file, last.text, last.line, last.column) == (info.file, info.text, info.line, info.column)
        };
        if !lines.last().is_some_and(same_as) {
            lines.push(info);
        }
    }
    lines
}

/// Returns the text of the statement's Rust line, or of the instruction itself if the source was not added.
fn text(sources: &[Source], statement: &Statement) -> String {
    let source = sources.iter().find(|source| source.file == statement.at.file());
    match source.and_then(|source| source.line(statement.at.line())) {
        Some(text) => text.to_owned(),
        None => statement.instruction.to_string(),
    }
}
