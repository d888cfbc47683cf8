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

/// The number of ready file descriptors that one wait reports at most. The next wait reports the others.
const MAX_EVENTS: usize = 64;

/// The condition that a file descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Reports the fd as long as it is readable (`EPOLLIN`).
    Readable,
    /// Reports each wake-up once (`EPOLLIN|EPOLLET`). Data that stays unread is not reported again.
    ReadableEdge,
    /// Reports each wake-up of writers once (`EPOLLOUT|EPOLLET`).
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
    /// whatever it is watched for.
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
    /// Creates an epoll instance. `why` is its purpose in the report: what it will wait for.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new(why: &str) -> io::Result<Self> {
        // SAFETY: takes a number.
        let answer = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
        report!("epoll_create1", &answer, why; "flags" = "EPOLL_CLOEXEC");
        // SAFETY: the kernel has just created this fd for the caller.
        unsafe { owned(answer) }.map(Self)
    }

    /// Watches `fd`. [`Self::wait`] reports it as `token`.
    ///
    /// # Errors
    /// EPERM if the fd cannot be waited for, EEXIST if it is watched already, ENOSPC at `fs.epoll.max_user_watches`.
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
    /// ENOENT if it is not watched.
    pub fn delete(&self, fd: BorrowedFd<'_>, why: &str) -> io::Result<()> {
        let (epoll, none) = (self.0.as_raw_fd(), std::ptr::null_mut());
        // SAFETY: this operation reads no event.
        let answer = check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd.as_raw_fd(), none) });
        report!("epoll_ctl", &answer, why; "epfd" = epoll, "op" = "EPOLL_CTL_DEL", "fd" = fd.as_raw_fd());
        answer.map(drop)
    }

    /// Sleeps until a watched fd is ready, a signal arrives, or `timeout` is over (`None`: without limit). Calls
    /// `ready` with the token of each ready fd. Returns the number of ready fds: 0 after a signal or at the time limit.
    ///
    /// The limit is rounded up to milliseconds, so that a short limit does not make the caller spin.
    ///
    /// # Errors
    /// Those of epoll_wait(2) except EINTR. None is expected.
    pub fn wait(&self, timeout: Option<Duration>, why: &str, mut ready: impl FnMut(u64)) -> io::Result<usize> {
        self.wait_events(timeout, why, |event| ready(event.token))
    }

    /// Waits as [`Self::wait`] does, and calls `ready` with an [`Event`] for each fd: it is ready, broken, or both.
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
