//! The number and duration of a program's runs, as the kernel counts them.
//!
//! While statistics are enabled, the kernel reads its clock before and after each run of each program on every CPU, and
//! adds up (`bpf_prog_run` in `include/linux/filter.h`). That costs every program on the machine some tens of
//! nanoseconds a run. So enabling returns an fd, and closing it disables the statistics.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use crate::{Error, Program, sys::statistics};

/// Enables the kernel's run statistics for all programs, as long as this lives. Linux 5.8.
///
/// `Send` and `Sync`.
#[doc(alias("bpf_enable_stats", "BPF_ENABLE_STATS", "EnableStats"))]
#[derive(Debug)]
#[must_use = "dropping it disables the statistics"]
pub struct StatsGuard(OwnedFd);

impl StatsGuard {
    /// Enables the statistics. They stay enabled until the last guard, of any process, is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EPERM without CAP_SYS_ADMIN; EINVAL before Linux 5.8.
    #[doc(alias("bpf_enable_stats", "BPF_ENABLE_STATS"))]
    pub fn enable() -> Result<Self, Error> {
        let why = "enables the count and duration of program runs";
        statistics::enable(why).map(Self).map_err(|error| {
            let plain = Error::kernel("count the runs of programs", &error);
            match error.raw_os_error() {
                Some(libc::EINVAL) => plain.advise("BPF_ENABLE_STATS exists since Linux 5.8"),
                Some(libc::EPERM) => plain.advise("it needs CAP_SYS_ADMIN"),
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

/// The runs of a program that the kernel has counted so far.
#[doc(alias("run_cnt", "run_time_ns", "bpf_prog_info"))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgramStats {
    /// The number of runs.
    pub count: u64,
    /// The time spent in them, on all CPUs together, including interrupts during a run.
    pub time: Duration,
}

impl Program {
    /// Returns the program's runs that the kernel has counted while there was a [`StatsGuard`]. Linux 5.1.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the kernel refuses the query.
    #[doc(alias("run_cnt", "run_time_ns", "BPF_OBJ_GET_INFO_BY_FD"))]
    pub fn stats(&self) -> Result<ProgramStats, Error> {
        let info = statistics::prog_statistics(self.as_fd(), "reads the count and duration of the program's runs")
            .map_err(|error| {
                Error::kernel(format!("read the run statistics of the program `{}`", self.name()), &error)
            })?;
        Ok(ProgramStats { count: info.run_cnt, time: Duration::from_nanos(info.run_time_ns) })
    }
}
