//! Sends samples to a BPF program: the user ring buffer (`BPF_MAP_TYPE_USER_RINGBUF`, Linux 6.1).
//!
//! User space is the producer. `bpf_user_ringbuf_drain` in a BPF program is the consumer (`kernel/bpf/ringbuf.c`). The
//! kernel trusts nothing on the pages. It refuses a producer position that is not a multiple of 8, and a record of a
//! wrong size.
//!
//! A sample is written in place. The producer position moves past the sample only when the sample is submitted. So the
//! kernel never sees a busy or discarded sample, and a forgotten sample blocks no one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Corrupt, Error};
use crate::memory::user::{Produce, UserMapped};
use crate::record::{HEADER, LENGTH, space};
use crate::wait::{IDLE_POLL_INTERVAL, MIN_POLL_INTERVAL};
use crate::wait::{new_epoll, sleep, watch_ring};
use cutaway_sys::epoll::{Epoll, Interest};

/// The only producer of a user ring buffer. `Send`, not `Sync`.
///
/// A user ring can have only one producer, because two producers would lend the same bytes for writing. So a process
/// can have only one `UserRing` of a map at a time. Until it is dropped, [`open`](UserRing::open) returns
/// [`Error::AlreadyOpen`] for every fd of this map. The crate cannot prevent a producer in another process, but the
/// next reservation detects that it submitted a sample ([`Corrupt::Producer`]).
///
/// ```no_run
/// # fn map_fd() -> std::os::fd::OwnedFd { unimplemented!() }
/// use mmap_ring::UserRing;
///
/// let mut ring = UserRing::open(map_fd(), 4096)?;
/// if let Some(mut sample) = ring.reserve(8)? {
///     sample.copy_from_slice(&42_u64.to_ne_bytes());
///     sample.submit();
/// }
/// # Ok::<(), mmap_ring::Error>(())
/// ```
#[doc(alias = "BPF_MAP_TYPE_USER_RINGBUF")]
#[doc(alias = "user_ring_buffer")]
pub struct UserRing<M: Produce = UserMapped> {
    memory: M,
    fd: OwnedFd,
    /// The end of the last submitted sample.
    producer: u64,
    /// Created by the first wait for room.
    epoll: Option<Epoll>,
    /// The maximum sleep of a wait for room before a poll. `None` turns polling off.
    idle_poll_interval: Option<Duration>,
}

impl UserRing<UserMapped> {
    /// Maps the ring of a `BPF_MAP_TYPE_USER_RINGBUF` map (Linux 6.1). `map` is its fd, and `bytes` its `max_entries`.
    /// Writing continues at the position where the last producer stopped.
    ///
    /// # Errors
    /// As [`Ring::open`](crate::Ring::open), except [`Error::OverwriteMode`]. [`Error::WrongType`] if the map is not a
    /// `BPF_MAP_TYPE_USER_RINGBUF`.
    #[doc(alias = "user_ring_buffer__new")]
    pub fn open(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        let memory = UserMapped::new(fd.as_fd(), bytes)?;
        Ok(Self::over(memory, fd))
    }
}

impl<M: Produce> UserRing<M> {
    pub(crate) fn over(memory: M, fd: OwnedFd) -> Self {
        Self { producer: memory.producer(), memory, fd, epoll: None, idle_poll_interval: Some(IDLE_POLL_INTERVAL) }
    }

    /// Reserves a sample of `length` bytes. Returns `None` if the ring has no room now. The sample contains old bytes
    /// of earlier samples, so write all of its bytes.
    ///
    /// # Errors
    /// - [`Error::TooLong`] if the ring can never hold the sample. The maximum is the ring's capacity minus 8 bytes.
    /// - [`Error::Corrupt`] if this producer did not store the producer position, if the position is not a multiple of
    ///   8 (which the kernel refuses), or if it is too far from the consumer position.
    #[doc(alias = "user_ring_buffer__reserve")]
    pub fn reserve(&mut self, length: u32) -> Result<Option<Sample<'_, M>>, Error> {
        if !self.has_room(length)? {
            return Ok(None);
        }
        Ok(Some(Sample { ring: self, length }))
    }

    /// Reserves a sample as [`reserve`](Self::reserve) does, but waits until there is room. Returns `None` if there is
    /// no room after `timeout`. Without a timeout it waits forever.
    ///
    /// The kernel sends a wake-up at the end of a drain that took a sample. A drain with `BPF_RB_NO_WAKEUP` sends no
    /// wake-up. So the ring is also polled every [`IDLE_POLL_INTERVAL`] (90 ms), or at the interval of
    /// [`set_idle_poll_interval`](Self::set_idle_poll_interval).
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), and [`Error::Syscall`] if epoll cannot be set up or waited for.
    #[doc(alias = "user_ring_buffer__reserve_blocking")]
    pub fn reserve_within(&mut self, length: u32, timeout: Option<Duration>) -> Result<Option<Sample<'_, M>>, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // A wake-up that is sent after this check is not lost, because epoll began to watch before the check.
        while !self.has_room(length)? {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            match &self.epoll {
                Some(epoll) => sleep(epoll, left.into_iter().chain(self.idle_poll_interval).min(), |_| ())?,
                None => {
                    let epoll = new_epoll()?;
                    watch_ring(&epoll, self.fd.as_fd(), Interest::WritableEdge, 0)?;
                    self.epoll = Some(epoll);
                }
            }
        }
        Ok(Some(Sample { ring: self, length }))
    }

    /// Sets how long [`reserve_within`](Self::reserve_within) sleeps at most before it polls for room. The time is
    /// rounded up to milliseconds, and is 1 millisecond or more. The default is [`IDLE_POLL_INTERVAL`]. `None` turns
    /// polling off. Use `None` only for programs that are known to drain without `BPF_RB_NO_WAKEUP`.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.idle_poll_interval = time.map(|time| time.max(MIN_POLL_INTERVAL));
    }

    /// Returns the number of bytes that samples can take now, headers and padding included.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.room_behind(self.released())
    }

    /// Returns the size of the ring's data in bytes: the map's `max_entries`.
    #[doc(alias = "BPF_RB_RING_SIZE")]
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.memory.size()
    }

    fn has_room(&self, length: u32) -> Result<bool, Error> {
        let size = self.memory.size();
        let most = u64::from(LENGTH).min(size - HEADER);
        if u64::from(length) > most {
            return Err(Error::TooLong { length, most });
        }
        let (stored, found) = (self.producer, self.memory.producer());
        if stored != found {
            return Err(Corrupt::Producer { stored, found }.into());
        }
        if stored % 8 != 0 {
            return Err(Corrupt::Misaligned { which: "producer_pos", position: stored }.into());
        }
        let consumer = self.released();
        if stored.wrapping_sub(consumer) > size {
            return Err(Corrupt::Span { consumer, producer: stored, size }.into());
        }
        Ok(space(length) <= self.room_behind(consumer))
    }

    /// Returns the consumer position. The kernel has finished with all bytes before this position.
    fn released(&self) -> u64 {
        let consumer = self.memory.consumer();
        // ATOMICS: acquires smp_store_release(&rb->consumer_pos) in __bpf_user_ringbuf_sample_release. Before this
        // store, the kernel has finished with the bytes that it freed.
        M::fence(Ordering::Acquire);
        consumer
    }

    fn room_behind(&self, consumer: u64) -> u64 {
        let waiting = self.producer.wrapping_sub(consumer);
        self.memory.size().saturating_sub(waiting)
    }
}

/// Returns the map's fd, which is writable while the ring has room.
impl<M: Produce> AsFd for UserRing<M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<M: Produce> fmt::Debug for UserRing<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRing")
            .field("fd", &self.fd)
            .field("capacity", &self.capacity())
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}

/// A sample that is being written. If it is dropped, it is discarded, and the kernel never sees it.
#[doc(alias = "user_ring_buffer__reserve")]
#[must_use = "a sample is sent by `submit`"]
pub struct Sample<'r, M: Produce = UserMapped> {
    ring: &'r mut UserRing<M>,
    length: u32,
}

impl<M: Produce> Sample<'_, M> {
    /// Sends the sample to the next drain.
    #[doc(alias = "user_ring_buffer__submit")]
    pub fn submit(self) {
        let ring = self.ring;
        let position = ring.producer;
        ring.memory.set_header(position, self.length);
        ring.producer = position.wrapping_add(space(self.length));
        // ATOMICS: pairs with smp_load_acquire(&rb->producer_pos) in __bpf_user_ringbuf_peek. If the kernel sees the
        // new position, it sees the header and the payload.
        ring.memory.set_producer(ring.producer, Ordering::Release);
    }

    /// Discards the sample, as dropping it does. The sample takes no room in the ring.
    #[doc(alias = "user_ring_buffer__discard")]
    pub fn discard(self) {}
}

impl<M: Produce> Deref for Sample<'_, M> {
    type Target = [u8];

    #[expect(unsafe_code, reason = "borrows memory that only this sample has")]
    fn deref(&self) -> &[u8] {
        let Self { ring, length } = self;
        // SAFETY: `has_room` acquired the consumer position and found that the record fits between the producer
        // position and the bytes that the kernel has not freed, so also in the ring. The producer position moves only
        // when the sample is consumed, and the sample's borrow of the ring prevents other access.
        unsafe { ring.memory.payload(ring.producer, *length) }
    }
}

impl<M: Produce> DerefMut for Sample<'_, M> {
    #[expect(unsafe_code, reason = "borrows memory that only this sample has")]
    fn deref_mut(&mut self) -> &mut [u8] {
        let Self { ring, length } = self;
        // SAFETY: as in `deref`; and the sample itself is borrowed mutably.
        unsafe { ring.memory.payload(ring.producer, *length) }
    }
}

impl<M: Produce> fmt::Debug for Sample<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample").field("length", &self.length).finish_non_exhaustive()
    }
}
