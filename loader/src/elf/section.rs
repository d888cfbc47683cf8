//! Sections of an object file, and the meanings of their names.

use std::sync::Arc;

#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) executable: bool,
    pub(crate) size: u64,
    /// The contents of sections that are needed: code, BTF, maps and data. `None` for a section without contents in the
    /// file: it is all zeroes, and may be of any size.
    pub(crate) bytes: Option<Arc<[u8]>>,
}

impl Section {
    /// Returns `size` bytes at `address`.
    pub(crate) fn bytes_at(&self, address: u64, size: u64) -> Option<&[u8]> {
        let (start, end) = (usize::try_from(address).ok()?, usize::try_from(address.checked_add(size)?).ok()?);
        self.contents()?.get(start..end)
    }

    /// Returns its contents; `None` if the file has none.
    pub(crate) fn contents(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// Returns whether it holds instructions that are in the file.
    pub(super) fn is_code(&self) -> bool {
        self.executable && self.bytes.is_some()
    }

    /// Returns whether it holds global variables and becomes a map.
    pub(crate) fn is_data(&self) -> bool {
        !self.executable && [".data", ".rodata", ".bss"].iter().any(|kind| has_prefix(&self.name, kind))
    }

    /// Returns whether it holds global variables.
    pub(crate) fn has_variables(&self) -> bool {
        self.is_data() || self.name == ARENA
    }
}

/// The section of an arena's global variables.
pub(crate) const ARENA: &str = ".addr_space.1";

/// Returns whether the section describes maps in libbpf's old form, by a few words for each map.
pub(crate) fn describes_maps(name: &str) -> bool {
    has_prefix(name, "maps")
}

/// Returns whether the section holds struct_ops maps.
pub(crate) fn is_struct_ops(name: &str) -> bool {
    matches!(name.strip_prefix('?').unwrap_or(name), ".struct_ops" | ".struct_ops.link")
}

/// Returns whether `name` is `kind`, or `kind` with a suffix after a dot or slash.
pub(super) fn has_prefix(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
}
