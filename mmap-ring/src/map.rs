//! Asks the kernel what an fd is, before anything is mapped.
//!
//! A record can be lent as a slice because the kernel follows the ring's protocol. It does so only for a map of the
//! right type. An array with `BPF_F_MMAPABLE`, a file or a socket can be mapped, too, and its bytes change at every
//! write. So this module asks the kernel what the fd is:
//!
//! ```text
//!   bpf(BPF_OBJ_GET_INFO_BY_FD)    type, max_entries, map_flags    Linux 4.13; no privilege from 5.19 on, before that
//!                                                                  CAP_BPF if kernel.unprivileged_bpf_disabled is set
//!   /proc/thread-self/fdinfo/FD    the same as text, if bpf(2) is refused
//!                                  (`bpf_map_show_fdinfo` in `kernel/bpf/syscall.c`)
//! ```
//!
//! If neither succeeds, the fd is refused: a guess would be unsound. The fd is borrowed from this check to the last
//! mapping, so it refers to the same map all the time. `BPF_OBJ_GET_INFO_BY_FD` also succeeds for BPF programs, links
//! and BTF, with another layout. Of all these only a map can be mapped (`bpf_map_fops` is the only one of their file
//! operations with an `mmap`). So if such an fd passes the check by accident, its mmap(2) fails with ENODEV right
//! afterwards.

mod check;
mod facts;
mod purpose;
mod sys;

pub(crate) use check::check;
pub(crate) use purpose::Purpose;
