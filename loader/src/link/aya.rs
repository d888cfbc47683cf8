//! Linking by aya-obj, of an object that aya-obj has read: `relocate_maps` for all functions at once, then
//! `relocate_calls` for each program.
//!
//! aya-obj 0.3.0 leaves `func_info` and `line_info` of a linked program at wrong instructions if a function's lines
//! do not begin at its first instruction. It also does not report which functions it appends. So before linking, each
//! function gets one `func_info` record, a mark, whose `type_id` is the function's index. After linking, the mark has
//! the instruction where the function starts. Both infos are then made from the functions.
//!
//! aya-obj keeps appended functions by their address alone. If two functions of two sections have one address, it
//! appends the one that is called first, for both. So each function gets a unique address, which has no other use.
//! `relocate_calls` also links programs in no fixed order, and takes a linked program for a function that another
//! program calls. So each program is linked alone, and its function is restored afterwards.
//!
//! `relocate_maps` fails for all programs if one of them refers to a map that it does not get, and takes a reference to
//! a section of maps that names no map for any of the maps there. So it gets all maps: those that are not created have
//! a negative fd, and so has each section of maps. A program that loads a negative fd is refused.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ffi::CString,
};

use aya_obj::{
    EbpfSectionKind, Map, ProgramSection,
    generated::bpf_func_info as AyaFuncInfo,
    maps::{LegacyMap, bpf_map_def},
};
use cutaway_sys::{Instruction, instruction::opcode};

use super::linked::{Linked, MAX_INSNS};
use crate::{
    Error,
    elf::Start,
    object::{
        Object, ProgramSpec,
        aya::{AyaObject, chain, guarded, instruction, is_data},
    },
    sys::func_info::{bpf_func_info, bpf_line_info},
};

/// An object whose references to maps are resolved.
pub(super) struct AyaLinker {
    object: aya_obj::Object,
    /// The start of each function, by the index that its mark has.
    starts: Vec<Start>,
    text_sections: HashSet<usize>,
    /// The maps without an fd, each as the predicate of a sentence about a program. The first has the fd -1, the
    /// second -2.
    missing: Vec<String>,
}

impl AyaLinker {
    /// Inserts the fds of maps into the instructions of `object`.
    pub(super) fn new(
        mut object: aya_obj::Object,
        aya: &AyaObject,
        own: &Object,
        fds: &[(&str, i32)],
    ) -> Result<Self, Error> {
        let created: HashMap<&str, i32> = fds.iter().copied().collect();
        let sections = if aya.is_mended { sections_of_maps(aya) } else { Vec::new() };
        let mut missing = Vec::new();
        let mut none = |what: String| {
            missing.push(what);
            -i32::try_from(missing.len()).unwrap_or(i32::MAX)
        };
        let mut maps: Vec<(&str, i32, &Map)> = Vec::new();
        for (name, map) in &aya.maps {
            let fd = created.get(name.as_str()).copied();
            let fd = fd.unwrap_or_else(|| none(format!("refers to the map `{name}`, which is not created")));
            maps.push((name, fd, map));
        }
        // Last, because the last map of a section counts.
        for map in &sections {
            let section = own.elf().section_index(map.section_index()).map(|index| &own.elf().section(index).name);
            // aya-obj does not keep the name.
            let name = section.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(" `{name}`"));
            maps.push(("", none(format!("refers to a map by its section{name} alone: is the map static?")), map));
        }
        let text_sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let resolved =
            guarded("relocate references to maps", 0, || object.relocate_maps(maps.into_iter(), &text_sections))?;
        resolved.map_err(|error| Error::Object {
            why: format!("aya-obj cannot relocate references to maps: {}", chain(&error)),
        })?;
        let mut starts = Vec::new();
        for (number, (&(section, address), function)) in object.functions.iter_mut().enumerate() {
            let start = own.elf().section_index(section).map(|section| (section, address));
            starts.push(start.ok_or_else(|| Error::bug("a function that aya-obj has read is in no section"))?);
            if aya.is_mended {
                function.address = number as u64;
            }
            function.func_info.func_info = vec![AyaFuncInfo { insn_off: 0, type_id: number as u32 }];
            function.line_info.line_info.clear();
        }
        Ok(Self { object, starts, text_sections, missing })
    }

    /// Links a program.
    pub(super) fn link(&mut self, own: &Object, program: &ProgramSpec) -> Result<Linked, Error> {
        let failed =
            |why: String| Error::Object { why: format!("aya-obj cannot link the program `{}`: {why}", program.name) };
        let key = (program.entry.0.number(), program.entry.1);
        let unlinked = self.object.functions.get(&key).cloned();
        let unlinked = unlinked.ok_or_else(|| failed("it has read no such function".to_owned()))?;
        // `relocate_calls` uses the location alone.
        let entry = aya_obj::Program {
            license: CString::default(),
            kernel_version: None,
            section: ProgramSection::SocketFilter,
            section_index: key.0,
            address: key.1,
        };
        self.object.programs = HashMap::from([(program.name.clone(), entry)]);
        let Self { object, text_sections, .. } = self;
        let depth = object.functions.len();
        let attempt = format!("link the program `{}`", program.name);
        let called = guarded(&attempt, depth, || object.relocate_calls(text_sections))?;
        let linked = self.object.functions.insert(key, unlinked);
        called.map_err(|error| failed(chain(&error)))?;
        let linked = linked.ok_or_else(|| failed("it has linked no such function".to_owned()))?;
        if linked.instructions.len() > MAX_INSNS {
            return Err(Error::Object {
                why: format!(
                    "the program `{}` has more than {MAX_INSNS} instructions, and no kernel takes more",
                    program.name
                ),
            });
        }
        let instructions: Vec<_> = linked.instructions.iter().map(instruction).collect();
        if let Some(what) = instructions.iter().find_map(|insn| self.missing(insn)) {
            return Err(Error::Object { why: format!("the program `{}` {what}", program.name) });
        }
        let mut result = Linked { instructions, func_info: Vec::new(), line_info: Vec::new(), functions: Vec::new() };
        for mark in &linked.func_info.func_info {
            let start = *self
                .starts
                .get(mark.type_id as usize)
                .ok_or_else(|| Error::bug("aya-obj returns a mark that it was not given"))?;
            let function = own.function_table().get(&start);
            let function = function.ok_or_else(|| {
                let (section, address) = start;
                failed(format!("it calls address {address:#x} of section {section}, where no function starts"))
            })?;
            let at = mark.insn_off;
            result.functions.push((start, at as usize));
            let infos = function.func_info.iter();
            result.func_info.extend(infos.map(|info| bpf_func_info { insn_off: at + info.insn_off, ..*info }));
            let lines = function.line_info.iter();
            result.line_info.extend(lines.map(|info| bpf_line_info { insn_off: at + info.insn_off, ..*info }));
        }
        Ok(result)
    }

    /// Returns what is missing if the instruction loads a negative fd.
    fn missing(&self, insn: &Instruction) -> Option<&str> {
        let is_map = matches!(insn.src(), opcode::PSEUDO_MAP_FD | opcode::PSEUDO_MAP_VALUE);
        let fd = Some(insn.imm).filter(|_| insn.code == opcode::LD_IMM64 && is_map)?;
        let index = usize::try_from(fd.checked_neg()?.checked_sub(1)?).ok()?;
        self.missing.get(index).map(String::as_str)
    }
}

/// Returns for each section of maps a map that stands for a reference to the section. aya-obj finds no other map there
/// if the reference's symbol is no map's.
fn sections_of_maps(aya: &AyaObject) -> Vec<Map> {
    let number = |map: &Map| map.section_index();
    let (data, maps): (Vec<&Map>, Vec<&Map>) = aya.maps.iter().map(|(_, map)| map).partition(|map| is_data(map));
    let data: HashSet<usize> = data.into_iter().map(number).collect();
    let sections: BTreeSet<usize> = maps.into_iter().map(number).filter(|section| !data.contains(section)).collect();
    let map = |section_index| {
        Map::Legacy(LegacyMap {
            def: bpf_map_def::default(),
            inner_def: None,
            section_index,
            section_kind: EbpfSectionKind::Data,
            symbol_index: None,
            data: Vec::new(),
        })
    };
    sections.into_iter().map(map).collect()
}

/// Refuses a program that this crate's linker links to other instructions.
pub(super) fn compare(aya: &Linked, own: &Linked, program: &ProgramSpec) -> Result<(), Error> {
    let (read, right) = (&aya.instructions, &own.instructions);
    let differs = (0..read.len().max(right.len())).find(|&at| read.get(at) != right.get(at));
    match differs {
        None => Ok(()),
        Some(at) => Err(Error::Object {
            why: format!(
                "aya-obj links the program `{}` to other instructions, from {at} on: read the object with this loader's \
                 own reader",
                program.name
            ),
        }),
    }
}

#[cfg(test)]
mod tests;
