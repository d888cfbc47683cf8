//! A pipe whose reader has stopped reading: it is full, so whatever is written to it waits.

use std::{
    fs::File,
    io::{ErrorKind, PipeReader, PipeWriter, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
};

/// Both ends; dropping the reader would break the pipe.
pub(crate) fn pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    // A description of its own: the one that a process is given has to block.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut filling = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
    // First in large pieces, then to the last byte.
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
