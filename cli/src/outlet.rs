//! Writing without being held up for ever: stdout, stderr, and FIFOs and devices that are named on the command line.
//!
//! A write to a full pipe blocks until its reader reads, which may be never. Such a write must not keep a command from
//! ending, so an outlet waits for room and for the first signal at the same time: after the signal it gives a reader
//! that reads nothing [`GRACE`], and is closed then. A reader that is merely slow gets everything.
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

/// How often it is asked whether to wait any longer.
const LOOK_UP: Duration = Duration::from_millis(50);

/// PIPE_BUF of Linux: so many bytes have room in a pipe of which poll(2) says that it can be written to.
const CHUNK: usize = 4096;

/// Somewhere to write to.
#[derive(Debug)]
pub(crate) struct Outlet {
    fd: OwnedFd,
    way: Way,
    /// Its reader has read nothing for too long.
    closed: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A write takes what there is room for, and fails with EAGAIN if there is none.
    Nonblocking,
    /// The same by send(2).
    Socket,
    /// A write may block.
    Blocking,
}

impl Outlet {
    /// An outlet to what `fd` stands for; gives `None` for an fd that is not open.
    pub(crate) fn shared(fd: BorrowedFd<'_>) -> Option<Self> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(fd).ok()?.st_mode);
        let again = || reopen(fd, OFlags::NONBLOCK).ok();
        let (fd, way) = match kind {
            FileType::Fifo => again().map(|fd| (fd, Way::Nonblocking)),
            FileType::CharacterDevice if rustix::termios::isatty(fd) => again().map(|fd| (fd, Way::Nonblocking)),
            FileType::Socket => fd.try_clone_to_owned().ok().map(|fd| (fd, Way::Socket)),
            _ => None,
        }
        .or_else(|| Some((fd.try_clone_to_owned().ok()?, Way::Blocking)))?;
        Some(Self { fd, way, closed: AtomicBool::new(false) })
    }

    /// An outlet of its own: `fd` was opened with O_NONBLOCK.
    pub(crate) fn nonblocking(fd: OwnedFd) -> Self {
        Self { fd, way: Way::Nonblocking, closed: AtomicBool::new(false) }
    }

    /// Writes what there is room for, and waits until there is some.
    pub(crate) fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        // ATOMICS: nothing but the flag itself passes from thread to thread.
        if self.closed.load(Ordering::Relaxed) {
            return Err(unread());
        }
        loop {
            let answer = match self.way {
                Way::Nonblocking => rustix::io::write(&self.fd, bytes),
                Way::Socket => rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
                Way::Blocking => {
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

    /// Writes what there is room for, once, and without waiting.
    fn write_at_once(&self, bytes: &[u8]) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(&now)) == Ok(1) {
            // It is the last that is written to it.
            let _ = rustix::io::write(&self.fd, bytes.get(..CHUNK).unwrap_or(bytes));
        }
    }

    /// Waits until there is room, or the reader is gone.
    fn wait(&self) -> io::Result<()> {
        let begun = Instant::now();
        let step = Timespec::try_from(LOOK_UP).ok();
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

/// Opens what an fd of this process stands for once more, for writing.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::open(path, OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC | flags, Mode::empty())?)
}

fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its reader has stopped reading")
}

/// This process's stdout.
pub(crate) fn stdout() -> Standard {
    static STDOUT: LazyLock<Option<Outlet>> = LazyLock::new(|| Outlet::shared(io::stdout().as_fd()));
    Standard { outlet: &STDOUT, fallback: Fallback::Stdout }
}

/// This process's stderr.
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

/// std's own stream, for the case that no fd is left for an outlet.
#[derive(Debug, Clone, Copy)]
enum Fallback {
    Stdout,
    Stderr,
}

impl Standard {
    /// Writes what there is room for without waiting at all, even to a reader that was given up.
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
        assert_eq!(outlet.way, Way::Nonblocking);
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
    fn reader_that_has_gone_is_a_broken_pipe() {
        let (reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::shared(writer.as_fd()).unwrap();
        drop((reader, writer));
        assert_eq!(outlet.write_some(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn sockets_do_not_block_either() {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let outlet = Outlet::shared(one.as_fd()).unwrap();
        assert_eq!(outlet.way, Way::Socket);
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
