//! A mount namespace of the test's own: what is mounted there is seen by this process and its children alone, and gone with
//! them. So the tests need nothing mounted beforehand, and leave nothing mounted.
#![expect(unsafe_code, reason = "unshare(2) and mount(2)")]

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

/// Enters one, with these file systems at these places unless something of that kind is there already. To be called first
/// thing in `main`: only what has one thread can take all of itself along. Without the right to do so nothing changes, and
/// the tests say what they lack.
pub(crate) fn enter(file_systems: &[(&str, &str)]) {
    // SAFETY: takes flags.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return;
    }
    // SAFETY: reads C strings; there is neither source nor data.
    let answer =
        unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), libc::MS_REC | libc::MS_PRIVATE, ptr::null()) };
    assert_eq!(answer, 0, "making mounts private: {}", io::Error::last_os_error());
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

/// Where pins are made.
pub(crate) const BPFFS: (&str, &str) = ("bpf", "/sys/fs/bpf");

/// Mounts a file system of this kind.
pub(crate) fn mount(kind: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    try_mount(kind, folder, "").unwrap();
}

/// Mounts a file system of this kind with these options.
pub(crate) fn try_mount(kind: &str, folder: &Path, options: &str) -> io::Result<()> {
    let kind = CString::new(kind).unwrap();
    let options = CString::new(options).unwrap();
    let folder = CString::new(folder.as_os_str().as_bytes()).unwrap();
    // SAFETY: reads C strings that live until the call is over.
    let answer = unsafe { libc::mount(c"none".as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has `look` see a file system of this kind for as long as it looks.
pub(crate) fn with<T>(kind: &str, look: impl FnOnce(&Path) -> T) -> io::Result<T> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // ATOMICS: only that each number is given once.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("cutaway-{kind}-{}-{number}", std::process::id()));
    fs::create_dir(&folder)?;
    let seen = try_mount(kind, &folder, "").map(|()| look(&folder));
    if seen.is_ok() {
        let path = CString::new(folder.as_os_str().as_bytes()).unwrap();
        // SAFETY: reads a C string that lives until the call is over.
        let answer = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        assert_eq!(answer, 0, "unmounting {kind}: {}", io::Error::last_os_error());
    }
    fs::remove_dir(&folder)?;
    seen
}
