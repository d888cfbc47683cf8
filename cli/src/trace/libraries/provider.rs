//! Whether a file is a C library with `getaddrinfo`, and the way to it that is certain to lead to that very file.

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
    quick::{self, Quick},
};

/// A function that every C library defines and no library in front of it does: what only wraps `getaddrinfo` calls the
/// C library's in the end, and its calls would be seen twice.
const STARTS: [&str; 2] = ["__libc_start_main", "__libc_init"];

/// Bytes of a file whose whole table of symbols is looked through. It is read into memory, and any process can map a
/// file of any length, which may take no room at all on a disk.
const MOST: u64 = 1 << 30;

/// What a file turned out to be.
pub(crate) enum Found {
    /// It has no `getaddrinfo` of its own.
    Nothing,
    /// It has, but of a kind that the program cannot read: why.
    Foreign(&'static str),
    /// It cannot be opened (any more).
    Gone,
    Provider(Provider),
}

/// A file that defines `getaddrinfo`.
pub(crate) struct Provider {
    file: File,
    /// Where the function begins, in bytes from the file's start.
    pub(crate) function: u64,
    /// Its path as seen by this process, for people.
    pub(crate) shown: String,
    marks: Marks,
}

/// What two ways to one file have in common, and two files have not, as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The lower half: overlayfs with `xino` puts the number of the layer above it.
    inode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Marks {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: file.ino() as u32,
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Reads the marks of a mapped file; `None` if that is not possible.
pub(crate) fn marks(pid: u32, mapping: &Mapping) -> Option<Marks> {
    fs::metadata(link(pid, mapping)).ok().map(|file| Marks::of(&file))
}

/// Opens the file that the process has mapped there and looks for the function.
pub(crate) fn examine(pid: u32, mapping: &Mapping) -> Found {
    open(pid, mapping).map_or(Found::Gone, |file| judge(file, &mapping.path))
}

/// The same of a file at a path of this process's.
pub(crate) fn at_path(path: &Path) -> Found {
    File::open(path).map_or(Found::Gone, |file| judge(file, &path.to_string_lossy()))
}

fn judge(file: File, shown: &str) -> Found {
    let mut header = [0; 20];
    if file.read_exact_at(&mut header, 0).is_err() || !header.starts_with(b"\x7fELF") {
        return Found::Nothing;
    }
    let native = is_native(&header);
    // One of another class has its tables elsewhere: it takes the long way, if it is a C library by its name.
    let quick = if native { quick::defines(&file, getaddrinfo::FUNCTION) } else { Quick::Unknown };
    if quick == Quick::No || !native && !looks_like_libc(shown) {
        return Found::Nothing;
    }
    if file.metadata().map_or(true, |of| of.len() > MOST) {
        return Found::Foreign("it is larger than 1 GiB; name it with --library");
    }
    let path = through(&file);
    let find = |symbol| Uprobe::new(&path, symbol).locate().ok();
    let Some((_, function)) = find(getaddrinfo::FUNCTION) else { return Found::Nothing };
    if !STARTS.iter().any(|symbol| find(symbol).is_some()) {
        return Found::Nothing;
    }
    if !native {
        return Found::Foreign("it is for another kind of processor, or of 32 bits");
    }
    let Ok(marks) = file.metadata().map(|of| Marks::of(&of)) else { return Found::Gone };
    Found::Provider(Provider { file, function, shown: shown.to_owned(), marks })
}

fn link(pid: u32, mapping: &Mapping) -> String {
    format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end)
}

/// The file of a mapping: through `/proc/PID/map_files`, which leads to the file itself whatever its path says (needs
/// `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`), or by its path below the process's root if that is the same file.
fn open(pid: u32, mapping: &Mapping) -> Option<File> {
    open_regular(&link(pid, mapping))
        .or_else(|| {
            let path = format!("/proc/{pid}/root/{}", mapping.path.trim_start_matches('/'));
            // A file of the same path may be a newer one.
            open_regular(&path).filter(|file| file.metadata().is_ok_and(|of| of.ino() == mapping.key.inode))
        })
        .or_else(|| open_here(mapping))
}

/// Opens the file by its path below the root of this process, if that is the same file: the process that mapped it has
/// ended.
fn open_here(mapping: &Mapping) -> Option<File> {
    let is_it = |of: &Metadata| {
        let device = (libc::major(of.dev()), libc::minor(of.dev()));
        (device, of.ino()) == ((mapping.key.major, mapping.key.minor), mapping.key.inode)
    };
    open_regular(&mapping.path).filter(|file| file.metadata().is_ok_and(|of| is_it(&of)))
}

/// Opens a regular file. A FIFO would block and a device may do something, and what the path leads to is another
/// process's to change at any moment; so it is held on to before it is looked at, and opened after.
fn open_regular(path: &str) -> Option<File> {
    let held = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).ok()?;
    held.metadata().is_ok_and(|of| of.is_file()).then(|| File::open(through(&held)).ok())?
}

/// A path through which the kernel, too, comes to this open file.
fn through(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Of this program's own class, byte order and machine.
fn is_native(header: &[u8; 20]) -> bool {
    let mut own = [0; 20];
    let read = File::open("/proc/self/exe").and_then(|mut file| file.read_exact(&mut own));
    read.is_ok() && header.get(4..6) == own.get(4..6) && header.get(18..20) == own.get(18..20)
}

impl Provider {
    /// The path to attach by: the plain one where it leads to this very file now, which reads better; otherwise through
    /// the open file.
    pub(crate) fn path(&self) -> String {
        if self.leads_here(&self.shown) { self.shown.clone() } else { self.open_path() }
    }

    /// The path through the open file.
    pub(crate) fn open_path(&self) -> String {
        through(&self.file)
    }

    /// Whether this path is one of this file at this moment.
    pub(crate) fn leads_here(&self, path: &str) -> bool {
        let (Ok(one), Ok(other)) = (fs::metadata(path), self.file.metadata()) else { return false };
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }

    /// Whether the file is still in some directory.
    pub(crate) fn is_linked(&self) -> bool {
        self.file.metadata().is_ok_and(|of| of.nlink() > 0)
    }

    pub(crate) fn marks(&self) -> Marks {
        self.marks
    }

    /// Whether a probe is on the function in that process: its memory then differs from the file.
    ///
    /// One file below several overlay file systems has an inode of its own in each, and the kernel puts a probe on the
    /// one below (`d_real_inode`). If the file of equal [`Marks`] is probed already, and the probe is in this process,
    /// too, then it is that file.
    pub(crate) fn is_probed_in(&self, pid: u32, mapping: &Mapping) -> bool {
        let (mut memory, mut file) = ([0; 4], [0; 4]);
        let behind = self.function.checked_sub(mapping.offset).and_then(|behind| mapping.start.checked_add(behind));
        let Some(address) = behind.filter(|address| *address < mapping.end) else { return false };
        let read = File::open(format!("/proc/{pid}/mem")).and_then(|of| of.read_exact_at(&mut memory, address));
        read.is_ok() && self.file.read_exact_at(&mut file, self.function).is_ok() && memory != file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::libraries::maps;

    /// What this test has mapped under a name that begins so.
    fn own(name: &str) -> Mapping {
        let found = maps::of_process(std::process::id());
        found.into_iter().find(|mapping| mapping.path.rsplit('/').next().unwrap().starts_with(name)).unwrap()
    }

    #[test]
    fn nothing_but_regular_files_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("libc.so.6");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        // To open it for reading would block.
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
    fn a_file_of_any_length_is_not_read_whole() {
        use std::io::Write;
        // Linked statically, by its header.
        let mut header = vec![0; 64];
        File::open("/proc/self/exe").unwrap().read_exact(&mut header).unwrap();
        header[56..58].fill(0);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&header).unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(matches!(judge(file, "libc.so.6"), Found::Foreign(why) if why.contains("1 GiB")));
    }

    #[test]
    fn the_c_library_is_a_provider_and_this_program_is_none() {
        let pid = std::process::id();
        let exe = std::env::current_exe().unwrap();
        assert!(matches!(examine(pid, &own(exe.file_name().unwrap().to_str().unwrap())), Found::Nothing));
        let libc = own("libc.so");
        let Found::Provider(provider) = examine(pid, &libc) else { panic!("{libc:?} is none") };
        assert_eq!(provider.path(), libc.path);
        assert!(provider.is_linked());
        let (_, function) = Uprobe::new(&libc.path, getaddrinfo::FUNCTION).locate().unwrap();
        assert_eq!(provider.function, function);
        // Process 0 is outside of this PID namespace; the file is found by its path.
        assert!(matches!(examine(0, &libc), Found::Provider(_)));
        let other = Mapping { key: maps::Key { inode: 1, ..libc.key }, ..libc };
        assert!(matches!(examine(0, &other), Found::Gone));
    }
}
