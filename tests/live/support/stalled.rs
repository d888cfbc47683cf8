//! A pipe whose reader has stopped reading: it is full, so every write to it blocks.

use std::{
    fs::File,
    io::{ErrorKind, PipeReader, PipeWriter, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
};

/// The system calls behind poll(3). Newer architectures have the second one only.
pub(crate) const POLLS: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
];

/// Returns both ends; dropping the reader would break the pipe.
pub(crate) fn pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    // A separate open file description: the one that a process gets has to block.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut filling = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
    // Fill it in large pieces first, then to the last byte.
    for piece in [4096, 1] {
        let full = loop {
            if let Err(error) = filling.write_all(&vec![b'\n'; piece]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock, "{full}");
    }
    (reader, writer)
}
