//! The system calls of waiting, each reported to the log when it is made.
#![expect(unsafe_code, reason = "system calls and the descriptors they return")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::error::{Error, answer};

/// How many descriptors one wait reports; the rest is reported by the next.
const EVENTS: usize = 64;

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interest {
    /// A ring's wake-ups, or a stopper's pipe.
    Records,
    /// A user ring's samples taken by the kernel.
    Room,
}

/// An epoll instance that watches for edges.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: takes no memory.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
        log::trace!(
            target: "syscall",
            syscall = "epoll_create1",
            flags = "EPOLL_CLOEXEC",
            answer:% = answer(&fd);
            "makes the object that waits for the ring and for a stop at the same time"
        );
        let fd = fd.map_err(|source| Error::System { call: "epoll_create1", attempt: "wait for a ring", source })?;
        // SAFETY: the kernel has just returned this descriptor to nobody else.
        Ok(Self(unsafe { owned(fd) }))
    }

    /// Watches `fd`; its events are called `name`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, interest: Interest, name: u64) -> Result<(), Error> {
        let (events, shown) = match interest {
            Interest::Records => (libc::EPOLLIN, "EPOLLIN|EPOLLET"),
            Interest::Room => (libc::EPOLLOUT, "EPOLLOUT|EPOLLET"),
        };
        let mut event = libc::epoll_event { events: (events | libc::EPOLLET) as u32, u64: name };
        let epoll = self.0.as_raw_fd();
        // SAFETY: `event` is a valid epoll_event for the time of the call.
        let done = check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) });
        log::trace!(
            target: "syscall",
            syscall = "epoll_ctl",
            epfd = epoll,
            op = "EPOLL_CTL_ADD",
            fd = fd.as_raw_fd(),
            events = shown,
            data = name,
            answer:% = answer(&done);
            "asks to be told of wake-ups, but not of what is merely there"
        );
        done.map(drop).map_err(|source| Error::System { call: "epoll_ctl", attempt: "watch a ring", source })
    }

    /// Sleeps until something watched has an edge or the time is up, and names
    /// what had one. A signal ends the sleep too.
    pub(crate) fn wait(&self, timeout: Option<Duration>, mut woken: impl FnMut(u64)) -> Result<(), Error> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let milliseconds = timeout.map_or(-1, milliseconds);
        let epoll = self.0.as_raw_fd();
        // SAFETY: `events` has room for EVENTS events and lives during the call.
        let count = check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as i32, milliseconds) });
        log::trace!(
            target: "syscall",
            syscall = "epoll_wait",
            epfd = epoll,
            maxevents = EVENTS,
            timeout = milliseconds,
            answer:% = answer(&count);
            "sleeps until the kernel sends a wake-up"
        );
        match count {
            Ok(count) => {
                for event in events.iter().take(count as usize) {
                    woken(event.u64);
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(source) => Err(Error::System { call: "epoll_wait", attempt: "wait for a ring", source }),
        }
    }
}

/// In whole milliseconds, rounded up: a sleep that is too short would be made
/// up for by spinning.
fn milliseconds(time: Duration) -> i32 {
    let milliseconds = time.as_nanos().div_ceil(1_000_000);
    i32::try_from(milliseconds).unwrap_or(i32::MAX)
}

/// A pipe of which neither end blocks: the end to read, the end to write.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two descriptors.
    let made = check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) });
    let [read, write] = ends;
    log::trace!(
        target: "syscall",
        syscall = "pipe2",
        pipefd:? = ends,
        flags = "O_CLOEXEC|O_NONBLOCK",
        answer:% = answer(&made);
        "makes the line by which a wait is stopped from elsewhere"
    );
    made.map_err(|source| Error::System { call: "pipe2", attempt: "make a stopper", source })?;
    // SAFETY: the kernel has just returned this descriptor to nobody else.
    let read = unsafe { OwnedFd::from_raw_fd(read) };
    // SAFETY: and this one.
    let write = unsafe { OwnedFd::from_raw_fd(write) };
    Ok((read, write))
}

/// Writes one byte, or nothing if there is no room.
pub(crate) fn write_byte(fd: BorrowedFd<'_>) {
    let byte = 1_u8;
    // SAFETY: one byte is read from `byte`.
    let written = check_size(unsafe { libc::write(fd.as_raw_fd(), (&raw const byte).cast(), 1) });
    log::trace!(
        target: "syscall",
        syscall = "write",
        fd = fd.as_raw_fd(),
        count = 1,
        answer:% = answer(&written);
        "stops a wait"
    );
}

/// Reads and forgets whatever the stopper's pipe has, without blocking. Tells
/// whether it had anything.
pub(crate) fn drain(fd: BorrowedFd<'_>) -> Result<bool, Error> {
    let mut any = false;
    loop {
        let mut bytes = [0_u8; 64];
        // SAFETY: `bytes` has room for as many bytes as are asked for.
        let read = check_size(unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) });
        log::trace!(
            target: "syscall",
            syscall = "read",
            fd = fd.as_raw_fd(),
            count = bytes.len(),
            answer:% = answer(&read);
            "asks whether a stop came in by the pipe, and takes it out"
        );
        match read {
            Ok(0) => return Ok(any),
            Ok(_) => any = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(Error::System { call: "read", attempt: "ask for a stop", source });
            }
        }
    }
}

/// An eventfd, which a fake kernel writes to where the real one wakes a queue.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no memory.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel has just returned this descriptor to nobody else.
    Ok(unsafe { owned(fd) })
}

/// Wakes whoever waits for the eventfd `bell`.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn ring_bell(bell: &OwnedFd) {
    let one = 1_u64;
    // SAFETY: eight bytes are read from `one`. An eventfd that overflows after
    // 2^64 - 2 wake-ups is readable and needs no more.
    unsafe { libc::write(bell.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Wakes whoever waits for room in the eventfd `bell`, which a read makes.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn ring_bell_for_room(bell: &OwnedFd) {
    ring_bell(bell);
    let mut count = 0_u64;
    // SAFETY: there is room for eight bytes in `count`. Nothing to read means that
    // another read has just woken everybody.
    unsafe { libc::read(bell.as_raw_fd(), (&raw mut count).cast(), 8) };
}

/// The machine's page size in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: takes no memory.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // It cannot fail on Linux; the smallest page there is would be refused by
    // mmap if it were wrong.
    usize::try_from(size).unwrap_or(4096)
}

/// # Safety
/// `fd` is an open descriptor that nobody else closes.
unsafe fn owned(fd: i64) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

fn check(answer: i32) -> io::Result<i64> {
    check_size(answer as isize)
}

fn check_size(answer: isize) -> io::Result<i64> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as i64) }
}
