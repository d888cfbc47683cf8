//! The machine's possible CPUs: those the kernel has reserved room for, running or not. Per-CPU maps hold one value for
//! each, and a `PERF_EVENT_ARRAY` one slot.

use std::{io, path::Path};

use crate::sys::file;

/// The CPUs that the kernel has room for, ascending.
///
/// # Errors
///
/// If `/sys/devices/system/cpu/possible` cannot be read or is not a CPU list.
pub(crate) fn possible() -> io::Result<Vec<u32>> {
    list(Path::new("/sys/devices/system/cpu/possible"))
}

/// The CPUs that run now, ascending.
///
/// # Errors
///
/// If `/sys/devices/system/cpu/online` cannot be read or is not a CPU list.
pub(crate) fn online() -> io::Result<Vec<u32>> {
    list(Path::new("/sys/devices/system/cpu/online"))
}

fn list(path: &Path) -> io::Result<Vec<u32>> {
    let text = file::text(path, "asks which CPUs there are: what exists once for each is as many").map_err(
        |error| match error.raw_os_error() {
            // Its number is what says what to do: it is no fault of the file.
            Some(libc::EMFILE | libc::ENFILE) => error,
            _ => io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())),
        },
    )?;
    parse(&text).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no CPU list: {text:?}", path.display()))
    })
}

/// Reads the kernel's list format (`0-3,8,10-11`).
fn parse(text: &str) -> Option<Vec<u32>> {
    /// Far above the kernel's `NR_CPUS`: a longer list is nonsense, not a machine.
    const MOST: u32 = 65_536;
    let mut cpus = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST || cpus.last().is_some_and(|&before| before >= first) {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_with_holes() {
        assert_eq!(parse("0\n"), Some(vec![0]));
        assert_eq!(parse("0-1,4,6-7\n"), Some(vec![0, 1, 4, 6, 7]));
    }

    #[test]
    fn refuses_what_is_no_list() {
        for nonsense in ["", "a", "3-1", "0-", "1,1", "0-4294967295"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn this_machine_has_at_least_one() {
        assert!(!possible().unwrap().is_empty());
    }
}
