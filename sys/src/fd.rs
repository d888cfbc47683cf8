//! File descriptors that system calls return.
#![expect(unsafe_code, reason = "takes ownership of file descriptors, and writes and reads bytes through them")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use crate::{
    report,
    report::{check, outcome},
};

/// Takes ownership of the fd that a system call returned.
///
/// # Errors
/// The error of the system call. `Other` if the value does not fit an fd.
///
/// # Safety
/// If `answer` is `Ok`, its value is a valid fd that nothing else owns.
pub unsafe fn owned(answer: io::Result<i64>) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(answer?).map_err(io::Error::other)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Duplicates a file descriptor (`F_DUPFD_CLOEXEC`).
///
/// # Errors
/// EMFILE if the process has no fd left.
pub fn duplicate(fd: BorrowedFd<'_>, why: &str) -> io::Result<OwnedFd> {
    let duplicated = fd.try_clone_to_owned();
    // std passes 3 as the smallest fd, so that the duplicate never takes the fd of a standard stream.
    report!("fcntl", &outcome(&duplicated, |fd| fd.as_raw_fd().into()), why;
        "fd" = fd.as_raw_fd(), "cmd" = "F_DUPFD_CLOEXEC", "arg" = 3);
    duplicated
}

/// Creates a non-blocking, close-on-exec pipe (`O_NONBLOCK`, `O_CLOEXEC`). Returns the reading end and the writing end.
///
/// # Errors
/// EMFILE, ENFILE.
pub fn pipe(why: &str) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two fds.
    let answer = check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) });
    let [read, write] = ends;
    report!("pipe2", &answer, why;
        "pipefd" = report::Value::from_debug(&ends), "flags" = "O_CLOEXEC|O_NONBLOCK");
    answer?;
    // SAFETY: the kernel has just created this fd for the caller.
    let read = unsafe { OwnedFd::from_raw_fd(read) };
    // SAFETY: and this one.
    let write = unsafe { OwnedFd::from_raw_fd(write) };
    Ok((read, write))
}

/// Writes one byte.
///
/// # Errors
/// EAGAIN if a non-blocking pipe is full.
pub fn write_byte(fd: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    let byte = 1_u8;
    // SAFETY: one byte is read from `byte`.
    let written = unsafe { libc::write(fd.as_raw_fd(), (&raw const byte).cast(), 1) };
    let answer = check(written as i64);
    report!("write", &answer, why; "fd" = fd.as_raw_fd(), "count" = 1);
    answer.map(drop)
}

/// Reads a non-blocking fd until it is empty. Returns whether it held any bytes.
///
/// # Errors
/// Those of read(2) except EAGAIN and EINTR.
pub fn empty(fd: BorrowedFd<'_>, why: &str) -> io::Result<bool> {
    let mut any = false;
    loop {
        let mut bytes = [0_u8; 64];
        // SAFETY: `bytes` has room for as many bytes as are asked for.
        let read = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
        let answer = check(read as i64);
        report!("read", &answer, why; "fd" = fd.as_raw_fd(), "count" = bytes.len());
        match answer {
            Ok(0) => return Ok(any),
            Ok(_) => any = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
