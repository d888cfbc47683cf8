//! `BPF_F_…`: how a map is to be made.

bitflags::bitflags! {
    /// Flags of `BPF_MAP_CREATE`, by the kernel's names without `BPF_F_` (`include/uapi/linux/bpf.h`). Bits that are not
    /// named here are kept as they are.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct MapFlags: u32 {
        /// Elements of a hash are allocated as they come.
        const NO_PREALLOC = 1 << 0;
        /// Each CPU of an LRU hash has a list of its own.
        const NO_COMMON_LRU = 1 << 1;
        /// The map's memory is on the NUMA node that is given.
        const NUMA_NODE = 1 << 2;
        /// User space may only read.
        const RDONLY = 1 << 3;
        /// User space may only write.
        const WRONLY = 1 << 4;
        /// A stack trace is stored as build id and offset instead of an address.
        const STACK_BUILD_ID = 1 << 5;
        /// Hashes start from zero instead of a random seed.
        const ZERO_SEED = 1 << 6;
        /// Programs may only read (5.2).
        const RDONLY_PROG = 1 << 7;
        /// Programs may only write (5.2).
        const WRONLY_PROG = 1 << 8;
        /// A socket's storage goes along when the socket is cloned.
        const CLONE = 1 << 9;
        /// User space may map the values of an array (5.5).
        const MMAPABLE = 1 << 10;
        /// A `PERF_EVENT_ARRAY` keeps its events when the descriptor that set them is closed (5.11).
        const PRESERVE_ELEMS = 1 << 11;
        /// The inner maps of an array of maps may differ in size (5.10).
        const INNER_MAP = 1 << 12;
        /// A ring overwrites what is oldest instead of refusing what is new (6.19).
        const RB_OVERWRITE = 1 << 19;

        const _ = !0;
    }
}
