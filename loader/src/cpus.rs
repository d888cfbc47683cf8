//! The machine's possible CPUs: those the kernel has reserved room for, running or not. Per-CPU maps hold one value for
//! each, and a `PERF_EVENT_ARRAY` one slot.
//!
//! The kernel writes as many values as there are possible CPUs to whoever looks up a per-CPU map, without being told how much
//! room there is. So their number must be the kernel's own word: see `sys/sysfs.rs`.

use std::{ffi::CStr, io};

use crate::sys::{errno::is_out_of_fds, file, sysfs};

/// The CPUs that the kernel has room for, ascending: what it fills per-CPU values for.
///
/// # Errors
///
/// If the kernel's own `/sys/devices/system/cpu/possible` cannot be read or is not a CPU list.
pub(crate) fn possible() -> io::Result<Vec<u32>> {
    list(c"devices/system/cpu/possible")
}

/// The CPUs that run now, ascending.
///
/// # Errors
///
/// If the kernel's own `/sys/devices/system/cpu/online` cannot be read or is not a CPU list.
pub(crate) fn online() -> io::Result<Vec<u32>> {
    list(c"devices/system/cpu/online")
}

/// How many slots an array needs whose key is a CPU's number: one more than the highest.
///
/// No memory of this process depends on it, so where the kernel's own word is not to be had, that of whatever is mounted
/// there is taken. A slot that is missing for this is an error when it is to be filled.
///
/// # Errors
///
/// If `/sys/devices/system/cpu/possible` cannot be read or is not a CPU list.
pub(crate) fn slots() -> io::Result<u32> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    let cpus = possible().or_else(|error| {
        let text = file::bounded_text(POSSIBLE.as_ref(), WHY)?;
        parse(&text).ok_or(error)
    })?;
    Ok(cpus.last().map_or(0, |last| last.saturating_add(1)))
}

const WHY: &str = "asks which CPUs there are: what exists once for each is as many";

fn list(path: &CStr) -> io::Result<Vec<u32>> {
    let refused = |why: &dyn std::fmt::Display| {
        io::Error::other(format!("/sys/{} cannot be read as the kernel's own: {why}", path.to_string_lossy()))
    };
    let text = sysfs::text(path, WHY).map_err(|error| if is_out_of_fds(&error) { error } else { refused(&error) })?;
    parse(&text).ok_or_else(|| refused(&"it is no list of CPUs"))
}

/// Reads the kernel's list format (`0-3,8,10-11`, and a line feed): all of it, or nothing.
fn parse(text: &str) -> Option<Vec<u32>> {
    /// Far above the kernel's `NR_CPUS`: a longer list is nonsense, not a machine.
    const MOST: u32 = 65_536;
    let (mut cpus, mut first, mut number): (Vec<u32>, Option<u32>, Option<u32>) = (Vec::new(), None, None);
    for byte in text.strip_suffix('\n').unwrap_or(text).bytes().chain([b',']) {
        match byte {
            b'0'..=b'9' => {
                let value = number.unwrap_or(0) * 10 + u32::from(byte - b'0');
                number = Some(value).filter(|value| *value < MOST);
                number?;
            }
            b'-' if first.is_none() => first = Some(number.take()?),
            b',' => {
                let last = number.take()?;
                let first = first.take().unwrap_or(last);
                if first > last || cpus.last().is_some_and(|&before| before >= first) {
                    return None;
                }
                cpus.extend(first..=last);
            }
            _ => return None,
        }
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
        for nonsense in [
            "",
            "\n",
            "a",
            "3-1",
            "0-",
            "-1",
            "+0",
            " 0",
            "0\n\n",
            "0,",
            ",0",
            "0;1",
            "0-1-2",
            "1,1",
            "0-4294967295",
            "0\0",
        ] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn this_machine_has_at_least_one() {
        assert!(!possible().unwrap().is_empty());
        assert!(slots().unwrap() > *possible().unwrap().last().unwrap());
    }
}
