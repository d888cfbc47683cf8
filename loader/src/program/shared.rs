//! What the programs of an object have in common when they are loaded.

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{ffi::CStr, os::fd::BorrowedFd};

#[cfg(feature = "usdt")]
use super::UsdtSpecs;
use crate::resolve::Resolved;

/// What the programs of an object have in common.
pub(crate) struct Shared<'a> {
    pub(crate) license: &'a CStr,
    /// Why the kernel does not take the license for GPL-compatible, to explain a refusal for it.
    pub(crate) license_fault: Option<&'a str>,
    pub(crate) kernel_version: u32,
    /// What this kernel's types say of the object.
    pub(crate) resolved: &'a Resolved,
    pub(crate) btf: Option<BorrowedFd<'a>>,
    /// The maps that tell USDT programs where their arguments are.
    #[cfg(feature = "usdt")]
    pub(crate) usdt: Option<Arc<UsdtSpecs>>,
}
