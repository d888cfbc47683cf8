//! Programs attached: by their sections' names, and where these do not say where, by what the options say.
//!
//! | the section begins with | what else is needed |
//! | --- | --- |
//! | `xdp`, `tc`, `tcx`, `classifier`, `netkit` | `--interface NAME` |
//! | `cgroup`, `sockops`, `lsm_cgroup` | `--cgroup PATH` |
//! | `perf_event` | nothing: 99 times a second on each CPU, or `--frequency HZ` |
//! | `sk_lookup`, `flow_dissector` | nothing: this network namespace |
//! | `uprobe` and its like without a target | `--attach NAME=TARGET` |
//! | `syscall` | nothing: it attaches to nothing, and is run once |
//!
//! `--attach NAME=TARGET` comes first for the program NAME: TARGET is the interface, the path, or what stands behind the slash of
//! the section's name. With `--pid` the process finds a library's name; a path is ours.

use std::{collections::BTreeMap, fs::File, path::Path};

use cutaway::{
    AttachType, Cgroup, Iter, Link, Links, Loaded, MapType, Netns, PerfEvent, Program, ProgramSpec, ProgramType as T,
    Run, Target, Tc, Tcx, Uprobe, UprobeMulti, Usdt, Xdp,
    features::{self, Support},
    interface_index,
};

use super::{
    effects::{takes_a_cgroup, takes_an_interface},
    mapped,
    types::some,
};
use crate::diagnostics;

/// What the command line says of attaching.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) interface: Option<String>,
    pub(super) cgroup: Option<String>,
    pub(super) frequency: Option<u64>,
    pub(super) pid: Option<u32>,
    /// By the program's name.
    pub(super) each: BTreeMap<String, String>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Attached {
    pub(super) links: Links,
    /// Iterators run when they are read.
    pub(super) iterators: Vec<(String, Link)>,
    /// The names of what waits for something to happen, with their places.
    pub(super) waiting: Vec<String>,
    /// Programs that ran and are done.
    pub(super) ran: Vec<(String, u32)>,
    /// Programs that cannot run here, each with the reason.
    pub(super) aside: Vec<(String, String)>,
    /// Programs that run for every process although `--pid` names one.
    pub(super) unrestricted: Vec<String>,
}

/// What became of one program.
enum Done {
    Waits(Link),
    Iterates(Link),
    Ran(u32),
}

/// Attaches whatever can be attached.
pub(super) fn all(loaded: &Loaded, places: &Places) -> Attached {
    let mut attached = Attached::default();
    for program in loaded.programs().filter(|program| program.spec().section.program_type != T::STRUCT_OPS) {
        let (name, section) = (program.name().to_owned(), &program.spec().section_name);
        match one(program, places) {
            Ok(Done::Waits(link)) => {
                attached.links.push(link);
                if let (Some(pid), Some(library)) = (places.pid, library(program.spec()))
                    && library.contains('/')
                {
                    mapped::warn_if_not(pid, Path::new(&library));
                }
                if places.pid.is_some() && !takes_a_process(program.spec()) {
                    attached.unrestricted.push(format!("`{name}`"));
                }
                let at = places.each.get(&name).map_or_else(String::new, |target| format!(" at {target}"));
                attached.waiting.push(format!("{name} ({section}{at})"));
            }
            Ok(Done::Iterates(link)) => {
                if places.pid.is_some() && !takes_a_process(program.spec()) {
                    attached.unrestricted.push(format!("`{name}`"));
                }
                attached.iterators.push((name, link));
            }
            Ok(Done::Ran(answer)) => attached.ran.push((name, answer)),
            Err(why) => attached.aside.push((name, why)),
        }
    }
    for map in loaded.maps().filter(|map| map.map_type() == MapType::STRUCT_OPS) {
        match map.attach() {
            Ok(link) => {
                attached.links.push(link);
                attached.waiting.push(format!("{} (struct_ops)", map.name()));
            }
            Err(why) => attached.aside.push((map.name().to_owned(), why.to_string())),
        }
    }
    attached
}

impl Attached {
    /// Whether nothing runs.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.iterators.is_empty() && self.ran.is_empty()
    }

    /// Says what is attached where.
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
        if !self.waiting.is_empty() {
            let shown: Vec<_> = self.waiting.iter().take(SHOWN).map(String::as_str).collect();
            let more = self.waiting.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            diagnostics::say(&format!("attached {}{more}", shown.join(", ")));
        }
    }
}

/// Returns whether `--attach` gives a program of this kind the name of a device or a path, and not a target of its
/// section's.
pub(super) fn takes_a_place(program: &ProgramSpec) -> bool {
    takes_an_interface(program)
        || takes_a_cgroup(program)
        || matches!(program.section.program_type, T::SK_LOOKUP | T::FLOW_DISSECTOR)
}

/// The file or library of a probe.
fn library(program: &ProgramSpec) -> Option<String> {
    match program.section.target.as_ref()?.by_files(None).ok()? {
        Target::Uprobe { library, .. } | Target::UprobeMulti { library, .. } | Target::Usdt { library, .. } => {
            Some(library)
        }
        _ => None,
    }
}

/// Whether the kernel can attach such a program to one process.
pub(super) fn takes_a_process(program: &ProgramSpec) -> bool {
    let section = &program.section;
    let probe =
        matches!(section.target, Some(Target::Uprobe { .. } | Target::UprobeMulti { .. } | Target::Usdt { .. }));
    probe || section.program_type == T::PERF_EVENT || iterates_over_tasks(program)
}

/// Whether it is an iterator over tasks, or over what belongs to them (`kernel/bpf/task_iter.c`).
fn iterates_over_tasks(program: &ProgramSpec) -> bool {
    let section = &program.section;
    let is_iterator = section.program_type == T::TRACING && section.expected_attach_type == AttachType::TRACE_ITER;
    let over_tasks = |target: &Target| matches!(target, Target::Btf { name } if ["task", "task_file", "task_vma"].contains(&name.as_str()));
    is_iterator && section.target.as_ref().is_some_and(over_tasks)
}

fn one(program: &Program, places: &Places) -> Result<Done, String> {
    let section = &program.spec().section;
    let told = places.each.get(program.name());
    let say = |error: cutaway::Error| error.to_string();
    let waits = |link: Result<Link, cutaway::Error>| link.map(Done::Waits).map_err(say);
    let target = section.target.as_ref().map(|target| target.by_files(places.pid)).transpose().map_err(say)?;
    // A name is looked up as the process sees it; a path is ours.
    let sees = |library: &str| places.pid.filter(|_| !library.contains('/'));
    match (&target, section.program_type) {
        (Some(Target::Btf { .. }), T::TRACING) if section.expected_attach_type == AttachType::TRACE_ITER => {
            let iterator = match places.pid.filter(|_| iterates_over_tasks(program.spec())) {
                Some(pid) => Iter::process(pid),
                None => Iter::new(),
            };
            iterator.attach(program).map(Done::Iterates).map_err(say)
        }
        (Some(Target::Uprobe { library, symbol, offset, on_return }), _) => {
            let mut probe = Uprobe::new(library, symbol).offset(*offset).on_return(*on_return);
            if let Some(pid) = sees(library) {
                probe = probe.seen_by(pid);
            }
            waits(match places.pid {
                Some(pid) => probe.pid(pid).attach(program),
                None => probe.attach(program),
            })
        }
        (Some(Target::UprobeMulti { library, pattern, on_return }), _) => {
            let mut probe = UprobeMulti::new(library, pattern).on_return(*on_return);
            if let Some(pid) = sees(library) {
                probe = probe.seen_by(pid);
            }
            waits(match places.pid {
                Some(pid) => probe.pid(pid).attach(program),
                None => probe.attach(program),
            })
        }
        (Some(Target::Usdt { library, provider, name }), _) => {
            let mut probe = Usdt::new(library, provider, name);
            if let Some(pid) = sees(library) {
                probe = probe.seen_by(pid);
            }
            waits(match places.pid {
                Some(pid) => probe.pid(pid).attach(program),
                None => probe.attach(program),
            })
        }
        (_, T::XDP) => {
            let index = device(told.or(places.interface.as_ref()))?;
            waits(Xdp::new(index).attach(program))
        }
        (_, T::SCHED_CLS) => {
            let index = device(told.or(places.interface.as_ref()))?;
            waits(classifier(program, index, section.expected_attach_type))
        }
        _ if takes_a_cgroup(program.spec()) => {
            waits(Cgroup::new(&directory(told.or(places.cgroup.as_ref()))?).attach(program))
        }
        (_, T::SK_LOOKUP | T::FLOW_DISSECTOR) => {
            let path = told.map_or("/proc/self/ns/net", String::as_str);
            let file =
                File::open(path).map_err(|error| format!("cannot open the network namespace {path}: {error}"))?;
            waits(Netns::new(&file).attach(program))
        }
        (_, T::PERF_EVENT) => {
            let event = PerfEvent::cpu_clock().frequency(places.frequency.unwrap_or(99));
            waits(match places.pid {
                Some(pid) => event.pid(pid).attach(program),
                None => event.attach(program),
            })
        }
        (_, T::SYSCALL) => program.test_run(&Run::default()).map(|outcome| Done::Ran(outcome.value)).map_err(say),
        (None | Some(Target::Label(_)), kind) if kind != T::EXT => Err(by_hand(program)),
        // The library's advice is to use the library; an option does it here.
        _ => waits(program.attach()).map_err(|why| {
            why.replace("attach the program by hand", &format!("give --attach '{}=TARGET'", program.name()))
        }),
    }
}

/// By a link where the kernel has such links, else by traffic control.
fn classifier(program: &Program, index: u32, attach_type: AttachType) -> Result<Link, cutaway::Error> {
    match attach_type {
        AttachType::NETKIT_PRIMARY => Tcx::netkit_primary(index).attach(program),
        AttachType::NETKIT_PEER => Tcx::netkit_peer(index).attach(program),
        AttachType::TCX_EGRESS if features::tcx_link() == Support::Yes => Tcx::egress(index).attach(program),
        AttachType::TCX_EGRESS => Tc::egress(index).attach(program),
        AttachType::TCX_INGRESS if features::tcx_link() == Support::Yes => Tcx::ingress(index).attach(program),
        _ => Tc::ingress(index).attach(program),
    }
}

fn device(name: Option<&String>) -> Result<u32, String> {
    let name = name.ok_or("programs of this kind attach to a network device: name it with --interface NAME")?;
    interface_index(name).map_err(|error| error.to_string())
}

fn directory(path: Option<&String>) -> Result<File, String> {
    let path = path.ok_or(
        "programs of this kind attach to a cgroup: name its directory in a cgroup2 file system with --cgroup PATH",
    )?;
    File::open(path).map_err(|error| format!("cannot open the cgroup {path}: {}", cutaway::Errno::of(&error)))
}

/// Why a program cannot be attached by this command, or what to give it.
fn by_hand(program: &Program) -> String {
    let name = program.name();
    match program.spec().section.program_type {
        T::KPROBE | T::TRACEPOINT | T::RAW_TRACEPOINT | T::RAW_TRACEPOINT_WRITABLE | T::TRACING | T::LSM => format!(
            "its section `{}` does not say where: give --attach '{name}=TARGET', in the words that would stand behind its slash",
            program.spec().section_name
        ),
        T::SOCKET_FILTER | T::SK_REUSEPORT | T::SK_SKB | T::SK_MSG => {
            "programs of this kind attach to sockets of an application, and this command has none".to_owned()
        }
        T::LWT_IN | T::LWT_OUT | T::LWT_XMIT | T::LWT_SEG6LOCAL => {
            "programs of this kind belong to a route: attach them with `ip route`".to_owned()
        }
        T::SCHED_ACT => "programs of this kind belong to a filter: attach them with `tc`".to_owned(),
        kind => format!("this command cannot attach programs of the kind {kind}"),
    }
}
