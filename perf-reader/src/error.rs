//! The errors of this crate, with messages that say what to do.

use std::{fmt, io};

use cutaway_sys::Errno;

use crate::corrupt::Corrupt;

/// The largest power of two in a `u32`.
const MAX_SIZE: u64 = 1 << 31;

/// A failure to open a perf buffer, wait for it or query it.
///
/// The message contains the whole reason, so no variant has a [`source`](std::error::Error::source).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A perf buffer cannot have the given size. No system call was made.
    InvalidSize {
        /// The given size, in bytes.
        bytes: u64,
        /// The machine's page size, in bytes.
        page: u64,
    },
    /// The kernel refused perf_event_open(2) because privileges are missing.
    Denied {
        /// The CPU's id.
        cpu: u32,
        /// EACCES or EPERM.
        errno: Errno,
        /// `/proc/sys/kernel/perf_event_paranoid`, if it can be read.
        paranoid: Option<i32>,
    },
    /// The CPU is offline, or no CPU has this id.
    Offline {
        /// The CPU's id.
        cpu: u32,
        /// ENODEV, or EINVAL for an id that no CPU of this machine can have.
        errno: Errno,
    },
    /// This user may not lock so many pages.
    LockedMemory {
        /// The CPU's id.
        cpu: u32,
        /// The requested size, in bytes, without the control page.
        bytes: u64,
        /// The largest valid size in bytes that could be mapped, found by trying. 0 if no size could be mapped.
        fit: u64,
        /// `/proc/sys/kernel/perf_event_mlock_kb`, if it can be read: the KiB for each user and online CPU.
        mlock_kb: Option<u64>,
        /// The soft limit of RLIMIT_MEMLOCK, in bytes.
        memlock: u64,
    },
    /// The kernel mapped pages that are not perf pages.
    Corrupt {
        /// The CPU's id.
        cpu: u32,
        /// The error in the pages.
        corrupt: Corrupt,
    },
    /// The kernel mapped pages for a borrowed fd that are not perf pages.
    Foreign {
        /// The fd and its process.
        what: String,
        /// The error in the pages.
        corrupt: Corrupt,
    },
    /// The list of online CPUs could not be read or parsed.
    OnlineCpus {
        /// The text that was read, or why it could not be read.
        reason: String,
    },
    /// Any other failure of a system call.
    Syscall {
        /// The operation, and its object.
        operation: String,
        /// The errno.
        errno: Errno,
    },
}

impl Error {
    pub(crate) fn system(operation: impl Into<String>, error: &io::Error) -> Self {
        Self::Syscall { operation: operation.into(), errno: Errno::new(error.raw_os_error().unwrap_or(libc::EIO)) }
    }

    pub(crate) fn slot(cpu: u32, error: &io::Error) -> Self {
        Self::system(format!("put the perf event of CPU {cpu} into its slot of the map"), error)
    }

    /// Returns the errno, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Denied { errno, .. } | Self::Offline { errno, .. } | Self::Syscall { errno, .. } => Some(*errno),
            Self::LockedMemory { .. } => Some(Errno::new(libc::EPERM)),
            Self::InvalidSize { .. } | Self::Corrupt { .. } | Self::Foreign { .. } | Self::OnlineCpus { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSize { bytes, page } => {
                write!(
                    f,
                    "a perf buffer of {bytes} bytes is impossible: the size must be a power of two and a multiple of the page \
                     size, {page}; give "
                )?;
                match bytes.next_power_of_two() {
                    next if next <= *page => write!(f, "{page}"),
                    next if next > MAX_SIZE => write!(f, "{MAX_SIZE}"),
                    next => write!(f, "{} or {next}", next / 2),
                }
            }
            Self::Denied { cpu, errno, paranoid } => {
                write!(
                    f,
                    "perf_event_open of a BPF output event on CPU {cpu} was refused: {}: run as root or with CAP_PERFMON \
                     (CAP_SYS_ADMIN before Linux 5.8)",
                    errno
                )?;
                match paranoid {
                    Some(level) => write!(f, ", or lower /proc/sys/kernel/perf_event_paranoid from {level} to 0"),
                    None => Ok(()),
                }
            }
            Self::Offline { cpu, errno } => write!(
                f,
                "perf_event_open of a BPF output event on CPU {cpu} failed: {}: it is offline or does not exist; \
                 see /sys/devices/system/cpu/online",
                errno
            ),
            Self::LockedMemory { cpu, bytes, fit, mlock_kb, memlock } => {
                write!(
                    f,
                    "mapping the perf buffer of CPU {cpu} ({bytes} bytes) goes beyond the memory this user may lock: \
                     EPERM (Operation not permitted): "
                )?;
                match fit {
                    0 => f.write_str("no buffer would fit")?,
                    fit => write!(f, "{fit} bytes would fit")?,
                }
                f.write_str("; raise /proc/sys/kernel/perf_event_mlock_kb (")?;
                match mlock_kb {
                    Some(kb) => write!(f, "{kb} KiB a CPU for each user")?,
                    None => f.write_str("unknown here")?,
                }
                f.write_str(") or RLIMIT_MEMLOCK (")?;
                match *memlock {
                    libc::RLIM_INFINITY => f.write_str("unlimited")?,
                    bytes => write!(f, "{} KiB", bytes / 1024)?,
                }
                f.write_str("), or run with CAP_IPC_LOCK")
            }
            Self::Corrupt { cpu, corrupt } => write!(f, "the perf buffer of CPU {cpu}: {corrupt}"),
            Self::Foreign { what, corrupt } => write!(f, "the perf buffer of {what}: {corrupt}"),
            Self::OnlineCpus { reason } => {
                write!(f, "the list of online CPUs cannot be used: {reason}")
            }
            Self::Syscall { operation, errno } => {
                write!(f, "cannot {operation}: {errno}")?;
                match errno.hint() {
                    Some(hint) => write!(f, "; {hint}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Error {}
