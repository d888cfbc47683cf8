//! Opens tracefs, where the kernel lists its tracepoints and traceable functions.
//!
//! If tracefs is mounted at a usual path, it is read there. Otherwise it is opened by a private mount that no other
//! process sees ([`mount::private`], Linux 5.2). Nothing is ever written to it.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use cutaway_sys::{errno::is_out_of_fds, file, mount};

use crate::Errno;

/// The usual mount points of tracefs: its own, or below debugfs, which mounts it on first access.
const USUAL: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// An open tracefs, for reading.
pub(super) enum Tracefs {
    Mounted(&'static str),
    Private(OwnedFd),
}

impl Tracefs {
    /// Finds the mounted tracefs, or opens a private one.
    ///
    /// The error is one line with the reason and what to do.
    pub(super) fn open() -> io::Result<Self> {
        if let Some(path) = USUAL.into_iter().find(|path| Path::new(&format!("{path}/events")).is_dir()) {
            return Ok(Self::Mounted(path));
        }
        let why = "opens tracefs by a private mount, because it is mounted at neither usual path";
        mount::private(c"tracefs", why).map(Self::Private).map_err(|error| {
            if is_out_of_fds(&error) {
                return error;
            }
            let [own, below] = USUAL;
            let advice = match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => "run as root",
                Some(libc::ENODEV) => "this kernel was built without CONFIG_TRACING",
                _ => "mount -t tracefs tracefs /sys/kernel/tracing",
            };
            let text = format!(
                "tracefs cannot be read: it is not at {own} or {below}, and opening it without mounting it gives {} \
                     ({advice})",
                Errno::of(&error)
            );
            io::Error::new(error.kind(), text)
        })
    }

    /// Opens a file by its path below the root of tracefs.
    pub(super) fn file(&self, path: &str, why: &str) -> io::Result<File> {
        let opened = match self {
            Self::Mounted(directory) => file::open(format!("{directory}/{path}").as_ref(), why),
            Self::Private(directory) => CString::new(path)
                .map_err(io::Error::from)
                .and_then(|path| mount::open_below(directory.as_fd(), &path, why)),
        };
        let failed = |error: io::Error| {
            if is_out_of_fds(&error) {
                return error;
            }
            let why = error.raw_os_error().map_or_else(|| error.to_string(), |_| Errno::of(&error).to_string());
            io::Error::new(error.kind(), format!("cannot read {path} in tracefs: {why}"))
        };
        opened.map_err(failed)
    }

    /// Reads a file as text.
    pub(super) fn text(&self, path: &str, why: &str) -> io::Result<String> {
        file::bounded(self.file(path, why)?, file::LARGE)
    }
}
