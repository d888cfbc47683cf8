//! `enum bpf_link_type`, with the kernel's names.

use crate::names::{nth, shown_by_name};

/// A link type: a value of `enum bpf_link_type` in `include/uapi/linux/bpf.h`. Displayed by the kernel's name without
/// its prefix, e.g. `XDP`.
///
/// Any value is allowed: a newer kernel can have types that this crate has no name for.
#[doc(alias = "bpf_link_type")]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct LinkType(pub u32);

macro_rules! link_types {
    ($($number:literal $name:ident $alias:literal,)*) => {
        impl LinkType {
            $(#[doc = concat!("`BPF_LINK_TYPE_", stringify!($name), "`.")]
            #[doc(alias = $alias)]
            pub const $name: Self = Self($number);)*

            /// Returns the kernel's name without `BPF_LINK_TYPE_`; `None` for a type that this crate has no name for.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                nth(concat!("- ", $(stringify!($name), " ",)*), self.0 as usize)
            }
        }

        #[cfg(test)]
        const NUMBERS: &[u32] = &[$($number),*];
    };
}

link_types! {
    1 RAW_TRACEPOINT "BPF_LINK_TYPE_RAW_TRACEPOINT",
    2 TRACING "BPF_LINK_TYPE_TRACING",
    3 CGROUP "BPF_LINK_TYPE_CGROUP",
    4 ITER "BPF_LINK_TYPE_ITER",
    5 NETNS "BPF_LINK_TYPE_NETNS",
    6 XDP "BPF_LINK_TYPE_XDP",
    7 PERF_EVENT "BPF_LINK_TYPE_PERF_EVENT",
    8 KPROBE_MULTI "BPF_LINK_TYPE_KPROBE_MULTI",
    9 STRUCT_OPS "BPF_LINK_TYPE_STRUCT_OPS",
    10 NETFILTER "BPF_LINK_TYPE_NETFILTER",
    11 TCX "BPF_LINK_TYPE_TCX",
    12 UPROBE_MULTI "BPF_LINK_TYPE_UPROBE_MULTI",
    13 NETKIT "BPF_LINK_TYPE_NETKIT",
    14 SOCKMAP "BPF_LINK_TYPE_SOCKMAP",
}

shown_by_name!(LinkType, "link type");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_kernel_values() {
        assert!(NUMBERS.iter().copied().eq(1..15));
        assert_eq!((LinkType(1).name(), LinkType(14).name()), (Some("RAW_TRACEPOINT"), Some("SOCKMAP")));
        assert_eq!((LinkType(0).name(), LinkType(9_999).name()), (None, None));
        assert_eq!(LinkType(77).to_string(), "link type 77");
        assert_eq!(LinkType::TCX.0, aya_obj::generated::bpf_link_type::BPF_LINK_TYPE_TCX as u32);
    }
}
