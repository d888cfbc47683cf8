//! What `.BTF.ext` tells of functions: which type each has, and which line of source an instruction comes from.
//!
//! Offsets in its records are bytes from the section's start; the kernel wants instructions from the program's.

use std::collections::HashMap;

use crate::{
    btf::{Btf, Ext, Records},
    sys::insn::{bpf_func_info, bpf_line_info},
};

/// The infos of all functions, by section name.
#[derive(Debug, Clone, Default)]
pub(super) struct Infos {
    functions: HashMap<String, Vec<bpf_func_info>>,
    lines: HashMap<String, Vec<bpf_line_info>>,
}

impl Infos {
    pub(super) fn new(ext: &Ext<'_>, btf: &Btf<'_>) -> Self {
        let name = |records: &Records<'_>| String::from_utf8_lossy(btf.string(records.section)).into_owned();
        let mut infos = Self::default();
        for records in ext.func_info() {
            let functions = records.words().map(|[insn_off, type_id]| bpf_func_info { insn_off, type_id });
            infos.functions.entry(name(&records)).or_default().extend(functions);
        }
        for records in ext.line_info() {
            let lines = records.words().map(|[insn_off, file_name_off, line_off, line_col]| bpf_line_info {
                insn_off,
                file_name_off,
                line_off,
                line_col,
            });
            infos.lines.entry(name(&records)).or_default().extend(lines);
        }
        // As compilers write them anyway; then each function's are a run of them.
        infos.functions.values_mut().for_each(|infos| infos.sort_by_key(|info| info.insn_off));
        infos.lines.values_mut().for_each(|infos| infos.sort_by_key(|info| info.insn_off));
        infos
    }

    /// The infos of the function of `size` bytes at `address`, with offsets in instructions from its start.
    pub(super) fn of_function(
        &self,
        section: &str,
        address: u64,
        size: u64,
    ) -> (Vec<bpf_func_info>, Vec<bpf_line_info>) {
        let (start, end) = (address, address.saturating_add(size));
        let inside = |insn_off: u32| u32::try_from((u64::from(insn_off) - start) / 8).ok();
        let functions = self.functions.get(section).map(Vec::as_slice).unwrap_or_default();
        let functions = between(functions, start, end, |info| info.insn_off);
        let functions = functions.filter_map(|info| Some(bpf_func_info { insn_off: inside(info.insn_off)?, ..*info }));
        let lines = self.lines.get(section).map(Vec::as_slice).unwrap_or_default();
        let lines = between(lines, start, end, |info| info.insn_off);
        let lines = lines.filter_map(|info| Some(bpf_line_info { insn_off: inside(info.insn_off)?, ..*info }));
        (functions.filter(|info| info.insn_off == 0).collect(), lines.collect())
    }
}

/// Those of the sorted records whose offsets lie in this range.
fn between<T>(records: &[T], start: u64, end: u64, offset: impl Fn(&T) -> u32) -> impl Iterator<Item = &T> {
    let first = records.partition_point(|record| u64::from(offset(record)) < start);
    let rest = records.get(first..).unwrap_or_default();
    let last = rest.partition_point(|record| u64::from(offset(record)) < end);
    rest.iter().take(last)
}
