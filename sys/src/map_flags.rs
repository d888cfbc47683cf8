//! `BPF_F_…`: flags of `BPF_MAP_CREATE`.

bitflags::bitflags! {
    /// Flags of `BPF_MAP_CREATE`, by the kernel's names without `BPF_F_` (`include/uapi/linux/bpf.h`). Bits without a
    /// name here are kept.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct MapFlags: u32 {
        /// Allocates a hash's elements when they are inserted.
        const NO_PREALLOC = 1 << 0;
        /// Gives each CPU of an LRU hash a list of its own.
        const NO_COMMON_LRU = 1 << 1;
        /// Allocates the map's memory on the given NUMA node.
        const NUMA_NODE = 1 << 2;
        /// Lets user space only read.
        const RDONLY = 1 << 3;
        /// Lets user space only write.
        const WRONLY = 1 << 4;
        /// Stores build id and offset instead of addresses in stack traces.
        const STACK_BUILD_ID = 1 << 5;
        /// Seeds hashes with zero instead of a random number.
        const ZERO_SEED = 1 << 6;
        /// Lets programs only read (Linux 5.2).
        const RDONLY_PROG = 1 << 7;
        /// Lets programs only write (Linux 5.2).
        const WRONLY_PROG = 1 << 8;
        /// Copies a socket's storage when the socket is cloned.
        const CLONE = 1 << 9;
        /// Lets user space map the values of an array (Linux 5.5).
        const MMAPABLE = 1 << 10;
        /// Keeps the events of a `PERF_EVENT_ARRAY` when the map fd that set them is closed (Linux 5.11).
        const PRESERVE_ELEMS = 1 << 11;
        /// Lets the inner maps of an array of maps differ in size (Linux 5.10).
        const INNER_MAP = 1 << 12;
        /// Makes a ring overwrite its oldest records instead of refusing new ones (Linux 6.19).
        const RB_OVERWRITE = 1 << 19;

        const _ = !0;
    }
}
