//! What the loader asks and tells the kernel about its own process.
#![expect(unsafe_code, reason = "the system calls themselves")]

use std::{ffi::CString, io};

use log::kv;

/// Raises `RLIMIT_MEMLOCK` to unlimited, for kernels before 5.11, which charge maps and programs to it.
pub(crate) fn raise_memlock() -> io::Result<()> {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `unlimited` is alive and initialised; the call only reads it.
    let value = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
    let answer = super::answer(i64::from(value));
    let arguments: [(&str, kv::Value<'_>); 3] = [
        ("resource", "RLIMIT_MEMLOCK".into()),
        ("rlim_cur", "RLIM_INFINITY".into()),
        ("rlim_max", "RLIM_INFINITY".into()),
    ];
    super::report(
        "setrlimit",
        &arguments.as_slice(),
        &answer,
        "kernels before 5.11 charge maps and programs to this limit, and say EPERM when it is reached",
    );
    answer.map(drop)
}

/// The soft limit `RLIMIT_MEMLOCK` in bytes; `None` if there is no limit.
pub(crate) fn memlock() -> io::Result<Option<u64>> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is alive and writable.
    let value = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    super::answer(i64::from(value))?;
    Ok((limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur))
}

/// The size of a page of memory, in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: takes a number, gives a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// The index of the network device with this name.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: reads a C string that is borrowed for the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Whether there is a network device with this index.
pub(crate) fn is_interface(index: u32) -> bool {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: writes at most `IF_NAMESIZE` bytes, and `name` has as many.
    let answer = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    !answer.is_null()
}
