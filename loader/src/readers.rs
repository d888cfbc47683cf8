//! Compares what this crate's reader and aya-obj make of one object.
//!
//! Both results are linked in a dry run, aya-obj's without the corrections that loading makes, and compared: maps,
//! programs, license, instructions. File descriptors of maps are compared by the maps' names.

use std::collections::HashMap;

use crate::{
    Error, Instruction, LinkedProgram, MapSpec, Object, ProgramSpec,
    instruction::opcode,
    object::aya::{is_same_contents, unmended},
    resolve::core_relo::is_poison,
};

/// What two readers make of one object, as an aya user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderComparison {
    /// aya-obj gives the same maps, programs and instructions.
    Same,
    /// aya-obj refuses the object, or must not be given it.
    Refused {
        /// Why, in a sentence without a capital.
        why: String,
    },
    /// aya-obj gives the same maps and programs; instructions were not compared, since this crate cannot link the object.
    Unlinked {
        /// Why it cannot, in a sentence without a capital.
        why: String,
    },
    /// aya-obj gives something else.
    Different {
        /// The first difference, in a sentence without a capital.
        what: String,
    },
}

/// Compares what this crate's reader and aya-obj 0.3.0 make of an object file. `kernel` is the BTF of the kernel that
/// CO-RE relocations are applied for; without it (empty) they are not applied by either. Makes no system call.
///
/// # Errors
///
/// Those of [`Object::parse`], if this crate's reader refuses the object.
pub fn compare_readers(bytes: &[u8], kernel: &[u8]) -> Result<ReaderComparison, Error> {
    let own = Object::parse(bytes)?;
    let aya = match unmended(&own, bytes) {
        Ok(aya) => aya,
        Err(error) => return Ok(refused(error)),
    };
    let described = license(&own, &aya)
        .or_else(|| maps(own.maps(), aya.maps()))
        .or_else(|| programs(own.programs(), aya.programs()));
    if let Some(what) = described {
        return Ok(ReaderComparison::Different { what });
    }
    let own = match own.dry_run(kernel) {
        Ok(own) => own,
        Err(error) => return Ok(ReaderComparison::Unlinked { why: sentence(error) }),
    };
    let aya = match aya.dry_run(kernel) {
        Ok(aya) => aya,
        Err(error) => return Ok(refused(error)),
    };
    let difference = instructions((&own.programs, &own.maps), (&aya.programs, &aya.maps));
    Ok(difference.unwrap_or(ReaderComparison::Same))
}

fn refused(error: Error) -> ReaderComparison {
    ReaderComparison::Refused { why: sentence(error) }
}

/// The reason of an error about the object, which is named beside it.
fn sentence(error: Error) -> String {
    match error {
        Error::Object { why } => why,
        error => error.to_string(),
    }
}

/// aya-obj takes an object without a license for one under the GPL.
fn license(own: &Object, aya: &Object) -> Option<String> {
    let theirs = aya.aya.as_ref()?.object.license.as_c_str();
    (theirs != own.license()).then(|| format!("its license is {:?} to aya-obj, and {:?} here", theirs, own.license()))
}

fn maps<'m>(own: &'m [MapSpec], aya: &'m [MapSpec]) -> Option<String> {
    let by_name =
        |maps: &'m [MapSpec]| -> HashMap<&str, &MapSpec> { maps.iter().map(|map| (map.name.as_str(), map)).collect() };
    let (known, found) = (by_name(own), by_name(aya));
    if let Some(missing) = own.iter().find(|map| !found.contains_key(map.name.as_str())) {
        return Some(format!("aya-obj does not find the map `{}`", missing.name));
    }
    if let Some(more) = aya.iter().find(|map| !known.contains_key(map.name.as_str())) {
        return Some(format!("aya-obj finds a map `{}`, which is none here", more.name));
    }
    own.iter().find_map(|one| map(one, found.get(one.name.as_str())?))
}

/// The first difference between two descriptions of one map.
fn map(own: &MapSpec, aya: &MapSpec) -> Option<String> {
    let name = &own.name;
    let numbers = [
        ("type", u64::from(own.map_type.0), u64::from(aya.map_type.0)),
        ("key size", own.key_size.into(), aya.key_size.into()),
        ("value size", own.value_size.into(), aya.value_size.into()),
        ("max_entries", own.max_entries.into(), aya.max_entries.into()),
        ("flags", own.map_flags.bits().into(), aya.map_flags.bits().into()),
        ("map_extra", own.map_extra, aya.map_extra),
        ("NUMA node", own.numa_node.into(), aya.numa_node.into()),
    ];
    let differs = numbers.iter().find(|(_, own, aya)| own != aya);
    if let Some((what, own, aya)) = differs {
        return Some(format!("the map `{name}` has the {what} {aya} by aya-obj, and {own} here"));
    }
    if own.pinning != aya.pinning {
        return Some(format!(
            "the map `{name}` has the pinning {:?} by aya-obj, and {:?} here",
            aya.pinning, own.pinning
        ));
    }
    if own.initial_entries != aya.initial_entries {
        let count = own.initial_entries.len();
        return Some(format!("aya-obj leaves the {count} initial entries of the map `{name}` empty"));
    }
    if !is_same_contents(own, aya) {
        return Some(format!("the map `{name}` has other initial contents by aya-obj than here"));
    }
    match (&own.inner, &aya.inner) {
        (Some(own), Some(aya)) => map(own, aya).map(|what| format!("in the pattern of inner maps, {what}")),
        (None, None) => None,
        (own, _) => {
            let (with, without) = if own.is_some() { ("here", "by aya-obj") } else { ("by aya-obj", "here") };
            Some(format!("the map `{name}` has a pattern of inner maps {with}, and none {without}"))
        }
    }
}

fn programs<'p>(own: &'p [ProgramSpec], aya: &'p [ProgramSpec]) -> Option<String> {
    let by_name = |programs: &'p [ProgramSpec]| -> HashMap<&str, &ProgramSpec> {
        programs.iter().map(|program| (program.name.as_str(), program)).collect()
    };
    let (known, found) = (by_name(own), by_name(aya));
    if let Some(missing) = own.iter().find(|program| !found.contains_key(program.name.as_str())) {
        return Some(format!("aya-obj does not find the program `{}`", missing.name));
    }
    if let Some(more) = aya.iter().find(|program| !known.contains_key(program.name.as_str())) {
        return Some(format!("aya-obj takes the function `{}` for a program", more.name));
    }
    own.iter().find_map(|one| {
        let (own, aya) = (&one.section, &found.get(one.name.as_str())?.section);
        let kind = |section: &crate::Section| {
            let sleepable = if section.sleepable { ", sleepable" } else { "" };
            let fragments = if section.fragments { ", fragments" } else { "" };
            format!("{}, attach type {}{sleepable}{fragments}", section.program_type, section.expected_attach_type.0)
        };
        let (own, aya) = (kind(own), kind(aya));
        (own != aya).then(|| format!("the program `{}` is {aya} by aya-obj, and {own} here", one.name))
    })
}

type Linked<'a> = (&'a [LinkedProgram], &'a [MapSpec]);

/// The first program whose instructions differ after linking.
fn instructions((own, own_maps): Linked<'_>, (aya, aya_maps): Linked<'_>) -> Option<ReaderComparison> {
    let found: HashMap<&str, &LinkedProgram> = aya.iter().map(|other| (other.name.as_str(), other)).collect();
    own.iter().find_map(|one| {
        let other = found.get(one.name.as_str())?;
        let name = &one.name;
        let (own, aya) = match (&one.instructions, &other.instructions) {
            (Ok(own), Ok(aya)) => (own, aya),
            (Ok(_), Err(Error::Object { why })) => return Some(ReaderComparison::Refused { why: why.clone() }),
            (Ok(_), Err(error)) => return Some(ReaderComparison::Refused { why: error.to_string() }),
            (Err(why), Ok(_)) => {
                let what = format!("aya-obj links the program `{name}`, which is refused here: {why}");
                return Some(ReaderComparison::Different { what });
            }
            (Err(_), Err(_)) => return None,
        };
        let at =
            (0..own.len().max(aya.len())).find(|&at| normal(own.get(at), own_maps) != normal(aya.get(at), aya_maps))?;
        let said = |insn: Option<&Instruction>| match insn {
            Some(insn) => format!(
                "code {:#04x}, registers {} and {}, offset {}, immediate {}",
                insn.code,
                insn.dst(),
                insn.src(),
                insn.offset,
                insn.imm
            ),
            None => "none".to_owned(),
        };
        let (own, aya) = (said(own.get(at)), said(aya.get(at)));
        let what = format!("instruction {at} of the program `{name}` is {aya} by aya-obj, and {own} here");
        Some(ReaderComparison::Different { what })
    })
}

/// An instruction, and if it loads a map, the map's name in place of its made-up file descriptor. All poisoned ones are
/// the same.
fn normal<'m>(insn: Option<&Instruction>, maps: &'m [MapSpec]) -> Option<(Instruction, Option<&'m str>)> {
    let insn = *insn?;
    if is_poison(insn) {
        return Some((Instruction::new(opcode::JMP_CALL, 0, 0, 0, 0), None));
    }
    let is_map =
        insn.code == opcode::LD_IMM64 && matches!(insn.src(), opcode::PSEUDO_MAP_FD | opcode::PSEUDO_MAP_VALUE);
    let index = usize::try_from(insn.imm).ok().and_then(|fd| fd.checked_sub(1)).filter(|_| is_map);
    let map = index.and_then(|index| maps.get(index));
    Some(match map {
        Some(map) => (insn.with_imm(0), Some(map.name.as_str())),
        None => (insn, None),
    })
}
