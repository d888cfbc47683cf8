//! Finds network devices by name.

use crate::{Error, sys::process};

/// Returns the index of the network device `name`, e.g. `lo`, in the caller's network namespace.
///
/// # Errors
///
/// [`Error::Invalid`] if there is no such device.
///
/// Needs this crate's feature `network`.
#[doc(alias("if_nametoindex", "ifindex"))]
pub fn interface_index(name: &str) -> Result<u32, Error> {
    process::interface_index(name).ok_or_else(|| Error::Invalid {
        operation: format!("find the network device `{name}`"),
        why: "there is no device of that name (`ip link` lists them)".to_owned(),
    })
}
