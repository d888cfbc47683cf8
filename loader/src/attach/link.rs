//! Links: values that keep a program attached.
//!
//! The kernel has four mechanisms to attach a program, and this crate's [`Link`] covers all of them:
//!
//! | mechanism | held by | detached when the process ends | can be pinned |
//! | --- | --- | --- | --- |
//! | a link | the link's fd | yes | yes |
//! | a perf event (before 5.15) | the event's fd | yes | no |
//! | several of these, one for each site or CPU | all their fds | yes | no |
//! | a call that attaches, and another that detaches | the target | no | no |

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use log::debug;

use super::detach::Detach;
use crate::{
    Error, Program, ProgramType,
    features::{self, Support},
    pin, privileges,
    sys::{link, perf_event},
};

/// Keeps a program attached. Dropping it detaches the program; so does the end of the process for any reason. Programs
/// attached to a target without links stay attached (see the types that attach).
///
/// `Send` and `Sync`.
#[doc(alias("bpf_link", "BPF_LINK_CREATE"))]
#[must_use = "dropping a link detaches the program"]
#[derive(Debug)]
pub struct Link {
    /// The program's name, for errors; `None` if the caller did not attach it.
    pub(super) program: Option<String>,
    /// The target, for errors; without a program the text after "the link".
    target: String,
    pub(super) held: Held,
    /// Resources that the program needs while it is attached; dropped after `held`.
    needs: Option<Box<dyn Detach>>,
}

#[derive(Debug)]
pub(super) enum Held {
    /// The kernel's link, and the perf event that it attaches the program to, if there is one.
    Link { link: OwnedFd, _event: Option<OwnedFd> },
    /// The perf event that the program is attached to.
    Event(OwnedFd),
    /// A program at several sites.
    Several(Stack),
    /// Dropping this makes the call that detaches.
    Call { call: Box<dyn Detach> },
}

/// Links that are dropped in the reverse order of their creation.
#[derive(Debug, Default)]
pub(super) struct Stack(pub(super) Vec<Link>);

impl Drop for Stack {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

impl FromIterator<Link> for Stack {
    fn from_iter<I: IntoIterator<Item = Link>>(links: I) -> Self {
        Self(links.into_iter().collect())
    }
}

impl Link {
    /// Wraps the attachment of a program to `target`.
    fn of(program: &Program, target: &str, held: Held) -> Self {
        Self { program: Some(program.name().to_owned()), target: target.to_owned(), held, needs: None }
    }

    /// Wraps an attachment that the caller did not make itself; `which` follows "the link" in errors.
    fn existing(which: String, held: Held) -> Self {
        Self { program: None, target: which, held, needs: None }
    }

    /// Wraps a kernel link that was not created by this value's program; `which` follows "the link" in errors.
    pub(super) fn opened(which: String, link: OwnedFd) -> Self {
        Self::existing(which, Held::Link { link, _event: None })
    }

    /// Wraps a kernel link of a map.
    pub(super) fn on_map(what: &str, link: OwnedFd) -> Self {
        Self::opened(format!("of {what}"), link)
    }

    /// Wraps a map attached by a call.
    pub(super) fn map_by_call(what: &str, detach: impl Detach + 'static) -> Self {
        Self::existing(format!("of {what}"), Held::Call { call: Box::new(detach) })
    }

    /// Returns the link's name in errors: the program and its target.
    pub(super) fn what(&self) -> String {
        match &self.program {
            Some(program) => format!("the link of `{program}` on {}", self.target),
            None => format!("the link {}", self.target),
        }
    }

    /// Returns the same link with a resource that the program needs while it is attached.
    pub(super) fn holding(self, needs: impl Detach + 'static) -> Self {
        Self { needs: Some(Box::new(needs)), ..self }
    }

    /// Wraps a kernel link.
    pub(super) fn kernels(program: &Program, what: &str, link: OwnedFd) -> Self {
        debug!("`{}` is attached to {what} by a link", program.name());
        Self::of(program, what, Held::Link { link, _event: None })
    }

    /// Wraps the links of a program at several sites.
    pub(super) fn several(program: &Program, what: &str, links: Stack) -> Self {
        Self::of(program, what, Held::Several(links))
    }

    /// Wraps a program attached by a call, which the log names.
    pub(super) fn by_call(program: &Program, what: &str, call: &str, detach: impl Detach + 'static) -> Self {
        debug!("`{}` is attached to {what} by {call}", program.name());
        Self::of(program, what, Held::Call { call: Box::new(detach) })
    }

    /// Attaches `program` to an open perf event.
    pub(super) fn on_event(program: &Program, event: OwnedFd, cookie: u64, what: &str) -> Result<Self, Error> {
        let failed = |error| failed(program, what, &error);
        match Support::probed_or_since(features::perf_link, 5, 15) {
            Support::Yes => {
                debug!("`{}` is attached to {what} by a link on a perf event", program.name());
                let why = "attaches the program to the event; closing the link detaches it";
                let link = link::create_perf_event(program.as_fd(), event.as_fd(), cookie, why).map_err(failed)?;
                Ok(Self::of(program, what, Held::Link { link, _event: Some(event) }))
            }
            answer => {
                if cookie != 0 {
                    return Err(Error::Invalid {
                        operation: format!("attach the program `{}` with a cookie", program.name()),
                        why: format!("cookies need links on perf events, and those are {answer}"),
                    });
                }
                debug!("`{}` is attached to {what} by PERF_EVENT_IOC_SET_BPF; links: {answer}", program.name());
                perf_event::set_bpf(
                    event.as_fd(),
                    program.as_fd(),
                    "attaches the program to the event, until the event is closed",
                )
                .map_err(failed)?;
                perf_event::enable(event.as_fd(), "enables the event: the program runs only while it is enabled")
                    .map_err(failed)?;
                Ok(Self::of(program, what, Held::Event(event)))
            }
        }
    }

    /// Returns the fd of the kernel's link, if the program is attached by a single link.
    #[doc(alias = "bpf_link__fd")]
    #[must_use]
    pub fn as_link_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.held {
            Held::Link { link, .. } => Some(link.as_fd()),
            _ => None,
        }
    }

    /// Returns the fd of the perf event that alone keeps the program attached, on kernels without links on perf events
    /// (before 5.15).
    #[must_use]
    pub fn as_perf_event_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.held {
            Held::Event(event) => Some(event.as_fd()),
            _ => None,
        }
    }

    /// Returns the links that this one consists of, if the program is attached to several targets by one link each;
    /// otherwise an empty slice.
    pub fn parts(&self) -> &[Self] {
        // The caller may pin the parts, and then they outlive `needs`.
        self.keep_needs();
        match &self.held {
            Held::Several(links) => &links.0,
            _ => &[],
        }
    }

    /// Leaves the program attached until the process ends for any reason; longer where the kernel has no link for this
    /// type of program.
    #[doc(alias = "bpf_link__disconnect")]
    pub fn forget(self) {
        std::mem::forget(self);
    }

    /// Pins the link in a BPF file system, at a path such as `/sys/fs/bpf/NAME`. While the pin exists the program stays
    /// attached, even after this value is dropped and the process has ended. To detach, remove the file and drop all
    /// links.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is not attached by a single kernel link; [`Error::Syscall`] if the kernel
    /// refuses: EEXIST if the path exists, EINVAL or EPERM if it is not in a BPF file system.
    #[doc(alias("bpf_link__pin", "BPF_OBJ_PIN"))]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        self.pin_by(path, &|link| pin::pin(link, path, "pins the link, which keeps it alive without this process"))
    }

    /// Pins the link by a call; `path` is for errors.
    pub(super) fn pin_by(&self, path: &Path, pin: &dyn Fn(BorrowedFd<'_>) -> io::Result<()>) -> Result<(), Error> {
        let attempt = format!("pin {} at {}", self.what(), path.display());
        let Some(link) = self.as_link_fd() else {
            let why = match &self.held {
                Held::Several(_) => "it is attached to several sites by a link each: pin those, `Link::parts`",
                Held::Event(_) => {
                    "this kernel has no links on perf events (Linux 5.15), and nothing else can be pinned"
                }
                _ => "the kernel has no link for it, and nothing else can be pinned",
            };
            return Err(Error::Invalid { operation: attempt, why: why.to_owned() });
        };
        pin(link).map_err(|error| pin::failed(attempt, &error))?;
        self.keep_needs();
        Ok(())
    }

    fn keep_needs(&self) {
        if let Some(needs) = &self.needs {
            needs.keep();
        }
    }

    /// Opens the link that is pinned at `path`. Dropping it does not detach as long as the pin is there.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if nothing is pinned there (ENOENT) or it must not be opened; [`Error::Invalid`] if it is not
    /// a link.
    #[doc(alias("bpf_link__open", "BPF_OBJ_GET"))]
    pub fn from_pin(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let attempt = format!("open the link pinned at {}", path.display());
        let link = pin::open(path, "opens the link that is pinned there")
            .map_err(|error| pin::failed(attempt.clone(), &error))?;
        Self::opened_pin(format!("of {}", path.display()), link, attempt)
    }

    /// Wraps the fd of a pin, which may be that of a map or program.
    pub(super) fn opened_pin(which: String, link: OwnedFd, attempt: String) -> Result<Self, Error> {
        if is_other_object(link.as_fd()) {
            return Err(Error::Invalid {
                operation: attempt,
                why: "a map or program is pinned there, not a link".to_owned(),
            });
        }
        Ok(Self::opened(which, link))
    }

    /// Starts one iteration (Linux 5.8), if this is the link of an iterator. The kernel walks its objects and calls the
    /// program; the returned file reads the program's output as text or bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if this is not a kernel link; [`Error::Syscall`] with EINVAL if it is the link of another
    /// program type.
    #[doc(alias("BPF_ITER_CREATE", "bpf_iter_create"))]
    pub fn read_iterator(&self) -> Result<File, Error> {
        let attempt = format!("read {}", self.what());
        let Some(link) = self.as_link_fd() else {
            return Err(Error::Invalid { operation: attempt, why: "it is not an iterator".to_owned() });
        };
        link::iter_create(link, "starts one iteration").map(File::from).map_err(|error| {
            let plain = Error::kernel(attempt, &error);
            if error.raw_os_error() == Some(libc::EINVAL) {
                plain.advise("is it the link of an iterator?")
            } else {
                plain
            }
        })
    }
}

/// Returns true if the fd is certainly not that of a link; without procfs nothing is certain.
pub(super) fn is_other_object(fd: BorrowedFd<'_>) -> bool {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
    about.is_ok_and(|about| !about.contains("link_type:"))
}

impl Program {
    /// Refuses programs of other types with an explanation, which the kernel's EINVAL lacks.
    pub(super) fn must_be(&self, kinds: &[ProgramType], what: &str) -> Result<(), Error> {
        let kind = self.spec().section.program_type;
        if kinds.contains(&kind) {
            return Ok(());
        }
        let needed = kinds.iter().map(ToString::to_string).reduce(|all, kind| format!("{all} or {kind}"));
        Err(Error::Invalid {
            operation: format!("attach the program `{}` to {what}", self.name()),
            why: format!("it is a program of the type {kind}; {} is needed", needed.unwrap_or_default()),
        })
    }
}

#[cfg(any(feature = "cgroup", feature = "network"))]
impl Program {
    /// Refuses a program that was already in the kernel, if it cannot be attached without its attach type.
    pub(super) fn must_have_attach_type(&self, what: &str) -> Result<(), Error> {
        if !self.spec().lacks_attach_type() {
            return Ok(());
        }
        Err(Error::Invalid {
            operation: format!("attach the program `{}` to {what}", self.name()),
            why: format!(
                "the kernel does not report the attach type of a program of the type {}: name its section, with \
                 `Program::set_section`",
                self.spec().section.program_type
            ),
        })
    }
}

/// Returns the error of a failed attempt to attach.
pub(super) fn failed(program: &Program, what: &str, error: &std::io::Error) -> Error {
    let plain = Error::kernel(format!("attach the program `{}` to {what}", program.name()), error);
    // Attaching needs the same privileges as loading.
    plain.wanting(privileges::to_load(program.spec().section.program_type))
}
