//! Cargo features that decide what this build reads and loads.
//!
//! With a feature disabled, the build still detects that an object needs the feature. It reads nothing more, and
//! refuses the object with an error that names the feature (`Object::check_features`).

/// Whether this build resolves externs (`__kconfig`, `__ksym`).
pub(crate) const READS_EXTERNS: bool = cfg!(feature = "externs");

/// Whether this build reads struct_ops maps.
pub(crate) const READS_STRUCT_OPS: bool = cfg!(feature = "struct-ops");

/// Whether this build searches the kernel's BTF.
#[cfg(feature = "programs")]
pub(crate) const SEARCHES_BTF: bool =
    cfg!(any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing"));
