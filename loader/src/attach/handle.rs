//! Links by fd, id and pin, and the kernel's information about them.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

#[cfg(feature = "links")]
use super::link::Held;
use super::link::{Link, is_other_object};
#[cfg(feature = "links")]
use crate::{Errno, link_info::LinkInfo};
use crate::{Error, pin};

impl Link {
    /// Returns the kernel's information about the link: its id, its type, its program and its target (Linux 5.8).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is not attached by a single kernel link; [`Error::Syscall`] if the kernel
    /// refuses: EINVAL before Linux 5.8.
    #[cfg(feature = "links")]
    #[doc(alias("bpf_link_get_info_by_fd", "BPF_OBJ_GET_INFO_BY_FD", "bpf_link_info"))]
    pub fn info(&self) -> Result<LinkInfo, Error> {
        let attempt = || format!("read the information about {}", self.what());
        let Some(link) = self.as_link_fd() else {
            let why = match &self.held {
                Held::Several(_) => "it is attached to several sites by a link each: ask those, `Link::parts`",
                _ => "the kernel has no link for it",
            };
            return Err(Error::Invalid { operation: attempt(), why: why.to_owned() });
        };
        LinkInfo::read(link).map_err(|error| {
            let plain = Error::kernel(attempt(), &error);
            match error.raw_os_error() {
                Some(libc::EINVAL) => plain.advise("the kernel reports it since Linux 5.8"),
                _ => plain,
            }
        })
    }

    /// Wraps the fd of a link, which another process may have sent. Dropping the link closes the fd.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is not the fd of a link.
    #[doc(alias = "bpf_link__fd")]
    pub fn from_fd(link: impl Into<OwnedFd>) -> Result<Self, Error> {
        let link = link.into();
        if is_other_object(link.as_fd()) {
            let why = "it is not the fd of a link".to_owned();
            return Err(Error::Invalid { operation: "open a link by its fd".to_owned(), why });
        }
        Ok(Self::opened("that was opened by its fd".to_owned(), link))
    }

    /// Opens the link with this id, whichever process created it (Linux 5.8). The link, and with it the program, stays
    /// as long as the returned value exists. [`system::links`](crate::system::links) lists the ids.
    ///
    /// Needs CAP_SYS_ADMIN.
    ///
    /// Needs this crate's feature `system`.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: ENOENT if there is no such link, or no longer; EAGAIN while it is being created; EPERM
    /// without privileges.
    #[doc(alias("BPF_LINK_GET_FD_BY_ID", "bpf_link_get_fd_by_id"))]
    #[cfg(feature = "system")]
    pub fn from_id(id: u32) -> Result<Self, Error> {
        use crate::{privileges::ONLY_BY_ROOT, sys::ids};
        let link = ids::open(ids::Kind::Link, id, "opens a link by its id").map_err(|error| {
            let plain = Error::kernel(format!("open the link with the id {id}"), &error);
            match error.raw_os_error() {
                Some(libc::ENOENT) => plain.advise("there is no such link, or it no longer exists"),
                Some(libc::EPERM) => plain.advise(ONLY_BY_ROOT),
                Some(libc::EAGAIN) => plain.advise("another process is creating it: try again"),
                Some(libc::EINVAL) => plain.advise("links have ids since Linux 5.8"),
                _ => plain,
            }
        })?;
        Ok(Self::opened(format!("with the id {id}"), link))
    }

    /// Pins the link like [`Link::pin`], at a path relative to an open directory of a BPF file system (Linux 6.5). The
    /// file system need not be mounted where this process can see it.
    ///
    /// # Errors
    ///
    /// As [`Link::pin`]; EINVAL before Linux 6.5.
    #[doc(alias("BPF_F_PATH_FD", "path_fd", "bpf_obj_pin_opts"))]
    pub fn pin_at(&self, directory: &impl AsFd, path: impl AsRef<Path>) -> Result<(), Error> {
        let (directory, path) = (directory.as_fd(), path.as_ref());
        let why = "pins the link in the open directory, which keeps it alive without this process";
        self.pin_by(path, &|link| pin::pin_at(directory, link, path, why)).map_err(by_directory)
    }

    /// Opens a pinned link like [`Link::from_pin`], at a path relative to an open directory of a BPF file system (Linux
    /// 6.5).
    ///
    /// # Errors
    ///
    /// As [`Link::from_pin`]; EINVAL before Linux 6.5.
    #[doc(alias("BPF_F_PATH_FD", "path_fd", "bpf_obj_get_opts"))]
    pub fn from_pin_at(directory: &impl AsFd, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let attempt = format!("open the link pinned at {}", path.display());
        let link = pin::open_at(directory.as_fd(), path, "opens the link that is pinned there")
            .map_err(|error| by_directory(pin::failed(attempt.clone(), &error)))?;
        Self::opened_pin(format!("of {}", path.display()), link, attempt)
    }

    /// Removes the pin at `path`, if this link is pinned there. The program stays attached as long as this value or
    /// another pin exists. Returns false if nothing is there.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if another object is pinned there, or the program is not attached by a single kernel link;
    /// [`Error::Syscall`] if the file must not be removed, or before Linux 5.8 (EINVAL).
    #[cfg(feature = "links")]
    #[doc(alias("bpf_link__unpin", "PinnedLink::unpin"))]
    pub fn unpin(&self, path: impl AsRef<Path>) -> Result<bool, Error> {
        let path = path.as_ref();
        let attempt = || format!("remove the pin {} of {}", path.display(), self.what());
        let own = self.info()?.id;
        let pinned = match Self::from_pin(path) {
            Ok(pinned) => pinned,
            Err(error) if error.errno().map(Errno::raw) == Some(libc::ENOENT) => return Ok(false),
            Err(error) => return Err(error),
        };
        if pinned.info()?.id != own {
            return Err(Error::Invalid { operation: attempt(), why: "another link is pinned there".to_owned() });
        }
        pin::remove(path, attempt())
    }
}

/// Adds the advice for a kernel that cannot find pins by a directory's fd.
fn by_directory(error: Error) -> Error {
    match error.errno().map(|errno| errno.raw()) {
        Some(libc::EINVAL) => {
            error.advise("a path relative to an open directory needs Linux 6.5, and a BPF file system")
        }
        _ => error,
    }
}
