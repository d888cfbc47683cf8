//! Kernels: which one is requested, where it comes from, where it is kept.
//!
//! A version (`6.1`, `newest`) becomes a package of the distribution, fetched through the machine's own apt
//! configuration into a private folder and unpacked without root; an image given by path is taken as it is.

mod catalog;
mod deb822;
mod image;
mod package;
mod request;
mod sources;

use crate::cache::Cache;
use crate::error::Result;

pub use image::Kernel;
pub use request::{MATRIX, Request};

/// Finds or fetches a kernel.
///
/// # Errors
/// [`Error::NoKernel`](crate::Error::NoKernel) if this machine's package sources have none such;
/// [`Error::Unusable`](crate::Error::Unusable) for an image that is no kernel.
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
