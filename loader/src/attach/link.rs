//! Links: what keeps a program attached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use log::debug;

use crate::{
    Error, Program,
    probe::{self, Support},
    sys::{bpf, perf_event},
};

/// A program attached to something. Dropping it detaches; so does the end of the process, however it comes.
#[must_use = "dropping a link detaches the program"]
#[derive(Debug)]
pub struct Link {
    /// The kernel's link, where it has one for perf events (5.15).
    link: Option<OwnedFd>,
    /// The perf event that the program hangs on. Without a link, it alone keeps the program attached.
    event: OwnedFd,
}

impl Link {
    /// Hangs `program` on an open perf event.
    pub(super) fn on_event(program: &Program, event: OwnedFd, cookie: u64, what: &str) -> Result<Self, Error> {
        let failed = |error| Error::kernel(format!("attach the program `{}` to {what}", program.name()), &error);
        match probe::perf_link() {
            Support::Yes => {
                debug!("`{}` is attached to {what} by a link", program.name());
                let link = bpf::link_create_perf_event(
                    program.as_fd(),
                    event.as_fd(),
                    cookie,
                    "ties the program to the event; closing the link unties it",
                )
                .map_err(failed)?;
                Ok(Self { link: Some(link), event })
            }
            answer => {
                if cookie != 0 {
                    return Err(Error::Unfit {
                        attempt: format!("attach the program `{}` with a cookie", program.name()),
                        why: format!("cookies need links on perf events, and those are {answer}"),
                    });
                }
                debug!("`{}` is attached to {what} by PERF_EVENT_IOC_SET_BPF; links: {answer}", program.name());
                perf_event::set_bpf(
                    event.as_fd(),
                    program.as_fd(),
                    "ties the program to the event, for as long as the event lives",
                )
                .map_err(failed)?;
                perf_event::enable(event.as_fd(), "makes sure that the event is enabled: a program runs only then")
                    .map_err(failed)?;
                Ok(Self { link: None, event })
            }
        }
    }

    /// The kernel's link, if it was attached by one (Linux 5.15 for perf events).
    #[must_use]
    pub fn as_link_fd(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(AsFd::as_fd)
    }

    /// Leaves the program attached until the process ends, however it ends.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl AsFd for Link {
    /// The descriptor that keeps the program attached.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_ref().unwrap_or(&self.event).as_fd()
    }
}

/// Links that are dropped in the reverse order of their making: what was attached last is detached first.
///
/// That is more than tidy. If a program on a function's return counts on what one on its entry has left, it is attached
/// after that one, and has to go before it.
#[must_use = "dropping links detaches the programs"]
#[derive(Debug, Default)]
pub struct Links(Vec<Link>);

impl Links {
    /// Adds one that will be dropped before all others.
    pub fn push(&mut self, link: Link) {
        self.0.push(link);
    }

    /// The links, in the order of their making.
    pub fn iter(&self) -> std::slice::Iter<'_, Link> {
        self.0.iter()
    }

    /// Leaves all programs attached until the process ends.
    pub fn forget(mut self) {
        self.0.drain(..).for_each(Link::forget);
    }
}

impl<'l> IntoIterator for &'l Links {
    type Item = &'l Link;
    type IntoIter = std::slice::Iter<'l, Link>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}
