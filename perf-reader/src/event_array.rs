//! Where events are put so that programs find them: the one thing this crate leaves to others.

use std::io;
use std::os::fd::BorrowedFd;

/// The slots of a `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, one a CPU, filled by whoever speaks bpf(2).
///
/// Any `Fn(u32, BorrowedFd<'_>) -> io::Result<()>` is one:
///
/// ```no_run
/// # fn bpf_map_update_elem(map: &std::fs::File, key: &[u8], value: &[u8]) -> std::io::Result<()> { Ok(()) }
/// # let map = std::fs::File::open("/dev/null")?;
/// use std::os::fd::{AsRawFd, BorrowedFd};
///
/// let slots = |cpu: u32, event: BorrowedFd<'_>| {
///     bpf_map_update_elem(&map, &cpu.to_ne_bytes(), &event.as_raw_fd().to_ne_bytes())
/// };
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The kernel clears a slot when the map's fd that filled it is closed, so an `EventArray` keeps its fd open.
#[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
pub trait EventArray {
    /// Has programs on `cpu` write through `event` from now on: one `BPF_MAP_UPDATE_ELEM`, key `cpu`, value the fd.
    ///
    /// # Errors
    /// Whatever bpf(2) answers.
    ///
    /// E2BIG for a CPU that has no slot, since the map's `max_entries` is not above its number: see
    /// [`PerCpuBuffers::without_slot`](crate::PerCpuBuffers::without_slot).
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()>;

    /// Tells what is in the slot of `cpu`, without changing it. `Ok(None)`, the default, if that cannot be told. The
    /// reader asks whether the event is one of its own, which have been enabled for at least `since` nanoseconds.
    ///
    /// No command of bpf(2) reads a slot. A program can: `bpf_perf_event_read_value` (Linux 4.15) gives the time for
    /// which the event in a slot has been enabled, and with `BPF_PROG_TEST_RUN` it can be run on the CPU in question
    /// (Linux 5.10).
    ///
    /// # Errors
    /// Whatever bpf(2) answers.
    fn query(&self, cpu: u32, since: u64) -> io::Result<Option<Slot>> {
        let _ = (cpu, since);
        Ok(None)
    }
}

/// What is in a slot.
#[doc(alias = "PERF_EVENT_ARRAY")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// No event.
    Empty,
    /// An event that has been enabled for so many nanoseconds, as read(2) on it tells
    /// (`PERF_FORMAT_TOTAL_TIME_ENABLED`).
    Enabled(u64),
    /// An event that has been enabled for less than was asked about, or for at least 2 seconds more.
    Other,
}

impl<F: Fn(u32, BorrowedFd<'_>) -> io::Result<()>> EventArray for F {
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        self(cpu, event)
    }
}
