//! One perf event of type `PERF_COUNT_SW_BPF_OUTPUT`, through which a BPF program writes.
//!
//! The event counts nothing and samples nothing. It only provides a ring to `bpf_perf_event_output`.

use std::fs;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::cpus::online_cpus;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::options::{Options, Wakeup};
use crate::sys;
use cutaway_sys::{Errno, PerfEventAttr, memory::page_size};

/// An open event.
#[derive(Debug)]
pub(crate) struct Event {
    fd: OwnedFd,
    cpu: u32,
}

/// The direction in which the kernel writes an event's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Upward. The kernel does not overwrite unread records.
    Forward,
    /// Downward (`write_backward`, Linux 4.7), so that the newest records begin at `data_head`.
    Backward,
}

impl Event {
    /// Opens the event, disabled. If the kernel does not support `PERF_FORMAT_LOST`, opens it without this format.
    pub(crate) fn open(cpu: u32, options: &Options, direction: Direction) -> Result<Self, Error> {
        let first = sys::open_event(
            &attr(options, direction, sys::FORMAT_LOST),
            cpu,
            "opens the event through which programs on this CPU write; the kernel counts lost samples",
        );
        let opened = match first {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => sys::open_event(
                &attr(options, direction, 0),
                cpu,
                "tries again without PERF_FORMAT_LOST, which kernels before 6.0 do not support",
            ),
            first => first,
        };
        match opened {
            Ok(fd) => Ok(Self { fd, cpu }),
            Err(error) => Err(refused(cpu, &error)),
        }
    }

    pub(crate) fn cpu(&self) -> u32 {
        self.cpu
    }

    /// Enables the event. Programs can then write through it, on its CPU, while the CPU is online.
    pub(crate) fn enable(&self) -> Result<(), Error> {
        sys::enable(self.fd.as_fd()).map_err(|error| self.failed("enable", &error))
    }

    /// Redirects the event's output into the ring of `other`, an event of the same CPU and clock.
    pub(crate) fn redirect_to(&self, other: &Self) -> Result<(), Error> {
        sys::set_output(self.fd.as_fd(), other.fd.as_fd())
            .map_err(|error| self.failed("redirect the output of", &error))
    }

    /// Pauses or resumes the kernel's writes into the event's ring. Needs Linux 4.7.
    pub(crate) fn pause(&self, pause: bool) -> Result<(), Error> {
        sys::pause_output(self.fd.as_fd(), pause)
            .map_err(|error| self.failed(if pause { "pause the output of" } else { "resume the output of" }, &error))
    }

    /// Returns the number of lost samples that were sent through this event, or `None` if the kernel does not count
    /// them.
    pub(crate) fn lost(&self) -> Result<Option<u64>, Error> {
        Ok(self.counts("read the losses of")?.lost)
    }

    /// Returns how long the event has been active, in nanoseconds. An event whose CPU went offline stays inactive when
    /// the CPU comes online again, because `perf_event_exit_cpu_context` removes it from the CPU's context. The only
    /// sign of this is that the time does not increase.
    pub(crate) fn running(&self) -> Result<u64, Error> {
        Ok(self.counts("read the times of")?.running)
    }

    /// Returns how long the event has been enabled, in nanoseconds. This distinguishes one event from another.
    pub(crate) fn enabled(&self) -> Result<u64, Error> {
        Ok(self.counts("read the times of")?.enabled)
    }

    fn counts(&self, operation: &str) -> Result<sys::Counts, Error> {
        sys::read_counts(self.fd.as_fd()).map_err(|error| self.failed(operation, &error))
    }

    /// Maps the control page and `pages` data pages. After EPERM, the error contains the size that would fit.
    pub(crate) fn map(&self, pages: NonZero<usize>, writable: bool) -> Result<Mapping, Error> {
        Mapping::new(self.fd.as_fd(), pages, writable).map_err(|error| {
            let bytes = |pages: usize| pages.saturating_mul(page_size()) as u64;
            if error.raw_os_error() != Some(libc::EPERM) {
                return Error::system(
                    format!("map the perf buffer of CPU {} ({} bytes)", self.cpu, bytes(pages.get())),
                    &error,
                );
            }
            Error::LockedMemory {
                cpu: self.cpu,
                bytes: bytes(pages.get()),
                fit: bytes(self.largest_that_fits(pages.get(), writable)),
                mlock_kb: number_in("/proc/sys/kernel/perf_event_mlock_kb"),
                memlock: sys::memlock_limit(),
            }
        })
    }

    /// Returns the largest power of two below `pages` that can be mapped, or 0. It is found by trying, because only the
    /// kernel knows how many pages this user has locked already.
    fn largest_that_fits(&self, pages: usize, writable: bool) -> usize {
        let mut fit = pages / 2;
        while let Some(pages) = NonZero::new(fit) {
            match Mapping::new(self.fd.as_fd(), pages, writable) {
                Ok(_) => break,
                Err(_) => fit /= 2,
            }
        }
        fit
    }

    fn failed(&self, operation: &str, error: &io::Error) -> Error {
        Error::system(format!("{operation} the perf event of CPU {}", self.cpu), error)
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn attr(options: &Options, direction: Direction, read_format: u64) -> PerfEventAttr {
    let (watermark, wakeup) = match options.wakeup {
        Wakeup::Events(n) => (0, n),
        Wakeup::Bytes(n) => (PerfEventAttr::WATERMARK, n),
    };
    let (sample_time, clock) = if options.timestamps { (sys::SAMPLE_TIME, PerfEventAttr::USE_CLOCKID) } else { (0, 0) };
    let backward = if direction == Direction::Backward { PerfEventAttr::WRITE_BACKWARD } else { 0 };
    PerfEventAttr {
        event_type: PerfEventAttr::TYPE_SOFTWARE,
        config: sys::COUNT_SW_BPF_OUTPUT,
        sample_type: sys::SAMPLE_RAW | sample_time,
        read_format: sys::FORMAT_TIMES | read_format,
        flags: PerfEventAttr::DISABLED | watermark | clock | backward,
        wakeup,
        clockid: if options.timestamps { libc::CLOCK_MONOTONIC } else { 0 },
        ..PerfEventAttr::new()
    }
}

/// Converts the errno of perf_event_open(2) into an error of this crate.
fn refused(cpu: u32, error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno @ (libc::EACCES | libc::EPERM)) => {
            Error::Denied { cpu, errno: Errno::new(errno), paranoid: number_in("/proc/sys/kernel/perf_event_paranoid") }
        }
        Some(errno @ libc::ENODEV) => Error::Offline { cpu, errno: Errno::new(errno) },
        // The errno for an id that no CPU of this machine can have.
        Some(errno @ libc::EINVAL) if online_cpus().is_ok_and(|online| !online.contains(&cpu)) => {
            Error::Offline { cpu, errno: Errno::new(errno) }
        }
        _ => Error::system(format!("open a BPF output event on CPU {cpu} (perf_event_open)"), error),
    }
}

/// Returns the number in a file of one line.
fn number_in<T: std::str::FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
