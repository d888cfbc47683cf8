//! Reads the BTF of the running kernel and of its modules from `/sys/kernel/btf`.
//!
//! `vmlinux` there is the kernel's own section `.BTF`, some 5 MB that do not change while the kernel runs. Since Linux
//! 6.16 it can be mapped (`kernel/bpf/sysfs_btf.c`), which takes neither a copy nor memory of the process. On older
//! kernels it is read. The files of modules are small, and are read.
#![expect(unsafe_code, reason = "mmap(2) and munmap(2)")]

use std::{
    fs::File,
    io::{self, Read},
    ops::Deref,
    os::fd::AsRawFd,
    path::Path,
    ptr::NonNull,
};

use cutaway_sys::{
    file, report,
    report::{check, outcome},
};

/// The directory in which the kernel exports its BTF.
pub const DIRECTORY: &str = "/sys/kernel/btf";

/// The bytes of one of the kernel's BTF files. `Send` and `Sync`.
#[derive(Debug)]
pub struct Bytes(Storage);

#[derive(Debug)]
enum Storage {
    Mapped(Mapping),
    Read(Vec<u8>),
}

impl Bytes {
    /// Maps or reads the kernel's own types.
    ///
    /// # Errors
    ///
    /// `NotFound` if the kernel was built without `CONFIG_DEBUG_INFO_BTF`, or is older than Linux 5.4; otherwise the
    /// errors of open(2) and read(2).
    #[doc(alias("btf__load_vmlinux_btf", "LoadKernelSpec"))]
    pub fn vmlinux() -> io::Result<Self> {
        let path = Path::new(DIRECTORY).join("vmlinux");
        let file = open(&path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        match Mapping::of(&file, length) {
            Ok(mapping) => Ok(Self(Storage::Mapped(mapping))),
            Err(_) => read(file, length).map(Storage::Read).map(Self),
        }
    }

    /// Reads the types of a module, which continue those of `vmlinux` ([`Btf::parse_split`](super::Btf::parse_split)).
    /// Linux 5.11.
    ///
    /// # Errors
    ///
    /// `NotFound` if no such module is loaded, or if it was built without BTF; otherwise the errors of open(2) and
    /// read(2).
    #[doc(alias = "btf__load_module_btf")]
    pub fn module(name: &str) -> io::Result<Self> {
        let file = open(&Path::new(DIRECTORY).join(name))?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        read(file, length).map(Storage::Read).map(Self)
    }
}

/// Returns the names of the modules that have BTF, in alphabetical order; empty if the directory does not exist.
#[must_use]
pub fn modules() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(DIRECTORY) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "vmlinux")
        .collect();
    names.sort_unstable();
    names
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Storage::Mapped(mapping) => mapping.bytes(),
            Storage::Read(bytes) => bytes,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    file::open(path, "the kernel's types, for CO-RE relocations and attach targets")
}

/// Reads a whole file of about `length` bytes.
fn read(mut file: File, length: usize) -> io::Result<Vec<u8>> {
    /// Far above the size of any BTF, so that a wrong file size does not allocate more.
    const MOST: usize = 64 << 20;
    let mut bytes = Vec::with_capacity(length.min(MOST));
    let answer = file.read_to_end(&mut bytes);
    report!("read", &outcome(&answer, |&read| read as i64), "reads the types, since they cannot be mapped";
        "fd" = file.as_raw_fd(), "count" = length);
    answer.map(|_| bytes)
}

/// Returns whether the file is on sysfs, not on a file system mounted over it.
fn is_sysfs(file: &File) -> io::Result<bool> {
    const SYSFS_MAGIC: libc::c_long = 0x6265_6572;
    let mut status = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `status` is writable and as large as the call wants it; the fd is open.
    let value = unsafe { libc::fstatfs(file.as_raw_fd(), status.as_mut_ptr()) };
    // SAFETY: zeroes are a valid `statfs`, and the kernel has written over them no more than valid values.
    let status = unsafe { status.assume_init() };
    let answer = if value == 0 { Ok(status.f_type as libc::c_long) } else { Err(io::Error::last_os_error()) };
    report!("fstatfs", &outcome(&answer, |&magic| magic),
        "only a file of sysfs itself is known never to change, and may be mapped"; "fd" = file.as_raw_fd());
    answer.map(|magic| magic == SYSFS_MAGIC)
}

/// A private read-only mapping of the kernel's `.BTF`.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is read-only memory that belongs to this value alone, and any thread may read and unmap it.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference only allows reading memory that is never written.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes of `file`, which must be the kernel's `vmlinux`: of other files it is not known
    /// that they never change. A file that is mounted over it (in a container, say) is refused.
    fn of(file: &File, length: usize) -> io::Result<Self> {
        if !is_sysfs(file)? {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // SAFETY: asks for a new mapping anywhere, so no memory that is in use is touched; a wrong length or fd
        // is an error of the call's.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        let answer = match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, length }),
            _ => Err(io::Error::last_os_error()),
        };
        report!("mmap", &outcome(&answer, |mapping| mapping.start.as_ptr().addr() as i64),
            "maps the kernel's types, which costs no copy; kernels before 6.16 refuse";
            "addr" = 0, "length" = length, "prot" = "PROT_READ", "flags" = "MAP_PRIVATE", "fd" = file.as_raw_fd(),
            "offset" = 0);
        answer
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is the start of a mapping of `length` bytes, readable until this value is dropped. It maps
        // the kernel's section `.BTF`, which lies in its read-only data and is as long as the file says: mapping more
        // would have failed, and the bytes up to the end of the last page are part of the mapping too. These bytes are
        // never written: neither by the kernel, nor by this process, whose mapping has no PROT_WRITE.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps what `of` has mapped; `bytes` lends it no longer than this value lives.
        let value = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        report!("munmap", &check(value), "the kernel's types are no longer needed";
            "addr" = report::Value::from_debug(&self.start), "length" = self.length);
    }
}
