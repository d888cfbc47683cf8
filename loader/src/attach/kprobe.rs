//! Kprobes: a breakpoint or a patched-in call on a kernel function.
//!
//! The kernel resolves the function in its own symbol table. At the function's first byte it usually needs no
//! breakpoint, because compilers reserve room for a call there. A return probe is attached to the entry, too: when hit,
//! it replaces the return address (`kernel/kprobes.c`, `kernel/trace/trace_kprobe.c`).
//!
//! System calls have functions of their own. Their names depend on the architecture, because a wrapper takes the
//! arguments out of the saved registers (`arch/x86/include/asm/syscall_wrapper.h`): [`Ksyscall`] knows the names.

use std::{ffi::CString, io};

use super::{Link, link::failed, pmu::Pmu};
use crate::{
    Error, Program,
    sys::perf_event::{self, Event, Scope},
};

/// A kernel function to attach to. Linux 4.17, with `CONFIG_KPROBE_EVENTS`.
///
/// Kernel source: `kernel/trace/trace_kprobe.c`.
///
/// Needs this crate's feature `kprobe`.
#[doc(alias("bpf_program__attach_kprobe", "Kretprobe"))]
#[derive(Debug, Clone)]
pub struct Kprobe {
    function: String,
    offset: u64,
    retprobe: bool,
    cookie: u64,
}

impl Kprobe {
    /// Selects the entry of `function`, as `/proc/kallsyms` lists it.
    #[must_use]
    pub fn new(function: &str) -> Self {
        Self { function: function.to_owned(), offset: 0, retprobe: false, cookie: 0 }
    }

    /// Attaches `offset` bytes after the function's start, where an instruction must begin. Not for return probes.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Attaches to the function's return instead of its entry.
    #[must_use]
    pub fn retprobe(mut self, retprobe: bool) -> Self {
        self.retprobe = retprobe;
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie` (Linux 5.15).
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the kernel has no kprobes; [`Error::Syscall`] if it refuses: ENOENT if it has no such
    /// function, EADDRNOTAVAIL if it has several of this name (Linux 6.6), EINVAL if the function must not be probed.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("{}the kernel's `{}`", if self.retprobe { "the return of " } else { "" }, self.function);
        let attempt = || format!("put a probe on {what}");
        let unfit = |why: String| Error::Invalid { operation: attempt(), why };
        let pmu = Pmu::kprobe().map_err(|error| match error.raw_os_error() {
            Some(_) => Error::kernel(attempt(), &error),
            // The same for every function: the programs of an object share this reason.
            None => Error::Invalid {
                operation: "put a probe on a function of the kernel".to_owned(),
                why: error.to_string(),
            },
        })?;
        let function =
            CString::new(self.function.as_str()).map_err(|_| unfit("its name holds a NUL byte".to_owned()))?;
        let probe = Event::Kprobe {
            event_type: pmu.event_type,
            config: pmu.config(self.retprobe),
            function: &function,
            offset: self.offset,
        };
        let why = "puts the probe on a function of the kernel, as an event that a program can be attached to";
        let event =
            perf_event::open(probe, Scope::AllProcesses, why).map_err(|error| self.refused(attempt(), &error))?;
        Link::on_event(program, event, self.cookie, &what)
    }

    fn refused(&self, attempt: String, error: &io::Error) -> Error {
        let plain = Error::kernel(attempt, error);
        match error.raw_os_error() {
            Some(libc::ENOENT) => plain.advise("the kernel has no such function (see /proc/kallsyms)"),
            Some(libc::EADDRNOTAVAIL) => {
                plain.advise("it has several functions of this name, and cannot know which is meant")
            }
            Some(libc::EINVAL | libc::EILSEQ) => {
                plain.advise("it may not be probed there (see blacklist in /sys/kernel/debug/kprobes)")
            }
            _ => plain,
        }
    }
}

/// A system call to attach to, by its name.
///
/// Needs this crate's feature `kprobe`.
#[doc(alias = "bpf_program__attach_ksyscall")]
#[derive(Debug, Clone)]
pub struct Ksyscall {
    name: String,
    retprobe: bool,
    cookie: u64,
}

/// The prefixes of a system call's kernel function, the most likely first.
const PREFIXES: [&str; 3] = [
    if cfg!(target_arch = "x86_64") {
        "__x64_sys_"
    } else if cfg!(target_arch = "aarch64") {
        "__arm64_sys_"
    } else if cfg!(target_arch = "s390x") {
        "__s390x_sys_"
    } else {
        "__riscv_sys_"
    },
    "__se_sys_",
    "sys_",
];

impl Ksyscall {
    /// Selects the entry of the system call `name`, e.g. `openat`.
    ///
    /// Where the kernel wraps system calls (x86-64, arm64, s390x, since 4.17), the program's first argument is a
    /// pointer to the caller's registers.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), retprobe: false, cookie: 0 }
    }

    /// Attaches to the system call's return instead of its entry.
    #[must_use]
    pub fn retprobe(mut self, retprobe: bool) -> Self {
        self.retprobe = retprobe;
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie` (Linux 5.15).
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// As [`Kprobe::attach`]; ENOENT if this architecture has no such system call.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let mut last = None;
        for prefix in PREFIXES {
            let kprobe = Kprobe::new(&format!("{prefix}{}", self.name)).retprobe(self.retprobe).cookie(self.cookie);
            match kprobe.attach(program) {
                Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::ENOENT) => {
                    // Report the first error: its name is the most likely one.
                    last.get_or_insert(error);
                }
                answer => return answer,
            }
        }
        let none = io::Error::from_raw_os_error(libc::ENOENT);
        let what = format!("the system call `{}`", self.name);
        Err(last.unwrap_or_else(|| failed(program, &what, &none)).advise("the kernel has no such system call"))
    }
}
