//! Finds the features that an object requires and the running kernel does not have. Each feature is tried; no version
//! number decides.

use std::cell::LazyCell;

use cutaway::{
    AttachType, MapType, Object, ProgramType, Section, Target,
    btf::kernel,
    features::{self, Support},
};

/// Returns a sentence for each missing feature. Only the programs in `chosen` count; all of them if it is empty.
pub(super) fn missing(object: &Object, chosen: &[String]) -> Vec<String> {
    let mut missing = Missing { sentences: Vec::new(), not_permitted: Vec::new() };
    // Read at most once, for any number of programs.
    let has_no_types = LazyCell::new(|| kernel::Bytes::vmlinux().is_err());
    let maps = || object.maps().iter().filter(|map| map.autocreate);
    if maps().any(|map| map.map_type == MapType::RINGBUF) {
        missing.check("ring buffers", features::ring_buffer());
    }
    if maps().any(|map| map.map_type == MapType::PERF_EVENT_ARRAY) {
        missing.check("perf event arrays", features::perf_event_array());
    }
    let counts = |name: &String| chosen.is_empty() || chosen.contains(name);
    let programs = || object.programs().iter().filter(|program| program.section.autoload && counts(&program.name));
    for program in programs() {
        let section = &program.section;
        match (&section.target, section.program_type) {
            (Some(Target::KprobeMulti { .. }), _) => missing.check("kprobe.multi links", features::kprobe_multi()),
            (Some(Target::UprobeMulti { .. }), _) => missing.check("uprobe.multi links", features::uprobe_multi()),
            (Some(Target::Usdt { .. }), _) => missing.check("attach cookies, for USDT", features::attach_cookie()),
            (_, ProgramType::KPROBE) if section.expected_attach_type == AttachType::TRACE_KPROBE_MULTI => {
                missing.check("kprobe.multi links", features::kprobe_multi());
            }
            (_, ProgramType::SCHED_CLS) if is_one_of(section, [AttachType::TCX_INGRESS, AttachType::TCX_EGRESS]) => {
                missing.check("tcx links", features::tcx_link());
            }
            (_, ProgramType::SCHED_CLS)
                if is_one_of(section, [AttachType::NETKIT_PRIMARY, AttachType::NETKIT_PEER]) =>
            {
                missing.check("netkit links", features::netkit_link());
            }
            (Some(Target::Btf { .. }), ProgramType::TRACING | ProgramType::LSM) if *has_no_types => {
                let types = format!("{}/vmlinux", kernel::DIRECTORY);
                missing.add(format!("the kernel's types ({types}), which `{}` needs to attach", program.name));
            }
            _ => {}
        }
    }
    if !missing.not_permitted.is_empty() {
        let features = missing.not_permitted.join(", ");
        missing.sentences.push(format!("{features}: unknown without privileges"));
    }
    missing.sentences
}

fn is_one_of(section: &Section, types: [AttachType; 2]) -> bool {
    types.contains(&section.expected_attach_type)
}

/// The missing features, without repetition.
struct Missing {
    sentences: Vec<String>,
    /// Features that this process is not permitted to try.
    not_permitted: Vec<&'static str>,
}

impl Missing {
    /// Adds the feature if the kernel lacks it or if that is unknown.
    fn check(&mut self, feature: &'static str, support: Support) {
        match support {
            Support::Yes => {}
            Support::NotPermitted => {
                if !self.not_permitted.contains(&feature) {
                    self.not_permitted.push(feature);
                }
            }
            _ => self.add(format!("{feature}: {support}")),
        }
    }

    fn add(&mut self, sentence: String) {
        if !self.sentences.contains(&sentence) {
            self.sentences.push(sentence);
        }
    }
}
