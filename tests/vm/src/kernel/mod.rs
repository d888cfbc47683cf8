//! Kernels: the requested one, its source, and its path in the cache.
//!
//! A version (`6.1`, `newest`) selects a package of the distribution. It is fetched through the machine's own apt
//! configuration into a private directory and unpacked without root. An image given by path is used as it is.

mod busybox;
mod catalog;
mod image;
mod modules;
mod package;
mod request;

use crate::apt::{self, Apt};
use crate::arch::Arch;
use crate::cache::Cache;
use crate::error::Result;

pub(crate) use busybox::busybox;
pub use image::Kernel;
pub(crate) use modules::modules;
pub use request::{MATRIX, Request};
pub(crate) use request::{NO_KERNEL, requests};

/// Finds or fetches a kernel for an architecture.
///
/// The archives' lists may name packages that the archives have deleted. Then an older package is taken.
///
/// # Errors
/// [`Error::NoKernel`](crate::Error::NoKernel) if this machine's package sources have no such kernel;
/// [`Error::Unusable`](crate::Error::Unusable) if an image is not a kernel.
pub fn obtain(request: &Request, arch: Arch, cache: &Cache, refresh: bool) -> Result<Kernel> {
    match request {
        Request::Image(path) => image::by_path(path, arch),
        Request::Version(_) | Request::Newest => {
            let _one_at_a_time = cache.lock("kernels")?;
            let apt = Apt::new(arch, cache);
            let mut catalog = catalog::Catalog::load(arch, &apt, cache, refresh)?;
            let mut gone = None;
            loop {
                let entry = catalog.find(request).cloned().map_err(|none| gone.take().unwrap_or(none))?;
                match package::unpacked(&entry, &apt, cache) {
                    Err(error) if apt::is_gone(&error) => {
                        eprintln!("{} is no longer in apt's archives: trying an older one", entry.package);
                        catalog.forget(&entry, arch, cache)?;
                        gone.get_or_insert(error);
                    }
                    result => return result,
                }
            }
        }
    }
}
