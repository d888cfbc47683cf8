//! What the options change in the object before it is loaded: which programs, of which type, the sizes of maps, the
//! directory of pins.

use cutaway::{MapSpec, MapType, Object, Pinning};

use super::{
    arguments::{Arguments, pairs},
    attach, effects, record_type, skipped,
};
use crate::error::CliError;

/// Changes the object as the options say.
pub(super) fn make(object: &mut Object, arguments: &Arguments) -> Result<(), CliError> {
    effects::once(arguments)?;
    for (name, section) in pairs(&arguments.sections) {
        if let Some(why) = skipped::why_static(object, name) {
            return Err(CliError::new(format!("cannot run `{name}`: {why}")));
        }
        object.set_section(name, section)?;
    }
    choose(object, arguments)?;
    for (name, target) in pairs(&arguments.targets) {
        let program = object.program_mut(name)?;
        if !attach::is_given_an_attach_point(program) {
            program.set_attach_target(target)?;
        }
    }
    // The targets of programs are known now.
    effects::check(object, arguments)?;
    size(object, arguments)?;
    if let Some(folder) = &arguments.pins {
        object.set_pin_root(folder);
    }
    Ok(())
}

/// Which programs are loaded.
fn choose(object: &mut Object, arguments: &Arguments) -> Result<(), CliError> {
    let all: Vec<String> = object.programs().iter().map(|program| program.name.clone()).collect();
    for name in &arguments.programs {
        if !all.contains(name)
            && let Some(why) = skipped::why_no_program(object, name)
        {
            return Err(CliError::new(format!("cannot run `{name}`: {why}")));
        }
        object.program_mut(name)?.section.autoload = true;
    }
    for name in all.iter().filter(|name| !arguments.programs.is_empty() && !arguments.programs.contains(name)) {
        object.program_mut(name)?.section.autoload = false;
    }
    Ok(())
}

/// How large the maps are, and which are pinned.
fn size(object: &mut Object, arguments: &Arguments) -> Result<(), CliError> {
    let names: Vec<String> = object.maps().iter().map(|map| map.name.clone()).collect();
    for name in names {
        let map = object.map_mut(&name)?;
        if arguments.pins.is_none() {
            map.pinning = Pinning::None;
        }
        if let (Some(bytes), MapType::RINGBUF) = (arguments.buffer, map.map_type) {
            map.max_entries = bytes;
        }
    }
    for (name, number) in pairs(&arguments.max_entries) {
        let entries =
            number.parse().map_err(|_| CliError::usage(format!("--max-entries {name}={number}: no number")))?;
        object.map_mut(name)?.max_entries = entries;
    }
    let empty: Vec<String> = object.maps().iter().filter(|map| wants_a_size(map)).map(|map| map.name.clone()).collect();
    let Some(first) = empty.first() else { return Ok(()) };
    let all: Vec<String> = empty.iter().map(|name| format!("`{name}`")).collect();
    Err(CliError::new(format!(
        "cannot create {} {}: max_entries is 0, for user space to set; say how many elements with --max-entries '{first}=N'",
        if all.len() == 1 { "the map" } else { "the maps" },
        record_type::some(&all, ", ")
    )))
}

/// Whether the kernel refuses the map as it is: those that take 0 are corrected by the loader, or have no elements of
/// their own.
fn wants_a_size(map: &MapSpec) -> bool {
    type T = MapType;
    const COUNTED: [MapType; 23] = [
        T::HASH,
        T::ARRAY,
        T::PROG_ARRAY,
        T::PERCPU_HASH,
        T::PERCPU_ARRAY,
        T::STACK_TRACE,
        T::CGROUP_ARRAY,
        T::LRU_HASH,
        T::LRU_PERCPU_HASH,
        T::LPM_TRIE,
        T::ARRAY_OF_MAPS,
        T::HASH_OF_MAPS,
        T::DEVMAP,
        T::SOCKMAP,
        T::CPUMAP,
        T::XSKMAP,
        T::SOCKHASH,
        T::REUSEPORT_SOCKARRAY,
        T::QUEUE,
        T::STACK,
        T::DEVMAP_HASH,
        T::BLOOM_FILTER,
        T::ARENA,
    ];
    map.autocreate && map.max_entries == 0 && COUNTED.contains(&map.map_type)
}
