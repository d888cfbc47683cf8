//! Reads the struct_ops maps of an object: structures of functions that the kernel calls.
//!
//! A variable in the section `.struct_ops` or `.struct_ops.link` is a struct_ops map. Its type is a structure that the
//! kernel has, too (`struct tcp_congestion_ops`). Its bytes are initial values. A function pointer in it is a
//! relocation to a program of a section `struct_ops/…`.

use super::specs::{MapSpec, Table};
use crate::{
    Error, MapType,
    btf::{Btf, Kind, Type},
    elf::{Elf, Location},
    gate::READS_STRUCT_OPS,
};

/// Reads the object's struct_ops maps.
pub(super) fn read(elf: &Elf, btf: &Btf<'_>) -> Result<Vec<MapSpec>, Error> {
    let mut maps = Vec::new();
    for (index, section) in elf.sections() {
        let name = section.name.strip_prefix('?').unwrap_or(&section.name);
        if !matches!(name, ".struct_ops" | ".struct_ops.link") {
            continue;
        }
        let Some(description) = btf.find(Kind::Datasec, &section.name) else {
            return Err(broken(format!("its section `{}` has no types that describe it", section.name)));
        };
        let variables: Vec<_> = description.section_vars().map(|variable| btf.ty(variable.type_id)).collect();
        let (mut room, mut addresses) = (section.size, elf.references(index).count());
        for (number, symbol) in elf.symbols_in(index) {
            let mut table = || -> Option<Table> {
                let variable = variables.iter().find(|variable| variable.name_bytes() == symbol.name.as_bytes())?;
                let structure = btf.resolve(variable.referred()).filter(|ty| ty.kind() == Kind::Struct)?;
                let size = u64::from(structure.size());
                // Limits the memory: many structures that overlap in the file could ask for any amount.
                room = room.checked_sub(size)?;
                let bytes = section.bytes_at(symbol.address, size)?.to_vec();
                let programs =
                    elf.references_in(index, symbol.address..symbol.address + size).map(|(offset, target)| {
                        addresses = addresses.checked_sub(1)?;
                        // A section symbol is at the section's start, and the word itself holds the offset.
                        let within = section.bytes_at(offset, 8).and_then(<[u8]>::first_chunk).copied();
                        let within =
                            if target.is_section { within.map_or(0, u64::from_ne_bytes) } else { target.address };
                        Some(((offset - symbol.address) as u32, (target.section?, within)))
                    });
                Some(Table {
                    has_link_flag: name == ".struct_ops.link",
                    type_id: structure.id(),
                    programs: programs.collect::<Option<_>>()?,
                    bytes,
                })
            };
            let mut map = MapSpec::at(&symbol.name, MapType::STRUCT_OPS, Location::Symbol(number));
            map.autocreate = !section.name.starts_with('?');
            if READS_STRUCT_OPS {
                let table = table();
                let table = table.ok_or_else(|| broken(format!("its struct_ops map `{}` is broken", symbol.name)))?;
                map.struct_ops = Some(Box::new(table));
                (map.key_size, map.value_size, map.max_entries) = (4, size_of_table(btf, &map), 1);
            }
            maps.push(map);
        }
    }
    Ok(maps)
}

/// Returns the size of the object's structure. The kernel wraps its own in a larger one.
fn size_of_table(btf: &Btf<'_>, map: &MapSpec) -> u32 {
    map.struct_ops.as_ref().map_or(0, |table| Type::size(btf.ty(table.type_id)))
}

fn broken(why: String) -> Error {
    Error::Object { why }
}
