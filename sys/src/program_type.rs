//! `enum bpf_prog_type`, with the kernel's names.

use crate::names::{nth, shown_by_name};

/// A program type: a value of `enum bpf_prog_type` in `include/uapi/linux/bpf.h`. Displayed by the kernel's name
/// without its prefix, e.g. `KPROBE` (the type of uprobe programs as well).
///
/// Any value is allowed: a newer kernel can have types that this crate has no name for.
#[doc(alias = "bpf_prog_type")]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ProgramType(pub u32);

macro_rules! program_types {
    ($($number:literal $name:ident $alias:literal,)*) => {
        impl ProgramType {
            $(#[doc = concat!("`BPF_PROG_TYPE_", stringify!($name), "`.")]
            #[doc(alias = $alias)]
            pub const $name: Self = Self($number);)*

            /// Returns the kernel's name without `BPF_PROG_TYPE_`; `None` for a type that this crate has no name for.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                nth(concat!("- ", $(stringify!($name), " ",)*), self.0 as usize)
            }
        }

        #[cfg(test)]
        const NUMBERS: &[u32] = &[$($number),*];
    };
}

program_types! {
    1 SOCKET_FILTER "BPF_PROG_TYPE_SOCKET_FILTER",
    2 KPROBE "BPF_PROG_TYPE_KPROBE",
    3 SCHED_CLS "BPF_PROG_TYPE_SCHED_CLS",
    4 SCHED_ACT "BPF_PROG_TYPE_SCHED_ACT",
    5 TRACEPOINT "BPF_PROG_TYPE_TRACEPOINT",
    6 XDP "BPF_PROG_TYPE_XDP",
    7 PERF_EVENT "BPF_PROG_TYPE_PERF_EVENT",
    8 CGROUP_SKB "BPF_PROG_TYPE_CGROUP_SKB",
    9 CGROUP_SOCK "BPF_PROG_TYPE_CGROUP_SOCK",
    10 LWT_IN "BPF_PROG_TYPE_LWT_IN",
    11 LWT_OUT "BPF_PROG_TYPE_LWT_OUT",
    12 LWT_XMIT "BPF_PROG_TYPE_LWT_XMIT",
    13 SOCK_OPS "BPF_PROG_TYPE_SOCK_OPS",
    14 SK_SKB "BPF_PROG_TYPE_SK_SKB",
    15 CGROUP_DEVICE "BPF_PROG_TYPE_CGROUP_DEVICE",
    16 SK_MSG "BPF_PROG_TYPE_SK_MSG",
    17 RAW_TRACEPOINT "BPF_PROG_TYPE_RAW_TRACEPOINT",
    18 CGROUP_SOCK_ADDR "BPF_PROG_TYPE_CGROUP_SOCK_ADDR",
    19 LWT_SEG6LOCAL "BPF_PROG_TYPE_LWT_SEG6LOCAL",
    20 LIRC_MODE2 "BPF_PROG_TYPE_LIRC_MODE2",
    21 SK_REUSEPORT "BPF_PROG_TYPE_SK_REUSEPORT",
    22 FLOW_DISSECTOR "BPF_PROG_TYPE_FLOW_DISSECTOR",
    23 CGROUP_SYSCTL "BPF_PROG_TYPE_CGROUP_SYSCTL",
    24 RAW_TRACEPOINT_WRITABLE "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE",
    25 CGROUP_SOCKOPT "BPF_PROG_TYPE_CGROUP_SOCKOPT",
    26 TRACING "BPF_PROG_TYPE_TRACING",
    27 STRUCT_OPS "BPF_PROG_TYPE_STRUCT_OPS",
    28 EXT "BPF_PROG_TYPE_EXT",
    29 LSM "BPF_PROG_TYPE_LSM",
    30 SK_LOOKUP "BPF_PROG_TYPE_SK_LOOKUP",
    31 SYSCALL "BPF_PROG_TYPE_SYSCALL",
    32 NETFILTER "BPF_PROG_TYPE_NETFILTER",
}

shown_by_name!(ProgramType, "program type");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_kernel_values() {
        assert!(NUMBERS.iter().copied().eq(1..=32));
        assert_eq!(ProgramType::SOCKET_FILTER.name(), Some("SOCKET_FILTER"));
        assert_eq!(ProgramType::NETFILTER.name(), Some("NETFILTER"));
        assert_eq!((ProgramType(0).name(), ProgramType(33).name()), (None, None));
    }
}
