//! Checks of `run`: which programs can be attached, and whether an object can be loaded.

use super::{finding::Finding, machine, transports::failed};
use crate::trace;
use cutaway::{
    ProgramType,
    features::{self, Support},
};

/// Reports the kinds of programs that can be attached. None of them is needed by each object.
pub(super) fn attachable() -> Vec<Finding> {
    vec![
        perf_event("kprobes", "kprobe", "CONFIG_KPROBE_EVENTS"),
        perf_event("uprobes", "uprobe", "CONFIG_UPROBE_EVENTS"),
        tracepoints(),
        kind("fentry and fexit", features::program_type(ProgramType::TRACING)),
        kind("raw tracepoints", features::program_type(ProgramType::RAW_TRACEPOINT)),
        kind("LSM programs", features::program_type(ProgramType::LSM)),
        kind("struct_ops", features::program_type(ProgramType::STRUCT_OPS)),
        kind("kprobe.multi", features::kprobe_multi()),
        kind("uprobe.multi", features::uprobe_multi()),
        kind("cgroup links", features::cgroup_link()),
        kind("tcx links", features::tcx_link()),
    ]
}

/// Reports whether an object can be loaded: the built-in one, with a ring buffer if the kernel has them.
pub(super) fn loadable() -> Vec<Finding> {
    const CHECK: &str = "load an object";
    vec![match trace::try_load(trace::chosen_transport()) {
        Ok(()) => Finding::ok(CHECK, "creates maps, and the verifier accepts programs"),
        Err(failure) => failed(CHECK, &failure, Finding::no),
    }]
}

fn kind(check: &'static str, support: Support) -> Finding {
    let advice = match support {
        Support::Yes => return Finding::ok(check, "yes"),
        Support::NotPermitted => "the kernel, its lockdown or a filter of system calls refuses them to this process",
        Support::Unknown => "try again with more fds or memory",
        Support::Needs(_) | Support::No => "`run` skips such programs; a newer kernel or configuration is needed",
    };
    Finding::note(check, support.to_string(), advice)
}

/// Reports a source of perf events.
fn perf_event(check: &'static str, source: &str, option: &str) -> Finding {
    if machine::has_event_source(source) {
        return Finding::ok(check, "yes");
    }
    let advice = format!("`run` skips such programs; they need {option}, and sysfs mounted on /sys");
    Finding::note(check, format!("this kernel has no {source} PMU"), advice)
}

fn tracepoints() -> Finding {
    match cutaway_sys::mount::read(c"tracefs", c"available_events", "reads the list of tracepoints") {
        Ok(list) => Finding::ok("tracepoints", format!("{} of them", list.lines().count())),
        Err(error) => Finding::note(
            "tracepoints",
            format!("unknown: tracefs cannot be read: {error}"),
            "mount -t tracefs tracefs /sys/kernel/tracing",
        ),
    }
}
