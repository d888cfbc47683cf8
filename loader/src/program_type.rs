//! `enum bpf_prog_type`: the kinds of program, by the kernel's numbers and names.

use std::fmt;

use crate::sys::names::nth;

/// A kind of program, as a number of `enum bpf_prog_type` in `include/uapi/linux/bpf.h`. Displayed by the kernel's name
/// without its prefix, e.g. `KPROBE` (which is also what a uprobe's program is).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ProgramType(pub u32);

macro_rules! program_types {
    ($($number:literal $name:ident,)*) => {
        impl ProgramType {
            $(#[doc = concat!("`BPF_PROG_TYPE_", stringify!($name), "`.")]
            pub const $name: Self = Self($number);)*

            /// The kernel's name without `BPF_PROG_TYPE_`; `None` for a kind that this crate does not know.
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
    1 SOCKET_FILTER,
    2 KPROBE,
    3 SCHED_CLS,
    4 SCHED_ACT,
    5 TRACEPOINT,
    6 XDP,
    7 PERF_EVENT,
    8 CGROUP_SKB,
    9 CGROUP_SOCK,
    10 LWT_IN,
    11 LWT_OUT,
    12 LWT_XMIT,
    13 SOCK_OPS,
    14 SK_SKB,
    15 CGROUP_DEVICE,
    16 SK_MSG,
    17 RAW_TRACEPOINT,
    18 CGROUP_SOCK_ADDR,
    19 LWT_SEG6LOCAL,
    20 LIRC_MODE2,
    21 SK_REUSEPORT,
    22 FLOW_DISSECTOR,
    23 CGROUP_SYSCTL,
    24 RAW_TRACEPOINT_WRITABLE,
    25 CGROUP_SOCKOPT,
    26 TRACING,
    27 STRUCT_OPS,
    28 EXT,
    29 LSM,
    30 SK_LOOKUP,
    31 SYSCALL,
    32 NETFILTER,
}

impl fmt::Display for ProgramType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "program type {}", self.0),
        }
    }
}

impl fmt::Debug for ProgramType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_numbers() {
        assert!(NUMBERS.iter().copied().eq(1..=32));
        assert_eq!(ProgramType::SOCKET_FILTER.name(), Some("SOCKET_FILTER"));
        assert_eq!(ProgramType::NETFILTER.name(), Some("NETFILTER"));
        assert_eq!((ProgramType(0).name(), ProgramType(33).name()), (None, None));
    }
}
