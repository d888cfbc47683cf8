//! A program in the kernel.

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

#[cfg(feature = "usdt")]
use super::UsdtSpecs;
use crate::{Error, object::ProgramSpec, pin};

/// A program in the kernel, verified and compiled, not yet attached to anything.
///
/// `Send` and `Sync`. The kernel frees the program when this value, its links and its pins are gone.
#[doc(alias = "bpf_program")]
#[derive(Debug)]
pub struct Program {
    spec: ProgramSpec,
    program: OwnedFd,
    #[cfg(feature = "usdt")]
    usdt: Option<Arc<UsdtSpecs>>,
    /// The verifier's log, if `LoadOptions::verifier_log` was set.
    #[cfg(feature = "load-options")]
    log: Option<String>,
}

impl Program {
    pub(super) fn new(
        spec: ProgramSpec,
        program: OwnedFd,
        #[cfg(feature = "usdt")] usdt: Option<Arc<UsdtSpecs>>,
    ) -> Self {
        Self {
            spec,
            program,
            #[cfg(feature = "usdt")]
            usdt,
            #[cfg(feature = "load-options")]
            log: None,
        }
    }

    /// Returns the same program with the verifier's log.
    #[cfg(feature = "load-options")]
    pub(super) fn with_log(self, log: Option<String>) -> Self {
        Self { log, ..self }
    }

    /// Returns the verifier's log of this program, which it has accepted. `None` unless
    /// [`LoadOptions::verifier_log`](crate::LoadOptions::verifier_log) was set when it was loaded.
    ///
    /// If the log is larger than 16 MiB, the kernel has cut it: a line in the log says so, and the figures follow it.
    #[cfg(feature = "load-options")]
    #[doc(alias("bpf_program__log_buf", "Program.VerifierLog"))]
    #[must_use]
    pub fn verifier_log(&self) -> Option<&str> {
        self.log.as_deref()
    }

    /// Returns the function's name in the source. The kernel stores 15 bytes of it, and a program that was opened by a
    /// pin, an id or an fd has that name.
    #[doc(alias = "bpf_program__name")]
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Returns the maps with the argument locations of USDT probes, if the program's object has them.
    #[cfg(feature = "usdt")]
    pub(crate) fn usdt(&self) -> Option<&Arc<UsdtSpecs>> {
        self.usdt.as_ref()
    }

    /// Pins the program in a BPF file system, at a path such as `/sys/fs/bpf/NAME`, where other tools (`tc`, `ip
    /// route`) find it. It stays in the kernel as long as the file exists.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the kernel refuses: EEXIST if the path exists, EINVAL or EPERM if it is not in a BPF file
    /// system.
    #[doc(alias("bpf_program__pin", "BPF_OBJ_PIN"))]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        pin::pin(self.program.as_fd(), path, "pins the program, which keeps it alive without this process")
            .map_err(|error| pin::failed(format!("pin the program `{}` at {}", self.name(), path.display()), &error))
    }

    pub(super) fn spec_mut(&mut self) -> &mut ProgramSpec {
        &mut self.spec
    }

    /// Returns the description in the object. For a program that was opened by a pin, an id or an fd: as far as the
    /// kernel describes it; its section's name is empty until [`Program::set_section`].
    #[must_use]
    pub fn spec(&self) -> &ProgramSpec {
        &self.spec
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}
