//! The data that all programs of an object share when they are loaded.

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{ffi::CStr, fmt, os::fd::BorrowedFd};

#[cfg(feature = "load-options")]
use super::LogLevel;
#[cfg(feature = "usdt")]
use super::UsdtSpecs;
use crate::{resolve::Resolved, token::Tokens};

/// The warnings about one program. If programs are loaded on several threads, they are kept, and the calling thread
/// logs them in the order of the file. Otherwise they are logged at once.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    #[cfg(feature = "parallel")]
    kept: Vec<String>,
}

impl Warnings {
    pub(super) fn add(&mut self, warning: fmt::Arguments<'_>) {
        #[cfg(feature = "parallel")]
        self.kept.push(warning.to_string());
        #[cfg(not(feature = "parallel"))]
        {
            let _ = self;
            log::warn!("{warning}");
        }
    }

    /// Logs the warnings that were kept.
    #[cfg(feature = "parallel")]
    pub(crate) fn log(&self) {
        for warning in &self.kept {
            log::warn!("{warning}");
        }
    }
}

/// The data that all programs of an object share.
pub(crate) struct Shared<'a> {
    pub(crate) license: &'a CStr,
    /// Why the kernel does not consider the license GPL-compatible, to explain such a refusal.
    pub(crate) license_fault: Option<&'a str>,
    pub(crate) kernel_version: u32,
    /// The resolution of the object against this kernel's types.
    pub(crate) resolved: &'a Resolved,
    pub(crate) btf: Option<BorrowedFd<'a>>,
    /// The token of the load; threads share it.
    pub(crate) tokens: &'a Tokens<'a>,
    /// Maps that belong to each program although no instruction refers to them.
    #[cfg(feature = "load-options")]
    pub(crate) bound: &'a [BorrowedFd<'a>],
    /// How much of the verifier's log of an accepted program is kept.
    #[cfg(feature = "load-options")]
    pub(crate) log: Option<LogLevel>,
    /// The maps with the argument locations of USDT probes.
    #[cfg(feature = "usdt")]
    pub(crate) usdt: Option<Arc<UsdtSpecs>>,
}
