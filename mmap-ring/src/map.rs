//! Queries the type of an fd before anything is mapped.
//!
//! A record can be lent as a slice because the kernel follows the ring's protocol. The kernel does so only for a map of
//! the right type. An array with `BPF_F_MMAPABLE`, a file or a socket can be mapped, too, but its bytes change at every
//! write. So this module queries the type:
//!
//! ```text
//!   bpf(BPF_OBJ_GET_INFO_BY_FD)    type, max_entries, map_flags    Linux 4.13; no privilege from 5.19 on, before that
//!                                                                  CAP_BPF if kernel.unprivileged_bpf_disabled is set
//!   /proc/thread-self/fdinfo/FD    the same as text, if bpf(2) is refused
//!                                  (`bpf_map_show_fdinfo` in `kernel/bpf/syscall.c`)
//! ```
//!
//! If both fail, the fd is refused, because a guess would be unsound. The fd is borrowed from this check to the last
//! mapping, so it refers to the same map all the time.
//!
//! `BPF_OBJ_GET_INFO_BY_FD` also succeeds for the fds of BPF programs, links and BTF, and returns another layout. If
//! such an fd passes the check by accident, the mmap(2) that follows fails with ENODEV: only the file operations of a
//! map (`bpf_map_fops`) have an `mmap`.

mod check;
mod facts;
mod purpose;
mod sys;

pub(crate) use check::check;
pub(crate) use purpose::Purpose;
