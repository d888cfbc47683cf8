//! Options that are given and would have no effect: refused before anything is loaded, with what they apply to.
//!
//! | option | applies to |
//! | --- | --- |
//! | `--interface` | programs on network devices without a device of their own (`--attach`) |
//! | `--cgroup` | programs on cgroups, likewise; iterators over cgroups |
//! | `--frequency` | programs on perf events |
//! | `--pid` | probes of user space, perf events, iterators over tasks |
//! | `--attach`, `--section` | a program that runs |
//! | `--buffer` | perf event arrays, and rings without a size of their own (`--max-entries`) |
//! | `--type`, `--count` | objects with a buffer that is read |
//! | `--pins` | maps that the object wants pinned |
//!
//! Of several values for one name the last would win, so only one is taken.

use std::collections::BTreeSet;

use cutaway::{AttachField, MapFlags, MapSpec, MapType, Object, Pinning, ProgramSpec};

use super::{
    arguments::{Arguments, Form, pairs},
    attach::is_given_an_attach_point,
    record_type::some,
};
use crate::error::CliError;

/// Refuses the first option without effect. The programs that run are chosen, with their targets.
pub(super) fn check(object: &Object, arguments: &Arguments) -> Result<(), CliError> {
    let wanted: Vec<&ProgramSpec> = object.programs().iter().filter(|program| program.section.autoload).collect();
    // Without any program, that is what is told.
    if !wanted.is_empty() {
        programs(object, &wanted, arguments)?;
    }
    maps(object, arguments)
}

/// Refuses a second value for the same name.
pub(super) fn once(arguments: &Arguments) -> Result<(), CliError> {
    let options = [
        ("--attach", &arguments.targets),
        ("--section", &arguments.sections),
        ("--set", &arguments.settings),
        ("--max-entries", &arguments.max_entries),
        ("--type", &arguments.types),
    ];
    for (option, given) in options {
        let mut names = BTreeSet::new();
        for text in given {
            let name = text.split_once('=').map(|(name, _)| name);
            if !names.insert(name) {
                let whose = name.map_or_else(|| "all maps".to_owned(), |name| format!("`{name}`"));
                return Err(CliError::usage(format!("{option} is given twice for {whose}; give it once")));
            }
        }
    }
    if arguments.format == Form::Hex && !arguments.types.is_empty() {
        return Err(CliError::usage("--type has no effect with --format hex, which decodes nothing; drop one of them"));
    }
    Ok(())
}

fn programs(object: &Object, wanted: &[&ProgramSpec], arguments: &Arguments) -> Result<(), CliError> {
    for (option, given) in [("--attach", &arguments.targets), ("--section", &arguments.sections)] {
        for (name, _) in pairs(given) {
            // One that is not there at all is told as that.
            let is_there = object.programs().iter().any(|program| program.name == name);
            if is_there && !wanted.iter().any(|program| program.name == name) {
                return Err(CliError::new(format!(
                    "{option} '{name}=…' has no effect: the program `{name}` is not to run; run it with --program \
                     {name}"
                )));
            }
        }
    }
    let of_kinds = [
        OfKinds {
            option: "--interface",
            value: arguments.interface.clone(),
            field: AttachField::Interface,
            sections: "xdp, tc, tcx, classifier, netkit",
        },
        OfKinds {
            option: "--cgroup",
            value: arguments.cgroup.clone(),
            field: AttachField::Cgroup,
            sections: "cgroup, sockops, lsm_cgroup, iter/cgroup",
        },
        OfKinds {
            option: "--frequency",
            value: arguments.frequency.map(|frequency| frequency.to_string()),
            field: AttachField::PerfEvent,
            sections: "perf_event",
        },
    ];
    for option in of_kinds {
        option.check(wanted, arguments)?;
    }
    let Some(pid) = arguments.pid.filter(|_| !wanted.iter().any(|program| program.takes(AttachField::Pid))) else {
        return Ok(());
    };
    let names: Vec<String> = wanted.iter().map(|program| format!("`{}`", program.name)).collect();
    Err(CliError::new(format!(
        "--pid {pid} restricts no program of the object: the kernel attaches programs such as {} to all processes; \
         drop --pid, and let the program compare the process id (bpf_get_current_pid_tgid() >> 32)",
        some(&names, ", ")
    )))
}

/// An option for programs of some types.
struct OfKinds {
    option: &'static str,
    value: Option<String>,
    /// What it sets for a program.
    field: AttachField,
    /// What the sections of such programs begin with.
    sections: &'static str,
}

impl OfKinds {
    fn check(self, wanted: &[&ProgramSpec], arguments: &Arguments) -> Result<(), CliError> {
        let Self { option, value: Some(value), field, sections } = self else { return Ok(()) };
        let mut takers = wanted.iter().filter(|program| program.takes(field)).peekable();
        if takers.peek().is_none() {
            return Err(CliError::new(format!(
                "{option} {value} has no effect: no program to run takes it; it is for those whose section begins with \
                 one of {sections}; drop it"
            )));
        }
        // --attach comes first.
        let has_its_own = |program: &&ProgramSpec| {
            is_given_an_attach_point(program) && pairs(&arguments.targets).any(|(name, _)| name == program.name)
        };
        if takers.all(has_its_own) {
            return Err(CliError::new(format!(
                "{option} {value} has no effect: each program that takes it has a target of its own (--attach); drop one \
                 of them"
            )));
        }
        Ok(())
    }
}

fn maps(object: &Object, arguments: &Arguments) -> Result<(), CliError> {
    let is_ring = |map: &MapSpec| map.map_type == MapType::RINGBUF;
    let is_perf = |map: &MapSpec| map.map_type == MapType::PERF_EVENT_ARRAY;
    let sized = |map: &MapSpec| pairs(&arguments.max_entries).any(|(name, _)| name == map.name);
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
    if let Some(count) = arguments.count
        && !has(&is_read)
    {
        let why = if has(&is_ring) { "no buffer of the object is read, so no records come" } else { NO_BUFFER };
        return refuse(format!("--count {count}"), why);
    }
    match &arguments.pins {
        Some(directory) if !has(&|map| map.pinning == Pinning::ByName) => {
            refuse(format!("--pins {}", directory.display()), "the object wants no map pinned")
        }
        _ => Ok(()),
    }
}
