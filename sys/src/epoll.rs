//! One epoll instance: epoll_create1(2), epoll_ctl(2), epoll_wait(2).
//!
//! Kernel: `fs/eventpoll.c`.
#![expect(unsafe_code, reason = "system calls that take addresses and return file descriptors")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use crate::{fd::owned, report, report::check};

/// The maximum number of ready file descriptors that one wait reports. The next wait reports the others.
const MAX_EVENTS: usize = 64;

/// The condition that a file descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Each wait reports the fd if it is readable (`EPOLLIN`, level-triggered).
    Readable,
    /// A wait reports the fd once for each wake-up of readers (`EPOLLIN|EPOLLET`, edge-triggered). Later
    /// waits do not report it again if the data stays unread.
    ReadableEdge,
    /// A wait reports the fd once for each wake-up of writers (`EPOLLOUT|EPOLLET`, edge-triggered).
    WritableEdge,
}

impl Interest {
    const fn bits(self) -> (u32, &'static str) {
        let (bits, name) = match self {
            Self::Readable => (libc::EPOLLIN, "EPOLLIN"),
            Self::ReadableEdge => (libc::EPOLLIN | libc::EPOLLET, "EPOLLIN|EPOLLET"),
            Self::WritableEdge => (libc::EPOLLOUT | libc::EPOLLET, "EPOLLOUT|EPOLLET"),
        };
        (bits as u32, name)
    }
}

/// The state of a watched file descriptor that a wait reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token that was passed to [`Epoll::add`].
    pub token: u64,
    /// The fd has data to read, or room to write (`EPOLLIN`, `EPOLLOUT`).
    pub ready: bool,
    /// The other end is closed, or the file has failed (`EPOLLHUP`, `EPOLLERR`). The kernel reports both for every fd,
    /// with any [`Interest`].
    pub broken: bool,
}

impl Event {
    fn of(event: libc::epoll_event) -> Self {
        let has = |bits: i32| event.events & bits as u32 != 0;
        Self {
            token: event.u64,
            ready: has(libc::EPOLLIN | libc::EPOLLOUT),
            broken: has(libc::EPOLLHUP | libc::EPOLLERR),
        }
    }
}

/// An epoll instance, closed when dropped.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// Creates an epoll instance. `why` says what the instance will wait for. It is logged as the purpose of the system
    /// call.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new(why: &str) -> io::Result<Self> {
        // SAFETY: the call takes a number and no pointer.
        let answer = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
        report!("epoll_create1", &answer, why; "flags" = "EPOLL_CLOEXEC");
        // SAFETY: the kernel has just created this fd for the caller.
        unsafe { owned(answer) }.map(Self)
    }

    /// Watches `fd`. [`Self::wait`] reports it as `token`. `why` is logged as the purpose of the system call, here and
    /// in the other methods.
    ///
    /// # Errors
    /// EPERM if epoll does not support the file (a regular file, for example), EEXIST if the fd is watched already,
    /// ENOSPC if the user reaches the limit `fs.epoll.max_user_watches`.
    pub fn add(&self, fd: BorrowedFd<'_>, interest: Interest, token: u64, why: &str) -> io::Result<()> {
        let (events, shown) = interest.bits();
        let mut event = libc::epoll_event { events, u64: token };
        let epoll = self.0.as_raw_fd();
        // SAFETY: `event` is alive and initialized.
        let answer = check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) });
        report!("epoll_ctl", &answer, why;
            "epfd" = epoll, "op" = "EPOLL_CTL_ADD", "fd" = fd.as_raw_fd(), "events" = shown, "data" = token);
        answer.map(drop)
    }

    /// Stops watching `fd`.
    ///
    /// # Errors
    /// ENOENT if the fd is not watched.
    pub fn delete(&self, fd: BorrowedFd<'_>, why: &str) -> io::Result<()> {
        let (epoll, none) = (self.0.as_raw_fd(), std::ptr::null_mut());
        // SAFETY: this operation does not read the event, which is null.
        let answer = check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd.as_raw_fd(), none) });
        report!("epoll_ctl", &answer, why; "epfd" = epoll, "op" = "EPOLL_CTL_DEL", "fd" = fd.as_raw_fd());
        answer.map(drop)
    }

    /// Sleeps until a watched fd is ready, a signal arrives, or `timeout` is over; `None` means no timeout. Calls
    /// `ready` with the token of each ready fd, and returns the number of these fds, at most 64. The number is 0 after
    /// a signal or after the timeout.
    ///
    /// The timeout is rounded up to milliseconds, so that a short timeout does not make the caller spin.
    ///
    /// # Errors
    /// The errors of epoll_wait(2) except EINTR. They indicate a bug.
    pub fn wait(&self, timeout: Option<Duration>, why: &str, mut ready: impl FnMut(u64)) -> io::Result<usize> {
        self.wait_events(timeout, why, |event| ready(event.token))
    }

    /// Waits as [`Self::wait`] does. Calls `ready` with an [`Event`] for each fd that is ready, broken, or both.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_events(&self, timeout: Option<Duration>, why: &str, mut ready: impl FnMut(Event)) -> io::Result<usize> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MAX_EVENTS];
        let timeout =
            timeout.map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
        let epoll = self.0.as_raw_fd();
        // SAFETY: `events` has room for `MAX_EVENTS` events and lives during the call.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), MAX_EVENTS as i32, timeout) };
        let answer = check(count);
        report!("epoll_wait", &answer, why; "epfd" = epoll, "maxevents" = MAX_EVENTS, "timeout" = timeout);
        match answer {
            Ok(count) => {
                let count = usize::try_from(count).unwrap_or(0);
                for &event in events.iter().take(count) {
                    ready(Event::of(event));
                }
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use crate::fd;

    fn ready(epoll: &Epoll) -> Vec<u64> {
        let mut tokens = Vec::new();
        epoll.wait(Some(Duration::ZERO), "tests", |token| tokens.push(token)).unwrap();
        tokens
    }

    #[test]
    fn edge_is_reported_once_and_level_while_readable() {
        let epoll = Epoll::new("tests").unwrap();
        let (read, write) = fd::pipe("tests").unwrap();
        let level = read.try_clone().unwrap();
        epoll.add(read.as_fd(), Interest::ReadableEdge, 1, "tests").unwrap();
        epoll.add(level.as_fd(), Interest::Readable, 2, "tests").unwrap();
        assert_eq!(ready(&epoll), []);
        fd::write_byte(write.as_fd(), "tests").unwrap();
        let mut both = ready(&epoll);
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        assert_eq!(ready(&epoll), [2]);
        epoll.delete(level.as_fd(), "tests").unwrap();
        assert_eq!(ready(&epoll), []);
        drop(write);
        let mut events = Vec::new();
        epoll.wait_events(Some(Duration::ZERO), "tests", |event| events.push(event)).unwrap();
        assert_eq!(events, [Event { token: 1, ready: true, broken: true }]);
        assert_eq!(epoll.delete(level.as_fd(), "tests").unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
