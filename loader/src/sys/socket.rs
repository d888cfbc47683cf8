//! setsockopt(2) for programs that are attached to one socket.
#![expect(unsafe_code, reason = "the system call itself")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use cutaway_sys::report::{check, report};

use log::kv;

/// A socket option for programs, with the names and numbers of `SOL_SOCKET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the kernel's names")]
pub(crate) enum Request {
    SO_ATTACH_BPF = 50,
    SO_DETACH_BPF = 27,
    SO_ATTACH_REUSEPORT_EBPF = 52,
    SO_DETACH_REUSEPORT_BPF = 68,
}

/// Sets the option. The options that detach ignore the program.
pub(crate) fn set(socket: BorrowedFd<'_>, request: Request, program: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    let number: libc::c_int = program.as_raw_fd();
    let size = size_of_val(&number);
    // SAFETY: each of the requests reads an integer of `size` bytes.
    let value = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            request as libc::c_int,
            (&raw const number).cast(),
            size as libc::socklen_t,
        )
    };
    let answer = check(value);
    let arguments: [(&str, kv::Value<'_>); 5] = [
        ("fd", socket.as_raw_fd().into()),
        ("level", "SOL_SOCKET".into()),
        ("optname", kv::Value::from_debug(&request)),
        ("optval", number.into()),
        ("optlen", size.into()),
    ];
    report("setsockopt", &arguments.as_slice(), &answer, why);
    answer.map(drop)
}
