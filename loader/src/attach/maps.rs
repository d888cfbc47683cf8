//! Reads `/proc/PID/maps`, which has one line for each mapping (`fs/proc/task_mmu.c`):
//!
//! ```text
//!     start-end permissions offset device inode      path
//! ```
//!
//! Paths are bytes. The kernel writes a newline in a path as `\012` and escapes nothing else, so a path with that text
//! is ambiguous.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

/// A mapping of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapping<'m> {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) executable: bool,
    /// Offset in the file in bytes.
    pub(super) offset: u64,
    pub(super) inode: u64,
    /// The path as the line has it; the kernel appends ` (deleted)` to the path of a deleted file.
    pub(super) path: &'m [u8],
}

/// Returns the mappings of files. Skips lines that it cannot parse.
pub(super) fn mappings(maps: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    maps.split(|&byte| byte == b'\n').filter_map(mapping)
}

fn mapping(line: &[u8]) -> Option<Mapping<'_>> {
    let mut words = line.splitn(6, |&byte| byte == b' ').map(|word| str::from_utf8(word).ok());
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = words.next()??.split_once('-')?;
    let executable = words.next()??.contains('x');
    let offset = hexadecimal(words.next()??)?;
    let _device = words.next()??;
    let inode = words.next()??.parse().ok()?;
    // No field before the path contains a slash.
    let path = line.get(line.iter().position(|&byte| byte == b'/')?..)?;
    Some(Mapping { start: hexadecimal(start)?, end: hexadecimal(end)?, executable, offset, inode, path })
}

impl Mapping<'_> {
    /// Returns the two interpretations of the path: with a newline for each escape, and unchanged. Neither is right for
    /// a path that contains both; the mapping's link still leads to such a file.
    pub(super) fn paths(&self) -> Vec<Vec<u8>> {
        let mut paths = vec![self.path.to_vec()];
        if self.path.windows(4).any(|part| part == NEWLINE) {
            let mut path = Vec::new();
            let mut rest = self.path;
            while let Some(&first) = rest.first() {
                let (byte, length) = if rest.starts_with(NEWLINE) { (b'\n', NEWLINE.len()) } else { (first, 1) };
                path.push(byte);
                rest = rest.get(length..).unwrap_or_default();
            }
            paths.insert(0, path);
        }
        paths
    }

    /// Returns the link that leads to the mapped file even when its path does not. Its name has no leading zeros.
    pub(super) fn link(&self, pid: u32) -> PathBuf {
        PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", self.start, self.end))
    }
}

/// Escapes a name as the kernel does in a path.
pub(super) fn escaped(name: &OsStr) -> OsString {
    let lines: Vec<_> = name.as_bytes().split(|&byte| byte == b'\n').collect();
    OsString::from_vec(lines.join(NEWLINE))
}

const NEWLINE: &[u8] = b"\\012";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_bytes_with_blanks_and_newlines() {
        let maps = b"00400000-00401000 r-xp 00002000 fd:00 7                  /a b/c\\012d\n\
            7f00-7f10 rw-p 00000000 00:00 0 \n\
            7f20-7f30 r--p 00000000 00:01 5 /\xff.so (deleted)\n7f40-7f50 rw-p 00000000 00:00 0          [heap]\nnonsense\n1-\n";
        let found: Vec<_> = mappings(maps).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        let [first, second] = [found[0], found[1]];
        assert_eq!((first.start, first.end, first.offset, first.inode), (0x40_0000, 0x40_1000, 0x2000, 7));
        assert_eq!(first.paths(), [b"/a b/c\nd".to_vec(), b"/a b/c\\012d".to_vec()]);
        assert_eq!(first.link(3).to_str(), Some("/proc/3/map_files/400000-401000"));
        assert_eq!(escaped(OsStr::new("a\nb\\012\n")), OsStr::new("a\\012b\\012\\012"));
        assert!(first.executable && !second.executable);
        assert_eq!(second.paths(), [b"/\xff.so (deleted)".to_vec()]);
    }
}
