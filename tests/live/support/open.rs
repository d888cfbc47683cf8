//! What this process has open: a test compares it before and after.

use std::fs;

/// What this process has open, by number and name.
pub(crate) fn descriptors() -> Vec<(String, String)> {
    let folder = fs::read_dir("/proc/self/fd").unwrap();
    let mut open: Vec<_> = folder
        .filter_map(|entry| {
            // The descriptor of the folder itself is closed when the names are asked for.
            let entry = entry.unwrap();
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().into_string().unwrap(), target.display().to_string()))
        })
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect();
    open.sort();
    open
}
