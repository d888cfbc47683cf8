//! tracefs: the files in which the kernel lists what of it can be traced.

use std::{io, path::PathBuf};

/// Where it is mounted.
pub(super) fn folder() -> io::Result<PathBuf> {
    ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.join("events").is_dir())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "tracefs is not there or not readable: run as root after `mount -t tracefs tracefs /sys/kernel/tracing`",
            )
        })
}
