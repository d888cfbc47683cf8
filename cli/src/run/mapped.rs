//! Probes for one process on a file that the process does not use.
//!
//! `--attach NAME=/usr/lib/libx.so:f --pid PID` attaches to our file of that path. A process in a container has another
//! one, and the probe would never be hit, without a word.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use log::warn;

/// Warns if the process has not mapped the file, as far as `/proc/PID/map_files` tells: it takes CAP_SYS_ADMIN or
/// CAP_CHECKPOINT_RESTORE, and is empty for a process that has ended.
pub(super) fn warn_if_not(pid: u32, file: &Path) {
    let Ok(wanted) = fs::metadata(file) else { return };
    let Ok(links) = fs::read_dir(format!("/proc/{pid}/map_files")) else { return };
    let mut of_that_name = None;
    let mut seen = false;
    for link in links.flatten().map(|link| link.path()) {
        let Ok(mapped) = fs::metadata(&link) else { continue };
        if (mapped.dev(), mapped.ino()) == (wanted.dev(), wanted.ino()) {
            return;
        }
        seen = true;
        let same_name = |path: &Path| path.file_name() == file.file_name();
        of_that_name = of_that_name.or_else(|| fs::read_link(link).ok().filter(|path| same_name(path)));
    }
    if !seen {
        return;
    }
    let other = of_that_name.map_or_else(String::new, |path| {
        format!("; it has mapped {}: to attach there, give the name without a directory", path.display())
    });
    warn!("process {pid} has not mapped {} so far, so no probe there is hit{other}", file.display());
}
