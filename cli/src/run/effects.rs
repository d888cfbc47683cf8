//! Refuses options without effect before anything is loaded. The error says what the option applies to.
//!
//! | option | applies to |
//! | --- | --- |
//! | `--interface` | programs on interfaces without a target from `--attach` |
//! | `--cgroup` | programs on cgroups without a target from `--attach`, iterators over cgroups |
//! | `--frequency` | programs on perf events |
//! | `--pid` | probes of user space, perf events, iterators over tasks |
//! | `--attach`, `--section` | a program that runs |
//! | `--buffer` | perf event arrays, and rings without a size from `--max-entries` |
//! | `--type`, `--count`, `--filter`, `--only-command` | objects with a buffer that is read |
//! | `--timestamps` | the same, and objects whose programs print text |
//! | `--maps=NAME` | maps with elements |
//! | `--pins` | maps that the object pins by name |
//! | `--btf` | objects with CO-RE relocations |
//!
//! A second value for the same name is refused, because only one value can have an effect.

use std::collections::BTreeSet;

use cutaway::{AttachField, MapFlags, MapSpec, MapType, Object, Pinning, ProgramSpec};

use super::{
    arguments::{Arguments, Format},
    attach::takes_attach_point,
    maps,
    prints::Printing,
    program_args::{ProgramArgs, pairs},
    record_type::abbreviated,
};
use crate::error::CliError;

/// Refuses a second value for the same name.
pub(super) fn check_duplicates(arguments: &ProgramArgs) -> Result<(), CliError> {
    given_once(&[
        ("--attach", &arguments.targets),
        ("--section", &arguments.sections),
        ("--set", &arguments.settings),
        ("--max-entries", &arguments.max_entries),
    ])
}

/// Refuses a second type for the same map, and `--type` with `--format hex`.
pub(super) fn check_types(arguments: &Arguments) -> Result<(), CliError> {
    given_once(&[("--type", &arguments.types)])?;
    if arguments.format == Format::Hex && !arguments.types.is_empty() {
        return Err(CliError::usage("--type has no effect with --format hex, which decodes nothing; drop one of them"));
    }
    Ok(())
}

fn given_once(options: &[(&str, &Vec<String>)]) -> Result<(), CliError> {
    for (option, given) in options {
        let mut names = BTreeSet::new();
        for text in *given {
            let name = text.split_once('=').map(|(name, _)| name);
            if !names.insert(name) {
                let whose = name.map_or_else(|| "all maps".to_owned(), |name| format!("`{name}`"));
                return Err(CliError::usage(format!("{option} is given twice for {whose}; give it once")));
            }
        }
    }
    Ok(())
}

/// Refuses `--btf` for an object that it does not apply to.
pub(super) fn check_btf(object: &Object) -> Result<(), CliError> {
    if object.has_core_relocations() {
        return Ok(());
    }
    Err(CliError::new("--btf has no effect: the object has no CO-RE relocations; drop it"))
}

/// Refuses the first option without effect on a program. The caller has selected the programs and set their targets.
pub(super) fn check_programs(object: &Object, arguments: &ProgramArgs) -> Result<(), CliError> {
    let selected: Vec<&ProgramSpec> = object.programs().iter().filter(|program| program.section.autoload).collect();
    // Without a program to run, that is the error, and not an option.
    if selected.is_empty() { Ok(()) } else { programs(object, &selected, arguments) }
}

fn programs(object: &Object, selected: &[&ProgramSpec], arguments: &ProgramArgs) -> Result<(), CliError> {
    for (option, given) in [("--attach", &arguments.targets), ("--section", &arguments.sections)] {
        for (name, _) in pairs(given) {
            // An unknown program is another error.
            let exists = object.programs().iter().any(|program| program.name == name);
            if exists && !selected.iter().any(|program| program.name == name) {
                return Err(CliError::new(format!(
                    "{option} '{name}=…' has no effect: the program `{name}` is not selected; select it with --program \
                     {name}"
                )));
            }
        }
    }
    let options = [
        AttachOption {
            option: "--interface",
            value: arguments.interface.clone(),
            field: AttachField::Interface,
            sections: "xdp, tc, tcx, classifier, netkit",
        },
        AttachOption {
            option: "--cgroup",
            value: arguments.cgroup.clone(),
            field: AttachField::Cgroup,
            sections: "cgroup, sockops, lsm_cgroup, iter/cgroup",
        },
        AttachOption {
            option: "--frequency",
            value: arguments.frequency.map(|frequency| frequency.to_string()),
            field: AttachField::PerfEvent,
            sections: "perf_event",
        },
    ];
    for option in options {
        option.check(selected, arguments)?;
    }
    let Some(pid) = arguments.pid.filter(|_| !selected.iter().any(|program| program.takes(AttachField::Pid))) else {
        return Ok(());
    };
    let names: Vec<String> = selected.iter().map(|program| format!("`{}`", program.name)).collect();
    Err(CliError::new(format!(
        "--pid {pid} restricts no program of the object: the kernel attaches programs such as {} to all processes; \
         drop --pid, and let the program compare the process id (bpf_get_current_pid_tgid() >> 32)",
        abbreviated(&names, ", ")
    )))
}

/// An option that applies to programs of certain types.
struct AttachOption {
    option: &'static str,
    value: Option<String>,
    /// The field of the attach context that the option sets.
    field: AttachField,
    /// The beginnings of the section names of such programs.
    sections: &'static str,
}

impl AttachOption {
    fn check(self, selected: &[&ProgramSpec], arguments: &ProgramArgs) -> Result<(), CliError> {
        let Self { option, value: Some(value), field, sections } = self else { return Ok(()) };
        let mut takers = selected.iter().filter(|program| program.takes(field)).peekable();
        if takers.peek().is_none() {
            return Err(CliError::new(format!(
                "{option} {value} has no effect: it applies only to programs whose section begins with one of \
                 {sections}, and none is selected; drop it"
            )));
        }
        // `--attach` takes precedence.
        let has_own_target = |program: &&ProgramSpec| {
            takes_attach_point(program) && pairs(&arguments.targets).any(|(name, _)| name == program.name)
        };
        if takers.all(has_own_target) {
            return Err(CliError::new(format!(
                "{option} {value} has no effect: each program that takes it has a target of its own (--attach); drop one \
                 of them"
            )));
        }
        Ok(())
    }
}

/// Refuses the first option without effect on a map.
pub(super) fn check_maps(object: &Object, arguments: &Arguments) -> Result<(), CliError> {
    let is_ring = |map: &MapSpec| map.map_type == MapType::RINGBUF;
    let is_perf = |map: &MapSpec| map.map_type == MapType::PERF_EVENT_ARRAY;
    let sized = |map: &MapSpec| pairs(&arguments.program.max_entries).any(|(name, _)| name == map.name);
    let has = |fits: &dyn Fn(&MapSpec) -> bool| object.maps().iter().any(fits);
    const NO_BUFFER: &str = "the object has no ring buffer and no perf event array";
    let refuse = |option: String, why: &str| Err(CliError::new(format!("{option} has no effect: {why}; drop it")));
    if let Some(bytes) = arguments.buffer {
        if !has(&|map| is_ring(map) || is_perf(map)) {
            return refuse(format!("--buffer {bytes}"), NO_BUFFER);
        }
        if !has(&|map| is_ring(map) && !sized(map) || is_perf(map)) {
            return refuse(format!("--buffer {bytes}"), "each ring has a size of its own (--max-entries)");
        }
    }
    let named: Vec<&str> = arguments.types.iter().filter_map(|ty| Some(ty.split_once('=')?.0)).collect();
    for ty in arguments.types.iter().filter(|ty| !ty.contains('=')) {
        if !has(&|map| is_ring(map) || is_perf(map)) {
            return refuse(format!("--type {ty}"), NO_BUFFER);
        }
        if !has(&|map| (is_ring(map) || is_perf(map)) && !named.contains(&map.name.as_str())) {
            return refuse(format!("--type {ty}"), "each map has a type of its own (--type MAP=TYPE)");
        }
    }
    let is_read = |map: &MapSpec| is_ring(map) && !map.map_flags.contains(MapFlags::RB_OVERWRITE) || is_perf(map);
    let of_records = [
        arguments.count.map(|count| format!("--count {count}")),
        arguments.filter.is_some().then(|| "--filter".to_owned()),
        arguments.only_command.then(|| "--only-command".to_owned()),
        (arguments.timestamps && !Printing::of(object).is_any()).then(|| "--timestamps".to_owned()),
    ];
    if let Some(option) = of_records.into_iter().flatten().next().filter(|_| !has(&is_read)) {
        let why = if has(&is_ring) { "the object's rings overwrite old records and are not read" } else { NO_BUFFER };
        return refuse(option, why);
    }
    maps::check_names(object.maps(), &arguments.maps)?;
    match &arguments.pins {
        Some(directory) if !has(&|map| map.pinning == Pinning::ByName) => {
            refuse(format!("--pins {}", directory.display()), "the object pins no map by name")
        }
        _ => Ok(()),
    }
}
