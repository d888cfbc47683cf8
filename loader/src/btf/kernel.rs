//! The running kernel's BTF, and that of its modules, from `/sys/kernel/btf`.
//!
//! `vmlinux` there is the kernel's own section `.BTF`, some 5 MB that never change while it runs. Since Linux 6.16 it
//! can be mapped (`kernel/bpf/sysfs_btf.c`), which costs neither a copy nor memory of one's own; before, it is read.
//! Modules' files are small, and read.
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

/// Where the kernel shows its BTF.
pub const DIRECTORY: &str = "/sys/kernel/btf";

/// The bytes of one BTF file of the kernel.
#[derive(Debug)]
pub struct Bytes(Place);

#[derive(Debug)]
enum Place {
    Mapped(Mapping),
    Read(Vec<u8>),
}

impl Bytes {
    /// The kernel's own types.
    ///
    /// # Errors
    ///
    /// `NotFound` if the kernel was built without `CONFIG_DEBUG_INFO_BTF`, or before 5.4; whatever else open(2) and
    /// read(2) say.
    #[doc(alias("btf__load_vmlinux_btf", "LoadKernelSpec"))]
    pub fn vmlinux() -> io::Result<Self> {
        let path = Path::new(DIRECTORY).join("vmlinux");
        let file = open(&path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        match Mapping::of(&file, length) {
            Ok(mapping) => Ok(Self(Place::Mapped(mapping))),
            Err(_) => read(file, length).map(Place::Read).map(Self),
        }
    }

    /// A module's types, which continue those of `vmlinux` ([`Btf::parse_split`](super::Btf::parse_split)). Linux 5.11.
    ///
    /// # Errors
    ///
    /// `NotFound` if no such module is loaded, or was built without BTF.
    #[doc(alias = "btf__load_module_btf")]
    pub fn module(name: &str) -> io::Result<Self> {
        let file = open(&Path::new(DIRECTORY).join(name))?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        read(file, length).map(Place::Read).map(Self)
    }
}

/// The names of the modules that have BTF, in alphabetical order; none if there is no such directory.
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
            Place::Mapped(mapping) => mapping.bytes(),
            Place::Read(bytes) => bytes,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    file::open(
        path,
        "the kernel's types: CO-RE adapts the program to them, and programs are attached to what they name",
    )
}

/// Reads a whole file of about `length` bytes.
fn read(mut file: File, length: usize) -> io::Result<Vec<u8>> {
    /// No BTF comes near this; a size that claims more is not to be believed.
    const MOST: usize = 64 << 20;
    let mut bytes = Vec::with_capacity(length.min(MOST));
    let answer = file.read_to_end(&mut bytes);
    report!("read", &outcome(&answer, |&read| read as i64), "reads the types, since they cannot be mapped";
        "fd" = file.as_raw_fd(), "count" = length);
    answer.map(|_| bytes)
}

/// Whether the file is the kernel's own, not one mounted over it.
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
// SAFETY: all that a shared reference allows is reading memory that nobody ever writes.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes of `file`, which must be the kernel's `vmlinux`: no other file is known never to
    /// change. One that somebody has put over it (in a container, say) is refused.
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
        // SAFETY: `start` is the start of a mapping of `length` bytes, readable until this value is dropped. Behind it
        // is the kernel's section `.BTF`, which lies in its read-only data and is as long as the file says: mapping
        // more would have failed, and the bytes up to the end of the last page are part of the mapping too. Nobody
        // writes to it: neither the kernel, nor we through a mapping without PROT_WRITE.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps what `of` has mapped; `bytes` lends it no longer than this value lives.
        let value = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        report!("munmap", &check(value), "the kernel's types are needed no longer";
            "addr" = report::Value::from_debug(&self.start), "length" = self.length);
    }
}
