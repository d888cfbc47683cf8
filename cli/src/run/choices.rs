//! Changes the object by the options before it is loaded: which programs run, their sections and targets, the sizes of
//! maps, the directory of pins,
//! and whether losses are counted.

use std::path::Path;

use cutaway::{MapSpec, MapType, Object, Pinning};

use super::{
    arguments::Arguments,
    attach, effects,
    program_args::{ProgramArgs, pairs},
    record_type, skipped,
};
use crate::{args::scaled, error::CliError, object_arg::read_whole_as};

/// Applies the options of `cutaway run` to the object.
pub(super) fn apply(object: &mut Object, arguments: &Arguments) -> Result<(), CliError> {
    effects::check_types(arguments)?;
    apply_to_programs(object, &arguments.program)?;
    effects::check_maps(object, arguments)?;
    for map in names_of_maps(object) {
        let map = object.map_mut(&map)?;
        if arguments.pins.is_none() {
            map.pinning = Pinning::None;
        }
        if let (Some(bytes), MapType::RINGBUF) = (arguments.buffer, map.map_type) {
            map.max_entries = bytes;
        }
    }
    if let Some(directory) = &arguments.pins {
        object.set_pin_root(directory);
    }
    if !arguments.no_count_losses {
        object.count_losses();
    }
    size_maps(object, &arguments.program)
}

/// Applies the options to an object whose maps are neither pinned nor taken from pins.
pub(crate) fn apply_unpinned(object: &mut Object, arguments: &ProgramArgs) -> Result<(), CliError> {
    apply_to_programs(object, arguments)?;
    for map in names_of_maps(object) {
        object.map_mut(&map)?.pinning = Pinning::None;
    }
    size_maps(object, arguments)
}

/// Reads the file of `--btf`.
pub(super) fn read_btf(file: &Path) -> Result<Vec<u8>, CliError> {
    read_whole_as(file, &format!("read `{}`", file.display()), "BTF")
}

/// Selects the programs, and sets their sections and targets.
fn apply_to_programs(object: &mut Object, arguments: &ProgramArgs) -> Result<(), CliError> {
    effects::check_duplicates(arguments)?;
    if let Some(file) = &arguments.btf {
        effects::check_btf(object)?;
        let bytes = read_btf(file)?;
        object.set_kernel_btf(&bytes).map_err(|error| CliError::new(format!("--btf {}: {error}", file.display())))?;
    }
    for (name, section) in pairs(&arguments.sections) {
        if let Some(why) = skipped::why_static(object, name) {
            return Err(CliError::new(format!("cannot run `{name}`: {why}")));
        }
        object.set_section(name, section)?;
    }
    select_programs(object, arguments)?;
    for (name, target) in pairs(&arguments.targets) {
        let program = object.program_mut(name)?;
        if !attach::takes_attach_point(program) {
            program.set_attach_target(target)?;
        }
    }
    // The check reads the targets of the programs, which are set above.
    effects::check_programs(object, arguments)
}

/// Selects the programs to load.
fn select_programs(object: &mut Object, arguments: &ProgramArgs) -> Result<(), CliError> {
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

fn names_of_maps(object: &Object) -> Vec<String> {
    object.maps().iter().map(|map| map.name.clone()).collect()
}

/// Sets the sizes of the maps.
fn size_maps(object: &mut Object, arguments: &ProgramArgs) -> Result<(), CliError> {
    for (name, number) in pairs(&arguments.max_entries) {
        let entries = scaled(number)
            .ok_or_else(|| CliError::usage(format!("--max-entries {name}={number}: N is not a number")))?;
        object.map_mut(name)?.max_entries = entries;
    }
    let empty: Vec<String> =
        object.maps().iter().filter(|map| requires_size(map)).map(|map| map.name.clone()).collect();
    let Some(first) = empty.first() else { return Ok(()) };
    let all: Vec<String> = empty.iter().map(|name| format!("`{name}`")).collect();
    Err(CliError::new(format!(
        "cannot create {} {}: max_entries is 0; set the number of elements with --max-entries '{first}=N'",
        if all.len() == 1 { "the map" } else { "the maps" },
        record_type::abbreviated(&all, ", ")
    )))
}

/// Returns whether the kernel refuses the map because its `max_entries` is 0. For other types the loader corrects 0, or
/// the kernel accepts 0 because the map has no elements of its own.
fn requires_size(map: &MapSpec) -> bool {
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
