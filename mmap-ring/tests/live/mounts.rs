//! File systems that one thread of a test mounts, and nobody else sees: they are gone when it ends, however it does.
#![expect(unsafe_code, reason = "unshare(2) and mount(2)")]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;

use crate::Outcome;

/// Runs something on a thread of its own, which may then be given mounts or a filter.
pub(crate) fn on_a_thread(run: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    thread::spawn(run).join().map_err(|_| "it panicked")?
}

/// From now on, what this thread mounts is seen by it and its children alone.
pub(crate) fn of_this_thread() -> io::Result<()> {
    // SAFETY: changes which mounts this thread sees, and no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Err(io::Error::last_os_error());
    }
    call("none", Path::new("/"), libc::MS_REC | libc::MS_PRIVATE)
}

/// Mounts a new file system of this kind on a directory.
pub(crate) fn mount(kind: &str, target: &Path) -> io::Result<()> {
    call(kind, target, 0)
}

/// Takes away what is mounted there.
pub(crate) fn unmount(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: a C string that lives during the call.
    let done = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn call(kind: &str, target: &Path, flags: libc::c_ulong) -> io::Result<()> {
    let (kind, target) = (CString::new(kind)?, CString::new(target.as_os_str().as_bytes())?);
    // SAFETY: C strings that live during the call, and no data.
    let done = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
