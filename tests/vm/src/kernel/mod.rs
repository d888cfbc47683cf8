//! Kernels: the requested one, its source, and its path in the cache.
//!
//! A version (`6.1`, `newest`) selects a package of the distribution. It is fetched through the machine's own apt
//! configuration into a private directory and unpacked without root. An image given by path is used as it is.

mod busybox;
mod catalog;
mod deb822;
mod image;
mod modules;
mod package;
mod request;
mod sources;

use crate::cache::Cache;
use crate::error::Result;

pub(crate) use busybox::busybox;
pub use image::Kernel;
pub(crate) use modules::modules;
pub use request::{MATRIX, Request};
pub(crate) use request::{NO_KERNEL, requests};

/// Finds or fetches a kernel.
///
/// # Errors
/// [`Error::NoKernel`](crate::Error::NoKernel) if this machine's package sources have no such kernel;
/// [`Error::Unusable`](crate::Error::Unusable) if an image is not a kernel.
pub fn obtain(request: &Request, cache: &Cache, refresh: bool) -> Result<Kernel> {
    match request {
        Request::Image(path) => image::by_path(path),
        Request::Version(_) | Request::Newest => {
            let _one_at_a_time = cache.lock("kernels")?;
            let catalog = catalog::Catalog::load(cache, refresh)?;
            let entry = catalog.find(request)?;
            package::unpacked(entry, &catalog, cache)
        }
    }
}
