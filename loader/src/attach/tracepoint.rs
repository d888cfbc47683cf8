//! Tracepoints: places in the kernel with a name and a fixed record, listed in tracefs.

use std::io;

use super::{Link, tracefs};
use crate::{
    Error, Program,
    sys::{
        file,
        perf_event::{self, Event, Scope},
    },
};

/// A tracepoint to attach to.
///
/// Needs this crate's feature `tracepoint`.
#[derive(Debug, Clone)]
pub struct Tracepoint {
    category: String,
    name: String,
    cookie: u64,
}

impl Tracepoint {
    /// The tracepoint `name` in `category`, e.g. `task` and `task_newtask`.
    #[must_use]
    pub fn new(category: &str, name: &str) -> Self {
        Self { category: category.to_owned(), name: name.to_owned(), cookie: 0 }
    }

    /// A number that the program reads with `bpf_get_attach_cookie` (Linux 5.15).
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Attaches `program`, for all processes and CPUs.
    ///
    /// # Errors
    ///
    /// [`Error::Unfit`] if there is no such tracepoint, or tracefs cannot be read; [`Error::Kernel`] if the kernel
    /// refuses.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("the tracepoint {}/{}", self.category, self.name);
        let id =
            self.id().map_err(|error| Error::Unfit { attempt: format!("attach to {what}"), why: error.to_string() })?;
        let event = perf_event::open(
            Event::Tracepoint { id },
            Scope::Everybody,
            "opens the tracepoint as an event that a program can hang on",
        )
        .map_err(|error| Error::kernel(format!("open {what}"), &error))?;
        Link::on_event(program, event, self.cookie, &what)
    }

    /// The number that the kernel knows the tracepoint by.
    fn id(&self) -> io::Result<u64> {
        let path = tracefs::folder()?.join("events").join(&self.category).join(&self.name).join("id");
        let text = file::text(&path, "asks for the number that the kernel knows the tracepoint by")
            .map_err(|error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())))?;
        text.trim().parse().map_err(|_| io::Error::other(format!("{} holds no number", path.display())))
    }
}
