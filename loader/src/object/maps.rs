//! Reads map descriptions, in each of the forms that objects have.
//!
//! **Data sections** (`.data`, `.rodata`, `.bss` and their siblings): each becomes an array with one element, the
//! section. It is frozen if it holds constants, and `mmap`-able otherwise.
//!
//! **`.kconfig`**, which exists only in BTF, becomes an array as well: the constants of the kernel's configuration.
//!
//! **`.maps`**: the description is in the *types* of its variables, since types survive what compilers do to data; its
//! data is not used. `__uint(max_entries, 64)` is a pointer to an array of 64 ints. `__ulong(map_extra, 5)` is an
//! enumeration whose only value is 5. `__type(key, u32)` is a pointer to the type. `__array(values, …)` is an array of
//! pointers to the type of the elements. Initial elements (`.values = { &inner }`) are relocations.
//!
//! **`.addr_space.1`** holds global variables in the object's only arena.
//!
//! **`maps`**, the old form, holds five numbers for each map: type, key size, value size, entries, flags.

use std::{fmt, sync::Arc};

use super::{
    Contents, MapSpec, Pinning, Warning,
    externs::{self, Extern, KCONFIG},
    struct_ops,
};
use crate::{
    Error, MapFlags, MapType,
    btf::{Btf, Kind, Type, shown},
    elf::{ARENA, Elf, Location, Section, is_struct_ops},
    gate::READS_EXTERNS,
};

/// Reads all maps of the object: data first, each group in the file's order.
pub(super) fn read(
    elf: &Elf,
    btf: Option<&Btf<'_>>,
    externs: &[Extern],
    warnings: &mut Vec<Warning>,
) -> Result<Vec<MapSpec>, Error> {
    let mut maps = data(elf, btf);
    if READS_EXTERNS {
        maps.extend(kconfig(btf, externs));
    }
    maps.extend(old(elf, warnings)?);
    let is_described =
        |section: &Section| section.size != 0 && (section.name == ".maps" || is_struct_ops(&section.name));
    if btf.is_none()
        && let Some(section) = elf.sections().map(|(_, section)| section).find(|section| is_described(section))
    {
        return Err(broken(format_args!(
            "its section {} describes maps by types, and it has no types (no section .BTF): compile it with `-g`",
            section.name
        )));
    }
    if let Some(btf) = btf {
        maps.extend(described_by_types(elf, btf)?);
        maps.extend(struct_ops::read(elf, btf)?);
    }
    in_arena(elf, &mut maps)?;
    Ok(maps)
}

/// Moves the variables of `.addr_space.1` into the arena.
fn in_arena(elf: &Elf, maps: &mut [MapSpec]) -> Result<(), Error> {
    let mut sections = elf.sections().filter(|(_, section)| section.name == ARENA && section.size != 0);
    let Some((index, section)) = sections.next() else { return Ok(()) };
    let mut arenas = maps.iter_mut().filter(|map| map.map_type == MapType::ARENA);
    let (Some(arena), None, None) = (arenas.next(), arenas.next(), sections.next()) else {
        return Err(broken(format_args!(
            "it has global variables in an arena (section {ARENA}), and not exactly one arena"
        )));
    };
    arena.globals = Some((index, section.size as u32));
    arena.contents = section.bytes.clone().map(|bytes| Contents::new(bytes, false));
    Ok(())
}

fn data(elf: &Elf, btf: Option<&Btf<'_>>) -> Vec<MapSpec> {
    let mut maps = Vec::new();
    for (index, section) in elf.sections() {
        let constant = section.name.starts_with(".rodata");
        if !section.is_data() || section.size == 0 {
            continue;
        }
        let mut map = MapSpec::at(&section.name, MapType::ARRAY, Location::Section(index));
        (map.key_size, map.value_size, map.max_entries) = (4, section.size as u32, 1);
        map.map_flags = if constant { MapFlags::RDONLY_PROG } else { MapFlags::MMAPABLE };
        // Without contents, a new map is all zeroes, as `.bss` is.
        map.contents = match &section.bytes {
            Some(bytes) => Some(Contents::new(Arc::clone(bytes), constant)),
            None => constant.then(|| Contents::new(Arc::from([]), constant)),
        };
        map.btf_value_type_id = btf.and_then(|btf| btf.find(Kind::Datasec, &section.name)).map_or(0, Type::id);
        maps.push(map);
    }
    maps
}

/// Describes the map of `.kconfig`. Its values are known only when the object is loaded.
fn kconfig(btf: Option<&Btf<'_>>, externs: &[Extern]) -> Option<MapSpec> {
    let size = externs::config_size(externs);
    let mut map = MapSpec::at(KCONFIG, MapType::ARRAY, Location::Kconfig);
    (map.key_size, map.value_size, map.max_entries) = (4, size, 1);
    map.map_flags = MapFlags::RDONLY_PROG;
    map.btf_value_type_id = btf.and_then(|btf| btf.find(Kind::Datasec, KCONFIG)).map_or(0, Type::id);
    (size != 0).then_some(map)
}

fn old(elf: &Elf, warnings: &mut Vec<Warning>) -> Result<Vec<MapSpec>, Error> {
    let mut maps = Vec::new();
    for (index, section) in elf.sections() {
        if section.executable || !(section.name == "maps" || section.name.starts_with("maps/")) {
            continue;
        }
        for (number, symbol) in elf.symbols_in(index) {
            let definition = section.bytes_at(symbol.address, symbol.size).unwrap_or_default();
            let (words, _) = definition.as_chunks::<4>();
            let [map_type, key_size, value_size, max_entries, flags, rest @ ..] = words else {
                return Err(broken(format_args!(
                    "the map `{}` has a description of {} bytes, fewer than 20",
                    symbol.name, symbol.size
                )));
            };
            let [map_type, key_size, value_size, max_entries, flags] =
                [map_type, key_size, value_size, max_entries, flags].map(|word| u32::from_ne_bytes(*word));
            let mut map = MapSpec::at(&symbol.name, MapType(map_type), Location::Symbol(number));
            (map.key_size, map.value_size, map.max_entries) = (key_size, value_size, max_entries);
            map.map_flags = MapFlags::from_bits_retain(flags);
            // iproute2 and bcc append fields to the five numbers; the second of these is the pinning.
            if let Some(pinning) = rest.get(1).map(|word| u32::from_ne_bytes(*word)) {
                match pinning {
                    0 => {}
                    1 => map.pinning = Pinning::ByName,
                    value if cfg!(feature = "advice") => {
                        warnings.push(Warning::Pinning { map: map.name.clone(), value });
                    }
                    _ => {}
                }
            }
            maps.push(map);
        }
    }
    Ok(maps)
}

fn described_by_types(elf: &Elf, btf: &Btf<'_>) -> Result<Vec<MapSpec>, Error> {
    let Some(section) = elf.position(b".maps") else {
        return Ok(Vec::new());
    };
    let variables = btf.listed(".maps");
    let mut maps = Vec::new();
    // Limits the memory: many maps that overlap in the file could ask for any amount.
    let mut addresses = elf.references(section).count();
    for (number, symbol) in elf.symbols_in(section) {
        let name = &symbol.name;
        let definition = variables
            .get(name.as_bytes())
            .filter(|ty| ty.kind() == Kind::Var)
            .and_then(|variable| btf.resolve(variable.referred()))
            .filter(|ty| ty.kind().is_composite())
            .ok_or_else(|| {
                broken(format_args!(
                    "the map `{name}` has no type that describes it: a variable in .maps is a structure (not a pointer to one), \
                     and its object is compiled with `-g`"
                ))
            })?;
        let mut map = definition_of(name, Location::Symbol(number), definition, btf)?;
        if let Some(values) = definition.members().find(|member| member.name == b"values") {
            let start = symbol.address.saturating_add(u64::from(values.bit_offset / 8));
            let held = elf.references_in(section, start..symbol.address + symbol.size);
            for (offset, target) in held {
                addresses =
                    addresses.checked_sub(1).ok_or_else(|| broken(format_args!("the map `{name}` overlaps others")))?;
                map.initial_entries.push((((offset - start) / 8) as u32, target.name.clone()));
            }
        }
        maps.push(map);
    }
    if maps.is_empty() && !variables.is_empty() {
        return Err(broken(format_args!("its section .maps has no symbols")));
    }
    Ok(maps)
}

/// Reads one map from the members of the structure that describes it.
fn definition_of(name: &str, location: Location, definition: Type<'_>, btf: &Btf<'_>) -> Result<MapSpec, Error> {
    let mut map = MapSpec::at(name, MapType(0), location);
    let (mut flags, mut pinning) = (0, 0);
    for member in definition.members() {
        let (field, id) = (shown(member.name), member.type_id);
        let nonsense = || broken(format_args!("the map `{name}` has a field `{field}` that is not in libbpf's form"));
        let mut size = 0;
        let number = match &*field {
            "type" => &mut map.map_type.0,
            "max_entries" => &mut map.max_entries,
            "map_flags" => &mut flags,
            "numa_node" => &mut map.numa_node,
            "pinning" => &mut pinning,
            "key_size" | "value_size" => &mut size,
            "map_extra" => {
                map.map_extra = self::number(btf, id).ok_or_else(nonsense)?;
                continue;
            }
            "key" | "value" => {
                let (id, size) = pointed_to(btf, id).ok_or_else(nonsense)?;
                let (type_id, known) = match &*field {
                    "key" => (&mut map.btf_key_type_id, &mut map.key_size),
                    _ => (&mut map.btf_value_type_id, &mut map.value_size),
                };
                (*type_id, *known) = (id, agreed(name, &field, *known, size)?);
                continue;
            }
            "values" => {
                let held = held(btf, id).ok_or_else(nonsense)?;
                map.value_size = agreed(name, "value", map.value_size, 4)?;
                if held.kind().is_composite() {
                    if location == Location::Nowhere {
                        return Err(broken(format_args!("the map `{name}` holds maps that hold maps")));
                    }
                    map.inner = Some(Box::new(definition_of(name, Location::Nowhere, held, btf)?));
                }
                continue;
            }
            _ => {
                return Err(broken(format_args!(
                    "the map `{name}` has a field `{field}` that this loader does not know"
                )));
            }
        };
        *number = self::number(btf, id).and_then(|number| u32::try_from(number).ok()).ok_or_else(nonsense)?;
        match &*field {
            "key_size" => map.key_size = agreed(name, "key", map.key_size, size)?,
            "value_size" => map.value_size = agreed(name, "value", map.value_size, size)?,
            _ => {}
        }
    }
    map.map_flags = MapFlags::from_bits_retain(flags);
    map.pinning = match pinning {
        0 => Pinning::None,
        1 => Pinning::ByName,
        value => {
            return Err(broken(format_args!(
                "the map `{name}` asks for pinning {value}; there are 0 (LIBBPF_PIN_NONE) and 1 (LIBBPF_PIN_BY_NAME)"
            )));
        }
    };
    Ok(map)
}

/// Checks a size that two fields may give: `__uint(key_size, 4)` and `__type(key, int)`.
fn agreed(name: &str, what: &str, before: u32, now: u32) -> Result<u32, Error> {
    if before == 0 || before == now {
        return Ok(now);
    }
    if !cfg!(feature = "advice") {
        return Err(broken(format_args!("the map `{name}` has two sizes of its {what}")));
    }
    Err(broken(format_args!("the map `{name}` says that its {what} has {before} bytes and that it has {now}")))
}

/// Reads `__uint` (the length of the array that it points to) or `__ulong` (the value of the enumeration).
fn number(btf: &Btf<'_>, id: u32) -> Option<u64> {
    let ty = btf.resolve(id)?;
    match ty.kind() {
        Kind::Ptr => Some(u64::from(btf.resolve(ty.referred())?.array()?.len)),
        Kind::Enum | Kind::Enum64 => ty.value(0).map(|value| value.value),
        _ => None,
    }
}

/// Reads `__type`: the type that the pointer points to, and its size.
fn pointed_to(btf: &Btf<'_>, id: u32) -> Option<(u32, u32)> {
    let ty = btf.resolve(id).filter(|ty| ty.kind() == Kind::Ptr)?;
    Some((ty.referred(), btf.size_of(ty.referred())?))
}

/// Reads `__array(values, …)`: the type that the pointers in the array point to.
fn held<'b>(btf: &'b Btf<'b>, id: u32) -> Option<Type<'b>> {
    let element = btf.resolve(btf.resolve(id)?.array()?.element)?;
    btf.resolve(element.referred()).filter(|_| element.kind() == Kind::Ptr)
}

#[cold]
#[inline(never)]
fn broken(why: fmt::Arguments<'_>) -> Error {
    Error::Object { why: why.to_string() }
}
