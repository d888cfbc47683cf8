//! The system calls that the loader makes.
//!
//! ```text
//!     bpf.rs, attr.rs    bpf(2) and its attributes
//!     elements.rs, link.rs, link_info.rs, query.rs, btf.rs, ids.rs, run.rs, statistics.rs, func_info.rs, program.rs,
//!     prog_info.rs, token.rs
//!                        groups of commands of bpf(2)
//!     constant_names.rs  the kernel's names in reports
//!     perf_event.rs      perf_event_open(2) and its ioctls
//!     netlink.rs         attaching to network devices
//!     socket.rs          attaching to sockets
//!     mmap.rs            mapped maps                    fdinfo.rs    descriptions of open objects
//!     process.rs         calls about this process       memlock.rs    the locked-memory limit
//!     signals.rs         the signal mask of a thread
//! ```
//!
//! Each call goes through libc's `syscall()` or a plain libc wrapper. Each is reported to the crate `log` at level
//! `trace` with the target `syscall`: the call's name, its arguments by the kernel's names, and its return value. The
//! message is the purpose of the call. `cutaway --explain` prints these reports.

pub(crate) mod attr;
pub(crate) mod bpf;
pub(crate) mod btf;
pub(crate) mod constant_names;
pub(crate) mod elements;
pub(crate) mod fdinfo;
pub(crate) mod func_info;
pub(crate) mod ids;
pub(crate) mod link;
#[cfg(feature = "links")]
pub(crate) mod link_info;
pub(crate) mod memlock;
pub(crate) mod mmap;
#[cfg(feature = "network")]
pub(crate) mod netlink;
pub(crate) mod perf_event;
pub(crate) mod process;
#[cfg(any(feature = "info", feature = "tracing", feature = "cgroup", feature = "lirc", feature = "network"))]
pub(crate) mod prog_info;
pub(crate) mod program;
#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
pub(crate) mod query;
#[cfg(any(feature = "test-run", feature = "perf"))]
pub(crate) mod run;
#[cfg(feature = "parallel")]
pub(crate) mod signals;
#[cfg(feature = "network")]
pub(crate) mod socket;
#[cfg(feature = "info")]
pub(crate) mod statistics;
#[cfg(feature = "token")]
pub(crate) mod token;
