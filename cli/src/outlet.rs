//! Writes that do not block for ever: to stdout, stderr, and FIFOs and devices that are named on the command line.
//!
//! A write to a full pipe blocks until its reader reads, which may be never. Such a write must not keep a command from
//! ending, so an outlet waits for room and for the first signal at the same time. After the signal, an outlet whose
//! reader reads nothing for [`GRACE`] is closed. A slow reader gets everything.
//!
//! Whether a write blocks is a property of the open file description, which is shared with other processes. So a pipe
//! or terminal is opened once more through `/proc/self/fd`, which makes a description of its own, and that one does not
//! block. Where this is not possible (no /proc, no permission, no fd left) the outlet writes at most [`CHUNK`]
//! bytes once poll(2) says that there is room, which does not block either on a pipe with one writer.

use std::{
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags},
    io::Errno,
    net::SendFlags,
};

use crate::signals;

/// How long a reader may read nothing once the command has been asked to end.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Interval at which the first signal is checked.
const CHECK: Duration = Duration::from_millis(50);

/// PIPE_BUF of Linux: this many bytes fit into a pipe that poll(2) reports as writable.
const CHUNK: usize = 4096;

/// A destination of writes.
#[derive(Debug)]
pub(crate) struct Outlet {
    fd: OwnedFd,
    method: Method,
    /// The reader has read nothing for too long.
    closed: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// write(2) writes as much as fits, and fails with EAGAIN if nothing does.
    Nonblocking,
    /// send(2) does the same.
    Socket,
    /// write(2) may block.
    Blocking,
}

impl Outlet {
    /// Returns an outlet to the open file of `fd`; `None` if `fd` is not open.
    pub(crate) fn shared(fd: BorrowedFd<'_>) -> Option<Self> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(fd).ok()?.st_mode);
        let again = || reopen(fd, OFlags::NONBLOCK).ok();
        let (fd, method) = match kind {
            FileType::Fifo => again().map(|fd| (fd, Method::Nonblocking)),
            FileType::CharacterDevice if rustix::termios::isatty(fd) => again().map(|fd| (fd, Method::Nonblocking)),
            FileType::Socket => fd.try_clone_to_owned().ok().map(|fd| (fd, Method::Socket)),
            _ => None,
        }
        .or_else(|| Some((fd.try_clone_to_owned().ok()?, Method::Blocking)))?;
        Some(Self { fd, method, closed: AtomicBool::new(false) })
    }

    /// Returns an outlet that owns `fd`, which was opened with O_NONBLOCK.
    pub(crate) fn nonblocking(fd: OwnedFd) -> Self {
        Self { fd, method: Method::Nonblocking, closed: AtomicBool::new(false) }
    }

    /// Writes as much as fits, and waits until something does.
    pub(crate) fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        // ATOMICS: the flag publishes nothing else.
        if self.closed.load(Ordering::Relaxed) {
            return Err(unread());
        }
        loop {
            let answer = match self.method {
                Method::Nonblocking => rustix::io::write(&self.fd, bytes),
                Method::Socket => rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
                Method::Blocking => {
                    self.wait()?;
                    rustix::io::write(&self.fd, bytes.get(..CHUNK).unwrap_or(bytes))
                }
            };
            match answer {
                Ok(written) => return Ok(written),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait()?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes as much as fits, once, without waiting.
    fn write_at_once(&self, bytes: &[u8]) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(&now)) == Ok(1) {
            // It is the last write, so an error is ignored.
            let _ = rustix::io::write(&self.fd, bytes.get(..CHUNK).unwrap_or(bytes));
        }
    }

    /// Waits until there is room, or the reader has closed.
    fn wait(&self) -> io::Result<()> {
        let begun = Instant::now();
        let step = Timespec::try_from(CHECK).ok();
        loop {
            match poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], step.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if signals::stopping().is_some_and(|since| since.max(begun).elapsed() >= GRACE) {
                // ATOMICS: see `write_some`.
                self.closed.store(true, Ordering::Relaxed);
                return Err(unread());
            }
        }
    }
}

impl Write for &Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the file of `fd` again, for writing.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::open(path, OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC | flags, Mode::empty())?)
}

fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its reader has stopped reading")
}

/// Returns the stdout of this process.
pub(crate) fn stdout() -> Standard {
    static STDOUT: LazyLock<Option<Outlet>> = LazyLock::new(|| Outlet::shared(io::stdout().as_fd()));
    Standard { outlet: &STDOUT, fallback: Fallback::Stdout }
}

/// Returns the stderr of this process.
pub(crate) fn stderr() -> Standard {
    static STDERR: LazyLock<Option<Outlet>> = LazyLock::new(|| Outlet::shared(io::stderr().as_fd()));
    Standard { outlet: &STDERR, fallback: Fallback::Stderr }
}

/// One of the standard streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standard {
    outlet: &'static LazyLock<Option<Outlet>>,
    fallback: Fallback,
}

/// The stream of std, used if no fd is left for an outlet.
#[derive(Debug, Clone, Copy)]
enum Fallback {
    Stdout,
    Stderr,
}

impl Standard {
    /// Writes as much as fits without waiting, even if the outlet is closed.
    pub(crate) fn write_at_once(self, bytes: &[u8]) {
        if let Some(outlet) = &**self.outlet {
            outlet.write_at_once(bytes);
        }
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (&**self.outlet, self.fallback) {
            (Some(outlet), _) => outlet.write_some(bytes),
            (None, Fallback::Stdout) => Ok(rustix::io::write(io::stdout().as_fd(), bytes)?),
            (None, Fallback::Stderr) => Ok(rustix::io::write(io::stderr().as_fd(), bytes)?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, thread};

    use super::*;

    #[test]
    fn slow_reader_gets_everything() {
        let (mut reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::shared(writer.as_fd()).unwrap();
        drop(writer);
        assert_eq!(outlet.method, Method::Nonblocking);
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        let writing = thread::spawn(move || (&outlet).write_all(&sent).unwrap());
        thread::sleep(Duration::from_millis(120));
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        writing.join().unwrap();
        assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
    }

    #[test]
    fn closed_reader_is_a_broken_pipe() {
        let (reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::shared(writer.as_fd()).unwrap();
        drop((reader, writer));
        assert_eq!(outlet.write_some(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn sockets_do_not_block_either() {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let outlet = Outlet::shared(one.as_fd()).unwrap();
        assert_eq!(outlet.method, Method::Socket);
        let mut sent = 0;
        let writing = thread::spawn(move || {
            while sent < 1 << 20 {
                sent += outlet.write_some(&[7; 65536]).unwrap();
            }
            sent
        });
        thread::sleep(Duration::from_millis(50));
        drop(one);
        let mut got = Vec::new();
        (&other).read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), writing.join().unwrap());
    }
}
