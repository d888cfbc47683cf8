//! Corrects values that aya-obj omits or gets wrong and that this crate knows.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{adopt::is_data, contents::is_same_contents, types};
use crate::{
    Error,
    btf::Btf,
    object::{MapSpec, Object, ProgramSpec, btf, function},
    sorted::Sorted,
};

/// The maximum depth of nested arrays.
const DEEPEST: usize = 32;

/// Corrects the object by its types, and by `own`, the object as this crate's reader parses the same file, if there
/// is a file. Returns each correction as the predicate of a sentence about aya-obj.
///
/// # Errors
///
/// [`Error::Object`] if aya-obj finds other maps or functions than this crate, or misses programs.
pub(super) fn mend(object: &mut Object, own: Option<&Object>) -> Result<Vec<String>, Error> {
    let mut faults = Vec::new();
    let types = object.aya.as_ref().and_then(|aya| aya.types.clone());
    let btf = types.as_deref().and_then(|bytes| btf::read(bytes).ok());
    if let Some(btf) = &btf {
        for map in &mut object.maps {
            sizes(map, btf, &mut faults);
        }
    }
    let functions = &object.functions;
    let is_program = |program: &ProgramSpec| functions.get(&program.entry).is_none_or(|function| function.global);
    for program in object.programs.iter().filter(|program| !is_program(program)) {
        faults.push(format!("takes the static function `{}` for a program: it is not loaded as one", program.name));
    }
    object.programs.retain(is_program);
    empty_data(object, &mut faults);
    if let Some(own) = own {
        maps(object, own, &mut faults)?;
        programs(object, own, &mut faults)?;
        self::functions(object, own, &mut faults)?;
        if object.kernel_version != own.kernel_version {
            faults.push(format!("reads another kernel version than {:#x}: it is corrected", own.kernel_version));
            object.kernel_version = own.kernel_version;
        }
        completed_types(object, own, btf.as_ref(), &mut faults)?;
        // With this flag this crate relocates too, and aya-obj's relocation is compared with this crate's.
        object.core = own.core && cfg!(feature = "core-relo");
    }
    if let Some(aya) = &mut object.aya {
        (aya.is_mended, aya.is_compared) = (true, own.is_some());
    }
    Ok(faults)
}

/// Corrects the sizes of keys and values. aya-obj multiplies the size of an array's elements by the innermost length
/// alone: `u64[4][8]` has 64 bytes by aya-obj, and 256 in C. A size that differs from both was set by the
/// caller.
fn sizes(map: &mut MapSpec, btf: &Btf<'_>, faults: &mut Vec<String>) {
    let MapSpec { name, key_size, value_size, btf_key_type_id, btf_value_type_id, inner, contents, .. } = map;
    if contents.is_some() {
        return;
    }
    for (what, size, id) in [("key", key_size, *btf_key_type_id), ("value", value_size, *btf_value_type_id)] {
        let Some(known) = btf.size_of(id).filter(|known| id != 0 && *known != *size) else { continue };
        if innermost(btf, id).and_then(|array| btf.size_of(array)) != Some(*size) {
            continue;
        }
        faults.push(format!("says that the {what} of the map `{name}` has {size} bytes: it has {known}"));
        *size = known;
    }
    if let Some(inner) = inner {
        sizes(inner, btf, faults);
    }
}

/// Returns the innermost array of an array of arrays.
fn innermost(btf: &Btf<'_>, id: u32) -> Option<u32> {
    let (mut id, mut innermost) = (id, None);
    for _ in 0..DEEPEST {
        let ty = btf.resolve(id)?;
        let Some(array) = ty.array() else { return innermost };
        (id, innermost) = (array.element, Some(ty.id()));
    }
    None
}

/// Gives maps of data without contents a byte of data. aya-obj takes a map for a data section only if it has data, so
/// references to a section that claims bytes and has none in the file would refer to the map, not to its value.
fn empty_data(object: &mut Object, faults: &mut Vec<String>) {
    let Some(aya) = &mut object.aya else { return };
    for (name, map) in aya.maps.iter_mut().filter(|(_, map)| is_data(map) && map.value_size() != 0) {
        if map.data().is_empty() {
            faults
                .push(format!("takes references to variables in `{name}` for references to a map: they are corrected"));
            map.data_mut().push(0);
        }
    }
}

/// Gives the maps the attributes that this crate finds.
fn maps(object: &mut Object, own: &Object, faults: &mut Vec<String>) -> Result<(), Error> {
    let known: HashMap<&str, &MapSpec> = own.maps.iter().map(|map| (map.name.as_str(), map)).collect();
    if let Some(map) = object.maps.iter().find(|map| !known.contains_key(map.name.as_str())) {
        return Err(disagrees(format!("aya-obj finds a map `{}`, which is not a map here", map.name)));
    }
    let found: HashSet<&str> = object.maps.iter().map(|map| map.name.as_str()).collect();
    if let Some(map) = own.maps.iter().find(|map| !found.contains(map.name.as_str())) {
        return Err(disagrees(format!("aya-obj does not find its map `{}`", map.name)));
    }
    for map in &mut object.maps {
        let Some(&known) = known.get(map.name.as_str()) else { continue };
        if map.initial_entries != known.initial_entries {
            faults.push(format!("leaves the initial entries of the map `{}` empty: they are set", map.name));
        }
        if map.numa_node != known.numa_node {
            faults.push(format!("ignores the NUMA node {} of the map `{}`: it is set", known.numa_node, map.name));
        }
        if !is_same_contents(map, known) {
            faults.push(format!("reads other initial contents of `{}`: they are corrected", map.name));
        }
        if attributes(map) != attributes(known) {
            faults.push(format!("reads other attributes of the map `{}`: they are corrected", map.name));
        }
        if map.globals != known.globals {
            faults.push(format!("ignores the variables in the arena `{}`: they are set", map.name));
        }
        *map = known.clone();
    }
    Ok(())
}

/// Returns the attributes that a map and its inner maps are created with.
fn attributes(map: &MapSpec) -> Vec<impl PartialEq + use<>> {
    let maps = std::iter::successors(Some(map), |map| map.inner.as_deref());
    maps.map(|map| {
        (
            (map.map_type, map.key_size, map.value_size, map.max_entries, map.map_flags.bits(), map.map_extra),
            (map.pinning, map.btf_key_type_id, map.btf_value_type_id, map.struct_ops.is_some()),
        )
    })
    .collect()
}

/// Gives the programs the kinds that this crate finds.
fn programs(object: &mut Object, own: &Object, faults: &mut Vec<String>) -> Result<(), Error> {
    let known: HashMap<&str, &ProgramSpec> =
        own.programs.iter().map(|program| (program.name.as_str(), program)).collect();
    let is_known =
        |program: &ProgramSpec| known.get(program.name.as_str()).is_some_and(|known| known.entry == program.entry);
    for program in object.programs.iter().filter(|program| !is_known(program)) {
        faults.push(format!("takes `{}` for a program: it is not loaded as one", program.name));
    }
    object.programs.retain(is_known);
    if object.programs.len() != own.programs.len() {
        let found: HashSet<&str> = object.programs.iter().map(|program| program.name.as_str()).collect();
        let missing = own.programs.iter().find(|program| !found.contains(program.name.as_str()));
        let name = missing.map_or("", |program| program.name.as_str());
        return Err(disagrees(format!("aya-obj does not find its program `{name}`")));
    }
    for program in &mut object.programs {
        let Some(&known) = known.get(program.name.as_str()) else { continue };
        if program.section != known.section {
            faults.push(format!("reads another kind of the program `{}`: it is corrected", program.name));
            program.section.clone_from(&known.section);
        }
    }
    Ok(())
}

/// Compares the functions, whose instructions this crate's linker takes from here too, and gives them the types and
/// lines that this crate finds.
fn functions(object: &mut Object, own: &Object, faults: &mut Vec<String>) -> Result<(), Error> {
    let called = function::called(&own.elf, &own.functions);
    let programs = Sorted::of(own.programs.iter().map(|program| (program.entry, ())));
    let (mut functions, mut are_same) = (Vec::new(), true);
    for (start, known) in own.functions.iter() {
        match object.functions.get(start) {
            Some(read) if read.instructions == known.instructions => {
                are_same &= read.func_info == known.func_info && read.line_info == known.line_info;
                functions.push((*start, known.clone()));
            }
            Some(_) => {
                return Err(disagrees(format!("aya-obj reads other instructions of the function `{}`", known.name)));
            }
            None if programs.get(start).is_some() || called.get(start).is_some() => {
                return Err(disagrees(format!("aya-obj does not find its function `{}`", known.name)));
            }
            // No program calls it.
            None => {}
        }
    }
    if !are_same {
        faults.push("reads other types or lines of functions: they are corrected".to_owned());
    }
    object.functions = Sorted::in_order(functions);
    Ok(())
}

/// Replaces aya-obj's completed BTF by this crate's if they differ.
fn completed_types(
    object: &mut Object,
    own: &Object,
    read: Option<&Btf<'_>>,
    faults: &mut Vec<String>,
) -> Result<(), Error> {
    let Some(bytes) = btf::completed(&own.elf, &own.externs)? else { return Ok(()) };
    let known = btf::read(&bytes)?;
    let fault = match read {
        Some(read) => types::difference(&known, read),
        None => Some("omits the types".to_owned()),
    };
    if let (Some(fault), Some(aya)) = (fault, &mut object.aya) {
        faults.push(format!("{fault}: it is corrected"));
        aya.types = Some(Arc::from(bytes));
    }
    Ok(())
}

fn disagrees(why: String) -> Error {
    Error::Object { why: format!("{why}: read it with this loader's own reader") }
}
