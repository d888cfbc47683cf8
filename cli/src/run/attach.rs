//! Attaches programs: to the target that the section names, or that an option names.
//!
//! | the section begins with | also required |
//! | --- | --- |
//! | `xdp`, `tc`, `tcx`, `classifier`, `netkit` | `--interface NAME` |
//! | `cgroup`, `sockops`, `lsm_cgroup`, `iter/cgroup` | `--cgroup PATH` |
//! | `perf_event` | nothing: 99 times a second on each CPU, or `--frequency HZ` |
//! | `sk_lookup`, `flow_dissector` | nothing: this network namespace |
//! | a type that needs a target, such as `uprobe`, and no target | `--attach NAME=TARGET` |
//! | `syscall` | nothing: it is not attached, but run once |
//!
//! The loader attaches the programs (`Program::attach_with`). For the program NAME, `--attach NAME=TARGET` takes
//! precedence over the other options. TARGET is the interface, the path, or the target as in `SEC("type/TARGET")`.
//! With `--pid` the name of a library is looked up as that process sees it. A path is always resolved in this process.

use std::collections::BTreeMap;

use cutaway::{
    AttachContext, AttachField, AttachType, Link, LinkTarget, Links, Loaded, MapType, Program, ProgramSpec,
    ProgramType as T, Target, TestRun,
};

use super::{
    program_args::{ProgramArgs, pairs},
    record_type::abbreviated,
};
use crate::diagnostics;

/// Default frequency of programs on perf events, in Hz.
const FREQUENCY: u64 = 99;

/// The options that determine how programs are attached.
#[derive(Debug)]
pub(crate) struct AttachArgs<'a> {
    interface: Option<&'a str>,
    cgroup: Option<&'a str>,
    frequency: Option<u64>,
    pid: Option<u32>,
    /// `--attach`, by the program's name.
    targets: BTreeMap<&'a str, &'a str>,
}

impl<'a> AttachArgs<'a> {
    pub(crate) fn of(arguments: &'a ProgramArgs) -> Self {
        Self {
            interface: arguments.interface.as_deref(),
            cgroup: arguments.cgroup.as_deref(),
            frequency: arguments.frequency,
            pid: arguments.pid,
            targets: pairs(&arguments.targets).collect(),
        }
    }

    /// Returns the settings for one program. Options that do not apply to it are ignored: they are for other programs.
    fn context(&self, program: &ProgramSpec) -> AttachContext<'static> {
        let attach_point = self.attach_point(program);
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
            Some(AttachField::Netns) => context = context.netns_path(attach_point.unwrap_or(OWN_NETNS)),
            Some(AttachField::PerfEvent) => context = context.frequency(self.frequency.unwrap_or(FREQUENCY)),
            _ => {}
        }
        match self.pid.filter(|_| program.takes(AttachField::Pid)) {
            Some(pid) => context.pid(pid),
            None => context,
        }
    }

    /// Returns the interface or the path that `--attach` gives to this program.
    fn attach_point(&self, program: &ProgramSpec) -> Option<&'a str> {
        self.targets.get(program.name.as_str()).copied().filter(|_| takes_attach_point(program))
    }

    /// Describes where a program is attached, as far as its section does not say it.
    fn describe(&self, program: &ProgramSpec, link: &Link) -> String {
        let at = match program.needs() {
            Some(AttachField::Interface) => self.attach_point(program).or(self.interface).map(str::to_owned),
            Some(AttachField::Cgroup) => self.attach_point(program).or(self.cgroup).map(str::to_owned),
            Some(AttachField::Netns) => Some(self.attach_point(program).unwrap_or(OWN_NETNS).to_owned()),
            Some(AttachField::PerfEvent) => Some(format!("{} Hz", self.frequency.unwrap_or(FREQUENCY))),
            _ => self.targets.get(program.name.as_str()).copied().map(str::to_owned),
        };
        let known = format!("{} {}", program.section_name, at.as_deref().unwrap_or_default());
        let resolved = resolved(link).filter(|resolved| !known.contains(resolved.as_str()));
        let pid = self.pid.filter(|_| program.takes(AttachField::Pid)).map(|pid| format!("process {pid}"));
        let places: Vec<String> = at.into_iter().chain(resolved).chain(pid).collect();
        if places.is_empty() { String::new() } else { format!(" at {}", places.join(", ")) }
    }
}

/// The network namespace of this process.
const OWN_NETNS: &str = "/proc/self/ns/net";

/// Returns the target that the loader found for a section: a library's file, or how many functions match a pattern.
/// `None` if the kernel does not report it (before Linux 6.6).
fn resolved(link: &Link) -> Option<String> {
    let first = link.parts().first().unwrap_or(link);
    match first.info().ok()?.target {
        LinkTarget::Uprobe { path, .. } | LinkTarget::UprobeMulti { path, .. } => Some(path?.display().to_string()),
        LinkTarget::KprobeMulti { count, .. } => Some(format!("{count} functions")),
        _ => None,
    }
}

/// The result of attaching an object's programs.
#[derive(Default)]
pub(crate) struct Attached {
    pub(crate) links: Links,
    /// The iterators: they run when their links are read.
    pub(crate) iterators: Vec<(String, Link)>,
    /// The attached programs, each with its section and its target.
    pub(crate) attached: Vec<String>,
    /// The programs that were run once, with their return values.
    pub(crate) ran: Vec<(String, u32)>,
    /// The programs that cannot be attached here, each with the reason.
    pub(crate) skipped: Vec<(String, String)>,
    /// The programs that run for every process although `--pid` names one.
    pub(crate) unrestricted: Vec<String>,
}

/// Attaches all programs and struct_ops maps that can be attached.
pub(super) fn all(loaded: &Loaded, arguments: &AttachArgs<'_>) -> Attached {
    all_except(loaded, arguments, |_| false)
}

/// Attaches all programs and struct_ops maps that can be attached, except these programs.
pub(crate) fn all_except(loaded: &Loaded, arguments: &AttachArgs<'_>, except: impl Fn(&str) -> bool) -> Attached {
    let mut attached = Attached::default();
    let programs = loaded.programs().filter(|program| !except(program.name()));
    for program in programs.filter(|program| program.spec().section.program_type != T::STRUCT_OPS) {
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
    /// Attaches a program, or runs it once if its type is not attached.
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
                self.skipped.push((name, missing_option(spec, arguments).unwrap_or_else(|| why.to_string())));
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
        let at = arguments.describe(spec, &link);
        self.links.push(link);
        self.attached.push(format!("{name} ({}{at})", spec.section_name));
    }

    /// Detaches all programs.
    pub(super) fn detach(self) {
        self.links.detach_together();
    }

    /// Returns whether no program is attached or has run.
    pub(crate) fn is_empty(&self) -> bool {
        self.attached.is_empty() && self.iterators.is_empty() && self.ran.is_empty()
    }

    /// Prints the return values, the programs that `--pid` does not restrict, and the attached programs. The latter not
    /// if `quiet`.
    pub(crate) fn report(&self, quiet: bool) {
        const SHOWN: usize = 8;
        for (name, value) in &self.ran {
            diagnostics::say(&format!("`{name}` returned {value}"));
        }
        if !self.unrestricted.is_empty() {
            diagnostics::say(&format!(
                "--pid does not restrict {}: the kernel cannot restrict programs of this type to a process",
                abbreviated(&self.unrestricted, ", ")
            ));
        }
        if !self.attached.is_empty() && !quiet {
            let shown: Vec<_> = self.attached.iter().take(SHOWN).map(String::as_str).collect();
            let more = self.attached.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            diagnostics::say(&format!("attached {}{more}", shown.join(", ")));
        }
    }
}

/// Returns whether the TARGET of `--attach` is the name of an interface or a path for a program of this type, and not
/// the target of a section.
pub(super) fn takes_attach_point(program: &ProgramSpec) -> bool {
    use AttachField as F;
    matches!(program.needs(), Some(F::Interface | F::Cgroup | F::Netns)) && !is_iterator(program)
}

fn is_iterator(program: &ProgramSpec) -> bool {
    let section = &program.section;
    section.program_type == T::TRACING && section.expected_attach_type == AttachType::TRACE_ITER
}

/// Returns the reason why a program is not attached: the missing option, or that this command cannot attach its type.
/// `None` if the program has all that it requires, so the loader's error is the reason.
fn missing_option(program: &ProgramSpec, arguments: &AttachArgs<'_>) -> Option<String> {
    let name = &program.name;
    let has_target = arguments.targets.contains_key(name.as_str());
    Some(match program.needs() {
        Some(AttachField::Interface) => {
            if arguments.interface.is_some() || has_target {
                return None;
            }
            "an interface is required; pass --interface NAME".to_owned()
        }
        Some(AttachField::Cgroup) => {
            if arguments.cgroup.is_some() || has_target {
                return None;
            }
            "a cgroup is required; pass its directory in a cgroup2 file system with --cgroup PATH".to_owned()
        }
        Some(AttachField::Socket | AttachField::Sockmap) => {
            "programs of this type attach to an application's sockets, and this command has none".to_owned()
        }
        Some(AttachField::Target) => match &program.section.target {
            Some(Target::Unreadable { why, .. }) => {
                format!("its section `{}`: {why}; pass --attach '{name}=TARGET'", program.section_name)
            }
            _ => format!(
                "its section `{}` has no target; pass --attach '{name}=TARGET', TARGET as in SEC(\"type/TARGET\")",
                program.section_name
            ),
        },
        Some(AttachField::Netns | AttachField::PerfEvent) => return None,
        Some(AttachField::Map) => {
            "it iterates over the elements of a map, and this command has no option to choose the map".to_owned()
        }
        Some(_) => format!("this command cannot attach programs of the type {}", program.section.program_type),
        None => match program.section.program_type {
            T::LWT_IN | T::LWT_OUT | T::LWT_XMIT | T::LWT_SEG6LOCAL => {
                "programs of this type are attached to a route; attach them with `ip route`".to_owned()
            }
            T::SCHED_ACT => "programs of this type are actions of a filter; attach them with `tc`".to_owned(),
            kind if matches!(program.section.target, None | Some(Target::Label(_))) && kind != T::EXT => {
                format!("this command cannot attach programs of the type {kind}")
            }
            _ => return None,
        },
    })
}
