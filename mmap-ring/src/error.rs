//! What can go wrong, said so that the reader knows what to do.
//!
//! The messages print the reason whole, so no error here has a
//! [`source`](std::error::Error::source): a chain would say everything twice.

use std::fmt;
use std::io;

use cutaway_sys::errno::{ENOTSUPP, Errno};

/// Why a ring could not be opened, waited for or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The stated size cannot be a ring's. Nothing was asked of the kernel.
    InvalidSize {
        /// The size that was stated, in bytes.
        bytes: u64,
        /// The machine's page size, in bytes.
        page: u64,
    },
    /// The ring has another size than was stated.
    SizeMismatch {
        /// The size that was stated, in bytes.
        bytes: u32,
        /// The map's `max_entries`: its true size in bytes.
        max_entries: u32,
    },
    /// The fd is not a map of the right type.
    WrongType {
        /// The kernel's name of the type that it should have.
        expected: &'static str,
        /// The type that it has, a number of `enum bpf_map_type`; `None` if it is not a BPF map.
        found: Option<u32>,
    },
    /// Neither bpf(2) nor `/proc` tells what the fd is. Without knowing it, nothing may be mapped.
    UnknownType {
        /// The kernel's name of the type that it should have.
        expected: &'static str,
        /// Why bpf(2) did not tell.
        bpf: io::Error,
        /// Why `/proc` did not tell.
        proc: io::Error,
    },
    /// This process has the ring open already. A second reader would free what the first one has lent, and a second
    /// producer lend the same bytes. Of other processes nothing is known here.
    AlreadyOpen {
        /// What there can be one of.
        side: Side,
    },
    /// The ring overwrites its oldest records (`BPF_F_RB_OVERWRITE`), so none can be lent: it is for an
    /// [`OverwriteRing`](crate::OverwriteRing).
    OverwriteMode,
    /// The kernel refused to map the ring's pages.
    Map {
        /// Which part of the ring.
        region: Region,
        /// How many bytes of it.
        bytes: usize,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A system call failed.
    Syscall {
        /// The system call's name.
        call: &'static str,
        /// What it was made for.
        operation: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A sample is longer than its user ring can ever hold.
    TooLong {
        /// The length asked for, in bytes.
        length: u32,
        /// The most there can be, in bytes.
        most: u64,
    },
    /// The ring holds what no kernel writes.
    Corrupt(Corrupt),
}

/// A side of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who writes.
    Producer,
    /// Who reads.
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
    /// The consumer's page, to be read and written.
    Consumer,
    /// The producer's page and the data twice over, to be read.
    Data,
    /// All pages, to be read.
    ReadOnly,
    /// The consumer's page of a user ring, to be read.
    UserConsumer,
    /// The producer's page and the data of a user ring twice over, to be read
    /// and written.
    UserData,
}

impl Region {
    pub(crate) fn is_written(self) -> bool {
        matches!(self, Self::Consumer | Self::UserData)
    }

    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Consumer => {
                "maps the consumer's page, the only one that user space may write: storing the position there frees records"
            }
            Self::Data => {
                "maps the producer's page and the data twice in a row, so that a record that wraps reads as one slice"
            }
            Self::ReadOnly => "maps all pages read-only: a look that cannot disturb anybody",
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

/// Something on the ring's pages that no kernel writes. Nothing behind it can
/// be trusted, so reading stops in front of it and stays there.
///
/// The usual reasons are a second consumer of the same ring, a ring opened with
/// another ring's size, or a process that wrote to the consumer's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// A position is no multiple of 8, and records start at nothing else.
    Misaligned {
        /// Which position, by the kernel's name.
        which: &'static str,
        /// What it says.
        position: u64,
    },
    /// Producer and consumer are further apart than the ring is large.
    Span {
        /// Where this consumer stands.
        consumer: u64,
        /// What the producer's page says.
        producer: u64,
        /// Size of the ring in bytes.
        size: u64,
    },
    /// A record's length runs past the producer's position.
    Length {
        /// Where the record starts.
        position: u64,
        /// The length its header states, in bytes.
        length: u32,
        /// How many bytes there are between its start and the producer.
        available: u64,
    },
    /// The consumer position is not the one that this consumer stored last: another process reads the ring, too, or has
    /// written to the page. Records may be missed, or read by both.
    Consumer {
        /// What was stored.
        stored: u64,
        /// What the page says now.
        found: u64,
    },
    /// The producer position of a user ring is not the one that this producer stored
    /// last.
    Producer {
        /// What was stored.
        stored: u64,
        /// What the page says now.
        found: u64,
    },
}

impl Error {
    /// The errno behind it, where there is one. Of [`Error::UnknownType`], that of bpf(2).
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

/// Makes the error of a failed system call.
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
                "a ring of {bytes} bytes cannot be: its size is a power of two and a multiple of the page size, {page}; give the max_entries with which the map was made"
            ),
            Self::SizeMismatch { bytes, max_entries } => write!(
                f,
                "the ring has {max_entries} bytes, not the {bytes} stated for it; give the max_entries with which the map was made"
            ),
            Self::WrongType { expected, found: Some(found) } => {
                write!(f, "the map is of type {found} (enum bpf_map_type), not {expected}; open one of that type")
            }
            Self::WrongType { expected, found: None } => {
                write!(f, "the fd is not a BPF map; open one of type {expected}")
            }
            Self::UnknownType { expected, bpf, proc } => write!(
                f,
                "the kernel does not tell whether the fd is a map of type {expected}: bpf(BPF_OBJ_GET_INFO_BY_FD) failed with {}, \
                 /proc/thread-self/fdinfo with {}; allow one of them (before Linux 5.19, CAP_BPF allows the first)",
                Errno::of(bpf),
                Errno::of(proc)
            ),
            Self::AlreadyOpen { side } => write!(
                f,
                "this process has the ring open already, and it can have one {side} only; use that one, or drop it before opening the ring anew"
            ),
            Self::OverwriteMode => f.write_str(
                "the ring overwrites its oldest records (BPF_F_RB_OVERWRITE), so that none can be borrowed; read it with OverwriteRing, which copies them",
            ),
            Self::Map { region, bytes, source } => write!(
                f,
                "cannot map {region} ({bytes} bytes): {}; {}",
                Errno::of(source),
                map_advice(*region, source)
            ),
            Self::Syscall { call, operation, source } => {
                write!(f, "cannot {operation} ({call}): {}; {}", Errno::of(source), system_advice(source))
            }
            Self::TooLong { length, most } => write!(
                f,
                "a sample of {length} bytes does not fit in its user ring, which holds {most} at most; make the map larger"
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
                "the ring is corrupt: its producer at {producer} is {} bytes ahead of the consumer at {consumer}, but it holds {size}; was it made with BPF_F_RB_OVERWRITE, or has it a second consumer?",
                producer.wrapping_sub(*consumer)
            ),
            Self::Length { position, length, available } => write!(
                f,
                "the ring is corrupt: the record at {position} claims {length} bytes, but only {available} were produced there, header included"
            ),
            Self::Consumer { stored, found } => write!(
                f,
                "the ring has a second consumer: this one stored position {stored}, and now it is {found}, so records \
                 may be missed or read twice; a ring can have one consumer only: end the other and open this one anew"
            ),
            Self::Producer { stored, found } => write!(
                f,
                "the user ring has a second producer: this one stored position {stored}, and now it is {found}; a user ring can have one producer only, so close the other and open this one anew"
            ),
        }
    }
}

/// What a failed mmap of a ring means (`bpf_map_mmap` in `kernel/bpf/syscall.c`
/// and `ringbuf_map_mmap_kern` in `kernel/bpf/ringbuf.c`).
fn map_advice(region: Region, error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBADF) => "the fd is not open",
        // Of a read-only fd, the kernel takes VM_SHARED away, and then wants it.
        Some(libc::EINVAL) if !region.is_written() => {
            "the fd was opened read-only; open the map for reading and writing"
        }
        Some(libc::EPERM) => "the map is frozen (BPF_MAP_FREEZE), so that user space may not write to it",
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
        Some(libc::ENOSPC) => "the user watches too much; raise fs.epoll.max_user_watches",
        Some(libc::ENOMEM) => "the kernel has no memory left",
        Some(libc::EPERM) => "the fd cannot be waited for; is it a ring?",
        Some(libc::EBADF) => "the fd is not open",
        _ => "the kernel gives no reason that this library knows",
    }
}
