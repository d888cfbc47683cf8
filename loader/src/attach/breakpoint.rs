//! Hardware breakpoints: accesses to an address, which the CPU's debug registers watch
//! (`kernel/events/hw_breakpoint.c`).

use crate::sys::perf_event::Event;

/// An address to watch, and the accesses to it, for [`PerfEvent::breakpoint`](crate::PerfEvent::breakpoint).
///
/// A CPU has few debug registers (x86-64: 4), and watches few bytes with each: 1, 2, 4 or 8, at an address that is a
/// multiple of the length.
///
/// Needs this crate's feature `perf-event`.
#[doc(alias("PERF_TYPE_BREAKPOINT", "bp_type", "HW_BREAKPOINT_W", "HW_BREAKPOINT_X", "watchpoint"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breakpoint {
    /// `HW_BREAKPOINT_…`
    bp_type: u32,
    address: u64,
    length: u64,
}

const READ: u32 = 1;
const WRITE: u32 = 2;
const EXECUTE: u32 = 4;

impl Breakpoint {
    /// Selects executions of the instruction at this virtual address.
    #[must_use]
    pub fn execute(address: u64) -> Self {
        // The kernel requires this length on all architectures.
        Self { bp_type: EXECUTE, address, length: size_of::<libc::c_long>() as u64 }
    }

    /// Selects writes to `length` bytes from this virtual address on.
    #[must_use]
    pub fn write(address: u64, length: u64) -> Self {
        Self { bp_type: WRITE, address, length }
    }

    /// Selects reads of `length` bytes from this virtual address on. x86-64 cannot tell reads from writes: use
    /// [`Breakpoint::read_write`].
    #[must_use]
    pub fn read(address: u64, length: u64) -> Self {
        Self { bp_type: READ, address, length }
    }

    /// Selects reads and writes of `length` bytes from this virtual address on.
    #[must_use]
    pub fn read_write(address: u64, length: u64) -> Self {
        Self { bp_type: READ | WRITE, address, length }
    }

    pub(super) fn event(self) -> Event<'static> {
        Event::Breakpoint { bp_type: self.bp_type, address: self.address, length: self.length }
    }
}

impl std::fmt::Display for Breakpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let access = match self.bp_type {
            EXECUTE => return write!(f, "executions of {:#x}", self.address),
            WRITE => "writes to",
            READ => "reads of",
            _ => "accesses to",
        };
        write!(f, "{access} {} bytes at {:#x}", self.length, self.address)
    }
}
