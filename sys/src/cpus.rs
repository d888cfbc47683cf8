//! The possible and the online CPUs.
//!
//! *Possible* CPUs are those that the kernel has reserved memory for, online or not. Per-CPU maps hold one value for
//! each, and a `PERF_EVENT_ARRAY` one slot. *Online* CPUs run now; a perf event can be opened only on them. Ids can
//! have gaps.
//!
//! A lookup in a per-CPU map writes one value for each possible CPU, and takes no buffer size. So the number of
//! possible CPUs must come from the kernel itself ([`pseudo`]): with too small a number, the lookup would write past
//! its buffer.

use std::{ffi::CStr, io};

use crate::{errno::is_out_of_fds, file, pseudo};

/// Returns the ids of the possible CPUs, ascending.
///
/// # Errors
/// If the kernel's own `/sys/devices/system/cpu/possible` cannot be read or is not a list of CPUs.
pub fn possible() -> io::Result<Vec<u32>> {
    list(c"devices/system/cpu/possible")
}

/// Returns the ids of the online CPUs, ascending.
///
/// Memory safety does not depend on this list. So if the kernel's own file cannot be read, the file that is mounted
/// over it is read instead. In a container with LXCFS, that file lists the CPUs of the container.
///
/// # Errors
/// If `/sys/devices/system/cpu/online` cannot be read or is not a list of CPUs.
pub fn online() -> io::Result<Vec<u32>> {
    list(c"devices/system/cpu/online").or_else(|error| or_mounted("/sys/devices/system/cpu/online", error))
}

/// Returns the number of entries of an array that is indexed by CPU id: one more than the highest possible id.
///
/// Memory safety does not depend on this number. So if the kernel's own file cannot be read, the file that is mounted
/// over it is read instead. If that makes the array too short, setting a missing entry fails.
///
/// # Errors
/// If `/sys/devices/system/cpu/possible` cannot be read or is not a list of CPUs.
pub fn array_len() -> io::Result<u32> {
    let cpus = possible().or_else(|error| or_mounted("/sys/devices/system/cpu/possible", error))?;
    Ok(cpus.last().map_or(0, |last| last.saturating_add(1)))
}

/// Reads the CPU list that is mounted at `path`. If that is no CPU list, returns `error`: why the kernel's own list
/// cannot be read.
fn or_mounted(path: &str, error: io::Error) -> io::Result<Vec<u32>> {
    let text = file::bounded_text(path.as_ref(), WHY)?;
    parse(&text).ok_or(error)
}

const WHY: &str = "reads the list of CPUs";

fn list(path: &CStr) -> io::Result<Vec<u32>> {
    let refused = |why: &dyn std::fmt::Display| {
        io::Error::other(format!("/sys/{} cannot be read as the kernel's own: {why}", path.to_string_lossy()))
    };
    let text =
        pseudo::sysfs_text(path, WHY).map_err(|error| if is_out_of_fds(&error) { error } else { refused(&error) })?;
    parse(&text).ok_or_else(|| refused(&"it is not a list of CPUs"))
}

/// Parses a list of CPUs such as `0-3,8,10-11` (`cpumap_print_to_pagebuf`), with or without a line feed. `None` unless
/// all of the text is an ascending list.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<u32>> {
    /// Far above the kernel's `NR_CPUS`. It bounds the memory that a forged list can take.
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
    fn lists_with_gaps_are_read() {
        assert_eq!(parse("0\n"), Some(vec![0]));
        assert_eq!(parse("0-1,4,6-7\n"), Some(vec![0, 1, 4, 6, 7]));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
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
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_a_possible_cpu() {
        assert!(!possible().unwrap().is_empty());
        assert!(array_len().unwrap() > *possible().unwrap().last().unwrap());
    }
}
