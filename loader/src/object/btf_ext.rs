//! Reads `.BTF.ext`: the type of each function, and the source line of each instruction.
//!
//! Offsets in its records are bytes from the section's start. The kernel takes instructions from the program's start.

use crate::{
    btf::{Btf, Ext, Records},
    elf::{Elf, SectionIndex, Start},
    sorted::sort,
    sys::func_info::{bpf_func_info, bpf_line_info},
};

/// The func_info and line_info records of all functions, sorted by section and offset.
#[derive(Debug, Clone, Default)]
pub(super) struct Infos {
    functions: Vec<(SectionIndex, bpf_func_info)>,
    lines: Vec<(SectionIndex, bpf_line_info)>,
}

impl Infos {
    pub(super) fn new(ext: &Ext<'_>, btf: &Btf<'_>, elf: &Elf) -> Self {
        // Records of a section that was stripped from the file are dropped.
        let section = |records: &Records<'_>| elf.position(btf.string(records.section));
        let mut infos = Self::default();
        for records in ext.func_info() {
            let Some(section) = section(&records) else { continue };
            let functions = records.words().map(|[insn_off, type_id]| bpf_func_info { insn_off, type_id });
            infos.functions.extend(functions.map(|info| (section, info)));
        }
        for records in ext.line_info() {
            let Some(section) = section(&records) else { continue };
            let lines = records.words().map(|[insn_off, file_name_off, line_off, line_col]| bpf_line_info {
                insn_off,
                file_name_off,
                line_off,
                line_col,
            });
            infos.lines.extend(lines.map(|info| (section, info)));
        }
        // Compilers write them sorted; then the records of a function are consecutive.
        sort(&mut infos.functions, |one, other| (one.0, one.1.insn_off).cmp(&(other.0, other.1.insn_off)));
        sort(&mut infos.lines, |one, other| (one.0, one.1.insn_off).cmp(&(other.0, other.1.insn_off)));
        infos
    }

    /// Returns the records of the function of `size` bytes at `address`, with offsets in instructions from its start.
    pub(super) fn of_function(
        &self,
        section: SectionIndex,
        address: u64,
        size: u64,
    ) -> (Vec<bpf_func_info>, Vec<bpf_line_info>) {
        let (start, end) = ((section, address), (section, address.saturating_add(size)));
        // `between` returns no record before `address`.
        let inside = |insn_off: u32| (u64::from(insn_off).saturating_sub(address) / 8) as u32;
        let functions = between(&self.functions, start, end, |info| info.insn_off);
        let functions = functions.map(|info| bpf_func_info { insn_off: inside(info.insn_off), ..*info });
        let lines = between(&self.lines, start, end, |info| info.insn_off);
        let lines = lines.map(|info| bpf_line_info { insn_off: inside(info.insn_off), ..*info });
        (functions.filter(|info| info.insn_off == 0).collect(), lines.collect())
    }
}

/// Returns the sorted records from `start` to before `end`, by section and offset.
fn between<T>(
    records: &[(SectionIndex, T)],
    start: Start,
    end: Start,
    offset: impl Fn(&T) -> u32,
) -> impl Iterator<Item = &T> {
    let location = |(section, record): &(SectionIndex, T)| (*section, u64::from(offset(record)));
    let first = records.partition_point(|record| location(record) < start);
    let rest = records.get(first..).unwrap_or_default();
    let count = rest.partition_point(|record| location(record) < end);
    rest.iter().take(count).map(|(_, record)| record)
}
