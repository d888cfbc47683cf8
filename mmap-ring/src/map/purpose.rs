//! The purposes that a map is opened for, and the map types that each allows.

/// `BPF_MAP_TYPE_RINGBUF` of `enum bpf_map_type` (`include/uapi/linux/bpf.h`).
pub(super) const RINGBUF: u32 = 27;
/// `BPF_MAP_TYPE_USER_RINGBUF`.
pub(super) const USER_RINGBUF: u32 = 31;
/// `BPF_F_RB_OVERWRITE` (Linux 6.19).
pub(super) const F_RB_OVERWRITE: u32 = 1 << 19;

/// The purpose that an fd is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A ring whose records are lent.
    Lend,
    /// A ring whose records are copied, because they may be overwritten.
    Copy,
    /// A user ring that this process produces into.
    Produce,
    /// A ring of either type, which is only observed.
    Observe,
}

impl Purpose {
    pub(super) fn allows(self, kind: u32) -> bool {
        match self {
            Self::Lend | Self::Copy => kind == RINGBUF,
            Self::Produce => kind == USER_RINGBUF,
            Self::Observe => matches!(kind, RINGBUF | USER_RINGBUF),
        }
    }

    /// Returns the kernel's name of the expected map type.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Self::Lend | Self::Copy | Self::Observe => "BPF_MAP_TYPE_RINGBUF",
            Self::Produce => "BPF_MAP_TYPE_USER_RINGBUF",
        }
    }
}
