//! File systems that a small guest has not mounted.
#![expect(unsafe_code, reason = "mount(2)")]

use std::{ffi::CString, fs, io, os::unix::ffi::OsStrExt, path::Path, ptr};

/// Mounts a file system of this kind; another test may do the same at the same time.
pub(crate) fn mount(kind: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let kind = CString::new(kind).unwrap();
    let folder = CString::new(folder.as_os_str().as_bytes()).unwrap();
    // SAFETY: reads three C strings; there is no data.
    let answer = unsafe { libc::mount(c"none".as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, ptr::null()) };
    assert_eq!(answer, 0, "{kind:?}: {}", io::Error::last_os_error());
}
