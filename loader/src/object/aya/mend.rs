//! What aya-obj leaves out or gets wrong, and this crate knows better.

use crate::{
    btf::Btf,
    object::{MapSpec, Object, ProgramSpec, btf},
};

/// Corrects the object by its types, and by `own`, this crate's reading of the same file, if there is one. Returns what
/// was corrected, each as a sentence about aya-obj.
pub(super) fn mend(object: &mut Object, own: Option<&Object>) -> Vec<String> {
    let mut faults = Vec::new();
    let types = object.aya.as_ref().and_then(|aya| aya.types.clone());
    let btf = types.as_deref().and_then(|bytes| btf::read(bytes).ok());
    for map in &mut object.maps {
        let known = own.and_then(|own| own.maps.iter().find(|known| known.name == map.name));
        if let Some(btf) = &btf {
            sizes(map, btf, &mut faults);
        }
        let Some(known) = known else { continue };
        if map.initial_entries != known.initial_entries {
            faults.push(format!("leaves the initial entries of the map `{}` empty: they are set", map.name));
            map.initial_entries.clone_from(&known.initial_entries);
        }
        if map.numa_node != known.numa_node {
            faults.push(format!("ignores the NUMA node {} of the map `{}`: it is set", known.numa_node, map.name));
            map.numa_node = known.numa_node;
        }
    }
    let functions = &object.functions;
    let is_program = |program: &ProgramSpec| functions.get(&program.entry).is_none_or(|function| function.global);
    for program in object.programs.iter().filter(|program| !is_program(program)) {
        faults.push(format!("takes the static function `{}` for a program: it is not loaded as one", program.name));
    }
    object.programs.retain(is_program);
    if let Some(aya) = &mut object.aya {
        aya.is_mended = true;
    }
    faults
}

/// aya-obj multiplies the size of an array's elements by the innermost length alone: `u64[4][8]` has 64 bytes there, and
/// 256 in C.
fn sizes(map: &mut MapSpec, btf: &Btf<'_>, faults: &mut Vec<String>) {
    let MapSpec { name, key_size, value_size, btf_key_type_id, btf_value_type_id, inner, contents, .. } = map;
    if contents.is_some() {
        return;
    }
    for (what, size, id) in [("key", key_size, *btf_key_type_id), ("value", value_size, *btf_value_type_id)] {
        let Some(known) = btf.size_of(id).filter(|known| id != 0 && *known != *size) else { continue };
        faults.push(format!("says that the {what} of the map `{name}` has {size} bytes: it has {known}"));
        *size = known;
    }
    if let Some(inner) = inner {
        sizes(inner, btf, faults);
    }
}
