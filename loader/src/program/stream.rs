//! A program's streams: the text that it prints by `bpf_stream_printk`, and the kernel's reports of its faults.

use std::os::fd::AsFd;

use super::Program;
use crate::{Error, sys::program};

/// A stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[doc(alias = "bpf_stream_id")]
pub enum Stream {
    /// The program's own text: `bpf_stream_printk(BPF_STDOUT, …)`.
    #[doc(alias = "BPF_STDOUT")]
    Stdout = 1,
    /// The program's own text, and the kernel's reports with a stack trace: faults in an arena, loops that ran too
    /// long (`may_goto`), deadlocks of `bpf_res_spin_lock`.
    #[doc(alias = "BPF_STDERR")]
    Stderr = 2,
}

impl Program {
    /// Reads all that a stream holds, and removes it from the stream. Empty if the program has written nothing since
    /// the last call. Linux 6.17.
    ///
    /// A stream holds at most 100,000 bytes; the kernel drops what the program writes while it is full, and tells the
    /// program, not the reader. The kernel cannot wait for a stream: there is no fd to poll.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let loaded = cutaway::Object::parse(&[])?.load()?;
    /// use cutaway::Stream;
    ///
    /// let faults = loaded.program("walk")?.read_stream(Stream::Stderr)?;
    /// eprint!("{}", String::from_utf8_lossy(&faults));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EINVAL before Linux 6.17, which has no streams.
    #[doc(alias("BPF_PROG_STREAM_READ_BY_FD", "bpf_prog_stream_read", "bpftool prog tracelog"))]
    pub fn read_stream(&self, stream: Stream) -> Result<Vec<u8>, Error> {
        const STEP: usize = 16 << 10;
        /// `BPF_STREAM_MAX_CAPACITY`: a stream holds no more. The end for a program that writes faster than this reads.
        const MOST: usize = 100_000;
        let (mut bytes, mut read) = (Vec::new(), 0);
        loop {
            bytes.resize(read + STEP, 0);
            let room = bytes.get_mut(read..).unwrap_or_default();
            let why = "reads what the program has written to a stream";
            let more = program::read_stream(self.as_fd(), stream as u32, room, why).map_err(|error| {
                let plain = Error::kernel(format!("read the stream of the program `{}`", self.name()), &error);
                match error.raw_os_error() {
                    Some(libc::EINVAL) => plain.advise("programs have streams since Linux 6.17"),
                    _ => plain,
                }
            })?;
            read += more.min(STEP);
            if more < STEP || read >= MOST {
                bytes.truncate(read);
                return Ok(bytes);
            }
        }
    }
}
