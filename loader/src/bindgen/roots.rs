//! Finds what a module is about: the object's maps, programs and variables, and their types.

use std::collections::HashSet;

use super::{
    collect::Collector,
    items::{Item, Items, MapTypes, VariableType, describe_map},
    model::Ty,
    naming::shown,
    options::Options,
    records::{self, Records},
};
use crate::{
    Error, MapSpec, MapType, Object,
    btf::{Btf, Kind},
    text::no_such,
};

/// The largest global variable that gets a type, in bytes: it is read by value.
const LARGEST_VARIABLE: u32 = 1 << 16;

/// Collects the definitions of all types that the object's maps, variables and records have, and of those that the
/// options name.
pub(super) fn collect(object: &Object, options: &Options, collector: &mut Collector<'_>) -> Result<Items, Error> {
    let btf = collector.btf;
    let records = records::of(object, btf);
    let mut items = Items::default();
    for map in object.maps() {
        let detail = map_types(map, collector)?;
        items.maps.push(Item { name: map.name.clone(), doc: String::new(), detail });
    }
    // If several variables have the same name, the crate finds the first.
    let mut known = HashSet::new();
    for variable in object.variables().iter().filter(|variable| known.insert(&variable.name)) {
        let mut ty = match variable.type_id {
            Some(id) => collector.ty(id, &variable.name)?,
            None => None,
        };
        ty = ty.filter(|ty| collector.defs.size(ty) == variable.size && variable.size <= LARGEST_VARIABLE);
        let constant = if variable.constant { ", a constant once loaded" } else { "" };
        let c_type = variable.type_name.as_deref().map_or_else(String::new, |name| format!(" (`{}`)", shown(name)));
        let doc = format!("`{}`{c_type}, in `{}`{constant}.", shown(&variable.name), shown(&variable.section));
        let is_settable = variable.section != ".kconfig";
        items.variables.push(Item { name: variable.name.clone(), doc, detail: VariableType { ty, is_settable } });
    }
    for program in object.programs() {
        let doc = format!("the program `{}` (section `{}`).", shown(&program.name), shown(&program.section_name));
        items.programs.push(Item { name: program.name.clone(), doc, detail: () });
    }
    for &id in &records.types {
        collector.ty(id, "record")?;
    }
    for name in &options.type_names {
        let id = find(btf, name).ok_or_else(|| {
            let kinds = [Kind::Struct, Kind::Union, Kind::Enum, Kind::Enum64];
            let named = btf.types().filter(|ty| kinds.contains(&ty.kind()) && !ty.name_bytes().is_empty());
            let names: Vec<String> = named.map(|ty| ty.to_string()).collect();
            no_such("type", name, names.iter().map(String::as_str))
        })?;
        if collector.ty(id, name)?.is_none() {
            return Err(Error::Invalid {
                operation: format!("generate the type `{name}`"),
                why: "it has no size, or too many bytes for a value in Rust".to_owned(),
            });
        }
    }
    for (item, map) in items.maps.iter_mut().zip(object.maps()) {
        let names = record_names(&records, &map.name, collector)?;
        item.doc = describe_map(&map.name, &map.map_type.to_string(), map.max_entries, &names);
    }
    Ok(items)
}

/// Returns the names in Rust of the types that a map's records may have.
fn record_names(records: &Records, map: &str, collector: &mut Collector<'_>) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for &id in records.of_map.get(map).into_iter().flatten() {
        if let Some(ty @ Ty::Def(_)) = collector.ty(id, "record")? {
            names.push(collector.defs.text(&ty));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Returns the types of a map's keys and values, if the object gives them and elements are copied as bytes.
fn map_types(map: &MapSpec, collector: &mut Collector<'_>) -> Result<MapTypes, Error> {
    // For inner maps, only the types are of use: programs and users create them.
    if let Some(inner) = &map.inner {
        map_types(inner, collector)?;
    }
    let is_data = map.name.starts_with('.');
    let mut ty = |id: Option<u32>, size: u32, what: &str| match id {
        Some(id) if !is_data => {
            let ty = collector.ty(id, &format!("{}_{what}", map.name))?;
            Ok::<_, Error>(ty.filter(|ty| collector.defs.size(ty) == size))
        }
        _ => Ok(None),
    };
    let (key, value) = (ty(map.key_type(), map.key_size, "key")?, ty(map.value_type(), map.value_size, "value")?);
    let is_array = matches!(map.map_type, MapType::ARRAY | MapType::PERCPU_ARRAY);
    let is_keyless = matches!(map.map_type, MapType::QUEUE | MapType::STACK | MapType::BLOOM_FILTER);
    let holds_fds = matches!(
        map.map_type,
        MapType::PROG_ARRAY
            | MapType::PERF_EVENT_ARRAY
            | MapType::CGROUP_ARRAY
            | MapType::ARRAY_OF_MAPS
            | MapType::HASH_OF_MAPS
            | MapType::RINGBUF
            | MapType::USER_RINGBUF
            | MapType::ARENA
            | MapType::STACK_TRACE
            | MapType::SOCKMAP
            | MapType::SOCKHASH
            | MapType::XSKMAP
            | MapType::REUSEPORT_SOCKARRAY
    );
    Ok(match (key, value) {
        _ if map.map_type == MapType::STRUCT_OPS => MapTypes::StructOps,
        _ if holds_fds => MapTypes::Untyped,
        // The kernel's index is unsigned, whatever the object says.
        (_, Some(value)) if is_array && map.key_size == 4 => MapTypes::Typed { key: Some(Ty::Number("u32", 4)), value },
        (_, Some(value)) if is_keyless => MapTypes::Typed { key: None, value },
        (Some(key), Some(value)) => MapTypes::Typed { key: Some(key), value },
        _ => MapTypes::Untyped,
    })
}

/// Finds a type by its name in C, with or without its keyword.
fn find(btf: &Btf<'_>, name: &str) -> Option<u32> {
    let (keyword, plain) = name.split_once(' ').map_or(("", name), |(keyword, plain)| (keyword, plain.trim()));
    let kinds: &[&[Kind]] = match keyword {
        "struct" => &[&[Kind::Struct]],
        "union" => &[&[Kind::Union]],
        "enum" => &[&[Kind::Enum, Kind::Enum64]],
        _ => &[&[Kind::Struct], &[Kind::Typedef], &[Kind::Union], &[Kind::Enum, Kind::Enum64]],
    };
    let plain = if kinds.len() > 1 { name } else { plain };
    if plain.is_empty() {
        return None; // Not the first type without a name.
    }
    let of = |kinds: &&[Kind]| {
        btf.types().find(|ty| kinds.contains(&ty.kind()) && ty.name_bytes() == plain.as_bytes()).map(|ty| ty.id())
    };
    kinds.iter().find_map(of)
}
