//! A destination that cannot be replaced: a device, a FIFO, or an fd that is open already.

use std::{os::fd::AsFd, path::Path};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::refused::Refused;
use crate::outlet::{self, Outlet, Standard};

/// A device, a FIFO, or an fd that is open already.
#[derive(Debug)]
pub(crate) enum Stream {
    Standard(Standard),
    Opened(Outlet),
}

/// Returns the fd of this process that the path names; `None` for any other path.
pub(super) fn own_fd(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        text => text
            .strip_prefix("/dev/fd/")
            .or_else(|| text.strip_prefix("/proc/self/fd/"))
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?
            .parse()
            .ok(),
    }
}

/// Opens the file of an fd of this process.
pub(super) fn own_stream(fd: i32) -> Result<Stream, Refused> {
    Ok(match fd {
        1 => Stream::Standard(outlet::stdout()),
        2 => Stream::Standard(outlet::stderr()),
        // As a shell does for `> /dev/fd/N`: a new file description, truncated.
        fd => {
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOCTTY | OFlags::CLOEXEC;
            let opened = rustix::fs::open(format!("/proc/self/fd/{fd}"), flags, Mode::empty())?;
            Stream::Opened(Outlet::shared(opened.as_fd()).ok_or(Refused::System(Errno::BADF.into()))?)
        }
    })
}
