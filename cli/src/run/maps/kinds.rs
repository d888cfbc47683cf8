//! How each type of map is shown, or the reason why it is not.

use cutaway::{MapSpec, MapType};

/// How a type of map is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys and values.
    Elements,
    /// The next value.
    Queue,
    /// Stacks by their ids.
    Stacks,
    NotShown(&'static str),
}

impl Kind {
    pub(super) fn of(map_type: MapType) -> Self {
        type T = MapType;
        match map_type {
            T::HASH
            | T::ARRAY
            | T::PERCPU_HASH
            | T::PERCPU_ARRAY
            | T::LRU_HASH
            | T::LRU_PERCPU_HASH
            | T::LPM_TRIE
            | T::CGROUP_STORAGE
            | T::PERCPU_CGROUP_STORAGE
            | T::DEVMAP
            | T::DEVMAP_HASH
            | T::CPUMAP
            // The values are ids of programs and maps.
            | T::PROG_ARRAY
            | T::ARRAY_OF_MAPS
            | T::HASH_OF_MAPS => Self::Elements,
            T::QUEUE | T::STACK => Self::Queue,
            T::STACK_TRACE => Self::Stacks,
            T::BLOOM_FILTER => Self::NotShown("a Bloom filter does not list its values"),
            T::TASK_STORAGE | T::INODE_STORAGE | T::SK_STORAGE | T::CGRP_STORAGE => {
                Self::NotShown("the kernel does not list its elements")
            }
            T::SOCKMAP | T::SOCKHASH | T::REUSEPORT_SOCKARRAY | T::XSKMAP => {
                Self::NotShown("its elements are sockets")
            }
            T::CGROUP_ARRAY => Self::NotShown("the kernel does not return its elements"),
            T::USER_RINGBUF => Self::NotShown("its records are for the programs"),
            T::STRUCT_OPS => Self::NotShown("`cutaway inspect` lists its programs"),
            T::ARENA => Self::NotShown("--variables prints its global variables"),
            _ => Self::NotShown("maps of this type are unknown here"),
        }
    }
}

/// Returns whether a map is printed or named. Data sections and buffers of records are not.
pub(super) fn is_listed(spec: &MapSpec) -> bool {
    let is_buffer = matches!(spec.map_type, MapType::RINGBUF | MapType::PERF_EVENT_ARRAY);
    // A data section's name begins with a dot, which no variable's does.
    spec.autocreate && !is_buffer && !spec.name.starts_with('.')
}
