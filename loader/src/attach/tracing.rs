//! Attaches programs that are loaded for their target: `tp_btf`, `fentry`, `fexit`, `fmod_ret`, `lsm`, `freplace`.
//!
//! The verifier checks how these programs use the typed arguments of their target, so it must know the target. It is
//! set when the program is loaded (`attach_btf_id`), and attaching takes no target. In a kernel function the kernel
//! patches a call to a *trampoline* into the first bytes; the trampoline runs the programs and, if necessary, the
//! function itself (`kernel/bpf/trampoline.c`). In a BPF program it patches a jump to the replacement.
//! `BPF_RAW_TRACEPOINT_OPEN` without a name attaches the program; `BPF_LINK_CREATE` is needed only for a cookie.

use std::os::fd::AsFd;

use cutaway_sys::AttachType;

use super::{Link, link::failed};
use crate::{Error, Program, ProgramType, Target, sys::link};

/// Attaches a program to the target that it was loaded for. Linux 5.5; `fmod_ret` and `lsm` 5.7. On arm64 all types
/// that patch functions need 6.0.
///
/// Kernel source: `kernel/bpf/trampoline.c`.
///
/// Needs this crate's feature `tracing`.
#[doc(alias("bpf_program__attach_trace", "bpf_program__attach_lsm", "bpf_program__attach_freplace"))]
#[derive(Debug, Clone, Default)]
pub struct Tracing {
    cookie: u64,
}

impl Tracing {
    /// Selects the target that the program was loaded for: [`Section::target`](crate::Section::target).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie` (Linux 5.19; for `tp_btf` 6.10).
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let section = &program.spec().section;
        let what = match &section.target {
            Some(Target::Btf { name }) if section.program_type == ProgramType::EXT => {
                format!("another program's `{name}`")
            }
            Some(Target::Btf { name }) => format!("the kernel's `{name}`"),
            _ => "the target that it was loaded for".to_owned(),
        };
        program.must_be(&[ProgramType::TRACING, ProgramType::LSM, ProgramType::EXT], &what)?;
        if self.cookie != 0 && section.expected_attach_type == AttachType::default() && program.spec().is_opened() {
            return Err(Error::Invalid {
                operation: format!("attach the program `{}` to {what} with a cookie", program.name()),
                why: "the kernel does not report whether it runs on entry or on return: name its section, with \
                      `Program::set_section`"
                    .to_owned(),
            });
        }
        let why = "attaches the program to its target; closing the link detaches it";
        let link = match self.cookie {
            0 => link::raw_tracepoint_open(program.as_fd(), None, 0, why),
            cookie => link::create_tracing(program.as_fd(), section.expected_attach_type, cookie, why),
        };
        link.map(|link| Link::kernels(program, &what, link)).map_err(|error| {
            let plain = failed(program, &what, &error);
            match error.raw_os_error() {
                Some(libc::EINVAL | libc::E2BIG) if self.cookie != 0 => {
                    plain.advise(cookies(section.expected_attach_type))
                }
                // ENOTSUPP
                Some(524 | libc::EOPNOTSUPP) => plain.advise(
                    "this kernel cannot patch functions for BPF programs: it needs \
                         CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, on arm64 Linux 6.0",
                ),
                Some(libc::EBUSY) => plain.advise("something else has already patched the function"),
                Some(libc::E2BIG) => plain.advise("too many programs are attached to that function"),
                _ => plain,
            }
        })
    }
}

fn cookies(kind: AttachType) -> &'static str {
    match kind {
        AttachType::TRACE_RAW_TP => "cookies on tracepoints with types need Linux 6.10",
        _ => "cookies on functions need Linux 5.19, on LSM hooks 6.0",
    }
}
