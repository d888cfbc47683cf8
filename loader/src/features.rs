//! What this kernel can do, found out by trying.
//!
//! A version number is no answer: distributions backport, configurations leave out, containers forbid. So each question
//! is put to the kernel itself, when it is first needed, and the answer is kept for the life of the process.

mod btf;
mod entries;
mod links;
mod support;

use std::sync::OnceLock;

pub use entries::max_entries;
pub use links::{cgroup_link, kprobe_multi, netkit_link, perf_link, tcx_link, uprobe_multi, uprobe_multi_pid};
pub use support::Support;

use cutaway_sys::{AttachType, Helper, Instruction, instruction::opcode, memory::page_size};

use self::support::{EXIT, kept, small, support};

use crate::{
    MapType, ProgramType,
    btf::sanitize::Kinds,
    sys::{attr::MapCreate, bpf, memlock::charged},
};

/// `BPF_MAP_TYPE_RINGBUF`, by making a ring of one page.
#[must_use]
#[doc(alias("BPF_MAP_TYPE_RINGBUF", "libbpf_probe_bpf_map_type", "HaveMapType"))]
pub fn ring_buffer() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, || {
        let ring = MapCreate { map_type: MapType::RINGBUF, max_entries: page_size() as u32, ..MapCreate::default() };
        support(
            charged(&mut || bpf::map_create(ring, "asks whether this kernel has ring buffers, by making a small one")),
            "5.8",
        )
    })
}

/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, by making one with one slot.
#[must_use]
#[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
pub fn perf_event_array() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, || {
        let array = MapCreate {
            map_type: MapType::PERF_EVENT_ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            ..MapCreate::default()
        };
        support(
            charged(&mut || bpf::map_create(array, "asks whether this kernel has perf event arrays, by making one")),
            "4.3",
        )
    })
}

/// `bpf_get_attach_cookie`, which gives a program the number that it was attached with: by loading a program that calls
/// it.
#[must_use]
#[doc(alias("bpf_get_attach_cookie", "libbpf_probe_bpf_helper"))]
pub fn attach_cookie() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, || {
        let call = Instruction::new(opcode::JMP_CALL, 0, 0, 0, Helper::bpf_get_attach_cookie.id());
        support(small(ProgramType::KPROBE, AttachType::default(), &[call, EXIT]), "5.15")
    })
}

/// BTF at all: `BPF_BTF_LOAD` with one integer type.
#[must_use]
#[doc(alias = "BPF_BTF_LOAD")]
pub fn btf() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, || support(charged(&mut || btf::load(btf::PLAIN)), "4.18"))
}

/// The kinds of BTF that an object's own is rewritten to.
pub(crate) fn btf_kinds() -> Kinds {
    static ANSWER: OnceLock<Kinds> = OnceLock::new();
    *ANSWER.get_or_init(btf::kinds)
}
