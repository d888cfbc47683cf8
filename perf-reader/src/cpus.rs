//! Which CPUs there are: lists with holes, as sysfs writes them.

use std::fs;

use crate::error::Error;

const ONLINE: &str = "/sys/devices/system/cpu/online";

/// The numbers of the CPUs that are online now, ascending: not always `0..n`.
///
/// # Errors
/// [`Error::OnlineCpus`] if `/sys/devices/system/cpu/online` cannot be read or understood; [`Error::System`] with
/// EMFILE or ENFILE if no descriptor is left to read it by.
pub fn online_cpus() -> Result<Vec<u32>, Error> {
    let list = fs::read_to_string(ONLINE).map_err(|error| match error.raw_os_error() {
        // It is no fault of the file.
        Some(libc::EMFILE | libc::ENFILE) => Error::system(format!("reading {ONLINE}"), &error),
        _ => Error::OnlineCpus { reason: format!("reading {ONLINE}: {error}") },
    })?;
    parse(&list).ok_or_else(|| Error::OnlineCpus { reason: format!("{ONLINE} says {:?}", list.trim_end()) })
}

/// Understands lists such as `0-3,5,8-11\n` (`cpumap_print_to_pagebuf`); no CPU at all is an empty list.
fn parse(list: &str) -> Option<Vec<u32>> {
    /// The kernel's own bound (`NR_CPUS`) is far lower on all machines; this one keeps nonsense from filling memory.
    const MOST: u32 = 1 << 16;
    let mut cpus = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => {
                let cpu: u32 = part.parse().ok()?;
                (cpu, cpu)
            }
        };
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
            ("\n", Some(vec![])),
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
