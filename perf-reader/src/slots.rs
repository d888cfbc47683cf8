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
/// The kernel clears a slot when the map's descriptor that filled it is closed, so a `Slots` keeps its descriptor open.
pub trait Slots {
    /// Has programs on `cpu` write through `event` from now on: one `BPF_MAP_UPDATE_ELEM`, key `cpu`, value the descriptor.
    ///
    /// # Errors
    /// Whatever bpf(2) answers.
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()>;
}

impl<F: Fn(u32, BorrowedFd<'_>) -> io::Result<()>> Slots for F {
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        self(cpu, event)
    }
}
