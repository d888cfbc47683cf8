//! A crafted file that this process maps, and whose functions it calls.
#![expect(unsafe_code, reason = "runs machine code that a test has written")]

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

/// Code and data of a file that `crafted::Crafted` wrote.
pub(crate) struct Mapped {
    path: PathBuf,
    base: usize,
}

/// The offset in the file, and the number of bytes.
const CODE: i64 = 0x1000;
const BYTES: usize = 0x2000;

impl Mapped {
    /// Writes a file, which is removed on drop, and maps it.
    pub(crate) fn write(name: &str, bytes: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // ATOMICS: only the number itself passes between the threads.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cutaway-{}-{number}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self { base: map(&path), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file's name, without its directory.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }

    /// Calls the function with this index: functions are 16 bytes apart.
    pub(crate) fn call(&self, index: usize) {
        call(self.base, index);
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        // SAFETY: mapped by `map`; nothing else refers to it.
        unsafe { libc::munmap(ptr::without_provenance_mut(self.base), BYTES) };
    }
}

/// Maps a crafted file and returns the address of its code.
pub(crate) fn map(path: &Path) -> usize {
    let file = File::open(path).unwrap();
    let (access, fd) = (libc::PROT_READ | libc::PROT_EXEC, file.as_raw_fd());
    // A BPF program that reads from a page cannot wait for it.
    let flags = libc::MAP_PRIVATE | libc::MAP_POPULATE;
    // SAFETY: a new mapping, of an open file.
    let base = unsafe { libc::mmap(ptr::null_mut(), BYTES, access, flags, fd, CODE) };
    assert_ne!(base, libc::MAP_FAILED);
    base.expose_provenance()
}

/// Calls a function of a file that `map` has mapped.
pub(crate) fn call(base: usize, index: usize) {
    let function = ptr::with_exposed_provenance::<()>(base + 16 * index);
    // SAFETY: the code there does nothing, and returns.
    let function: extern "C" fn() = unsafe { std::mem::transmute(function) };
    function();
}

/// Returns the reason why there is no code to call.
pub(crate) fn no_code() -> Option<String> {
    let known = cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));
    (!known).then(|| "the functions of crafted files are not written for this machine".to_owned())
}
