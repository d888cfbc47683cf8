//! The errors of this crate, with messages that say what to do.
//!
//! Each message contains the whole reason. So no error here has a [`source`](std::error::Error::source), because a
//! chain of errors would print the reason twice.

use std::fmt;
use std::io;

use cutaway_sys::errno::{ENOTSUPP, Errno};

/// A failure to open a ring, wait for it or read it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A ring cannot have the given size. No system call was made.
    InvalidSize {
        /// The given size, in bytes.
        bytes: u64,
        /// The machine's page size, in bytes.
        page: u64,
    },
    /// The ring does not have the given size.
    SizeMismatch {
        /// The given size, in bytes.
        bytes: u32,
        /// The map's `max_entries`: its true size in bytes.
        max_entries: u32,
    },
    /// The fd is not a map of the right type.
    WrongType {
        /// The kernel's name of the required type.
        expected: &'static str,
        /// The map's type, a value of `enum bpf_map_type`. `None` if the fd is not a BPF map.
        found: Option<u32>,
    },
    /// The type of the fd cannot be queried, by bpf(2) or in `/proc`. Mapping an fd of unknown type would be unsound.
    UnknownType {
        /// The kernel's name of the required type.
        expected: &'static str,
        /// The error of bpf(2).
        bpf: io::Error,
        /// The error of `/proc`.
        proc: io::Error,
    },
    /// This process has the ring open already. A second reader would free records that the first one has lent. A second
    /// producer of a user ring would lend the same bytes for writing. Other processes are not checked.
    AlreadyOpen {
        /// The side that is open already.
        side: Side,
    },
    /// The ring overwrites its oldest records (`BPF_F_RB_OVERWRITE`), so no record can be lent. Open it as an
    /// [`OverwriteRing`](crate::OverwriteRing).
    OverwriteMode,
    /// The kernel refused to map the ring's pages.
    Map {
        /// The part of the ring.
        region: Region,
        /// The size of the mapping in bytes.
        bytes: usize,
        /// The kernel's error.
        source: io::Error,
    },
    /// A system call failed.
    Syscall {
        /// The system call's name.
        call: &'static str,
        /// The purpose of the call.
        operation: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// A sample is longer than its user ring can ever hold.
    TooLong {
        /// The requested length, in bytes.
        length: u32,
        /// The maximum length, in bytes.
        most: u64,
    },
    /// The ring holds a value that no kernel writes.
    Corrupt(Corrupt),
}

/// A side of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The writer.
    Producer,
    /// The reader.
    Consumer,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        })
    }
}

/// The part of a ring that a mapping covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Region {
    /// The consumer's page, mapped for reading and writing.
    Consumer,
    /// The producer's page and both views of the data, mapped read-only.
    Data,
    /// All pages, mapped read-only.
    ReadOnly,
    /// The consumer's page of a user ring, mapped read-only.
    UserConsumer,
    /// The producer's page and both views of the data of a user ring, mapped for reading and writing.
    UserData,
}

impl Region {
    pub(crate) fn is_written(self) -> bool {
        matches!(self, Self::Consumer | Self::UserData)
    }

    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Consumer => {
                "maps the consumer's page, the only one that user space may write: storing the position there frees \
                     records"
            }
            Self::Data => {
                "maps the producer's page once and the data twice, so that a record that crosses the end is one slice"
            }
            Self::ReadOnly => "maps all pages read-only, so that observing cannot disturb the reader",
            Self::UserConsumer => "maps the consumer's page of a user ring, which the kernel writes",
            Self::UserData => "maps the producer's page and the data of a user ring, which user space writes",
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consumer => "the consumer's page of a ring",
            Self::Data => "the producer's page and the data of a ring",
            Self::ReadOnly => "all pages of a ring",
            Self::UserConsumer => "the consumer's page of a user ring",
            Self::UserData => "the producer's page and the data of a user ring",
        })
    }
}

/// A value on the ring's pages that no kernel writes. The records after it cannot be trusted. So reading stops before
/// the value and does not continue.
///
/// The usual reasons are a second consumer of the same ring, a ring that was opened with a wrong size, or a process
/// that wrote to the consumer's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// A position is not a multiple of 8. (All records start at multiples of 8.)
    Misaligned {
        /// The position's name in the kernel.
        which: &'static str,
        /// The position's value.
        position: u64,
    },
    /// Producer and consumer are further apart than the ring's size.
    Span {
        /// The position of this consumer.
        consumer: u64,
        /// The position on the producer's page.
        producer: u64,
        /// Size of the ring in bytes.
        size: u64,
    },
    /// A record's length extends past the producer position.
    Length {
        /// The position of the record.
        position: u64,
        /// The length in the record's header, in bytes.
        length: u32,
        /// The number of bytes between the record's start and the producer position.
        available: u64,
    },
    /// The consumer position is not the value that this consumer stored last. Another process reads the ring, or has
    /// written to the consumer's page. Records may be missed, or read by both consumers.
    Consumer {
        /// The position that was stored.
        stored: u64,
        /// The position on the page now.
        found: u64,
    },
    /// The producer position of a user ring is not the value that this producer stored last.
    Producer {
        /// The position that was stored.
        stored: u64,
        /// The position on the page now.
        found: u64,
    },
}

impl Error {
    /// Returns the errno of the failed system call, if a call failed. For [`Error::UnknownType`], returns the errno of
    /// bpf(2).
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Map { source, .. } | Self::Syscall { source, .. } | Self::UnknownType { bpf: source, .. } => {
                source.raw_os_error().map(Errno::new)
            }
            _ => None,
        }
    }
}

/// Returns a function that wraps the error of a failed system call.
pub(crate) fn system(call: &'static str, operation: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Syscall { call, operation, source }
}

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl std::error::Error for Error {}
impl std::error::Error for Corrupt {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSize { bytes, page } => write!(
                f,
                "a ring cannot have {bytes} bytes: its size is a power of two and a multiple of the page size, \
                     {page}; pass the max_entries that the map was created with"
            ),
            Self::SizeMismatch { bytes, max_entries } => write!(
                f,
                "the ring has {max_entries} bytes, not {bytes}; pass the max_entries that the map was created with"
            ),
            Self::WrongType { expected, found: Some(found) } => {
                write!(f, "the map is of type {found} (enum bpf_map_type), not {expected}; open one of that type")
            }
            Self::WrongType { expected, found: None } => {
                write!(f, "the fd is not a BPF map; open one of type {expected}")
            }
            Self::UnknownType { expected, bpf, proc } => write!(
                f,
                "cannot find out whether the fd is a map of type {expected}: bpf(BPF_OBJ_GET_INFO_BY_FD) failed with {}, \
                 /proc/thread-self/fdinfo with {}; allow one of them (before Linux 5.19, CAP_BPF allows the first)",
                Errno::of(bpf),
                Errno::of(proc)
            ),
            Self::AlreadyOpen { side } => write!(
                f,
                "this process has the ring open already, and a ring can have one {side} only; use that one, or drop \
                     it before opening the ring again"
            ),
            Self::OverwriteMode => f.write_str(
                "the ring overwrites its oldest records (BPF_F_RB_OVERWRITE), so no record can be borrowed; read it \
                     with OverwriteRing, which copies them",
            ),
            Self::Map { region, bytes, source } => {
                write!(f, "cannot map {region} ({bytes} bytes): {}; {}", Errno::of(source), map_advice(*region, source))
            }
            Self::Syscall { call, operation, source } => {
                write!(f, "cannot {operation} ({call}): {}; {}", Errno::of(source), system_advice(source))
            }
            Self::TooLong { length, most } => write!(
                f,
                "a sample of {length} bytes does not fit in its user ring, which holds at most {most}; make the map larger"
            ),
            Self::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned { which, position } => {
                write!(f, "the ring is corrupt: its {which} is {position}, not a multiple of 8")
            }
            Self::Span { consumer, producer, size } => write!(
                f,
                "the ring is corrupt: its producer at {producer} is {} bytes ahead of the consumer at {consumer}, but \
                     it holds {size}; was it created with BPF_F_RB_OVERWRITE, or does it have a second consumer?",
                producer.wrapping_sub(*consumer)
            ),
            Self::Length { position, length, available } => write!(
                f,
                "the ring is corrupt: the record at {position} claims {length} bytes, but only {available} were \
                     produced there, header included"
            ),
            Self::Consumer { stored, found } => write!(
                f,
                "the ring has a second consumer: this one stored position {stored}, and now it is {found}, so records \
                 may be missed or read twice; a ring can have one consumer only: end the other and open this one again"
            ),
            Self::Producer { stored, found } => write!(
                f,
                "the user ring has a second producer: this one stored position {stored}, and now it is {found}; a \
                     user ring can have one producer only, so end the other and open this one again"
            ),
        }
    }
}

/// Explains why mmap(2) of a ring failed (`bpf_map_mmap` in `kernel/bpf/syscall.c` and `ringbuf_map_mmap_kern` in
/// `kernel/bpf/ringbuf.c`).
fn map_advice(region: Region, error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBADF) => "the fd is not open",
        // For a read-only fd, the kernel clears VM_SHARED and then requires it.
        Some(libc::EINVAL) if !region.is_written() => {
            "the fd was opened read-only; open the map for reading and writing"
        }
        Some(libc::EPERM) => "the map is frozen (BPF_MAP_FREEZE), so user space may not write to it",
        Some(libc::ENODEV | ENOTSUPP) => {
            "the fd is not a map that can be mapped; open one of type BPF_MAP_TYPE_RINGBUF (Linux 5.8)"
        }
        Some(libc::EACCES) => "the fd was opened read-only; open the map for reading and writing",
        Some(libc::ENOMEM) => "there is no address space left, or a limit on it is reached (ulimit -v)",
        _ => "the fd is not a map of type BPF_MAP_TYPE_RINGBUF (Linux 5.8)",
    }
}

fn system_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => "the process has no fd left; raise `ulimit -n`",
        Some(libc::ENFILE) => "the system has no fd left; raise fs.file-max",
        Some(libc::ENOSPC) => "the user's limit on epoll watches is reached; raise fs.epoll.max_user_watches",
        Some(libc::ENOMEM) => "the kernel has no memory left",
        Some(libc::EPERM) => "the fd cannot be waited for; is it a ring?",
        Some(libc::EBADF) => "the fd is not open",
        _ => "mmap-ring has no advice for this error",
    }
}
