//! The data that all programs of an object share when they are loaded.

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{ffi::CStr, os::fd::BorrowedFd};

#[cfg(feature = "usdt")]
use super::UsdtSpecs;
use crate::{resolve::Resolved, token::Tokens};

/// The data that all programs of an object share.
pub(crate) struct Shared<'a> {
    pub(crate) license: &'a CStr,
    /// Why the kernel does not consider the license GPL-compatible, to explain such a refusal.
    pub(crate) license_fault: Option<&'a str>,
    pub(crate) kernel_version: u32,
    /// The resolution of the object against this kernel's types.
    pub(crate) resolved: &'a Resolved,
    pub(crate) btf: Option<BorrowedFd<'a>>,
    pub(crate) tokens: &'a Tokens<'a>,
    /// The maps with the argument locations of USDT probes.
    #[cfg(feature = "usdt")]
    pub(crate) usdt: Option<Arc<UsdtSpecs>>,
}
