//! What an object requires and the running kernel does not have. The kernel is asked for each feature; no version
//! number decides.

use std::cell::LazyCell;

use cutaway::{
    AttachType, MapType, Object, ProgramType, Section, Target,
    btf::kernel,
    features::{self, Support},
};

/// Returns a sentence for each missing feature. Only the programs in `chosen` count; all of them if it is empty.
pub(super) fn missing(object: &Object, chosen: &[String]) -> Vec<String> {
    let mut missing = Missing { told: Vec::new(), secret: Vec::new() };
    // Asked once, however many programs there are.
    let has_no_types = LazyCell::new(|| kernel::Bytes::vmlinux().is_err());
    let maps = || object.maps().iter().filter(|map| map.autocreate);
    if maps().any(|map| map.map_type == MapType::RINGBUF) {
        missing.ask("ring buffers", features::ring_buffer());
    }
    if maps().any(|map| map.map_type == MapType::PERF_EVENT_ARRAY) {
        missing.ask("perf event arrays", features::perf_event_array());
    }
    let counts = |name: &String| chosen.is_empty() || chosen.contains(name);
    let programs = || object.programs().iter().filter(|program| program.section.autoload && counts(&program.name));
    for program in programs() {
        let section = &program.section;
        match (&section.target, section.program_type) {
            (Some(Target::KprobeMulti { .. }), _) => missing.ask("kprobe.multi links", features::kprobe_multi()),
            (Some(Target::UprobeMulti { .. }), _) => missing.ask("uprobe.multi links", features::uprobe_multi()),
            (Some(Target::Usdt { .. }), _) => missing.ask("cookies of links, for USDT", features::attach_cookie()),
            (_, ProgramType::KPROBE) if section.expected_attach_type == AttachType::TRACE_KPROBE_MULTI => {
                missing.ask("kprobe.multi links", features::kprobe_multi());
            }
            (_, ProgramType::SCHED_CLS) if is_one(section, [AttachType::TCX_INGRESS, AttachType::TCX_EGRESS]) => {
                missing.ask("tcx links", features::tcx_link());
            }
            (_, ProgramType::SCHED_CLS) if is_one(section, [AttachType::NETKIT_PRIMARY, AttachType::NETKIT_PEER]) => {
                missing.ask("netkit links", features::netkit_link());
            }
            (Some(Target::Btf { .. }), ProgramType::TRACING | ProgramType::LSM) if *has_no_types => {
                let types = format!("{}/vmlinux", kernel::DIRECTORY);
                missing.tell(format!("the kernel's types ({types}), which `{}` attaches by", program.name));
            }
            _ => {}
        }
    }
    if !missing.secret.is_empty() {
        let things = missing.secret.join(", ");
        missing.told.push(format!("without privileges it cannot be found out whether this kernel has {things}"));
    }
    missing.told
}

fn is_one(section: &Section, types: [AttachType; 2]) -> bool {
    types.contains(&section.expected_attach_type)
}

struct Missing {
    told: Vec<String>,
    /// What the kernel would not tell this process.
    secret: Vec<&'static str>,
}

impl Missing {
    fn ask(&mut self, what: &'static str, support: Support) {
        match support {
            Support::Yes => {}
            Support::NotPermitted => {
                if !self.secret.contains(&what) {
                    self.secret.push(what);
                }
            }
            answer => self.tell(format!("{what}: {answer}")),
        }
    }

    fn tell(&mut self, sentence: String) {
        if !self.told.contains(&sentence) {
            self.told.push(sentence);
        }
    }
}
