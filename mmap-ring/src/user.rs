//! Sending to a BPF program: the user ring buffer (`BPF_MAP_TYPE_USER_RINGBUF`,
//! Linux 6.1).
//!
//! User space produces here and `bpf_user_ringbuf_drain` in a program consumes
//! (`kernel/bpf/ringbuf.c`). The kernel trusts nothing that it finds: it refuses
//! a producer position that is no multiple of 8 and a record of a wrong size.
//!
//! A sample is written in place, and only when it is submitted does the
//! producer position move over it, so the kernel never meets a sample that is
//! busy or given up, and a sample that was forgotten stops nobody.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Corrupt, Error};
use crate::memory::user::{Produce, UserMapped};
use crate::record::{HEADER, LENGTH, space};
use crate::wait::{IDLE_POLL_INTERVAL, LOOK_LEAST};
use crate::wait::{new_epoll, sleep, watch_ring};
use cutaway_sys::epoll::{Epoll, Interest};

/// The one producer of a user ring buffer.
///
/// This process opens a user ring once at a time ([`Error::AlreadyOpen`]): two would lend
/// the same bytes, to be written. Another process has to be kept from producing
/// as well; that it did is noticed at the next reservation.
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
    /// Behind the last sample submitted.
    producer: u64,
    /// Made by the first wait for room.
    epoll: Option<Epoll>,
    /// How long a wait for room sleeps at most before a look; `None` for ever.
    set_idle_poll_interval: Option<Duration>,
}

impl UserRing<UserMapped> {
    /// Maps the ring behind the fd of a `BPF_MAP_TYPE_USER_RINGBUF` map
    /// (Linux 6.1) whose `max_entries` is `bytes`. Producing goes on where the last
    /// producer stopped.
    ///
    /// # Errors
    /// As [`Ring::open`](crate::Ring::open), but for [`Error::OverwriteMode`]: only a map of type
    /// `BPF_MAP_TYPE_USER_RINGBUF` is opened.
    #[doc(alias = "user_ring_buffer__new")]
    pub fn open(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        let memory = UserMapped::new(fd.as_fd(), bytes)?;
        Ok(Self::over(memory, fd))
    }
}

impl<M: Produce> UserRing<M> {
    pub(crate) fn over(memory: M, fd: OwnedFd) -> Self {
        Self { producer: memory.producer(), memory, fd, epoll: None, set_idle_poll_interval: Some(IDLE_POLL_INTERVAL) }
    }

    /// Reserves a sample of `length` bytes; `None` if there is no room now. Its
    /// bytes are whatever lay there: write them all.
    ///
    /// # Errors
    /// [`Error::TooLong`] if the ring can never hold it: its capacity less 8 bytes
    /// is the most. [`Corrupt`] if the positions cannot be true: a producer position
    /// that is no multiple of 8, which the kernel would refuse for ever, one that
    /// this producer did not store, or one too far from the consumer's.
    #[doc(alias = "user_ring_buffer__reserve")]
    pub fn reserve(&mut self, length: u32) -> Result<Option<Sample<'_, M>>, Error> {
        if !self.has_room(length)? {
            return Ok(None);
        }
        Ok(Some(Sample { ring: self, length }))
    }

    /// As [`reserve`](Self::reserve), but waits until there is room, at most
    /// `timeout` (for ever if `None`). The kernel tells of room when a drain ends
    /// that took a sample, unless it was called with `BPF_RB_NO_WAKEUP`; so the ring is also looked at every
    /// [`IDLE_POLL_INTERVAL`] (90 ms), or what [`set_idle_poll_interval`](Self::set_idle_poll_interval) says.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), and [`Error::Syscall`] if epoll cannot be set
    /// up or waited for.
    #[doc(alias = "user_ring_buffer__reserve_blocking")]
    pub fn reserve_within(&mut self, length: u32, timeout: Option<Duration>) -> Result<Option<Sample<'_, M>>, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // A wake-up sent after this look is kept by epoll, which has been watching
        // since before it.
        while !self.has_room(length)? {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            match &self.epoll {
                Some(epoll) => sleep(epoll, left.into_iter().chain(self.set_idle_poll_interval).min(), |_| ())?,
                None => {
                    let epoll = new_epoll()?;
                    watch_ring(&epoll, self.fd.as_fd(), Interest::WritableEdge, 0)?;
                    self.epoll = Some(epoll);
                }
            }
        }
        Ok(Some(Sample { ring: self, length }))
    }

    /// Sets how long [`reserve_within`](Self::reserve_within) sleeps at most before it looks by itself whether there is
    /// room, rounded up to a millisecond; at first [`IDLE_POLL_INTERVAL`]. `None` turns these looks off: for programs
    /// that are known to drain without `BPF_RB_NO_WAKEUP`.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.set_idle_poll_interval = time.map(|time| time.max(LOOK_LEAST));
    }

    /// Bytes that samples can take now, headers and padding included.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.room_behind(self.released())
    }

    /// Size of the ring's data in bytes: the map's `max_entries`.
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

    /// The consumer position: the kernel has done with what lies before.
    fn released(&self) -> u64 {
        let consumer = self.memory.consumer();
        // ATOMICS: acquires smp_store_release(&rb->consumer_pos) in
        // __bpf_user_ringbuf_sample_release: the kernel has done with what it
        // freed.
        M::fence(Ordering::Acquire);
        consumer
    }

    fn room_behind(&self, consumer: u64) -> u64 {
        let waiting = self.producer.wrapping_sub(consumer);
        self.memory.size().saturating_sub(waiting)
    }
}

/// The map's fd, writable while the ring has room.
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

/// A sample that is being written. Given up if it is dropped: the kernel never
/// sees it.
#[doc(alias = "user_ring_buffer__reserve")]
#[must_use = "a sample is sent by `submit`"]
pub struct Sample<'r, M: Produce = UserMapped> {
    ring: &'r mut UserRing<M>,
    length: u32,
}

impl<M: Produce> Sample<'_, M> {
    /// Sends the sample: the next drain takes it.
    #[doc(alias = "user_ring_buffer__submit")]
    pub fn submit(self) {
        let ring = self.ring;
        let position = ring.producer;
        ring.memory.set_header(position, self.length);
        ring.producer = position.wrapping_add(space(self.length));
        // ATOMICS: pairs with smp_load_acquire(&rb->producer_pos) in
        // __bpf_user_ringbuf_peek: who sees the position sees header and payload.
        ring.memory.set_producer(ring.producer, Ordering::Release);
    }

    /// Gives the sample up, as dropping it does. Costs nothing and takes no room.
    #[doc(alias = "user_ring_buffer__discard")]
    pub fn discard(self) {}
}

impl<M: Produce> Deref for Sample<'_, M> {
    type Target = [u8];

    #[expect(unsafe_code, reason = "borrows memory that only this sample has")]
    fn deref(&self) -> &[u8] {
        let Self { ring, length } = self;
        // SAFETY: `has_room` found that the record fits between the producer
        // position and what the kernel has freed, so also in the ring, and acquired
        // the latter. The producer position moves only when the sample is consumed,
        // and its borrow of the ring keeps others away.
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
