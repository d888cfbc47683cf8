//! The kernel's types, given by the caller.

use std::{fmt, sync::Arc};

/// BTF in place of `/sys/kernel/btf/vmlinux`. It can be parsed.
#[derive(Clone)]
pub(crate) struct KernelBtf(pub(super) Arc<[u8]>);

impl KernelBtf {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KernelBtf {
    /// Writes only the size, because the bytes are some megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KernelBtf({} bytes)", self.0.len())
    }
}
