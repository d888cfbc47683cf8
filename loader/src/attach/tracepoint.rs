//! Attaches to tracepoints: sites in the kernel with a name and a fixed record, listed in tracefs.

use std::io;

use super::{Link, tracefs::Tracefs};
use crate::{
    Error, Program,
    sys::perf_event::{self, Event, Scope},
};

/// The advice for a program that may sleep.
pub(super) const FAULTABLE: &str =
    "a program that may sleep can be attached only to tracepoints at which the kernel may sleep: those of system calls";

/// A tracepoint to attach to.
///
/// Kernel source: `kernel/events/core.c` (`perf_event_set_bpf_prog`).
///
/// Needs this crate's feature `tracepoint`.
#[doc(alias = "bpf_program__attach_tracepoint")]
#[derive(Debug, Clone)]
pub struct Tracepoint {
    category: String,
    name: String,
    cookie: u64,
}

impl Tracepoint {
    /// Selects the tracepoint `name` in `category`, e.g. `task_newtask` in `task`.
    #[must_use]
    pub fn new(category: &str, name: &str) -> Self {
        Self { category: category.to_owned(), name: name.to_owned(), cookie: 0 }
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie` (Linux 5.15).
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Attaches `program`, for all processes and CPUs.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if there is no such tracepoint, or tracefs cannot be read; [`Error::Syscall`] if the kernel
    /// refuses, e.g. EACCES if the program reads its context beyond the end of the tracepoint's record.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("the tracepoint {}/{}", self.category, self.name);
        let id = self.id().map_err(|error| Error::kernel(format!("attach to {what}"), &error))?;
        let event = perf_event::open(
            Event::Tracepoint { id },
            Scope::AllProcesses,
            "opens the tracepoint as an event that a program can be attached to",
        )
        .map_err(|error| Error::kernel(format!("open {what}"), &error))?;
        Link::on_event(program, event, self.cookie, &what).map_err(|error| match error {
            // The verifier does not know the tracepoint; `perf_event_set_bpf_prog` checks the context's size when
            // attaching.
            Error::Syscall { errno, hint: None, .. } if cfg!(feature = "advice") && errno.raw() == libc::EACCES => {
                error.advise(&format!(
                    "the program reads its context beyond the end of this tracepoint's record, whose layout is in \
                     events/{}/{}/format of tracefs",
                    self.category, self.name
                ))
            }
            Error::Syscall { errno, hint: None, .. }
                if cfg!(feature = "advice") && program.spec().section.sleepable && errno.raw() == libc::EINVAL =>
            {
                error.advise(FAULTABLE)
            }
            _ => error,
        })
    }

    /// Returns the layout of the tracepoint's record, which is the program's context. Each field has a line with its
    /// offset and size in bytes (`events/CATEGORY/NAME/format` in tracefs).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if there is no such tracepoint, or tracefs cannot be read: it is not mounted, and opening it
    /// without mounting it fails (needs Linux 5.2 and `CAP_SYS_ADMIN`).
    pub fn format(&self) -> Result<String, Error> {
        self.read("format", "reads the layout of the tracepoint's record").map_err(|error| Error::Invalid {
            operation: format!("read the layout of the tracepoint {}/{}", self.category, self.name),
            why: error.to_string(),
        })
    }

    /// Returns the kernel's id of the tracepoint.
    fn id(&self) -> io::Result<u64> {
        let text = self.read("id", "reads the tracepoint's id")?;
        text.trim_ascii()
            .parse()
            .map_err(|_| io::Error::other(format!("its id in tracefs is not a number: {:?}", text.trim_ascii())))
    }

    fn read(&self, file: &str, why: &str) -> io::Result<String> {
        let text = Tracefs::open()?.text(&format!("events/{}/{}/{file}", self.category, self.name), why);
        text.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                io::Error::new(error.kind(), format!("{error}; the kernel has no such tracepoint"))
            }
            _ => error,
        })
    }
}
