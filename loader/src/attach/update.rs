//! Changes what a link connects: another program, another struct_ops map, or nothing.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use super::link::{Held, Link};
use crate::{Error, Program, link_info::LinkInfo, sys::link};

impl Link {
    /// Replaces the attached program, without a moment in which none is attached. The new program takes the position of
    /// the old one.
    ///
    /// For links on cgroups (Linux 5.7), network namespaces and iterators (5.8), XDP (5.9), tcx (6.6), netkit (6.7) and
    /// socket maps (6.10). Programs attached without a link, by rtnetlink (XDP) or `BPF_PROG_ATTACH`, are replaced
    /// where the kernel can do that in one step.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is attached by a mechanism that cannot replace it; [`Error::Syscall`] if the
    /// kernel refuses: EINVAL if this type of link cannot be updated, or `program` is of another type than the attached
    /// one; EEXIST if `program` is already attached to the same tcx or netkit device; ENOLINK if the link is defunct.
    #[doc(alias("bpf_link__update_program", "bpf_link_update", "BPF_LINK_UPDATE"))]
    pub fn update(&mut self, program: &Program) -> Result<(), Error> {
        self.replace(program, None)
    }

    /// Replaces the attached program like [`Link::update`], if `expected` is the program of this link.
    ///
    /// # Errors
    ///
    /// As [`Link::update`]; [`Error::Syscall`] with EPERM (XDP without a link: EEXIST; `BPF_PROG_ATTACH`: ENOENT) if it
    /// has another program. Then nothing changes.
    #[doc(alias("BPF_F_REPLACE", "old_prog_fd", "XDP_FLAGS_REPLACE"))]
    pub fn update_if(&mut self, program: &Program, expected: &Program) -> Result<(), Error> {
        self.replace(program, Some(expected))
    }

    fn replace(&mut self, program: &Program, expected: Option<&Program>) -> Result<(), Error> {
        let attempt = format!("replace the program of {} by `{}`", self.what(), program.name());
        let unfit = |why: &str| Err(Error::Invalid { operation: attempt.clone(), why: why.to_owned() });
        match &mut self.held {
            Held::Link { link, .. } => {
                let why = match expected {
                    None => "replaces the program of the link",
                    Some(_) => "replaces the program of the link, if it is the expected one",
                };
                link::update(link.as_fd(), program.as_fd(), expected.map(AsFd::as_fd), why)
                    .map_err(|error| not_updated(attempt, &error, link.as_fd(), expected))?;
            }
            Held::Call { call } => match call.update(program, expected) {
                None => {
                    return unfit("the kernel cannot replace it in one step: drop the link, and attach the program");
                }
                Some(answer) => answer.map_err(|error| {
                    let plain = Error::kernel(attempt.clone(), &error);
                    match error.raw_os_error() {
                        Some(libc::EEXIST | libc::ENOENT) => plain.advise("another program is attached now, or none"),
                        Some(libc::EINVAL) => {
                            plain.advise("this kernel cannot replace it: drop the link, and attach the program")
                        }
                        _ => plain,
                    }
                })?,
            },
            Held::Several(_) => {
                return unfit(
                    "it is attached to several sites, whose links cannot be updated: attach the program, \
                     then drop the link",
                );
            }
            Held::Event(_) => {
                return unfit("a program on a perf event cannot be replaced: attach the program, then drop the link");
            }
        }
        if let Some(name) = &mut self.program {
            program.name().clone_into(name);
        }
        Ok(())
    }

    /// Detaches the program from its target at once, even if other processes or pins hold the link (Linux 5.9).
    ///
    /// The link is then *defunct*: it stays open and its pins stay, but it has no target and cannot be attached again.
    /// [`Link::info`] reports no target. Drop the link, and remove its pins.
    ///
    /// For links on cgroups, network namespaces and XDP (5.9), netfilter (6.4), tcx (6.6), netkit (6.7), socket maps
    /// and struct_ops maps (6.10). All other links are detached only when the last fd is closed and the last pin is
    /// removed.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is not attached by a single kernel link: then dropping this value detaches it;
    /// [`Error::Syscall`] if the kernel refuses: EOPNOTSUPP if this type of link cannot be detached, EINVAL before
    /// Linux 5.9.
    #[doc(alias("bpf_link__detach", "bpf_link_detach", "BPF_LINK_DETACH"))]
    pub fn detach(&self) -> Result<(), Error> {
        let attempt = format!("detach {}", self.what());
        let Some(link) = self.as_link_fd() else {
            let why = "it is not a single link of the kernel: drop it, which detaches the program".to_owned();
            return Err(Error::Invalid { operation: attempt, why });
        };
        link::detach(link, "detaches the program from its target; the link stays open, without a target").map_err(
            |error| {
                let plain = Error::kernel(attempt, &error);
                match error.raw_os_error() {
                    Some(libc::EOPNOTSUPP) => plain
                        .advise(&format!("{} cannot be detached: drop it, and remove its pins", of_this_type(link))),
                    Some(libc::EINVAL) => plain.advise("detaching needs Linux 5.9: drop the link, and remove its pins"),
                    _ => plain,
                }
            },
        )
    }
}

/// Returns "a link of the type TYPE", or "this type of link" if the kernel does not report it.
fn of_this_type(link: BorrowedFd<'_>) -> String {
    match LinkInfo::read(link) {
        Ok(info) => format!("a link of the type {}", info.link_type),
        Err(_) => "this type of link".to_owned(),
    }
}

/// Returns the error of a link that the kernel did not update, with the reason, which its errno does not say.
fn not_updated(attempt: String, error: &io::Error, link: BorrowedFd<'_>, expected: Option<&Program>) -> Error {
    use cutaway_sys::LinkType as T;
    let plain = Error::kernel(attempt, error);
    let info = LinkInfo::read(link);
    match error.raw_os_error() {
        Some(libc::ENOLINK) => plain.advise("the link is defunct: it was detached, or its target no longer exists"),
        Some(libc::EEXIST) => plain.advise("the new program is already attached there, by another link or without one"),
        Some(libc::EPERM) if expected.is_some() => match info {
            Ok(info) => plain.advise(&match info.program {
                Some(id) => format!("the link runs the program with the id {id}, not the expected one"),
                None => "the link does not run the expected program".to_owned(),
            }),
            Err(_) => plain,
        },
        Some(libc::EINVAL | libc::EOPNOTSUPP) => match info.map(|info| info.link_type) {
            Ok(T::CGROUP | T::NETNS | T::ITER | T::XDP | T::TCX | T::NETKIT | T::SOCKMAP) => {
                plain.advise("the new program must be of the same type and attach type as the attached one")
            }
            Ok(kind) => plain.advise(&format!(
                "a link of the type {kind} cannot be updated with a program: attach the program, then drop the link"
            )),
            Err(_) => plain,
        },
        _ => plain,
    }
}
