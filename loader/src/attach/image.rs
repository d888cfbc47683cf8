//! Reads a program or library that the kernel puts probes into. It is opened once, so that the file read is the file
//! attached to.
//!
//! The kernel takes a path and an offset in the file, and checks only that the file is a regular one. A probe outside
//! the code is accepted and never hit. A probe in the middle of data that is mapped as code changes that data
//! (`kernel/events/uprobes.c`). So this module checks that processes can run the file, and that the byte belongs to
//! its code.

use std::{
    fmt::Display,
    fs::{self, File, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use object::elf;

use cutaway_sys::file;

use super::tables::{Data, Tables};
use crate::Error;

/// A file to attach to.
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) path: PathBuf,
    file: File,
    identity: Identity,
    /// Whether the caller has opened the file: then no path can lead to another one.
    by_caller: bool,
}

/// The fields that change if a path leads to another file, or the file is written to: device, inode, size in bytes,
/// time of the last write.
type Identity = (u64, u64, u64, i64, i64);

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec())
}

/// Returns the error of a file that cannot be probed.
fn unusable(path: &Path, symbol: Option<&dyn Display>, why: String) -> Error {
    let library = path.display().to_string();
    match symbol {
        Some(symbol) => Error::Symbol { symbol: symbol.to_string(), library, why },
        None => Error::Library { library, why },
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("it cannot be read: {}", crate::Errno::of(error))
}

impl Binary {
    /// Opens the file at `path`, which may lead through magic links: the same path is passed to the kernel. An error
    /// names `symbol` if the caller wants a symbol of the file.
    pub(super) fn open(path: PathBuf, symbol: Option<&dyn Display>) -> Result<Self, Error> {
        let failed = |why: String| unusable(&path, symbol, why);
        let unreadable = |error: std::io::Error| failed(unreadable(&error));
        // Opening a device or a pipe may block, or have side effects.
        if !fs::metadata(&path).map_err(unreadable)?.is_file() {
            return Err(failed("it is not a file".to_owned()));
        }
        let why = "reads the symbols of a program or library: the file offset of a function or probe";
        let file = file::open_without_waiting(&path, why).map_err(unreadable)?;
        Self::of(file, path, symbol, false)
    }

    /// Wraps a file that the caller has opened, with the path by which older kernels find it.
    pub(super) fn opened(file: File, path: PathBuf, symbol: Option<&dyn Display>) -> Result<Self, Error> {
        Self::of(file, path, symbol, true)
    }

    fn of(file: File, path: PathBuf, symbol: Option<&dyn Display>, by_caller: bool) -> Result<Self, Error> {
        let failed = |why: String| unusable(&path, symbol, why);
        let found = file.metadata().map_err(|error| failed(unreadable(&error)))?;
        // Between `stat` and `open` the path may have become a pipe.
        if !found.is_file() {
            return Err(failed("it is not a file".to_owned()));
        }
        Ok(Self { path, file, identity: identity(&found), by_caller })
    }

    /// Checks, after the kernel has followed the path, that it still leads to the file that was read.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        let now = if self.by_caller { self.file.metadata() } else { fs::metadata(&self.path) };
        match now {
            Ok(now) if identity(&now) == self.identity => Ok(()),
            _ => Err(Error::Library {
                library: self.path.display().to_string(),
                why: "it was replaced or written to while a probe was put into it: try again".to_owned(),
            }),
        }
    }

    /// Returns the contents, if the file is ELF and its code can run on this machine.
    pub(super) fn image(&self) -> Result<Image<'_>, String> {
        let tables = Tables::read(Data::new(Box::new(&self.file))).ok_or("it is not an ELF file")?;
        Image::of(self, tables)
    }

    /// Checks that the byte belongs to code, if the file is ELF. The kernel accepts other files, too, because
    /// programs may load and run those by themselves.
    pub(super) fn check_file_offset(&self, byte: u64) -> Result<(), String> {
        match Tables::read(Data::new(Box::new(&self.file))) {
            Some(tables) => Image::of(self, tables)?.check_file_offset(byte),
            None => Ok(()),
        }
    }
}

/// An ELF file whose code can run on this machine.
pub(super) struct Image<'b> {
    pub(super) binary: &'b Binary,
    pub(super) tables: Tables<'b>,
    pub(super) head: Head,
}

/// The fields of the ELF header and the segments.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// `e_type`
    pub(super) kind: u16,
    /// `e_machine`
    pub(super) machine: u16,
    segments: Vec<Segment>,
    /// The file's size in bytes.
    length: u64,
}

/// A part of the file that is mapped into memory (`PT_LOAD`).
#[derive(Debug, Clone, Copy)]
struct Segment {
    address: u64,
    /// Size in memory in bytes. The first `in_file` bytes are in the file, at `offset`.
    size: u64,
    in_file: u64,
    offset: u64,
    executable: bool,
}

impl<'b> Image<'b> {
    fn of(binary: &'b Binary, tables: Tables<'b>) -> Result<Self, String> {
        let (kind, machine) = tables.kind_and_machine()?;
        match kind {
            elf::ET_EXEC | elf::ET_DYN => {}
            elf::ET_REL => {
                return Err(
                    "it is an object file (ET_REL), which no process runs: name the file that it was linked into"
                        .to_owned(),
                );
            }
            elf::ET_CORE => return Err("it is a core dump, which no process runs".to_owned()),
            other => return Err(format!("it is not a program or library: its e_type is {other}")),
        }
        if !MACHINES.is_empty() && !MACHINES.contains(&machine) {
            let [own, ..] = MACHINES else { return Err("the machine is unknown".to_owned()) };
            return Err(format!("its code is for another machine (its e_machine is {machine}, this one's {own})"));
        }
        if tables.little_endian() != cfg!(target_endian = "little") {
            return Err("its code is for a machine of the other byte order".to_owned());
        }
        if tables.code_is_elsewhere() {
            return Err(
                "it has no code: it holds the debug information of another file (its .text is SHT_NOBITS); name that \
                     file"
                    .to_owned(),
            );
        }
        let segments = tables.segments()?;
        let segments = segments.into_iter().map(|(address, size, offset, in_file, executable)| Segment {
            address,
            size,
            in_file,
            offset,
            executable,
        });
        let head = Head { kind, machine, segments: segments.collect(), length: binary.identity.2 };
        Ok(Self { binary, tables, head })
    }

    /// Checks that the byte at this file offset belongs to code.
    pub(super) fn check_file_offset(&self, byte: u64) -> Result<(), String> {
        let mut code = self.head.segments.iter().filter(|segment| segment.executable);
        let inside =
            code.any(|segment| byte.checked_sub(segment.offset).is_some_and(|inside| inside < segment.in_file));
        match (inside, byte < self.head.length) {
            (true, true) => Ok(()),
            (_, false) => Err(format!("the file ends before that offset: it has {} bytes", self.head.length)),
            (false, true) => Err("it is in no executable segment of the file".to_owned()),
        }
    }
}

impl Head {
    /// Returns the file offset of the instruction that is mapped at `address`.
    pub(super) fn code(&self, address: u64) -> Result<u64, String> {
        let offset = self.offset(address, true)?;
        if offset >= self.length {
            return Err(format!(
                "its code at {address:#x} is not in the file, which ends before: it was cut, or holds debug \
                     information only"
            ));
        }
        Ok(offset)
    }

    /// Returns the file offset of the byte that is mapped at `address`, in a segment of code or of data.
    pub(super) fn offset(&self, address: u64, code: bool) -> Result<u64, String> {
        let around =
            |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|inside| inside < segment.size);
        let mut any = false;
        for segment in self.segments.iter().filter(around) {
            any = true;
            let inside = address - segment.address;
            if segment.executable == code && inside < segment.in_file {
                return segment
                    .offset
                    .checked_add(inside)
                    .ok_or_else(|| "its segments are broken: an offset overflows".to_owned());
            }
        }
        Err(match (any, code) {
            (false, _) => format!("its address {address:#x} lies in no segment of the file"),
            (true, true) => format!("its address {address:#x} lies in no executable segment: it is data, not code"),
            (true, false) => format!("its address {address:#x} lies in no segment of data"),
        })
    }
}

/// The machines whose code runs here: this one, and its 32-bit predecessor. Empty if unknown.
const MACHINES: &[u16] = if cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
    &[elf::EM_X86_64, elf::EM_386]
} else if cfg!(any(target_arch = "aarch64", target_arch = "arm")) {
    &[elf::EM_AARCH64, elf::EM_ARM]
} else if cfg!(any(target_arch = "riscv64", target_arch = "riscv32")) {
    &[elf::EM_RISCV]
} else if cfg!(target_arch = "s390x") {
    &[elf::EM_S390]
} else {
    &[]
};

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::attach::crafted::{CODE, Crafted, FUNC, GLOBAL, SHIFT};

    /// A file that a test creates; removed when dropped.
    pub(in crate::attach) struct TempFile(pub(in crate::attach) PathBuf);

    impl TempFile {
        pub(in crate::attach) fn new(crafted: &Crafted<'_>) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            // ATOMICS: the threads share only the number itself.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("cutaway-crafted-{}-{number}", std::process::id()));
            fs::write(&path, crafted.write()).unwrap();
            Self(path)
        }

        pub(in crate::attach) fn binary(&self) -> Binary {
            Binary::open(self.0.clone(), None).unwrap()
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn refusal(crafted: &Crafted<'_>) -> String {
        let kept = TempFile::new(crafted);
        let answer = kept.binary().image().map(|_| ());
        answer.unwrap_err()
    }

    #[test]
    fn files_that_no_process_runs_are_refused_with_the_reason() {
        let whole = Crafted::default();
        assert!(refusal(&Crafted { kind: 1, ..whole.clone() }).contains("an object file (ET_REL)"));
        assert!(refusal(&Crafted { kind: 4, ..whole.clone() }).contains("core dump"));
        assert!(refusal(&Crafted { kind: 77, ..whole.clone() }).contains("e_type is 77"));
        assert!(refusal(&Crafted { debug_only: true, ..whole.clone() }).contains("SHT_NOBITS"));
        // No machine that runs this test executes EM_SPARCV9 code.
        assert!(MACHINES.is_empty() || refusal(&Crafted { machine: 43, ..whole }).contains("another machine"));
    }

    #[test]
    fn only_bytes_of_code_are_accepted() {
        let kept = TempFile::new(&Crafted::default());
        let binary = kept.binary();
        for byte in [0x1000, 0x1fff] {
            binary.check_file_offset(byte).unwrap();
        }
        for (byte, part) in [(0, "no executable segment"), (0x2000, "no executable segment"), (1 << 40, "ends before")]
        {
            let line = binary.check_file_offset(byte).unwrap_err();
            assert!(line.contains(part), "{byte:#x}: {line}");
        }
        // Files that are not ELF are not checked.
        Binary::open(PathBuf::from("/etc/passwd"), None).unwrap().check_file_offset(1).unwrap();
        // A debug file whose sections are not marked SHT_NOBITS.
        let cut = TempFile::new(&Crafted { cut: Some(0x1008), ..Crafted::default() });
        let head = cut.binary().image().unwrap().head.clone();
        assert_eq!(head.code(CODE + 7).unwrap(), CODE + 7 - SHIFT);
        assert!(head.code(CODE + 8).unwrap_err().contains("ends before"));
    }

    #[test]
    fn a_file_of_32_bits_is_read_as_one_of_64() {
        let symbols = vec![("f", GLOBAL, FUNC, CODE + 0x10, 2)];
        // 32-bit code runs on some machines.
        let machine = MACHINES.last().copied().unwrap_or(Crafted::default().machine);
        let kept = TempFile::new(&Crafted { wide: false, machine, symbols, ..Crafted::default() });
        let binary = kept.binary();
        let image = binary.image().unwrap();
        let found = crate::attach::symbol::find(&image, "f").unwrap();
        assert_eq!((found.file_offset, found.size), (CODE + 0x10 - SHIFT, 2));
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let kept = TempFile::new(&Crafted::default());
        let binary = kept.binary();
        binary.check_unchanged().unwrap();
        let new = kept.0.with_extension("new");
        fs::write(&new, Crafted::default().write()).unwrap();
        fs::rename(&new, &kept.0).unwrap();
        let line = binary.check_unchanged().unwrap_err().to_string();
        assert!(line.contains("replaced"), "{line}");
        let binary = kept.binary();
        fs::write(&kept.0, "shorter").unwrap();
        assert!(binary.check_unchanged().is_err());
    }
}
