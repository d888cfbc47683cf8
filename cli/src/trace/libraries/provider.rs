//! Finds out whether a file is a C library with `getaddrinfo`, and opens exactly the file of a mapping.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::Read,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use cutaway::Uprobe;
use cutaway_programs::getaddrinfo;

use super::{
    libc_name::looks_like_libc,
    maps::Mapping,
    symbol_hash::{self, Definition},
};

/// Functions of which every C library defines one, and a wrapper library defines none. A library that only wraps
/// `getaddrinfo` calls the C library's function in the end, so its calls would be traced twice.
const LIBC_SYMBOLS: [&str; 2] = ["__libc_start_main", "__libc_init"];

/// The size in bytes up to which a file's full symbol table is searched. The search reads the file into memory, and any
/// process can map a file of any size, which may be sparse.
const MAX_SIZE: u64 = 1 << 30;

/// The result of examining a file.
pub(crate) enum Found {
    /// It does not define `getaddrinfo`, or is not a C library.
    NotLibrary,
    /// It defines `getaddrinfo`, but the BPF program does not support it, for this reason.
    Unsupported(&'static str),
    /// It cannot be opened, or no longer.
    NotOpened,
    Provider(Provider),
}

/// A file that defines `getaddrinfo`.
pub(crate) struct Provider {
    file: File,
    /// The function's offset in the file, in bytes.
    pub(crate) function: u64,
    /// The path as this process sees it, for messages.
    pub(crate) display_path: String,
    fingerprint: Fingerprint,
}

/// Values that are equal for one file on any path, and usually differ between two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// The lower half of the inode number. Overlayfs with `xino` puts the layer's number into the upper half.
    inode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: file.ino() as u32,
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Reads the fingerprint of a mapped file. Returns `None` if that is not possible.
pub(crate) fn fingerprint(pid: u32, mapping: &Mapping) -> Option<Fingerprint> {
    fs::metadata(link(pid, mapping)).ok().map(|file| Fingerprint::of(&file))
}

/// Opens the file of a process's mapping and examines it.
pub(crate) fn examine(pid: u32, mapping: &Mapping) -> Found {
    open(pid, mapping).map_or(Found::NotOpened, |file| classify(file, &mapping.path))
}

/// Opens the file at a path, as this process sees it, and examines it.
pub(crate) fn at_path(path: &Path) -> Found {
    File::open(path).map_or(Found::NotOpened, |file| classify(file, &path.to_string_lossy()))
}

fn classify(file: File, display_path: &str) -> Found {
    let mut header = [0; 20];
    if file.read_exact_at(&mut header, 0).is_err() || !header.starts_with(b"\x7fELF") {
        return Found::NotLibrary;
    }
    let native = is_native(&header);
    // A file of another ELF class has other table layouts. Its full symbol table is read if it has a C library's name.
    let defines = if native { symbol_hash::defines(&file, getaddrinfo::FUNCTION) } else { Definition::Unknown };
    if defines == Definition::No || !native && !looks_like_libc(display_path) {
        return Found::NotLibrary;
    }
    if file.metadata().map_or(true, |of| of.len() > MAX_SIZE) {
        return Found::Unsupported("it is larger than 1 GiB; name it with --library");
    }
    let path = fd_path(&file);
    let find = |symbol| Uprobe::new(&path, symbol).locate().ok();
    let Some((_, function)) = find(getaddrinfo::FUNCTION) else { return Found::NotLibrary };
    if !LIBC_SYMBOLS.iter().any(|symbol| find(symbol).is_some()) {
        return Found::NotLibrary;
    }
    if !native {
        return Found::Unsupported("it is for another architecture, or a 32-bit file");
    }
    let Ok(fingerprint) = file.metadata().map(|of| Fingerprint::of(&of)) else { return Found::NotOpened };
    Found::Provider(Provider { file, function, display_path: display_path.to_owned(), fingerprint })
}

fn link(pid: u32, mapping: &Mapping) -> String {
    format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end)
}

/// Opens the file of a mapping. `/proc/PID/map_files` leads to the file itself, whatever its path, but needs
/// `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`. Otherwise the path below the process's root is opened, if it has the
/// same inode number.
fn open(pid: u32, mapping: &Mapping) -> Option<File> {
    open_regular(&link(pid, mapping))
        .or_else(|| {
            let path = format!("/proc/{pid}/root/{}", mapping.path.trim_start_matches('/'));
            // The path may lead to a newer file.
            open_regular(&path).filter(|file| file.metadata().is_ok_and(|of| of.ino() == mapping.key.inode))
        })
        .or_else(|| open_here(mapping))
}

/// Opens the file by its path below the root of this process, if that is the same file: the process that mapped it has
/// ended.
fn open_here(mapping: &Mapping) -> Option<File> {
    let is_same = |of: &Metadata| {
        let device = (libc::major(of.dev()), libc::minor(of.dev()));
        (device, of.ino()) == ((mapping.key.major, mapping.key.minor), mapping.key.inode)
    };
    open_regular(&mapping.path).filter(|file| file.metadata().is_ok_and(|of| is_same(&of)))
}

/// Opens a regular file. Opening a FIFO would block, and opening a device can have effects. Another process can replace
/// the file at the path at any moment, so an `O_PATH` fd holds it: it is checked and then opened through that fd.
fn open_regular(path: &str) -> Option<File> {
    let held = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).ok()?;
    held.metadata().is_ok_and(|of| of.is_file()).then(|| File::open(fd_path(&held)).ok())?
}

/// Returns a path by which the kernel also finds this open file.
fn fd_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Returns whether a file has this program's ELF class, byte order and machine.
fn is_native(header: &[u8; 20]) -> bool {
    let mut own = [0; 20];
    let read = File::open("/proc/self/exe").and_then(|mut file| file.read_exact(&mut own));
    read.is_ok() && header.get(4..6) == own.get(4..6) && header.get(18..20) == own.get(18..20)
}

impl Provider {
    /// Returns the path for attaching: the plain path while it leads to this file, because it is more readable,
    /// otherwise the path of the open file.
    pub(crate) fn path(&self) -> String {
        if self.is_path_of_file(&self.display_path) { self.display_path.clone() } else { self.open_path() }
    }

    /// Returns the path of the open file.
    pub(crate) fn open_path(&self) -> String {
        fd_path(&self.file)
    }

    /// Returns whether this path leads to this file now.
    pub(crate) fn is_path_of_file(&self, path: &str) -> bool {
        let (Ok(one), Ok(other)) = (fs::metadata(path), self.file.metadata()) else { return false };
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }

    /// Returns whether the file still has a name in a directory.
    pub(crate) fn is_linked(&self) -> bool {
        self.file.metadata().is_ok_and(|of| of.nlink() > 0)
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns whether the function is probed in that process: its memory then differs from the file.
    ///
    /// One file below several overlay file systems has a separate inode in each, and the kernel attaches the probe to
    /// the inode below (`d_real_inode`). If a file with an equal [`Fingerprint`] is attached already, and its probe is
    /// in this process too, both are the same file.
    pub(crate) fn is_probed_in(&self, pid: u32, mapping: &Mapping) -> bool {
        let (mut memory, mut file) = ([0; 4], [0; 4]);
        let address = self.function.checked_sub(mapping.offset).and_then(|offset| mapping.start.checked_add(offset));
        let Some(address) = address.filter(|address| *address < mapping.end) else { return false };
        let read = File::open(format!("/proc/{pid}/mem")).and_then(|of| of.read_exact_at(&mut memory, address));
        read.is_ok() && self.file.read_exact_at(&mut file, self.function).is_ok() && memory != file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::libraries::maps;

    /// Returns this process's mapping of a file whose name has this prefix.
    fn own(name: &str) -> Mapping {
        let found = maps::of_process(std::process::id());
        found.into_iter().find(|mapping| mapping.path.rsplit('/').next().unwrap().starts_with(name)).unwrap()
    }

    #[test]
    fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("libc.so.6");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        // Opening it for reading would block.
        assert!(open_regular(fifo.to_str().unwrap()).is_none());
        assert!(open_regular("/dev/null").is_none());
        assert!(open_regular(directory.path().to_str().unwrap()).is_none());
        assert!(open_regular("/proc/self/exe").is_some());
    }

    #[test]
    fn file_of_an_ended_process_is_opened_by_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "old").unwrap();
        let of = fs::metadata(&path).unwrap();
        let key = maps::Key { major: libc::major(of.dev()), minor: libc::minor(of.dev()), inode: of.ino() };
        let mapping = Mapping { key, start: 0, end: 4096, offset: 0, path: path.to_str().unwrap().to_owned() };
        let content = || open(u32::MAX, &mapping).map(|file| std::io::read_to_string(file).unwrap());
        assert_eq!(content(), Some("old".to_owned()));
        // Another file replaces it; the old inode stays in use, so its number does too.
        let _old = File::open(&path).unwrap();
        let new = directory.path().join("new");
        fs::write(&new, "new").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!(content(), None);
    }

    #[test]
    fn huge_file_is_not_read_whole() {
        use std::io::Write;
        // A header without program headers: the file counts as linked statically.
        let mut header = vec![0; 64];
        File::open("/proc/self/exe").unwrap().read_exact(&mut header).unwrap();
        header[56..58].fill(0);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&header).unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(matches!(classify(file, "libc.so.6"), Found::Unsupported(why) if why.contains("1 GiB")));
    }

    #[test]
    fn c_library_is_a_provider_and_this_program_is_not() {
        let pid = std::process::id();
        let exe = std::env::current_exe().unwrap();
        assert!(matches!(examine(pid, &own(exe.file_name().unwrap().to_str().unwrap())), Found::NotLibrary));
        let libc = own("libc.so");
        let Found::Provider(provider) = examine(pid, &libc) else { panic!("{libc:?} is not a provider") };
        assert_eq!(provider.path(), libc.path);
        assert!(provider.is_linked());
        let (_, function) = Uprobe::new(&libc.path, getaddrinfo::FUNCTION).locate().unwrap();
        assert_eq!(provider.function, function);
        // Process 0 is outside of this PID namespace; the file is found by its path.
        assert!(matches!(examine(0, &libc), Found::Provider(_)));
        let other = Mapping { key: maps::Key { inode: 1, ..libc.key }, ..libc };
        assert!(matches!(examine(0, &other), Found::NotOpened));
    }
}
