//! Files that processes have mapped to execute them, from `/proc/PID/maps` (proc(5), `fs/proc/task_mmu.c`).

use std::{collections::HashMap, fs};

/// A file as the kernel tells it apart from others: device and inode, as `/proc/PID/maps` and `PERF_RECORD_MMAP2` give
/// them.
///
/// On some file systems (btrfs, overlayfs) stat(2) gives another device; so these are compared with each other alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) inode: u64,
}

/// A part of a file that a process may execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) key: Key,
    /// Addresses in the process, from the first byte to that behind the last one.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Bytes from the start of the file.
    pub(crate) offset: u64,
    /// The file's path as this process (not the other one) sees it, lossily; may be deleted, or unreachable.
    pub(crate) path: String,
}

/// Reads the executable mappings of files that the process has; none if it is gone or may not be asked.
pub(crate) fn of_process(pid: u32) -> Vec<Mapping> {
    let text = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    parse(&String::from_utf8_lossy(&text))
}

fn parse(maps: &str) -> Vec<Mapping> {
    maps.lines().filter_map(line).collect()
}

/// `START-END PERMS OFFSET MAJOR:MINOR INODE   PATH`; `None` if it may not be executed, or is no file.
fn line(line: &str) -> Option<Mapping> {
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let mut rest = line;
    let mut word = || {
        let (word, behind) = rest.split_once(' ')?;
        rest = behind;
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

/// What every process has mapped, read again only for those that may have changed.
#[derive(Default)]
pub(crate) struct Processes {
    known: HashMap<u32, Known>,
}

struct Known {
    /// When it was started, how much it has mapped, and where its program is: see [`marks`].
    marks: Vec<String>,
    mappings: Vec<Mapping>,
}

impl Processes {
    /// Looks through all processes of this PID namespace; `afresh` reads also those that seem unchanged. `meanwhile` is
    /// called now and then: a look takes long on a machine with many processes.
    pub(crate) fn look(&mut self, afresh: bool, mut meanwhile: impl FnMut()) {
        /// Processes between two such calls: some hundred microseconds.
        const FEW: usize = 8;
        let mut before = std::mem::take(&mut self.known);
        for (number, pid) in pids().into_iter().enumerate() {
            if number % FEW == 0 {
                meanwhile();
            }
            let marks = marks(pid);
            let known = match before.remove(&pid) {
                Some(known) if !afresh && !marks.is_empty() && known.marks == marks => known,
                _ => Known { marks, mappings: of_process(pid) },
            };
            self.known.insert(pid, known);
        }
    }

    /// Every process with what it has mapped.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[Mapping])> {
        self.known.iter().map(|(pid, known)| (*pid, known.mappings.as_slice()))
    }
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Marks by which a process that has mapped another file can be told from one that has not, as a rule.
fn marks(pid: u32) -> Vec<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    // The name may hold anything, blanks and parentheses included; behind it the third field begins.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return Vec::new() };
    /// `starttime`, `vsize`, `startcode`: the 22nd, 23rd and 26th field.
    const WANTED: [usize; 3] = [22, 23, 26];
    let fields: Vec<_> = fields.split_whitespace().collect();
    WANTED.iter().filter_map(|number| fields.get(number - 3)).map(|&field| field.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_files_are_read_from_maps() {
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
    fn this_process_is_among_all() {
        let mut processes = Processes::default();
        processes.look(false, || {});
        let own = std::process::id();
        let (_, mappings) = processes.iter().find(|(pid, _)| *pid == own).unwrap();
        assert!(mappings.iter().any(|mapping| mapping.path == std::env::current_exe().unwrap().to_str().unwrap()));
        assert_eq!(marks(own).len(), 3);
        assert_eq!(marks(0), [""; 0]);
    }
}
