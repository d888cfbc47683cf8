//! One CPU's buffer: the perf event, its pages, and what the kernel knows of its losses.

use std::fs;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::corrupt::Corrupt;
use crate::cpus::online_cpus;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::options::{Options, Wakeup};
use crate::reader::{Drain, Reader};
use crate::sys::{self, Attr};

/// The perf buffer of one CPU, opened, mapped and enabled.
///
/// Its descriptor ([`AsFd`]) is what goes into the `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, under the CPU's number as key. Until
/// it does, programs on this CPU get ENOENT from `bpf_perf_event_output`. The kernel clears the slot when the map's descriptor
/// that set it is closed: keep that one open.
#[derive(Debug)]
pub struct Buffer {
    cpu: u32,
    /// Unmapped before the event is closed.
    reader: Reader<Mapping>,
    event: OwnedFd,
    /// Whether the kernel counts losses for us (`PERF_FORMAT_LOST`).
    counts_lost: bool,
}

/// How many samples were lost, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Samples that found no room.
    pub samples: u64,
    /// Who counted them.
    pub source: LostSource,
}

/// Who counted the losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostSource {
    /// The kernel (`PERF_FORMAT_LOST`, Linux 6.0): all of them, the last ones included.
    Kernel,
    /// The LOST records that were read: before Linux 6.0, where losses that no later record followed remain unknown.
    Records,
}

impl Buffer {
    /// Opens the buffer of `cpu` with `pages` data pages, a power of two. One page more is mapped for control.
    ///
    /// Needs CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or a `perf_event_paranoid` of 0 or less. Needs Linux 4.4.
    ///
    /// # Errors
    /// [`Error::Pages`], [`Error::Denied`], [`Error::Offline`], [`Error::LockedMemory`], or [`Error::System`] for what
    /// else perf_event_open(2), mmap(2) and ioctl(2) answer.
    pub fn open(cpu: u32, pages: usize, options: &Options) -> Result<Self, Error> {
        let data_pages = NonZero::new(pages).filter(|pages| pages.is_power_of_two()).ok_or(Error::Pages { pages })?;
        let (event, counts_lost) = open_event(cpu, options)?;
        let mapping = map(event.as_fd(), cpu, data_pages)?;
        let reader = Reader::new(mapping, options.timestamps).map_err(|corrupt| Error::Corrupt { cpu, corrupt })?;
        let buffer = Self { cpu, reader, event, counts_lost };
        buffer.enable()?;
        Ok(buffer)
    }

    /// The number of its CPU, which is its key in the map.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }

    /// Opens a drain over the records that are there now: see [`Reader::drain`].
    ///
    /// # Errors
    /// [`Corrupt::Positions`].
    #[inline]
    pub fn drain(&mut self) -> Result<Drain<'_, Mapping>, Corrupt> {
        self.reader.drain()
    }

    /// The protocol beneath: fill, capacity, and the way on behind a corrupt record.
    pub fn reader(&self) -> &Reader<Mapping> {
        &self.reader
    }

    /// The same, to drain or to skip.
    pub fn reader_mut(&mut self) -> &mut Reader<Mapping> {
        &mut self.reader
    }

    /// Enables the event again: needed when its CPU was offline and came back, without effect otherwise.
    ///
    /// # Errors
    /// [`Error::System`] if ioctl(2) fails.
    pub fn enable(&self) -> Result<(), Error> {
        sys::enable(self.event.as_fd())
            .map_err(|error| Error::system(format!("enabling the perf event of CPU {}", self.cpu), &error))
    }

    /// How many samples were lost since the buffer was opened, and who says so.
    ///
    /// The kernel's answer holds at this moment; that of the LOST records as far as they were read.
    ///
    /// # Errors
    /// [`Error::System`] if read(2) fails.
    pub fn lost_total(&self) -> Result<Lost, Error> {
        if !self.counts_lost {
            return Ok(Lost { samples: self.reader.lost_announced(), source: LostSource::Records });
        }
        match sys::read_lost(self.event.as_fd()) {
            Ok(samples) => Ok(Lost { samples, source: LostSource::Kernel }),
            Err(error) => Err(Error::system(format!("asking for the losses of CPU {}", self.cpu), &error)),
        }
    }
}

impl AsFd for Buffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// The attributes of a BPF output event.
fn attr(options: &Options, read_format: u64) -> Attr {
    let (watermark, wakeup) = match options.wakeup {
        Wakeup::Events(n) => (0, n),
        Wakeup::Bytes(n) => (sys::FLAG_WATERMARK, n),
    };
    let (sample_time, clock) = if options.timestamps { (sys::SAMPLE_TIME, sys::FLAG_USE_CLOCKID) } else { (0, 0) };
    Attr {
        kind: sys::TYPE_SOFTWARE,
        size: sys::ATTR_SIZE,
        config: sys::COUNT_SW_BPF_OUTPUT,
        sample_type: sys::SAMPLE_RAW | sample_time,
        read_format,
        flags: sys::FLAG_DISABLED | watermark | clock,
        wakeup,
        clockid: if options.timestamps { libc::CLOCK_MONOTONIC } else { 0 },
        ..Attr::default()
    }
}

/// Opens the event, and says whether it counts losses: whether the kernel knows `PERF_FORMAT_LOST` is found by asking.
fn open_event(cpu: u32, options: &Options) -> Result<(OwnedFd, bool), Error> {
    let first = sys::perf_event_open(
        &attr(options, sys::FORMAT_LOST),
        cpu,
        "opens the event through which programs on this CPU write, and has the kernel count what finds no room",
    );
    let opened = match first {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => sys::perf_event_open(
            &attr(options, 0),
            cpu,
            "tries again without PERF_FORMAT_LOST, which kernels before 6.0 do not know",
        )
        .map(|event| (event, false)),
        first => first.map(|event| (event, true)),
    };
    opened.map_err(|error| match error.raw_os_error() {
        Some(errno @ (libc::EACCES | libc::EPERM)) => {
            Error::Denied { cpu, errno, paranoid: number_in("/proc/sys/kernel/perf_event_paranoid") }
        }
        Some(errno @ libc::ENODEV) => Error::Offline { cpu, errno },
        // What a number gets that no CPU of this machine can have.
        Some(errno @ libc::EINVAL) if online_cpus().is_ok_and(|online| !online.contains(&cpu)) => {
            Error::Offline { cpu, errno }
        }
        _ => Error::system(format!("perf_event_open of a BPF output event on CPU {cpu}"), &error),
    })
}

/// Maps the event's pages; on EPERM finds out how many would fit.
fn map(event: BorrowedFd<'_>, cpu: u32, pages: NonZero<usize>) -> Result<Mapping, Error> {
    Mapping::new(event, pages, true).map_err(|error| {
        if error.raw_os_error() != Some(libc::EPERM) {
            return Error::system(format!("mapping 1 + {pages} pages of the perf buffer of CPU {cpu}"), &error);
        }
        Error::LockedMemory {
            cpu,
            pages: pages.get(),
            fit: largest_that_fits(event, pages.get()),
            mlock_kb: number_in("/proc/sys/kernel/perf_event_mlock_kb"),
            memlock: sys::memlock_limit(),
        }
    })
}

/// The largest power of two below `pages` that can be mapped, or 0. What this user has locked already is known to the
/// kernel alone, so it is asked by trying.
fn largest_that_fits(event: BorrowedFd<'_>, pages: usize) -> usize {
    let mut fit = pages / 2;
    while let Some(pages) = NonZero::new(fit) {
        match Mapping::new(event, pages, true) {
            Ok(_) => break,
            Err(_) => fit /= 2,
        }
    }
    fit
}

/// The number in a file of one line.
fn number_in<T: std::str::FromStr>(path: &str) -> Option<T> {
    let read: io::Result<String> = fs::read_to_string(path);
    read.ok()?.trim().parse().ok()
}
