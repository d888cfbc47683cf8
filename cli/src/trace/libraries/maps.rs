//! Executable mappings of files, from `/proc/PID/maps` (proc(5), `fs/proc/task_mmu.c`).

use std::{collections::HashMap, fs};

/// A file's device and inode, as `/proc/PID/maps` and `PERF_RECORD_MMAP2` report them. They identify the file.
///
/// On some file systems (btrfs, overlayfs) stat(2) reports another device, so keys are compared only with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) inode: u64,
}

/// An executable mapping of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) key: Key,
    /// The address range in the process; `end` is exclusive.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The offset in the file, in bytes.
    pub(crate) offset: u64,
    /// The file's path as this process sees it, not the one that mapped the file, decoded lossily. The path can be
    /// deleted or unreachable.
    pub(crate) path: String,
}

/// Reads the executable mappings of files in a process. Returns none if the process has ended or may not be read.
pub(crate) fn of_process(pid: u32) -> Vec<Mapping> {
    let text = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    parse(&String::from_utf8_lossy(&text))
}

fn parse(maps: &str) -> Vec<Mapping> {
    maps.lines().filter_map(parse_line).collect()
}

/// Parses `START-END PERMS OFFSET MAJOR:MINOR INODE   PATH`. Returns `None` if it is not executable, or not of a file.
fn parse_line(line: &str) -> Option<Mapping> {
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let mut rest = line;
    let mut word = || {
        let (word, tail) = rest.split_once(' ')?;
        rest = tail;
        Some(word)
    };
    let (range, permissions, offset, device, inode) = (word()?, word()?, word()?, word()?, word()?);
    let (start, end) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let key = Key {
        major: u32::from_str_radix(major, 16).ok()?,
        minor: u32::from_str_radix(minor, 16).ok()?,
        inode: inode.parse().ok().filter(|&inode| inode != 0)?,
    };
    let mapping = Mapping {
        key,
        start: hex(start)?,
        end: hex(end)?,
        offset: hex(offset)?,
        path: rest.trim_start_matches(' ').to_owned(),
    };
    permissions.contains('x').then_some(mapping)
}

/// The mappings of every process, read again only for processes that may have changed.
#[derive(Default)]
pub(crate) struct Processes {
    known: HashMap<u32, Known>,
}

struct Known {
    /// The start time, the size of all mappings and the address of the program: see [`fingerprint`].
    fingerprint: Vec<String>,
    mappings: Vec<Mapping>,
}

impl Processes {
    /// Reads the mappings of all processes of this PID namespace. `reread` also reads processes that seem unchanged.
    /// Calls `meanwhile` regularly, because a scan takes long on a machine with many processes.
    pub(crate) fn scan(&mut self, reread: bool, mut meanwhile: impl FnMut()) {
        /// Processes between two such calls: some hundred microseconds.
        const FEW: usize = 8;
        let mut before = std::mem::take(&mut self.known);
        for (number, pid) in pids().into_iter().enumerate() {
            if number % FEW == 0 {
                meanwhile();
            }
            let fingerprint = fingerprint(pid);
            let known = match before.remove(&pid) {
                Some(known) if !reread && !fingerprint.is_empty() && known.fingerprint == fingerprint => known,
                _ => Known { fingerprint, mappings: of_process(pid) },
            };
            self.known.insert(pid, known);
        }
    }

    /// Returns every process with its mappings.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[Mapping])> {
        self.known.iter().map(|(pid, known)| (*pid, known.mappings.as_slice()))
    }
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Reads values of a process that usually change when it maps another file.
fn fingerprint(pid: u32) -> Vec<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    // The name can contain any character, also blanks and parentheses. After it comes the third field.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return Vec::new() };
    /// `starttime`, `vsize`, `startcode`: the 22nd, 23rd and 26th field.
    const FIELDS: [usize; 3] = [22, 23, 26];
    let fields: Vec<_> = fields.split_whitespace().collect();
    FIELDS.iter().filter_map(|number| fields.get(number - 3)).map(|&field| field.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_mappings_are_parsed() {
        let maps = "\
            7f00-7f20 r--p 00000000 fe:01 77                         /usr/lib/libc.so.6\n\
            7f20-7f80 r-xp 00020000 fe:01 77                         /usr/lib/libc.so.6\n\
            7f80-7f90 r-xp 00001000 00:2d 4294967297                 /a b (deleted)\n\
            7ffc0000-7ffd0000 r-xp 00000000 00:00 0                  [vdso]\n\
            8000-9000 rwxp 00000000 00:00 0 \n\
            garbage\n";
        let key = |major, minor, inode| Key { major, minor, inode };
        let found = parse(maps);
        let found: Vec<_> =
            found.iter().map(|found| (found.key, found.start, found.offset, found.path.as_str())).collect();
        assert_eq!(
            found,
            [
                (key(0xfe, 1, 77), 0x7f20, 0x20000, "/usr/lib/libc.so.6"),
                (key(0, 0x2d, 4_294_967_297), 0x7f80, 0x1000, "/a b (deleted)"),
            ]
        );
    }

    #[test]
    fn scan_includes_this_process() {
        let mut processes = Processes::default();
        processes.scan(false, || {});
        let own = std::process::id();
        let (_, mappings) = processes.iter().find(|(pid, _)| *pid == own).unwrap();
        assert!(mappings.iter().any(|mapping| mapping.path == std::env::current_exe().unwrap().to_str().unwrap()));
        assert_eq!(fingerprint(own).len(), 3);
        assert_eq!(fingerprint(0), [""; 0]);
    }
}
