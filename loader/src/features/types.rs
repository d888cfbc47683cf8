//! Probes which types of programs and of maps the kernel has, each by creating the smallest one.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use cutaway_sys::{AttachType, Instruction, MapFlags, errno::ENOTSUPP, memory::page_size};

use super::{
    btf,
    support::{self, NOTHING, Support, logged, support_or},
};
use crate::{
    MapType, ProgramType,
    sys::{
        attr::MapCreate,
        bpf::{self, BtfTarget, SLEEPABLE},
    },
    token::Tokens,
};

/// The id of a type of the kernel's BTF that is no function. Programs that need a target get it.
const NO_FUNCTION: u32 = 1;
/// The verifier's log of a program of two instructions is shorter.
const LOG_SIZE: usize = 4096;

/// Describes the smallest program of a type. Types that need a target get an invalid one.
pub(super) fn smallest(program_type: ProgramType, instructions: &[Instruction]) -> bpf::Program<'_> {
    let attach_type = match program_type {
        ProgramType::CGROUP_SOCK_ADDR => AttachType::CGROUP_INET4_CONNECT,
        ProgramType::CGROUP_SOCKOPT => AttachType::CGROUP_GETSOCKOPT,
        ProgramType::SK_LOOKUP => AttachType::SK_LOOKUP,
        ProgramType::LIRC_MODE2 => AttachType::LIRC_MODE2,
        ProgramType::NETFILTER => AttachType::NETFILTER,
        ProgramType::TRACING => AttachType::TRACE_FENTRY,
        ProgramType::LSM => AttachType::LSM_MAC,
        _ => AttachType::default(),
    };
    let mut program = support::program(program_type, attach_type, instructions);
    if program_type == ProgramType::SYSCALL {
        program.flags = SLEEPABLE;
    }
    if matches!(program_type, ProgramType::TRACING | ProgramType::LSM | ProgramType::EXT) {
        program.target = BtfTarget { id: NO_FUNCTION, of: None };
    }
    program
}

/// Probes for a program type by loading a program of two instructions.
///
/// Programs of the types `TRACING`, `LSM`, `EXT` and `STRUCT_OPS` need a target. They get an invalid one: then the
/// reason of the refusal shows whether the kernel has the type. The answer is not kept.
#[must_use]
#[doc(alias("libbpf_probe_bpf_prog_type", "HaveProgramType"))]
pub fn program_type(program_type: ProgramType) -> Support {
    let mut log = [0; LOG_SIZE];
    let answer = logged(&smallest(program_type, &NOTHING), &mut log, &Tokens::automatic()).map(drop);
    let log = String::from_utf8_lossy(&log);
    match (program_type, answer) {
        (ProgramType::STRUCT_OPS, Err(error)) if error.raw_os_error() == Some(ENOTSUPP) => Support::Yes,
        (ProgramType::TRACING | ProgramType::LSM, Err(_)) if log.contains("is not a function") => Support::Yes,
        (ProgramType::EXT, Err(_)) if log.contains("Cannot replace kernel functions") => Support::Yes,
        (_, answer) => support_or(answer, Support::No),
    }
}

/// Probes for a map type by creating a map with one element, or with none if its elements belong to other objects.
///
/// The answer is not kept.
#[must_use]
#[doc(alias("libbpf_probe_bpf_map_type", "HaveMapType"))]
pub fn map_type(map_type: MapType) -> Support {
    let tokens = Tokens::automatic();
    let answer = small_map(map_type, &tokens).map(drop);
    match answer {
        // The kernel knows the type, and the id that it got is not that of a struct_ops type.
        Err(error) if map_type == MapType::STRUCT_OPS && error.raw_os_error() == Some(ENOTSUPP) => Support::Yes,
        answer => support_or(answer, Support::No),
    }
}

/// Creates the smallest map of a type.
fn small_map(map_type: MapType, tokens: &Tokens<'_>) -> io::Result<OwnedFd> {
    let mut attr = MapCreate { map_type, key_size: 4, value_size: 4, max_entries: 1, ..MapCreate::default() };
    // The map gets fds of these, which have to be open until it is created.
    let (types, inner): (OwnedFd, OwnedFd);
    match map_type {
        MapType::STACK_TRACE => attr.value_size = 8,
        MapType::LPM_TRIE => {
            (attr.key_size, attr.value_size) = (8, 8);
            attr.map_flags.0 = MapFlags::NO_PREALLOC.bits();
        }
        MapType::RHASH => attr.map_flags.0 = MapFlags::NO_PREALLOC.bits(),
        // The size of `struct bpf_cgroup_storage_key`.
        MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE => {
            (attr.key_size, attr.value_size, attr.max_entries) = (16, 8, 0);
        }
        MapType::QUEUE | MapType::STACK | MapType::BLOOM_FILTER => attr.key_size = 0,
        MapType::RINGBUF | MapType::USER_RINGBUF => {
            (attr.key_size, attr.value_size, attr.max_entries) = (0, 0, page_size() as u32);
        }
        MapType::ARENA => {
            (attr.key_size, attr.value_size) = (0, 0);
            attr.map_flags.0 = MapFlags::MMAPABLE.bits();
        }
        // The size of `struct bpf_insn_array_value`.
        MapType::INSN_ARRAY => attr.value_size = 16,
        MapType::STRUCT_OPS => attr.btf_vmlinux_value_type_id = NO_FUNCTION,
        MapType::SK_STORAGE | MapType::INODE_STORAGE | MapType::TASK_STORAGE | MapType::CGRP_STORAGE => {
            types = btf::integer(tokens)?;
            attr.max_entries = 0;
            attr.map_flags.0 = MapFlags::NO_PREALLOC.bits();
            attr.btf_fd = bpf::number(types.as_fd());
            (attr.btf_key_type_id, attr.btf_value_type_id) = (1, 1);
        }
        MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => {
            inner = create(MapCreate { map_type: MapType::HASH, ..attr }, tokens)?;
            attr.inner_map_fd = bpf::number(inner.as_fd());
        }
        _ => {}
    }
    create(attr, tokens)
}

fn create(attr: MapCreate, tokens: &Tokens<'_>) -> io::Result<OwnedFd> {
    tokens.create(&mut |token| {
        bpf::map_create(attr, token, "asks whether this kernel has a type of maps, by creating a small one")
    })
}
