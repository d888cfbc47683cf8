//! The error of parsing BTF.

use std::fmt;

/// A BTF parse error. It does not say which BTF; callers prefix the source (object, vmlinux, module).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub(crate) String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}
