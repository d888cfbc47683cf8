//! Which CPUs there are: lists with holes, as sysfs writes them.

use std::fs::File;
use std::io::{self, Read};

use crate::error::Error;

const ONLINE: &str = "/sys/devices/system/cpu/online";

/// The numbers of the CPUs that are online now, ascending: not always `0..n`.
///
/// # Errors
/// [`Error::OnlineCpus`] if `/sys/devices/system/cpu/online` cannot be read or understood; [`Error::System`] with
/// EMFILE or ENFILE if no descriptor is left to read it by.
pub fn online_cpus() -> Result<Vec<u32>, Error> {
    let list = read().map_err(|error| match error.raw_os_error() {
        // It is no fault of the file.
        Some(libc::EMFILE | libc::ENFILE) => Error::system(format!("reading {ONLINE}"), &error),
        _ => Error::OnlineCpus { reason: format!("reading {ONLINE}: {error}") },
    })?;
    parse(&list).ok_or_else(|| {
        let start: String = list.chars().take(SHOWN).collect();
        Error::OnlineCpus { reason: format!("{ONLINE} says {start:?}, which is no list of CPUs") }
    })
}

/// So many characters of what is no list are shown.
const SHOWN: usize = 60;

/// At most 64 KiB: whatever is mounted there, no more is taken into memory.
fn read() -> io::Result<String> {
    let mut list = String::new();
    File::open(ONLINE)?.take(64 * 1024).read_to_string(&mut list)?;
    Ok(list)
}

/// Understands lists such as `0-3,5,8-11\n` (`cpumap_print_to_pagebuf`), all of it; a CPU is online always, so that no CPU at
/// all is no list.
fn parse(list: &str) -> Option<Vec<u32>> {
    /// The kernel's own bound (`NR_CPUS`) is far lower on all machines; this one keeps nonsense from filling memory.
    const MOST: u32 = 1 << 16;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let mut cpus = Vec::new();
    for range in list.strip_suffix('\n').unwrap_or(list).split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (number(first)?, number(last)?);
        if first > last || last >= MOST || cpus.last().is_some_and(|&before| before >= first) {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_of_cpus() {
        for (list, cpus) in [
            ("0\n", Some(vec![0])),
            ("0-3\n", Some(vec![0, 1, 2, 3])),
            ("0,2-3,7\n", Some(vec![0, 2, 3, 7])),
            ("5", Some(vec![5])),
            ("\n", None),
            ("", None),
            ("0\n\n", None),
            ("+1", None),
            (" 1", None),
            ("1,", None),
            ("0-1-2", None),
            ("3-1", None),
            ("0-4294967295", None),
            ("0,0", None),
            ("0-", None),
            ("a", None),
        ] {
            assert_eq!(parse(list), cpus, "{list:?}");
        }
    }
}
