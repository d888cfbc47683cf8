//! What an fd stands for, asked of the kernel before anything is mapped.
//!
//! A record is lent as a slice because the kernel keeps the ring's protocol. It does so for a map of the right type
//! alone: an array with `BPF_F_MMAPABLE`, a file or a socket can be mapped, too, and its bytes change whenever somebody
//! writes there. So the kernel is asked what the fd is:
//!
//! ```text
//!   bpf(BPF_OBJ_GET_INFO_BY_FD)    type, max_entries, map_flags    Linux 4.13; no privilege from 5.19 on, before that
//!                                                                  CAP_BPF if kernel.unprivileged_bpf_disabled is set
//!   /proc/thread-self/fdinfo/FD    the same as text, where bpf(2) is refused (`bpf_map_show_fdinfo`, kernel/bpf/syscall.c)
//! ```
//!
//! Where neither answers, the ring is refused: a guess would be unsound. The fd is borrowed from the question to the
//! last mapping, so it stands for the same map all the time. The first answer is given for BPF programs, links and
//! types as well, in another form; of all these only a map can be mapped, so that an fd which passes for another reason
//! fails with ENODEV right afterwards (`bpf_map_fops` is the only one of theirs with an `mmap`).

mod check;
mod facts;
mod purpose;
mod sys;

pub(crate) use check::check;
pub(crate) use purpose::Purpose;
