//! `enum bpf_map_type`, with the kernel's names and the version that added each type.

use crate::names::{nth, shown_by_name};

/// A map type: a value of `enum bpf_map_type` in `include/uapi/linux/bpf.h`. Displayed by the kernel's name without its
/// prefix, e.g. `RINGBUF`.
///
/// Any value is allowed: a newer kernel can have types that this crate has no name for.
#[doc(alias = "bpf_map_type")]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct MapType(pub u32);

macro_rules! map_types {
    ($($number:literal $name:ident $alias:literal $since:literal $doc:literal,)*) => {
        impl MapType {
            $(#[doc = concat!($doc, " (Linux ", $since, ").")]
            #[doc(alias = $alias)]
            pub const $name: Self = Self($number);)*

            /// Returns the kernel's name without `BPF_MAP_TYPE_`; `None` for a type that this crate has no name for.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                nth(concat!("- ", $(stringify!($name), " ",)*), self.0 as usize)
            }

            /// Returns the first Linux version with this type, e.g. `5.8`; `None` for a type that this crate has no
            /// name for.
            #[must_use]
            pub fn since(self) -> Option<&'static str> {
                nth(concat!("- ", $($since, " ",)*), self.0 as usize)
            }
        }

        #[cfg(test)]
        const NUMBERS: &[u32] = &[$($number),*];
    };
}

map_types! {
    1 HASH "BPF_MAP_TYPE_HASH" "3.19" "Keys to values",
    2 ARRAY "BPF_MAP_TYPE_ARRAY" "3.19" "Values by index",
    3 PROG_ARRAY "BPF_MAP_TYPE_PROG_ARRAY" "4.2" "Programs to tail-call by index",
    4 PERF_EVENT_ARRAY "BPF_MAP_TYPE_PERF_EVENT_ARRAY" "4.3" "Perf events by CPU: perf buffers",
    5 PERCPU_HASH "BPF_MAP_TYPE_PERCPU_HASH" "4.6" "`HASH` with a value for each possible CPU",
    6 PERCPU_ARRAY "BPF_MAP_TYPE_PERCPU_ARRAY" "4.6" "`ARRAY` with a value for each possible CPU",
    7 STACK_TRACE "BPF_MAP_TYPE_STACK_TRACE" "4.6" "Stack traces by id",
    8 CGROUP_ARRAY "BPF_MAP_TYPE_CGROUP_ARRAY" "4.8" "Cgroups by index",
    9 LRU_HASH "BPF_MAP_TYPE_LRU_HASH" "4.10" "`HASH` that evicts the least recently used entry when it is full",
    10 LRU_PERCPU_HASH "BPF_MAP_TYPE_LRU_PERCPU_HASH" "4.10" "`LRU_HASH` with a value for each possible CPU",
    11 LPM_TRIE "BPF_MAP_TYPE_LPM_TRIE" "4.11" "Longest-prefix match",
    12 ARRAY_OF_MAPS "BPF_MAP_TYPE_ARRAY_OF_MAPS" "4.12" "Maps by index",
    13 HASH_OF_MAPS "BPF_MAP_TYPE_HASH_OF_MAPS" "4.12" "Maps by key",
    14 DEVMAP "BPF_MAP_TYPE_DEVMAP" "4.14" "Network devices by index",
    15 SOCKMAP "BPF_MAP_TYPE_SOCKMAP" "4.14" "Sockets by index",
    16 CPUMAP "BPF_MAP_TYPE_CPUMAP" "4.15" "CPUs to redirect packets to",
    17 XSKMAP "BPF_MAP_TYPE_XSKMAP" "4.18" "AF_XDP sockets by index",
    18 SOCKHASH "BPF_MAP_TYPE_SOCKHASH" "4.18" "Sockets by key",
    19 CGROUP_STORAGE "BPF_MAP_TYPE_CGROUP_STORAGE" "4.19" "Storage for a cgroup and a program; `CGRP_STORAGE` replaces it",
    20 REUSEPORT_SOCKARRAY "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY" "4.19" "Sockets that share a port",
    21 PERCPU_CGROUP_STORAGE "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE" "4.20" "`CGROUP_STORAGE` with a value for each possible CPU",
    22 QUEUE "BPF_MAP_TYPE_QUEUE" "4.20" "First in, first out",
    23 STACK "BPF_MAP_TYPE_STACK" "4.20" "Last in, first out",
    24 SK_STORAGE "BPF_MAP_TYPE_SK_STORAGE" "5.2" "Storage for a socket",
    25 DEVMAP_HASH "BPF_MAP_TYPE_DEVMAP_HASH" "5.4" "Network devices by key",
    26 STRUCT_OPS "BPF_MAP_TYPE_STRUCT_OPS" "5.6" "An implementation of a struct_ops type",
    27 RINGBUF "BPF_MAP_TYPE_RINGBUF" "5.8" "The ring buffer; `max_entries` is its size in bytes",
    28 INODE_STORAGE "BPF_MAP_TYPE_INODE_STORAGE" "5.10" "Storage for an inode",
    29 TASK_STORAGE "BPF_MAP_TYPE_TASK_STORAGE" "5.11" "Storage for a task",
    30 BLOOM_FILTER "BPF_MAP_TYPE_BLOOM_FILTER" "5.16" "A set whose lookup can report false positives",
    31 USER_RINGBUF "BPF_MAP_TYPE_USER_RINGBUF" "6.1" "The ring buffer that user space writes; `max_entries` is its size in bytes",
    32 CGRP_STORAGE "BPF_MAP_TYPE_CGRP_STORAGE" "6.2" "Storage for a cgroup",
    33 ARENA "BPF_MAP_TYPE_ARENA" "6.9" "Memory shared with user space; `max_entries` is its size in pages",
    34 INSN_ARRAY "BPF_MAP_TYPE_INSN_ARRAY" "6.19" "Instruction offsets, for `gotox` jump tables",
    35 RHASH "BPF_MAP_TYPE_RHASH" "7.2" "`HASH` that grows and shrinks with its elements; needs the flag `NO_PREALLOC`",
}

impl MapType {
    /// Returns whether each key has one value for each possible CPU.
    #[must_use]
    pub fn is_per_cpu(self) -> bool {
        matches!(self, Self::PERCPU_HASH | Self::PERCPU_ARRAY | Self::LRU_PERCPU_HASH | Self::PERCPU_CGROUP_STORAGE)
    }

    /// Returns whether the type is a ring buffer, whose `max_entries` is a size in bytes.
    #[must_use]
    pub fn is_ring(self) -> bool {
        matches!(self, Self::RINGBUF | Self::USER_RINGBUF)
    }

    /// Returns whether `BPF_MAP_CREATE` refuses BTF types for the key and value of this type (ENOTSUPP). The kernel
    /// refuses them for types without `map_check_btf` in their operations, and for types whose values are fds
    /// (`kernel/bpf/syscall.c`, `map_check_btf`).
    #[must_use]
    pub fn refuses_btf(self) -> bool {
        matches!(
            self,
            Self::PERF_EVENT_ARRAY
                | Self::CGROUP_ARRAY
                | Self::STACK_TRACE
                | Self::ARRAY_OF_MAPS
                | Self::HASH_OF_MAPS
                | Self::DEVMAP
                | Self::DEVMAP_HASH
                | Self::CPUMAP
                | Self::XSKMAP
                | Self::SOCKMAP
                | Self::SOCKHASH
                | Self::QUEUE
                | Self::STACK
                | Self::RINGBUF
                | Self::USER_RINGBUF
                | Self::PROG_ARRAY
                | Self::REUSEPORT_SOCKARRAY
        )
    }
}

shown_by_name!(MapType, "map type");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_kernel_values() {
        assert!(NUMBERS.iter().copied().eq(1..=35));
        assert_eq!((MapType::HASH.name(), MapType::INSN_ARRAY.name()), (Some("HASH"), Some("INSN_ARRAY")));
        assert_eq!((MapType::RINGBUF.name(), MapType::RINGBUF.since()), (Some("RINGBUF"), Some("5.8")));
        assert_eq!((MapType(0).name(), MapType(36).name(), MapType(u32::MAX).since()), (None, None, None));
    }
}
