//! Attaches to raw tracepoints: the kernel's tracepoints without a perf event.
//!
//! A program on an ordinary tracepoint gets the record that is written for tracefs. A program on a raw tracepoint gets
//! the tracepoint's own arguments and costs less, because no record is built. `BPF_RAW_TRACEPOINT_OPEN` (Linux 4.17)
//! takes the tracepoint's name. The returned fd keeps the program attached, and is a link since 5.7
//! (`kernel/trace/bpf_trace.c`).

use std::{ffi::CString, os::fd::AsFd};

use super::{Link, link::failed, tracepoint::FAULTABLE};
use crate::{Error, Program, ProgramType, sys::link};

/// A tracepoint to attach to without a perf event.
///
/// Linux 4.17. Kernel source: `kernel/trace/bpf_trace.c`.
///
/// Needs this crate's feature `tracepoint`.
#[doc(alias("bpf_program__attach_raw_tracepoint", "BPF_RAW_TRACEPOINT_OPEN"))]
#[derive(Debug, Clone)]
pub struct RawTracepoint {
    name: String,
    cookie: u64,
}

impl RawTracepoint {
    /// Selects the tracepoint `name`, without its category, e.g. `sched_switch`. `sys_enter` and `sys_exit` are the
    /// tracepoints of all system calls.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cookie: 0 }
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie` (Linux 6.10).
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Attaches `program`, for all processes and CPUs.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: ENOENT if it has
    /// no such tracepoint.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("the raw tracepoint {}", self.name);
        program.must_be(&[ProgramType::RAW_TRACEPOINT, ProgramType::RAW_TRACEPOINT_WRITABLE], &what)?;
        let name = CString::new(self.name.as_str()).map_err(|_| Error::Invalid {
            operation: format!("attach the program `{}`", program.name()),
            why: "the tracepoint's name holds a NUL byte".to_owned(),
        })?;
        let why = "attaches the program to the tracepoint; closing the fd detaches it";
        link::raw_tracepoint_open(program.as_fd(), Some(&name), self.cookie, why)
            .map(|link| Link::kernels(program, &what, link))
            .map_err(|error| {
                let plain = failed(program, &what, &error);
                match error.raw_os_error() {
                    Some(libc::ENOENT) => {
                        plain.advise("there is no such tracepoint; its category is not part of the name")
                    }
                    Some(libc::EINVAL | libc::E2BIG) if self.cookie != 0 => {
                        plain.advise("cookies on raw tracepoints need Linux 6.10")
                    }
                    Some(libc::EINVAL) if program.spec().section.sleepable => plain.advise(FAULTABLE),
                    _ => plain,
                }
            })
    }
}
