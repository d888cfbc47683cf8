//! What a program's runs cost, as the kernel counts it.
//!
//! While somebody asks for it, the kernel reads its clock before and after each run of each program, on whatever CPU,
//! and adds up (`bpf_prog_run` in `include/linux/filter.h`). That costs every program on the machine some tens of
//! nanoseconds a run, so the asking has an end: it is an fd, and closing it stops the counting.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use crate::{Error, Program, sys::statistics};

/// The kernel counts runs and their time, for all programs, as long as this lives. Linux 5.8.
#[doc(alias("bpf_enable_stats", "BPF_ENABLE_STATS", "EnableStats"))]
#[derive(Debug)]
#[must_use = "dropping it stops the counting"]
pub struct StatsGuard(OwnedFd);

impl StatsGuard {
    /// Has the kernel count. Several may ask at once; it counts until the last one stops.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EPERM without CAP_SYS_ADMIN; EINVAL before Linux 5.8.
    #[doc(alias("bpf_enable_stats", "BPF_ENABLE_STATS"))]
    pub fn enable() -> Result<Self, Error> {
        let why = "has the kernel count the runs of programs and the time they take";
        statistics::enable(why).map(Self).map_err(|error| {
            let plain = Error::kernel("count the runs of programs", &error);
            match error.raw_os_error() {
                Some(libc::EINVAL) => plain.advise("BPF_ENABLE_STATS exists since Linux 5.8"),
                Some(libc::EPERM) => plain.advise("it takes CAP_SYS_ADMIN"),
                _ => plain,
            }
        })
    }
}

impl AsFd for StatsGuard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A program's runs so far, of those that were counted.
#[doc(alias("run_cnt", "run_time_ns", "bpf_prog_info"))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgramStats {
    /// How many.
    pub count: u64,
    /// The time spent in them, on all CPUs together. Interrupts that came meanwhile are part of it.
    pub time: Duration,
}

impl Program {
    /// What the kernel has counted of this program's runs while there was a [`StatsGuard`]. Linux 5.1.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the kernel does not tell.
    #[doc(alias("run_cnt", "run_time_ns", "BPF_OBJ_GET_INFO_BY_FD"))]
    pub fn stats(&self) -> Result<ProgramStats, Error> {
        let info = statistics::prog_statistics(self.as_fd(), "asks how often the program ran, and how long")
            .map_err(|error| Error::kernel(format!("ask how often the program `{}` ran", self.name()), &error))?;
        Ok(ProgramStats { count: info.run_cnt, time: Duration::from_nanos(info.run_time_ns) })
    }
}
