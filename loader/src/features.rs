//! Probes what the running kernel supports.
//!
//! Probing is more reliable than a version number: distributions backport features, configurations disable them, and
//! containers forbid them. Each probe is made when its answer is first needed. The answer is kept for the life of the
//! process, unless it is [`Support::Unknown`] or [`Support::NotPermitted`].
//!
//! In a user namespace, a probe that the kernel does not permit is made again with a BPF token, as
//! [`Object::load`](crate::Object::load) does. A probe then needs the delegation of the commands and types
//! that it uses.

mod btf;
mod entries;
mod helper;
mod links;
mod load_btf;
mod support;
mod types;

use std::sync::OnceLock;

pub use entries::max_entries;
pub use helper::helper;
pub use links::{
    cgroup_link, cgroup_order, kprobe_multi, netkit_link, perf_link, sockmap_link, tcx_link, uprobe_multi,
    uprobe_multi_fd, uprobe_multi_pid,
};
pub(crate) use links::{kprobe_multi_with, uprobe_multi_pid_with, uprobe_multi_with};
pub(crate) use load_btf::load_btf;
pub use support::Support;
pub use types::{map_type, program_type};

use cutaway_sys::{AttachType, Helper, Instruction, instruction::opcode, memory::page_size};

use self::support::{EXIT, kept, small, support};

use crate::{
    MapType, ProgramType,
    sys::{attr::MapCreate, bpf},
    token::Tokens,
};

/// Probes for `BPF_MAP_TYPE_RINGBUF` by creating a ring of one page.
#[must_use]
#[doc(alias("BPF_MAP_TYPE_RINGBUF", "libbpf_probe_bpf_map_type", "HaveMapType"))]
pub fn ring_buffer() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| {
        let ring = MapCreate { map_type: MapType::RINGBUF, max_entries: page_size() as u32, ..MapCreate::default() };
        support(
            tokens.create(&mut |token| {
                bpf::map_create(ring, token, "asks whether this kernel has ring buffers, by creating a small one")
            }),
            "5.8",
        )
    })
}

/// Probes for `BPF_MAP_TYPE_PERF_EVENT_ARRAY` by creating one with one slot.
#[must_use]
#[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
pub fn perf_event_array() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| {
        let array = MapCreate {
            map_type: MapType::PERF_EVENT_ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            ..MapCreate::default()
        };
        support(
            tokens.create(&mut |token| {
                bpf::map_create(array, token, "asks whether this kernel has perf event arrays, by creating one")
            }),
            "4.3",
        )
    })
}

/// Probes for the helper `bpf_get_attach_cookie` by loading a program that calls it. The helper returns the cookie that
/// the program was attached with.
#[must_use]
#[doc(alias("bpf_get_attach_cookie", "libbpf_probe_bpf_helper"))]
pub fn attach_cookie() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, &Tokens::automatic(), |tokens| {
        let call = Instruction::new(opcode::JMP_CALL, 0, 0, 0, Helper::bpf_get_attach_cookie.id());
        support(small(ProgramType::KPROBE, AttachType::default(), &[call, EXIT], tokens), "5.15")
    })
}

/// Probes for BTF by `BPF_BTF_LOAD` with one integer type.
#[must_use]
#[doc(alias = "BPF_BTF_LOAD")]
pub fn btf() -> Support {
    btf::supported(&Tokens::automatic())
}
