//! What a map is opened for, and which types of map serve that.

/// `BPF_MAP_TYPE_RINGBUF` of `enum bpf_map_type` (`include/uapi/linux/bpf.h`).
pub(super) const RINGBUF: u32 = 27;
/// `BPF_MAP_TYPE_USER_RINGBUF`.
pub(super) const USER_RINGBUF: u32 = 31;
/// `BPF_F_RB_OVERWRITE` (Linux 6.19).
pub(super) const F_RB_OVERWRITE: u32 = 1 << 19;

/// What an fd is opened as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A ring whose records are lent.
    Lend,
    /// A ring whose records are copied, because they may be overwritten.
    Copy,
    /// A user ring that is produced into.
    Produce,
    /// A ring of either kind that is looked at.
    Look,
}

impl Purpose {
    pub(super) fn allows(self, kind: u32) -> bool {
        match self {
            Self::Lend | Self::Copy => kind == RINGBUF,
            Self::Produce => kind == USER_RINGBUF,
            Self::Look => matches!(kind, RINGBUF | USER_RINGBUF),
        }
    }

    /// The type of map that it takes, by the kernel's name.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Self::Lend | Self::Copy | Self::Look => "BPF_MAP_TYPE_RINGBUF",
            Self::Produce => "BPF_MAP_TYPE_USER_RINGBUF",
        }
    }
}
