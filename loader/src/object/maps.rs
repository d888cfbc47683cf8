//! Map descriptions, in the three forms that objects have them.
//!
//! **Data sections** (`.data`, `.rodata`, `.bss` and their siblings) each become an array with one element, the
//! section, which is frozen if it holds constants, and otherwise can be mapped.
//!
//! **`.kconfig`**, which exists in BTF alone, becomes another: constants of the kernel's configuration.
//!
//! **`.maps`** holds no data worth reading: the description is in the *types* of its variables, since those survive
//! what compilers do to data. `__uint(max_entries, 64)` is a pointer to an array of 64 ints, `__ulong(map_extra, 5)` an
//! enumeration whose only value is 5, `__type(key, u32)` a pointer to the type, `__array(values, …)` an array of
//! pointers to what the map holds. Addresses that the variable starts with (`.values = { &inner }`) are relocations.
//!
//! **`.addr_space.1`** holds global variables that lie in the object's one arena.
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

/// All maps of the object: data first, each group in the file's order.
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

/// Gives these variables to the arena.
fn in_arena(elf: &Elf, maps: &mut [MapSpec]) -> Result<(), Error> {
    let mut sections = elf.sections().filter(|(_, section)| section.name == ARENA && section.size != 0);
    let Some((index, section)) = sections.next() else { return Ok(()) };
    let mut arenas = maps.iter_mut().filter(|map| map.map_type == MapType::ARENA);
    let (Some(arena), None, None) = (arenas.next(), arenas.next(), sections.next()) else {
        return Err(broken(format_args!(
            "it has global variables in an arena (section {ARENA}), and not one arena for them"
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
        let mut map = MapSpec::new(&section.name, MapType::ARRAY, Location::Section(index));
        (map.key_size, map.value_size, map.max_entries) = (4, section.size as u32, 1);
        map.map_flags = if constant { MapFlags::RDONLY_PROG } else { MapFlags::MMAPABLE };
        // .bss is what a new map holds anyway: zeroes.
        map.contents = match &section.bytes {
            Some(bytes) => Some(Contents::new(Arc::clone(bytes), constant)),
            None => constant.then(|| Contents::new(Arc::from([]), constant)),
        };
        map.btf_value_type_id = btf.and_then(|btf| btf.find(Kind::Datasec, &section.name)).map_or(0, Type::id);
        maps.push(map);
    }
    maps
}

/// The constants of the kernel's configuration, whose values are known once there is a kernel.
fn kconfig(btf: Option<&Btf<'_>>, externs: &[Extern]) -> Option<MapSpec> {
    let size = externs::config_size(externs);
    let mut map = MapSpec::new(KCONFIG, MapType::ARRAY, Location::Kconfig);
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
                    "the map `{}` has a description of {} bytes, and 20 are the least",
                    symbol.name, symbol.size
                )));
            };
            let [map_type, key_size, value_size, max_entries, flags] =
                [map_type, key_size, value_size, max_entries, flags].map(|word| u32::from_ne_bytes(*word));
            let mut map = MapSpec::new(&symbol.name, MapType(map_type), Location::Symbol(number));
            (map.key_size, map.value_size, map.max_entries) = (key_size, value_size, max_entries);
            map.map_flags = MapFlags::from_bits_retain(flags);
            // iproute2 and bcc put other things behind the five; one of them is whether to pin.
            if let Some(pinning) = rest.get(1).map(|word| u32::from_ne_bytes(*word)) {
                match pinning {
                    0 => {}
                    1 => map.pinning = Pinning::ByName,
                    value => warnings.push(Warning::Pinning { map: map.name.clone(), value }),
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
    // Many maps in the same bytes could ask for any amount of memory.
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
                addresses = addresses
                    .checked_sub(1)
                    .ok_or_else(|| broken(format_args!("the map `{name}` lies where others do")))?;
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

/// One map from the members of the structure that describes it.
fn definition_of(name: &str, location: Location, definition: Type<'_>, btf: &Btf<'_>) -> Result<MapSpec, Error> {
    let mut map = MapSpec::new(name, MapType(0), location);
    let (mut flags, mut pinning) = (0, 0);
    for member in definition.members() {
        let (field, id) = (shown(member.name), member.type_id);
        let nonsense =
            || broken(format_args!("the map `{name}` has a `{field}` that is not of the form libbpf gives it"));
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

/// A size, which two fields may tell: `__uint(key_size, 4)` and `__type(key, int)`.
fn agreed(name: &str, what: &str, before: u32, now: u32) -> Result<u32, Error> {
    if before == 0 || before == now {
        return Ok(now);
    }
    if !cfg!(feature = "advice") {
        return Err(broken(format_args!("the map `{name}` has two sizes of its {what}")));
    }
    Err(broken(format_args!("the map `{name}` says that its {what} has {before} bytes and that it has {now}")))
}

/// `__uint`: a pointer to an array of so many; `__ulong`: an enumeration of one value.
fn number(btf: &Btf<'_>, id: u32) -> Option<u64> {
    let ty = btf.resolve(id)?;
    match ty.kind() {
        Kind::Ptr => Some(u64::from(btf.resolve(ty.referred())?.array()?.len)),
        Kind::Enum | Kind::Enum64 => ty.value(0).map(|value| value.value),
        _ => None,
    }
}

/// `__type`: the type that a pointer points to, and its size.
fn pointed_to(btf: &Btf<'_>, id: u32) -> Option<(u32, u32)> {
    let ty = btf.resolve(id).filter(|ty| ty.kind() == Kind::Ptr)?;
    Some((ty.referred(), btf.size_of(ty.referred())?))
}

/// `__array(values, …)`: what the pointers in the array point to.
fn held<'b>(btf: &'b Btf<'b>, id: u32) -> Option<Type<'b>> {
    let element = btf.resolve(btf.resolve(id)?.array()?.element)?;
    btf.resolve(element.referred()).filter(|_| element.kind() == Kind::Ptr)
}

#[cold]
#[inline(never)]
fn broken(why: fmt::Arguments<'_>) -> Error {
    Error::Object { why: why.to_string() }
}
