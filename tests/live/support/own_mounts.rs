//! A private mount namespace for the tests. Only this process and its children see what is mounted there, and it ends
//! with them: the tests need nothing mounted beforehand, and leave nothing mounted.
#![expect(unsafe_code, reason = "unshare(2) and mount(2)")]

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

/// Enters a private namespace and mounts these file systems, as pairs of type and directory, where they are not mounted
/// already. `main` calls it first, because unshare(2) moves only the calling thread. Without the privilege nothing
/// changes, and the tests report what is missing.
pub(crate) fn enter(file_systems: &[(&str, &str)]) {
    if of_this_thread().is_err() {
        return;
    }
    for (kind, folder) in file_systems {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let there = mounts.lines().any(|line| {
            let mut words = line.split(' ').skip(1);
            words.next() == Some(folder) && words.next() == Some(kind)
        });
        if !there && Path::new(folder).is_dir() {
            try_mount(kind, Path::new(folder), "").unwrap();
        }
    }
}

/// Creates a private mount namespace for this thread: only it and its children see what it mounts from now on.
pub(crate) fn of_this_thread() -> io::Result<()> {
    // SAFETY: takes flags, and changes which mounts this thread sees.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: reads C strings; there is neither source nor data.
    let answer =
        unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), libc::MS_REC | libc::MS_PRIVATE, ptr::null()) };
    assert_eq!(answer, 0, "making mounts private: {}", io::Error::last_os_error());
    Ok(())
}

/// The BPF file system, in which maps, programs and links are pinned.
pub(crate) const BPFFS: (&str, &str) = ("bpf", "/sys/fs/bpf");

/// Mounts a file system of this type.
pub(crate) fn mount(kind: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    try_mount(kind, folder, "").unwrap();
}

/// Mounts a file system of this type with these options.
pub(crate) fn try_mount(kind: &str, folder: &Path, options: &str) -> io::Result<()> {
    let kind = CString::new(kind).unwrap();
    let options = CString::new(options).unwrap();
    let folder = CString::new(folder.as_os_str().as_bytes()).unwrap();
    // SAFETY: reads C strings that live until the call is over.
    let answer = unsafe { libc::mount(c"none".as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A file system on a directory of its own. Dropping it removes both.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts a file system of this kind.
    pub(crate) fn new(kind: &str) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // ATOMICS: only the uniqueness of each number matters.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("cutaway-{kind}-{}-{number}", std::process::id()));
        fs::create_dir(&directory)?;
        // Constructed first, so that the directory is removed if mounting fails.
        let mounted = Self(directory);
        try_mount(kind, &mounted.0, "")?;
        Ok(mounted)
    }

    /// Returns its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
        // SAFETY: reads a C string that lives until the call is over.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        // Fails if a file system is still mounted there; that one ends with the process.
        let _ = fs::remove_dir(&self.0);
    }
}
