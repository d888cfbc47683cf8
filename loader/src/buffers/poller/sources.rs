//! The poller and its sources.

#[cfg(feature = "perf")]
use std::time::Instant;
use std::{io, os::fd::AsFd, time::Duration};

use cutaway_sys::{
    epoll::{Epoll, Interest},
    fd,
    stop::Stop,
};

#[cfg(feature = "perf")]
use super::super::PerfEventArray;
use super::{
    source::{Source, Token},
    timers::Timers,
};
use crate::{Error, Stopper};

/// The stop's token in epoll.
pub(super) const STOP: u64 = u64::MAX;

/// Waits for any number of ring buffers, perf buffers and other file descriptors together.
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// use cutaway::{Poller, Source, Wake, perf_reader::{Options, Record}};
///
/// let mut poller = Poller::new()?;
/// poller.add_ring(loaded.map("events")?.ring()?)?;
/// poller.add_perf(loaded.map("samples")?.perf_buffers(256 * 1024, &Options::new())?)?;
/// let stopper = poller.stopper(); // for another thread, or a signal handler
/// # let _ = stopper;
/// while poller.wait(None)? == Wake::Ready {
///     for (_token, source) in poller.ready() {
///         match source {
///             Source::Ring(ring) => ring.batch()?.records().for_each(|record| println!("{record:?}")),
///             Source::Perf(buffers) => {
///                 buffers.drain(|cpu, record| {
///                     if let Ok(Record::Sample(sample)) = record {
///                         println!("CPU {cpu}: {:?}", sample.payload(8));
///                     }
///                 })?;
///             }
///             _ => {}
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// The caller drains each source that is [`ready`](Self::ready). If a source is not drained, the next wait does not
/// sleep. A record that is sent without a wake-up (`BPF_RB_NO_WAKEUP`, or perf options that request few wake-ups) is
/// found within 100 ms on a machine that is not overloaded ([`set_idle_poll_interval`](Self::set_idle_poll_interval)).
///
/// `Send`, but not `Sync`: one thread waits; others end the wait by a [`Stopper`]. Costs an epoll instance and a pipe.
/// Rings need Linux 5.8.
///
/// Needs this crate's feature `poller`, and `ring` or `perf`.
#[doc(alias("ring_buffer__new", "ring_buffer__add", "ring_buffer__poll", "perf_buffer__poll", "epoll"))]
#[derive(Debug)]
pub struct Poller {
    pub(super) epoll: Epoll,
    pub(super) stop: Stop,
    /// In ascending order of tokens.
    pub(super) entries: Vec<Entry>,
    pub(super) timers: Timers,
    /// The number of waits that returned without a sleep.
    pub(super) at_once: u32,
    #[cfg(feature = "perf")]
    pub(super) refreshed: Instant,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) token: Token,
    pub(super) source: Source,
    /// The caller has not yet drained the source since it became ready.
    pub(super) ready: bool,
    /// CPUs that came or went, and other readers, that the caller has not yet taken.
    #[cfg(feature = "perf")]
    pub(super) changes: perf_reader::HotplugChanges,
}

impl Poller {
    /// Creates a poller without sources.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EMFILE or ENFILE if there are too many open files.
    pub fn new() -> Result<Self, Error> {
        let failed = |error| Error::kernel("create a poller", &error);
        let stop = Stop::new().map_err(failed)?;
        let epoll = watching(&stop).map_err(failed)?;
        Ok(Self {
            epoll,
            stop,
            entries: Vec::new(),
            timers: Timers::new(),
            at_once: 0,
            #[cfg(feature = "perf")]
            refreshed: Instant::now(),
        })
    }

    /// Adds a ring buffer. The ring's own timer and stopper do not affect the poller's waits.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if it cannot be watched: ENOSPC at the limit `fs.epoll.max_user_watches`, ENOMEM. The ring is
    /// then closed.
    #[doc(alias = "ring_buffer__add")]
    #[cfg(feature = "ring")]
    pub fn add_ring(&mut self, ring: mmap_ring::Ring) -> Result<Token, Error> {
        self.add(Source::Ring(ring))
    }

    /// Adds the perf buffers of a `PERF_EVENT_ARRAY`. Each wait checks for CPUs that came online, at most once a
    /// second: see [`take_changes`](Self::take_changes).
    ///
    /// Use the poller's [`stopper`](Self::stopper) to end waits: a stop of the buffers themselves would make them ready
    /// forever.
    ///
    /// # Errors
    ///
    /// As [`add_ring`](Self::add_ring).
    #[doc(alias = "perf_buffer__new")]
    #[cfg(feature = "perf")]
    pub fn add_perf(&mut self, buffers: perf_reader::AdaptiveReader<PerfEventArray>) -> Result<Token, Error> {
        self.add(Source::Perf(buffers))
    }

    /// Adds a set of perf buffers, one for each CPU. The caller checks for CPUs that come online
    /// ([`PerCpuBuffers::refresh`](perf_reader::PerCpuBuffers::refresh)).
    ///
    /// # Errors
    ///
    /// As [`add_ring`](Self::add_ring).
    #[cfg(feature = "perf")]
    pub fn add_perf_set(&mut self, set: perf_reader::PerCpuBuffers) -> Result<Token, Error> {
        self.add(Source::PerfSet(set))
    }

    /// Adds another file descriptor: a pipe, a socket, a pidfd, a timerfd. It is ready as long as it is readable.
    ///
    /// The poller keeps a duplicate. The caller reads from the original, and may close it after
    /// [`remove`](Self::remove).
    ///
    /// # Errors
    ///
    /// As [`add_ring`](Self::add_ring); EPERM if the fd cannot be polled, as that of a regular file; EMFILE.
    #[doc(alias = "epoll_ctl")]
    pub fn add_fd(&mut self, fd: &impl AsFd) -> Result<Token, Error> {
        let own = fd::duplicate(fd.as_fd(), "duplicates the fd: the caller may close the original")
            .map_err(|error| Error::kernel("duplicate a file descriptor to wait for", &error))?;
        self.add(Source::Fd(own))
    }

    fn add(&mut self, source: Source) -> Result<Token, Error> {
        let token = Token::next();
        let (interest, why) = source.interest();
        self.epoll
            .add(source.as_fd(), interest, token.0, why)
            .map_err(|error| Error::kernel("add a source to a poller", &error))?;
        // Adding a perf source polls its events, which consumes an earlier wake-up. Its record is visible by now: the
        // kernel moves `data_head` before it sends the wake-up (`perf_output_put_handle` in
        // `kernel/events/ring_buffer.c`).
        let ready = source.has_perf_records();
        self.entries.push(Entry {
            token,
            source,
            ready,
            #[cfg(feature = "perf")]
            changes: perf_reader::HotplugChanges::default(),
        });
        Ok(token)
    }

    /// Recreates the epoll instance and watches all sources again. If the caller has exchanged a source, the former
    /// file descriptor is still watched, and only this ends it: the kernel identifies a watched file by its fd,
    /// which may be closed.
    pub(super) fn watch_anew(&mut self) -> io::Result<()> {
        let epoll = watching(&self.stop)?;
        for entry in &mut self.entries {
            let (interest, why) = entry.source.interest();
            epoll.add(entry.source.as_fd(), interest, entry.token.0, why)?;
            entry.ready |= entry.source.has_perf_records();
        }
        self.epoll = epoll;
        Ok(())
    }

    /// Removes a source and returns it, e.g. one that has failed; `None` if no source has this token.
    ///
    /// Drain perf buffers before waiting on them elsewhere: the kernel does not report again what it has reported to
    /// the poller.
    pub fn remove(&mut self, token: Token) -> Option<Source> {
        let source = self.entries.remove(self.index(token)?).source;
        // The kernel stops watching a file when it is closed. This one may stay open, owned by the caller.
        if let Err(error) = self.epoll.delete(source.as_fd(), "stops watching a source that is removed") {
            log::warn!("{token} of a poller is still watched: {}", crate::Errno::of(&error));
        }
        Some(source)
    }

    /// Returns a source; `None` if no source has this token.
    #[must_use]
    pub fn source(&self, token: Token) -> Option<&Source> {
        Some(&self.entries.get(self.index(token)?)?.source)
    }

    /// Returns a source to drain it, ready or not; `None` if no source has this token. The source counts as drained:
    /// see [`ready`](Self::ready).
    ///
    /// Read from the source, but do not replace it: a source put there instead (by [`std::mem::replace`] or
    /// [`std::mem::swap`]) is not watched. Use [`remove`](Self::remove) and the functions that add.
    pub fn source_mut(&mut self, token: Token) -> Option<&mut Source> {
        let index = self.index(token)?;
        let entry = self.entries.get_mut(index)?;
        entry.ready = false;
        Some(&mut entry.source)
    }

    /// Iterates over all sources, in the order in which they were added.
    pub fn sources(&self) -> impl Iterator<Item = (Token, &Source)> {
        self.entries.iter().map(|entry| (entry.token, &entry.source))
    }

    fn index(&self, token: Token) -> Option<usize> {
        self.entries.binary_search_by_key(&token, |entry| entry.token).ok()
    }

    /// Iterates over the sources that the last wait found ready, in the order in which they were added. Each returned
    /// source counts as drained: read all its records, because the kernel reports a perf buffer's readiness only once.
    /// Do not replace the source: see [`source_mut`](Self::source_mut).
    pub fn ready(&mut self) -> impl Iterator<Item = (Token, &mut Source)> {
        self.entries
            .iter_mut()
            .filter_map(|entry| std::mem::take(&mut entry.ready).then_some((entry.token, &mut entry.source)))
    }

    /// Returns the CPUs that came or went since the last call, and the other readers of the same map; empty for a
    /// source of another kind. The source is ready when there are such changes. Each wait checks for them, at most once
    /// a second: see [`AdaptiveReader::refresh`](perf_reader::AdaptiveReader::refresh).
    #[cfg(feature = "perf")]
    pub fn take_changes(&mut self, token: Token) -> perf_reader::HotplugChanges {
        let entry = self.index(token).and_then(|index| self.entries.get_mut(index));
        entry.map(|entry| std::mem::take(&mut entry.changes)).unwrap_or_default()
    }

    /// Returns a handle that ends waits, from another thread ([`Stopper::stop`]) or a signal handler (write(2) to its
    /// fd).
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stop.stopper()
    }

    /// Clears all stops so far: the next wait sleeps again.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the stopper's pipe cannot be read.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.stop.resume().map_err(|error| Error::kernel("wait again after a stop", &error))
    }

    /// Sets the longest sleep before the poller checks the rings without a wake-up: 1 millisecond or more, initially 90
    /// milliseconds. While these checks find records the interval shrinks, down to 1 millisecond.
    ///
    /// `None` turns the checks off and spares an idle reader its 11 wake-ups a second. A record sent with
    /// `BPF_RB_NO_WAKEUP` then stays unread, and so does every later one without a flag, until something else ends the
    /// wait.
    pub fn set_idle_poll_interval(&mut self, interval: Option<Duration>) {
        self.timers.set_interval(interval);
    }
}

/// Creates an epoll instance that watches for a stop.
fn watching(stop: &Stop) -> io::Result<Epoll> {
    let epoll = Epoll::new("creates an epoll instance for all sources and the stop")?;
    epoll.add(stop.fd(), Interest::Readable, STOP, "lets a stopper end the wait")?;
    Ok(epoll)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poller_can_move_to_another_thread() {
        const fn is_send<T: Send>() {}
        is_send::<Poller>();
        is_send::<Stopper>();
    }
}
