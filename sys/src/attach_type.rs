//! `enum bpf_attach_type`, with the kernel's names. The loader chooses a program's attach type by its section name
//! (`object/program_section.rs`).

use crate::names::{nth, shown_by_name};

/// An attach type: a value of `enum bpf_attach_type` in `include/uapi/linux/bpf.h`. Displayed by the kernel's name
/// without its prefix, e.g. `TRACE_FENTRY`.
///
/// Any value is allowed: a newer kernel can have types that this crate has no name for. 0, the default, is
/// `CGROUP_INET_INGRESS`; the kernel ignores it where a program type has no attach types.
#[doc(alias = "bpf_attach_type")]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct AttachType(pub u32);

macro_rules! attach_types {
    ($($number:literal $name:ident $alias:literal,)*) => {
        impl AttachType {
            $(#[doc = concat!("`BPF_", stringify!($name), "`.")]
            #[doc(alias = $alias)]
            pub const $name: Self = Self($number);)*

            /// Returns the kernel's name without `BPF_`; `None` for a type that this crate has no name for.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                self.kernel_name()?.strip_prefix("BPF_")
            }

            /// Returns the kernel's name, e.g. `BPF_TRACE_FENTRY`; `None` for a type that this crate has no name for.
            #[must_use]
            pub fn kernel_name(self) -> Option<&'static str> {
                nth(concat!($($alias, " ",)*), self.0 as usize)
            }
        }

        #[cfg(test)]
        const NUMBERS: &[u32] = &[$($number),*];
    };
}

attach_types! {
    0 CGROUP_INET_INGRESS "BPF_CGROUP_INET_INGRESS",
    1 CGROUP_INET_EGRESS "BPF_CGROUP_INET_EGRESS",
    2 CGROUP_INET_SOCK_CREATE "BPF_CGROUP_INET_SOCK_CREATE",
    3 CGROUP_SOCK_OPS "BPF_CGROUP_SOCK_OPS",
    4 SK_SKB_STREAM_PARSER "BPF_SK_SKB_STREAM_PARSER",
    5 SK_SKB_STREAM_VERDICT "BPF_SK_SKB_STREAM_VERDICT",
    6 CGROUP_DEVICE "BPF_CGROUP_DEVICE",
    7 SK_MSG_VERDICT "BPF_SK_MSG_VERDICT",
    8 CGROUP_INET4_BIND "BPF_CGROUP_INET4_BIND",
    9 CGROUP_INET6_BIND "BPF_CGROUP_INET6_BIND",
    10 CGROUP_INET4_CONNECT "BPF_CGROUP_INET4_CONNECT",
    11 CGROUP_INET6_CONNECT "BPF_CGROUP_INET6_CONNECT",
    12 CGROUP_INET4_POST_BIND "BPF_CGROUP_INET4_POST_BIND",
    13 CGROUP_INET6_POST_BIND "BPF_CGROUP_INET6_POST_BIND",
    14 CGROUP_UDP4_SENDMSG "BPF_CGROUP_UDP4_SENDMSG",
    15 CGROUP_UDP6_SENDMSG "BPF_CGROUP_UDP6_SENDMSG",
    16 LIRC_MODE2 "BPF_LIRC_MODE2",
    17 FLOW_DISSECTOR "BPF_FLOW_DISSECTOR",
    18 CGROUP_SYSCTL "BPF_CGROUP_SYSCTL",
    19 CGROUP_UDP4_RECVMSG "BPF_CGROUP_UDP4_RECVMSG",
    20 CGROUP_UDP6_RECVMSG "BPF_CGROUP_UDP6_RECVMSG",
    21 CGROUP_GETSOCKOPT "BPF_CGROUP_GETSOCKOPT",
    22 CGROUP_SETSOCKOPT "BPF_CGROUP_SETSOCKOPT",
    23 TRACE_RAW_TP "BPF_TRACE_RAW_TP",
    24 TRACE_FENTRY "BPF_TRACE_FENTRY",
    25 TRACE_FEXIT "BPF_TRACE_FEXIT",
    26 MODIFY_RETURN "BPF_MODIFY_RETURN",
    27 LSM_MAC "BPF_LSM_MAC",
    28 TRACE_ITER "BPF_TRACE_ITER",
    29 CGROUP_INET4_GETPEERNAME "BPF_CGROUP_INET4_GETPEERNAME",
    30 CGROUP_INET6_GETPEERNAME "BPF_CGROUP_INET6_GETPEERNAME",
    31 CGROUP_INET4_GETSOCKNAME "BPF_CGROUP_INET4_GETSOCKNAME",
    32 CGROUP_INET6_GETSOCKNAME "BPF_CGROUP_INET6_GETSOCKNAME",
    33 XDP_DEVMAP "BPF_XDP_DEVMAP",
    34 CGROUP_INET_SOCK_RELEASE "BPF_CGROUP_INET_SOCK_RELEASE",
    35 XDP_CPUMAP "BPF_XDP_CPUMAP",
    36 SK_LOOKUP "BPF_SK_LOOKUP",
    37 XDP "BPF_XDP",
    38 SK_SKB_VERDICT "BPF_SK_SKB_VERDICT",
    39 SK_REUSEPORT_SELECT "BPF_SK_REUSEPORT_SELECT",
    40 SK_REUSEPORT_SELECT_OR_MIGRATE "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE",
    41 PERF_EVENT "BPF_PERF_EVENT",
    42 TRACE_KPROBE_MULTI "BPF_TRACE_KPROBE_MULTI",
    43 LSM_CGROUP "BPF_LSM_CGROUP",
    44 STRUCT_OPS "BPF_STRUCT_OPS",
    45 NETFILTER "BPF_NETFILTER",
    46 TCX_INGRESS "BPF_TCX_INGRESS",
    47 TCX_EGRESS "BPF_TCX_EGRESS",
    48 TRACE_UPROBE_MULTI "BPF_TRACE_UPROBE_MULTI",
    49 CGROUP_UNIX_CONNECT "BPF_CGROUP_UNIX_CONNECT",
    50 CGROUP_UNIX_SENDMSG "BPF_CGROUP_UNIX_SENDMSG",
    51 CGROUP_UNIX_RECVMSG "BPF_CGROUP_UNIX_RECVMSG",
    52 CGROUP_UNIX_GETPEERNAME "BPF_CGROUP_UNIX_GETPEERNAME",
    53 CGROUP_UNIX_GETSOCKNAME "BPF_CGROUP_UNIX_GETSOCKNAME",
    54 NETKIT_PRIMARY "BPF_NETKIT_PRIMARY",
    55 NETKIT_PEER "BPF_NETKIT_PEER",
    56 TRACE_KPROBE_SESSION "BPF_TRACE_KPROBE_SESSION",
    57 TRACE_UPROBE_SESSION "BPF_TRACE_UPROBE_SESSION",
    58 TRACE_FSESSION "BPF_TRACE_FSESSION",
    59 TRACE_FENTRY_MULTI "BPF_TRACE_FENTRY_MULTI",
    60 TRACE_FEXIT_MULTI "BPF_TRACE_FEXIT_MULTI",
    61 TRACE_FSESSION_MULTI "BPF_TRACE_FSESSION_MULTI",
}

shown_by_name!(AttachType, "attach type");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_kernel_values() {
        assert!(NUMBERS.iter().copied().eq(0..62));
        assert_eq!(AttachType::TRACE_FENTRY.name(), Some("TRACE_FENTRY"));
        assert_eq!((AttachType(41).name(), AttachType(9_999).name()), (Some("PERF_EVENT"), None));
        assert_eq!(AttachType::TCX_EGRESS.0, aya_obj::generated::bpf_attach_type::BPF_TCX_EGRESS as u32);
        assert_eq!(AttachType::NETFILTER.0, aya_obj::generated::bpf_attach_type::BPF_NETFILTER as u32);
    }
}
