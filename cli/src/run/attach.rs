//! Attaches programs: by their sections' names, and where these do not say where, by the options.
//!
//! | the section begins with | also needed |
//! | --- | --- |
//! | `xdp`, `tc`, `tcx`, `classifier`, `netkit` | `--interface NAME` |
//! | `cgroup`, `sockops`, `lsm_cgroup`, `iter/cgroup` | `--cgroup PATH` |
//! | `perf_event` | nothing: 99 times a second on each CPU, or `--frequency HZ` |
//! | `sk_lookup`, `flow_dissector` | nothing: this network namespace |
//! | `uprobe` and its like without a target | `--attach NAME=TARGET` |
//! | `syscall` | nothing: it attaches to nothing, and is run once |
//!
//! How a program is attached is the loader's part (`Program::attach_with`). For the program NAME,
//! `--attach NAME=TARGET` comes first: TARGET is the interface, the path, or what follows the slash in
//! `SEC("type/TARGET")`. With `--pid` a library's bare name is looked up as the process sees it; a path is this
//! command's.

use std::collections::BTreeMap;

use cutaway::{
    AttachContext, AttachField, AttachType, Link, Links, Loaded, MapType, Program, ProgramSpec, ProgramType as T,
    Target, TestRun,
};

use super::{
    arguments::{Arguments, pairs},
    record_type::some,
};
use crate::diagnostics;

/// How often programs on perf events run, in Hz, unless told otherwise.
const FREQUENCY: u64 = 99;

/// What the command line says of attaching.
#[derive(Debug)]
pub(super) struct AttachArgs<'a> {
    interface: Option<&'a str>,
    cgroup: Option<&'a str>,
    frequency: Option<u64>,
    pid: Option<u32>,
    /// `--attach`, by the program's name.
    each: BTreeMap<&'a str, &'a str>,
}

impl<'a> AttachArgs<'a> {
    pub(super) fn of(arguments: &'a Arguments) -> Self {
        Self {
            interface: arguments.interface.as_deref(),
            cgroup: arguments.cgroup.as_deref(),
            frequency: arguments.frequency,
            pid: arguments.pid,
            each: pairs(&arguments.targets).collect(),
        }
    }

    /// Returns the settings for one program. Options that it does not take are for others.
    fn context(&self, program: &ProgramSpec) -> AttachContext<'static> {
        let attach_point = self.each.get(program.name.as_str()).copied().filter(|_| is_given_an_attach_point(program));
        let mut context = AttachContext::new();
        match program.needs() {
            Some(AttachField::Interface) => {
                if let Some(name) = attach_point.or(self.interface) {
                    context = context.interface(name);
                }
            }
            Some(AttachField::Cgroup) => {
                if let Some(path) = attach_point.or(self.cgroup) {
                    context = context.cgroup_path(path);
                }
            }
            Some(AttachField::Netns) => context = context.netns_path(attach_point.unwrap_or("/proc/self/ns/net")),
            Some(AttachField::PerfEvent) => context = context.frequency(self.frequency.unwrap_or(FREQUENCY)),
            _ => {}
        }
        match self.pid.filter(|_| program.takes(AttachField::Pid)) {
            Some(pid) => context.pid(pid),
            None => context,
        }
    }
}

/// The outcome.
#[derive(Default)]
pub(super) struct Attached {
    pub(super) links: Links,
    /// Iterators run when they are read.
    pub(super) iterators: Vec<(String, Link)>,
    /// The programs that wait for something to happen, with their attach points.
    pub(super) attached: Vec<String>,
    /// Programs that ran and are done, with their return values.
    pub(super) ran: Vec<(String, u32)>,
    /// Programs that cannot run here, each with the reason.
    pub(super) skipped: Vec<(String, String)>,
    /// Programs that run for every process although `--pid` names one.
    pub(super) unrestricted: Vec<String>,
}

/// Attaches whatever can be attached.
pub(super) fn all(loaded: &Loaded, arguments: &AttachArgs<'_>) -> Attached {
    let mut attached = Attached::default();
    for program in loaded.programs().filter(|program| program.spec().section.program_type != T::STRUCT_OPS) {
        attached.add(program, arguments);
    }
    for map in loaded.maps().filter(|map| map.map_type() == MapType::STRUCT_OPS) {
        match map.attach() {
            Ok(link) => {
                attached.links.push(link);
                attached.attached.push(format!("{} (struct_ops)", map.name()));
            }
            Err(why) => attached.skipped.push((map.name().to_owned(), why.to_string())),
        }
    }
    attached
}

impl Attached {
    /// Attaches a program, or runs one that is attached to nothing.
    fn add(&mut self, program: &Program, arguments: &AttachArgs<'_>) {
        let (name, spec) = (program.name().to_owned(), program.spec());
        if spec.section.program_type == T::SYSCALL {
            match program.test_run(&TestRun::default()) {
                Ok(outcome) => self.ran.push((name, outcome.value)),
                Err(why) => self.skipped.push((name, why.to_string())),
            }
            return;
        }
        let link = match program.attach_with(&arguments.context(spec)) {
            Ok(link) => link,
            Err(why) => {
                self.skipped.push((name, missing(spec, arguments).unwrap_or_else(|| why.to_string())));
                return;
            }
        };
        if arguments.pid.is_some() && !spec.takes(AttachField::Pid) {
            self.unrestricted.push(format!("`{name}`"));
        }
        if is_iterator(spec) {
            self.iterators.push((name, link));
            return;
        }
        self.links.push(link);
        let at = arguments.each.get(name.as_str()).map_or_else(String::new, |target| format!(" at {target}"));
        self.attached.push(format!("{name} ({}{at})", spec.section_name));
    }

    /// Returns whether nothing runs.
    pub(super) fn is_empty(&self) -> bool {
        self.attached.is_empty() && self.iterators.is_empty() && self.ran.is_empty()
    }

    /// Prints what is attached where.
    pub(super) fn tell(&self) {
        const SHOWN: usize = 8;
        for (name, answer) in &self.ran {
            diagnostics::say(&format!("`{name}` ran and answered {answer}"));
        }
        if !self.unrestricted.is_empty() {
            diagnostics::say(&format!(
                "--pid does not restrict {}: the kernel attaches its kind of program to all processes",
                some(&self.unrestricted, ", ")
            ));
        }
        if !self.attached.is_empty() {
            let shown: Vec<_> = self.attached.iter().take(SHOWN).map(String::as_str).collect();
            let more = self.attached.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            diagnostics::say(&format!("attached {}{more}", shown.join(", ")));
        }
    }
}

/// Returns whether `--attach` gives a program of this type the name of a device or a path, and not a target of its
/// section's.
pub(super) fn is_given_an_attach_point(program: &ProgramSpec) -> bool {
    use AttachField as F;
    matches!(program.needs(), Some(F::Interface | F::Cgroup | F::Netns)) && !is_iterator(program)
}

fn is_iterator(program: &ProgramSpec) -> bool {
    let section = &program.section;
    section.program_type == T::TRACING && section.expected_attach_type == AttachType::TRACE_ITER
}

/// Returns what to give the command for a program that it lacks something for, or that it cannot attach at all. `None`
/// if the program was given all that it needs, so that the loader's error is the reason.
fn missing(program: &ProgramSpec, arguments: &AttachArgs<'_>) -> Option<String> {
    let name = &program.name;
    let is_told = arguments.each.contains_key(name.as_str());
    Some(match program.needs() {
        Some(AttachField::Interface) => {
            if arguments.interface.is_some() || is_told {
                return None;
            }
            "programs of this kind attach to a network device: name it with --interface NAME".to_owned()
        }
        Some(AttachField::Cgroup) => {
            if arguments.cgroup.is_some() || is_told {
                return None;
            }
            "programs of this kind attach to a cgroup: name its directory in a cgroup2 file system with --cgroup PATH"
                .to_owned()
        }
        Some(AttachField::Socket | AttachField::Sockmap) => {
            "programs of this kind attach to sockets of an application, and this command has none".to_owned()
        }
        Some(AttachField::Target) => match &program.section.target {
            Some(Target::Unreadable { why, .. }) => {
                format!("its section `{}`: {why}: give --attach '{name}=TARGET'", program.section_name)
            }
            _ => format!(
                "its section `{}` does not say where: give --attach '{name}=TARGET', in the words of \
                 SEC(\"type/TARGET\")",
                program.section_name
            ),
        },
        Some(AttachField::Netns | AttachField::PerfEvent) => return None,
        Some(AttachField::Map) => {
            "it iterates over the elements of a map, and this command has no option that names one".to_owned()
        }
        Some(_) => format!("this command cannot attach programs of the type {}", program.section.program_type),
        None => match program.section.program_type {
            T::LWT_IN | T::LWT_OUT | T::LWT_XMIT | T::LWT_SEG6LOCAL => {
                "programs of this kind belong to a route: attach them with `ip route`".to_owned()
            }
            T::SCHED_ACT => "programs of this kind belong to a filter: attach them with `tc`".to_owned(),
            kind if matches!(program.section.target, None | Some(Target::Label(_))) && kind != T::EXT => {
                format!("this command cannot attach programs of the type {kind}")
            }
            _ => return None,
        },
    })
}
