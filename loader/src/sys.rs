//! The system calls that the loader makes, and nothing above them.
//!
//! The doors that lead into the kernel from here: [`bpf`](bpf()) for bpf(2), with a file for each part of its work
//! ([`elements`], [`link`], [`btf`], [`ids`], [`run`], [`statistics`]); [`perf_event`] for perf_event_open(2) and its
//! ioctls; [`netlink`] and [`socket`] for what is attached to network devices and sockets; [`process`] for the few
//! calls about ourselves; [`file`] for files of the kernel's, [`sysfs`] and [`mount`] for those that must be its own
//! whatever is mounted where; [`shared`] for maps that are mapped. Each of them goes through libc's `syscall()` or a
//! plain libc wrapper, and each is reported to the crate `log` at level `trace` under the target `syscall`: first the
//! call's name, then its arguments by the names the kernel gives them, last its answer; the message says why the call
//! was made. That report is all that `cutaway --explain` is.

pub(crate) mod attr;
pub(crate) mod bpf;
pub(crate) mod btf;
pub(crate) mod constant_names;
pub(crate) mod elements;
pub(crate) mod func_info;
pub(crate) mod ids;
pub(crate) mod link;
pub(crate) mod memlock;
pub(crate) mod mmap;
#[cfg(feature = "network")]
pub(crate) mod netlink;
pub(crate) mod perf_event;
pub(crate) mod process;
pub(crate) mod run;
#[cfg(feature = "network")]
pub(crate) mod socket;
pub(crate) mod statistics;
