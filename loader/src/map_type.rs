//! `enum bpf_map_type`: the kinds of map, by the kernel's numbers and names.

use std::fmt;

use crate::sys::names::nth;

/// A kind of map, as a number of `enum bpf_map_type` in `include/uapi/linux/bpf.h`. Displayed by the kernel's name
/// without its prefix, e.g. `RINGBUF`.
///
/// Any number is allowed: a kernel newer than this crate may know more kinds than it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct MapType(pub u32);

macro_rules! map_types {
    ($($number:literal $name:ident $since:literal,)*) => {
        impl MapType {
            $(#[doc = concat!("`BPF_MAP_TYPE_", stringify!($name), "`, since Linux ", $since, ".")]
            pub const $name: Self = Self($number);)*

            /// The kernel's name without `BPF_MAP_TYPE_`; `None` for a kind that this crate does not know.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                nth(concat!("- ", $(stringify!($name), " ",)*), self.0 as usize)
            }

            /// The first Linux that has this kind, e.g. `5.8`.
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
    1 HASH "3.19",
    2 ARRAY "3.19",
    3 PROG_ARRAY "4.2",
    4 PERF_EVENT_ARRAY "4.3",
    5 PERCPU_HASH "4.6",
    6 PERCPU_ARRAY "4.6",
    7 STACK_TRACE "4.6",
    8 CGROUP_ARRAY "4.8",
    9 LRU_HASH "4.10",
    10 LRU_PERCPU_HASH "4.10",
    11 LPM_TRIE "4.11",
    12 ARRAY_OF_MAPS "4.12",
    13 HASH_OF_MAPS "4.12",
    14 DEVMAP "4.14",
    15 SOCKMAP "4.14",
    16 CPUMAP "4.15",
    17 XSKMAP "4.18",
    18 SOCKHASH "4.18",
    19 CGROUP_STORAGE "4.19",
    20 REUSEPORT_SOCKARRAY "4.19",
    21 PERCPU_CGROUP_STORAGE "4.20",
    22 QUEUE "4.20",
    23 STACK "4.20",
    24 SK_STORAGE "5.2",
    25 DEVMAP_HASH "5.4",
    26 STRUCT_OPS "5.6",
    27 RINGBUF "5.8",
    28 INODE_STORAGE "5.10",
    29 TASK_STORAGE "5.11",
    30 BLOOM_FILTER "5.16",
    31 USER_RINGBUF "6.1",
    32 CGRP_STORAGE "6.2",
    33 ARENA "6.9",
    34 INSN_ARRAY "6.19",
}

impl MapType {
    /// One value for each possible CPU behind every key.
    #[must_use]
    pub fn is_per_cpu(self) -> bool {
        matches!(self, Self::PERCPU_HASH | Self::PERCPU_ARRAY | Self::LRU_PERCPU_HASH | Self::PERCPU_CGROUP_STORAGE)
    }

    /// A ring whose `max_entries` is a number of bytes.
    #[must_use]
    pub fn is_ring(self) -> bool {
        matches!(self, Self::RINGBUF | Self::USER_RINGBUF)
    }

    /// The kernel answers ENOTSUPP to a map of this kind that names BTF types for key or value
    /// (those without a `map_check_btf` in their operations, or whose values are descriptors).
    pub(crate) fn refuses_btf(self) -> bool {
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

impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "map type {}", self.0),
        }
    }
}

impl fmt::Debug for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_numbers() {
        assert!(NUMBERS.iter().copied().eq(1..=34));
        assert_eq!((MapType::HASH.name(), MapType::INSN_ARRAY.name()), (Some("HASH"), Some("INSN_ARRAY")));
        assert_eq!((MapType::RINGBUF.name(), MapType::RINGBUF.since()), (Some("RINGBUF"), Some("5.8")));
        assert_eq!((MapType(0).name(), MapType(35).name(), MapType(u32::MAX).since()), (None, None, None));
    }
}
