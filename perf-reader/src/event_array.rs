//! The map slots of the perf events, which the caller sets.

use std::io;
use std::os::fd::BorrowedFd;

/// The slots of a `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, one for each CPU. The caller implements it, because setting a slot
/// needs bpf(2).
///
/// Any `Fn(u32, BorrowedFd<'_>) -> io::Result<()>` implements it:
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
/// The kernel clears a slot when the map fd that set it is closed, so an `EventArray` keeps its fd open.
#[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
pub trait EventArray {
    /// Puts `event` into the slot of `cpu`, so that programs on that CPU write through it: one `BPF_MAP_UPDATE_ELEM`
    /// with key `cpu` and the fd as value.
    ///
    /// # Errors
    /// Those of bpf(2).
    ///
    /// E2BIG for a CPU without a slot, because the map's `max_entries` is not above its id: see
    /// [`PerCpuBuffers::without_slot`](crate::PerCpuBuffers::without_slot).
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()>;

    /// Returns the content of the slot of `cpu`, without changing it. `Ok(None)`, the default, if it cannot be queried.
    /// The reader uses this to find out whether the event is one of its own, which have been enabled for at least
    /// `since` nanoseconds.
    ///
    /// No command of bpf(2) reads a slot, but a program can. `bpf_perf_event_read_value` (Linux 4.15) returns the time
    /// for which the event in a slot has been enabled. `BPF_PROG_TEST_RUN` can run that program on the CPU in question
    /// (Linux 5.10).
    ///
    /// # Errors
    /// Those of bpf(2).
    fn query(&self, cpu: u32, since: u64) -> io::Result<Option<Slot>> {
        let _ = (cpu, since);
        Ok(None)
    }
}

/// The content of a slot.
#[doc(alias = "PERF_EVENT_ARRAY")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// No event.
    Empty,
    /// An event that has been enabled for this many nanoseconds, as read(2) of it returns
    /// (`PERF_FORMAT_TOTAL_TIME_ENABLED`).
    Enabled(u64),
    /// An event that has been enabled for less than `since`, or for at least 2 seconds more.
    Other,
}

impl<F: Fn(u32, BorrowedFd<'_>) -> io::Result<()>> EventArray for F {
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        self(cpu, event)
    }
}
