//! Cargo features that decide what this build reads and loads.
//!
//! A build without a feature reads no more than that an object needs it, and refuses the object by the feature's name
//! (`Object::check_features`).

/// Whether this build resolves externs (`__kconfig`, `__ksym`).
pub(crate) const READS_EXTERNS: bool = cfg!(feature = "externs");

/// Whether this build reads struct_ops maps.
pub(crate) const READS_STRUCT_OPS: bool = cfg!(feature = "struct-ops");

/// Whether this build searches the kernel's BTF at all. One that does not has none of the code for it.
pub(crate) const SEARCHES_BTF: bool =
    cfg!(any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing"));
