//! The names of the programs, maps and constants in the objects.

/// The program on the entry of the function.
pub const ENTRY: &str = "getaddrinfo_entry";
/// The program on the return of the function, which sends the event.
pub const RETURN: &str = "getaddrinfo_return";
/// The program on the tracepoint `task/task_newtask`.
pub const FOLLOW: &str = "follow_fork";
/// The program on the tracepoint `sched/sched_process_exit`.
pub const UNFOLLOW: &str = "follow_exit";
/// The map through which events are sent: a `RINGBUF` or a `PERF_EVENT_ARRAY`.
pub const EVENTS: &str = "events";
/// The per-CPU array whose only value is a [`Losses`](super::Losses).
pub const LOSSES: &str = "losses";
/// The set of process ids that are followed: a hash from `u32` to `u8`.
pub const FOLLOWED: &str = "followed";
/// The constant (`u32`) that is nonzero if only followed processes are traced.
pub const ONLY_FOLLOWED: &str = "only_followed";
/// The constant (`u32`) that is nonzero if events carry the cookie of their link. Needs Linux 5.15, where links have
/// cookies.
pub const WITH_COOKIE: &str = "with_cookie";
/// The constant (`u32`) that is nonzero if events carry the id of their process's cgroup. Needs a kernel with
/// `CONFIG_CGROUPS`.
pub const WITH_CGROUP: &str = "with_cgroup";
