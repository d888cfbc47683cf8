//! A user namespace of an unprivileged user, and BPF file systems that root has delegated to it.
//!
//! ```text
//!     test                                        helper (root)
//!     becomes nobody, unshares, fsopen("bpf")
//!     the fd's number ─────────────────────────▶  fsconfig: delegate_…; fsmount
//!     move_mount ◀───────────────────────────────  the fd's number
//! ```
//!
//! The two processes share their table of fds, so that they need to send only numbers. The file system belongs to the
//! user namespace in which it was opened, and only a process with CAP_SYS_ADMIN in the initial one may set delegation.
#![expect(unsafe_code, reason = "system calls without a wrapper")]

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
    ptr,
};

/// The user and group `nobody`.
const NOBODY: u32 = 65534;

/// A privileged process that delegates.
pub(crate) struct Delegator {
    pid: libc::pid_t,
    /// `None` once the helper is to end.
    requests: Option<File>,
    replies: File,
    /// The helper's ends of the pipes: the table of fds is shared, so they stay open until it has ended.
    _its_ends: (io::PipeReader, io::PipeWriter),
}

fn checked(value: i64, what: &str) -> i64 {
    assert!(value >= 0, "{what}: {}", io::Error::last_os_error());
    value
}

/// Starts the helper, and moves this process as `nobody` to a user namespace of its own, with the mounts and the
/// network of its own, where it is the user `inside`. The user 0 keeps its capabilities there if it runs another
/// program. The process must have one thread.
pub(crate) fn enter(inside: u32) -> Delegator {
    let (asked, requests) = io::pipe().unwrap();
    let (replies, reply) = io::pipe().unwrap();
    // SAFETY: as fork(2); the child only makes system calls, and ends by `_exit`.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(libc::CLONE_FILES | libc::SIGCHLD),
            0_usize,
            0_usize,
            0_usize,
            0_usize,
        )
    };
    if checked(pid, "clone") == 0 {
        serve(asked.as_raw_fd(), reply.as_raw_fd());
    }
    let helper = Delegator {
        pid: pid as libc::pid_t,
        requests: Some(File::from(OwnedFd::from(requests))),
        replies: File::from(OwnedFd::from(replies)),
        _its_ends: (asked, reply),
    };
    // SAFETY: an empty list.
    checked(unsafe { libc::setgroups(0, ptr::null()) }.into(), "setgroups");
    // SAFETY: numbers.
    checked(unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) }.into(), "setresgid");
    // SAFETY: numbers.
    checked(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }.into(), "setresuid");
    // SAFETY: flags.
    checked(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET) }.into(), "unshare");
    // Otherwise root owns the files of this process in /proc.
    // SAFETY: numbers.
    checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }.into(), "prctl");
    fs::write("/proc/self/setgroups", "deny").unwrap();
    fs::write("/proc/self/uid_map", format!("{inside} {NOBODY} 1")).unwrap();
    fs::write("/proc/self/gid_map", format!("{inside} {NOBODY} 1")).unwrap();
    helper
}

/// Serves requests until the pipe is closed: an fd number and a line of options for each.
fn serve(requests: RawFd, replies: RawFd) -> ! {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut request = [0_u8; 1024];
    loop {
        // SAFETY: reads into `request`, as many bytes as it has.
        let read = unsafe { libc::read(requests, request.as_mut_ptr().cast(), request.len()) };
        if read < 4 {
            // SAFETY: ends this process.
            unsafe { libc::_exit(0) };
        }
        let (fd, options) = request.split_at(4);
        let fd = RawFd::from_ne_bytes([fd[0], fd[1], fd[2], fd[3]]);
        let answer = delegate(fd, &options[..read as usize - 4]).to_ne_bytes();
        // SAFETY: writes 4 bytes.
        unsafe { libc::write(replies, answer.as_ptr().cast(), answer.len()) };
    }
}

/// Sets the options, which are separated by NUL: key, value, key, value. Returns the mount's fd or the negative errno.
fn delegate(context: RawFd, options: &[u8]) -> i32 {
    const SET_STRING: libc::c_long = 1;
    const CREATE: libc::c_long = 6;
    let errno = || -io::Error::last_os_error().raw_os_error().unwrap_or(1);
    let none = ptr::null::<libc::c_char>();
    let mut parts = options.split_inclusive(|&byte| byte == 0);
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        // SAFETY: both end with NUL.
        let set =
            unsafe { libc::syscall(libc::SYS_fsconfig, context, SET_STRING, key.as_ptr(), value.as_ptr(), 0_i32) };
        if set < 0 {
            return errno();
        }
    }
    // SAFETY: this command takes neither key nor value.
    if unsafe { libc::syscall(libc::SYS_fsconfig, context, CREATE, none, none, 0_i32) } < 0 {
        return errno();
    }
    // SAFETY: takes numbers alone.
    let mount = unsafe { libc::syscall(libc::SYS_fsmount, context, 1_u32, 0_u32) };
    if mount < 0 { errno() } else { mount as i32 }
}

impl Delegator {
    /// Mounts at `path` a BPF file system of this namespace, with these options.
    pub(crate) fn mount(&mut self, path: &str, options: &[(&str, &str)]) {
        let context = checked(
            // SAFETY: reads a C string.
            unsafe { libc::syscall(libc::SYS_fsopen, c"bpf".as_ptr(), 1_u32) },
            "fsopen",
        );
        // SAFETY: the kernel has just created this fd.
        let context = unsafe { OwnedFd::from_raw_fd(context as RawFd) };
        let mut request = context.as_raw_fd().to_ne_bytes().to_vec();
        for (key, value) in options {
            request.extend([key.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        self.requests.as_ref().unwrap().write_all(&request).unwrap();
        let mut reply = [0; 4];
        self.replies.read_exact(&mut reply).unwrap();
        let mount = i32::from_ne_bytes(reply);
        assert!(mount >= 0, "the helper: {}", io::Error::from_raw_os_error(-mount));
        // SAFETY: the helper has created this fd in the table of both processes.
        let mount = unsafe { OwnedFd::from_raw_fd(mount) };
        let path = CString::new(path).unwrap();
        const EMPTY_PATH: u32 = 4;
        // SAFETY: reads C strings.
        let moved = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                mount.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                path.as_ptr(),
                EMPTY_PATH,
            )
        };
        checked(moved, "move_mount");
    }
}

impl Drop for Delegator {
    /// Ends the helper, which reads the end of the pipe.
    fn drop(&mut self) {
        self.requests = None;
        // SAFETY: takes numbers; the child is not reaped yet.
        unsafe { libc::waitpid(self.pid, ptr::null_mut(), 0) };
    }
}

/// Requires user namespaces for unprivileged users.
pub(crate) fn missing() -> Option<String> {
    let forbidden = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
    if !Path::new("/proc/self/ns/user").exists() {
        return Some("this kernel has no user namespaces (CONFIG_USER_NS)".to_owned());
    }
    let settings = ["/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone"];
    let setting = settings.into_iter().find(|path| forbidden(path))?;
    Some(format!("{setting} forbids user namespaces"))
}
