//! `.BTF.ext`: which function has which type, and which instruction comes from which line of source.
//!
//! ```text
//!     header │ func_info │ line_info │ core_relo
//!              each: record size, then for each section: its name, a count, as many records
//! ```
//!
//! Offsets in the records are bytes from the section's start; the kernel wants instructions from the program's. The
//! format is libbpf's own and described in `Documentation/bpf/btf.rst`.

use std::collections::HashMap;

use aya_obj::generated::{bpf_func_info, bpf_line_info};

/// The first two parts, by section name. (The third is CO-RE's.)
#[derive(Debug, Clone, Default)]
pub(super) struct BtfExt {
    functions: HashMap<String, Vec<bpf_func_info>>,
    lines: HashMap<String, Vec<bpf_line_info>>,
}

impl BtfExt {
    /// Reads a section that admission has let pass; `strings` are those of `.BTF`.
    pub(super) fn read(ext: &[u8], strings: &[u8]) -> Self {
        let mut infos = Self::default();
        for (name, record) in records(ext, strings, 8) {
            if let (Some(insn_off), Some(type_id)) = (word(record, 0), word(record, 4)) {
                infos.functions.entry(name).or_default().push(bpf_func_info { insn_off, type_id });
            }
        }
        for (name, record) in records(ext, strings, 16) {
            if let (Some(insn_off), Some(file_name_off), Some(line_off), Some(line_col)) =
                (word(record, 0), word(record, 4), word(record, 8), word(record, 12))
            {
                let line = bpf_line_info { insn_off, file_name_off, line_off, line_col };
                infos.lines.entry(name).or_default().push(line);
            }
        }
        infos
    }

    /// The infos of a function, with offsets in instructions from its start.
    pub(super) fn of_function(
        &self,
        section: &str,
        address: u64,
        size: u64,
    ) -> (Vec<bpf_func_info>, Vec<bpf_line_info>) {
        let inside = |insn_off: u32| {
            let offset = u64::from(insn_off).checked_sub(address).filter(|&offset| offset < size)?;
            u32::try_from(offset / 8).ok()
        };
        let functions = self.functions.get(section).into_iter().flatten();
        let functions = functions.filter_map(|info| Some(bpf_func_info { insn_off: inside(info.insn_off)?, ..*info }));
        let lines = self.lines.get(section).into_iter().flatten();
        let lines = lines.filter_map(|info| Some(bpf_line_info { insn_off: inside(info.insn_off)?, ..*info }));
        (functions.filter(|info| info.insn_off == 0).collect(), lines.collect())
    }
}

/// Whether the third part is there and not empty. Headers shorter than 32 bytes are older than it.
pub(super) fn has_core_relocations(ext: &[u8]) -> bool {
    word(ext, 4).is_some_and(|header| header >= 32) && word(ext, 28).is_some_and(|length| length > 0)
}

/// The records of the part whose offset and length are at byte `at` of the header, each with its section's name.
fn records<'e>(ext: &'e [u8], strings: &[u8], at: usize) -> Vec<(String, &'e [u8])> {
    let mut all = Vec::new();
    // Each step may fail only if admission had not looked; then there are no infos.
    let _ = (|| {
        let start = word(ext, 4)? as usize + word(ext, at)? as usize;
        let part = ext.get(start..start.checked_add(word(ext, at + 4)? as usize)?)?;
        let size = word(part, 0)? as usize;
        let mut rest = part.get(4..)?;
        while !rest.is_empty() {
            let name = strings.get(word(rest, 0)? as usize..)?.split(|&byte| byte == 0).next()?;
            let name = String::from_utf8_lossy(name).into_owned();
            let bytes = size.checked_mul(word(rest, 4)? as usize)?;
            let (records, next) = rest.get(8..)?.split_at_checked(bytes)?;
            all.extend(records.chunks_exact(size.max(1)).map(|record| (name.clone(), record)));
            rest = next;
        }
        Some(())
    })();
    all
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}
