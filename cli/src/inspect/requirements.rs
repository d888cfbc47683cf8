//! Finds the features that an object requires, and those that the running kernel does not have. Each feature is tried;
//! no version number decides.

use std::{cell::LazyCell, collections::BTreeSet, path::Path};

use cutaway::{
    AttachType, MapType, Object, ProgramSpec, ProgramType, Section, Target,
    btf::kernel,
    features::{self, Support},
};

/// The features that an object requires.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// All of them.
    pub(super) needs: Vec<String>,
    /// A sentence for each that the machine lacks.
    pub(super) missing: Vec<String>,
    /// Features that this process is not permitted to try.
    not_permitted: Vec<String>,
    /// Whether the machine is examined.
    examine: bool,
}

/// Returns the requirements of the object. Only the programs in `chosen` count; if it is empty, those that loading
/// takes by default. Without `examine`, the machine is not examined and nothing is missing.
pub(super) fn of(object: &Object, chosen: &[String], examine: bool) -> Requirements {
    let mut found = Requirements { examine, ..Requirements::default() };
    // A program that is loaded only on request counts if it is chosen.
    let counts = |program: &&ProgramSpec| match chosen {
        [] => program.section.autoload,
        chosen => chosen.contains(&program.name),
    };
    let programs = || object.programs().iter().filter(counts);
    found.maps(object);
    let types: BTreeSet<ProgramType> = programs().map(|program| program.section.program_type).collect();
    for kind in types {
        found.program_type(kind);
    }
    // Read at most once, for any number of programs.
    let has_no_types = LazyCell::new(|| kernel::Bytes::vmlinux().is_err());
    let types = format!("{}/vmlinux", kernel::DIRECTORY);
    if object.has_core_relocations() {
        let missing = examine && *has_no_types;
        found.fact("the kernel's types", missing, || format!("the kernel's types ({types}), for CO-RE relocations"));
    }
    for program in programs() {
        found.attachment(&program.section);
        if needs_types(program) {
            let missing = examine && *has_no_types;
            found.fact("the kernel's types", missing, || {
                format!("the kernel's types ({types}), which `{}` needs to attach", program.name)
            });
        }
    }
    if !found.not_permitted.is_empty() {
        let features = found.not_permitted.join(", ");
        found.missing.push(format!("{features}: unknown without privileges"));
    }
    found
}

/// Returns whether a program's target is found in the kernel's BTF.
fn needs_types(program: &ProgramSpec) -> bool {
    let by_types = matches!(program.section.program_type, ProgramType::TRACING | ProgramType::LSM);
    by_types && matches!(program.section.target, Some(Target::Btf { .. }))
}

fn is_one_of(section: &Section, types: [AttachType; 2]) -> bool {
    types.contains(&section.expected_attach_type)
}

impl Requirements {
    fn maps(&mut self, object: &Object) {
        let types: BTreeSet<MapType> =
            object.maps().iter().filter(|map| map.autocreate).map(|map| map.map_type).collect();
        for kind in types {
            match kind {
                MapType::RINGBUF => self.check("ring buffers", features::ring_buffer),
                MapType::PERF_EVENT_ARRAY => self.check("perf event arrays", features::perf_event_array),
                // All kernels have them that the loader supports.
                MapType::HASH | MapType::ARRAY | MapType::PERCPU_HASH | MapType::PERCPU_ARRAY => {}
                kind => self.check(&named(kind), || match features::map_type(kind) {
                    Support::No => kind.since().map_or(Support::No, Support::Needs),
                    answer => answer,
                }),
            }
        }
    }

    /// Adds the program type. The kernel may refuse one type to a process that may load others.
    fn program_type(&mut self, kind: ProgramType) {
        let name = format!("program type {kind}");
        self.add_need(&name);
        if !self.examine {
            return;
        }
        match features::program_type(kind) {
            Support::NotPermitted if features::program_type(ProgramType::KPROBE).is_yes() => {
                self.add(format!("{name}: the kernel does not permit loading it, although it permits others"));
            }
            answer => self.judge(&name, answer),
        }
    }

    /// Adds what attaching the program requires.
    fn attachment(&mut self, section: &Section) {
        match (&section.target, section.program_type) {
            (Some(Target::KprobeMulti { .. }), _) => self.check("kprobe.multi links", features::kprobe_multi),
            (Some(Target::UprobeMulti { .. }), _) => self.check("uprobe.multi links", features::uprobe_multi),
            (Some(Target::Kprobe { .. } | Target::Ksyscall { .. }), _) => {
                self.source("kprobes", "kprobe", "CONFIG_KPROBE_EVENTS");
            }
            (Some(Target::Uprobe { .. }), _) => self.source("uprobes", "uprobe", "CONFIG_UPROBE_EVENTS"),
            (Some(Target::Usdt { .. }), _) => self.check("attach cookies, for USDT", features::attach_cookie),
            (_, ProgramType::KPROBE) if section.expected_attach_type == AttachType::TRACE_KPROBE_MULTI => {
                self.check("kprobe.multi links", features::kprobe_multi);
            }
            (_, ProgramType::SCHED_CLS) if is_one_of(section, [AttachType::TCX_INGRESS, AttachType::TCX_EGRESS]) => {
                self.check("tcx links", features::tcx_link);
            }
            (_, ProgramType::SCHED_CLS)
                if is_one_of(section, [AttachType::NETKIT_PRIMARY, AttachType::NETKIT_PEER]) =>
            {
                self.check("netkit links", features::netkit_link);
            }
            _ => {}
        }
    }

    /// Adds a source of perf events, which the kernel lists in sysfs.
    fn source(&mut self, feature: &str, source: &str, option: &str) {
        let file = format!("/sys/bus/event_source/devices/{source}/type");
        let missing = self.examine && !Path::new(&file).exists();
        self.fact(feature, missing, || format!("{feature}: there is no {file}; does this kernel have {option}?"));
    }

    /// Adds the feature, and the sentence if it is missing.
    fn fact(&mut self, feature: &str, missing: bool, sentence: impl FnOnce() -> String) {
        self.add_need(feature);
        if missing {
            self.add(sentence());
        }
    }

    /// Adds the feature; as missing if the kernel lacks it or if that is unknown.
    fn check(&mut self, feature: &str, probe: impl FnOnce() -> Support) {
        self.add_need(feature);
        if self.examine {
            self.judge(feature, probe());
        }
    }

    fn judge(&mut self, feature: &str, support: Support) {
        match support {
            Support::Yes => {}
            Support::NotPermitted => {
                if !self.not_permitted.iter().any(|known| known == feature) {
                    self.not_permitted.push(feature.to_owned());
                }
            }
            _ => self.add(format!("{feature}: {support}")),
        }
    }

    fn add_need(&mut self, feature: &str) {
        if !self.needs.iter().any(|known| known == feature) {
            self.needs.push(feature.to_owned());
        }
    }

    fn add(&mut self, sentence: String) {
        if !self.missing.contains(&sentence) {
            self.missing.push(sentence);
        }
    }
}

/// Returns the name of a map type, for messages. That of an unknown type has the word already.
fn named(kind: MapType) -> String {
    let name = kind.to_string();
    if name.starts_with("map type") { name } else { format!("map type {name}") }
}
