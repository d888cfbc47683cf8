//! Resolves an object against a kernel. One pass over the kernel's BTF finds CO-RE types, attach targets, kernel
//! symbols and struct_ops types; then come the kernel's configuration and addresses.
//!
//! The kernel is the running one, or any whose BTF is given. The object is not changed, and no map or program is
//! created.

#[cfg(feature = "aya-obj")]
mod aya;
#[cfg(feature = "core-relo")]
mod code;
pub mod core_relo;
#[cfg(all(
    any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing"),
    not(all(feature = "core-relo", feature = "externs", feature = "struct-ops"))
))]
mod disabled;
pub(crate) mod externs;
#[cfg(feature = "externs")]
mod gzip;
#[cfg(feature = "externs")]
mod kallsyms;
#[cfg(feature = "externs")]
mod kconfig;
#[cfg(feature = "externs")]
mod ksyms;
mod relocated;
mod resolved;
#[cfg(any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing"))]
mod search;
pub(crate) mod struct_ops;
mod targets;

pub(crate) use self::resolved::Resolved;
#[cfg(feature = "programs")]
pub(crate) use self::targets::Targets;
use crate::{Error, btf::visitor::Types, object::Object};

/// Resolves the object against the kernel with these `types`.
pub(crate) fn resolve(object: &Object, types: Types<'_>) -> Result<Resolved, Error> {
    object.check_features()?;
    #[cfg(not(any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing")))]
    let resolved = {
        let _ = types;
        Resolved::default()
    };
    #[cfg(any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing"))]
    let resolved = search::searched(object, types)?;
    #[cfg(feature = "aya-obj")]
    let resolved = {
        #[cfg(feature = "core-relo")]
        let types = object.kernel_btf.as_ref().map_or(types, |given| Types::Given(given.bytes()));
        let aya = aya::relocated(object, types, &resolved.relocated)?;
        Resolved { aya, ..resolved }
    };
    Ok(resolved)
}
