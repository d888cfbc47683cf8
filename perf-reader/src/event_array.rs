//! The map slots for the perf events. The caller sets the slots.

use std::io;
use std::os::fd::BorrowedFd;

/// The slots of a `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, one for each CPU. The caller implements this trait, because setting
/// a slot needs bpf(2).
///
/// Any `Fn(u32, BorrowedFd<'_>) -> io::Result<()>` implements the trait:
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
/// The kernel clears a slot when the map fd that set it is closed with all its duplicates. (It does not if the map has
/// `BPF_F_PRESERVE_ELEMS`.) So an `EventArray` keeps its map fd open.
#[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
pub trait EventArray {
    /// Puts `event` into the slot of `cpu`. Programs on this CPU then write through the event. This is one
    /// `BPF_MAP_UPDATE_ELEM`, with `cpu` as key and the event's fd as value.
    ///
    /// # Errors
    /// The errors of bpf(2). E2BIG means that the CPU has no slot, because the map's `max_entries` is not above its id:
    /// see [`PerCpuBuffers::without_slot`](crate::PerCpuBuffers::without_slot).
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()>;

    /// Returns the content of the slot of `cpu`, without changing it. Returns `Ok(None)` if the slot cannot be queried,
    /// which is the default. The reader calls this to check whether the slot holds one of its own events. The reader's
    /// events have been enabled for at least `since` nanoseconds.
    ///
    /// No command of bpf(2) reads a slot, but a BPF program can. The helper `bpf_perf_event_read_value` (Linux 4.15)
    /// returns how long the event in a slot has been enabled. `BPF_PROG_TEST_RUN` can run such a program on a given CPU
    /// (Linux 5.10).
    ///
    /// # Errors
    /// The errors of bpf(2).
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
    /// An event that has been enabled for this number of nanoseconds (`PERF_FORMAT_TOTAL_TIME_ENABLED`).
    Enabled(u64),
    /// An event that has been enabled for less than `since`, or for at least 2 seconds more than `since`.
    Other,
}

impl<F: Fn(u32, BorrowedFd<'_>) -> io::Result<()>> EventArray for F {
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        self(cpu, event)
    }
}
