//! The names in the objects.

/// The program on the function's entry.
pub const ENTRY: &str = "getaddrinfo_entry";
/// The program on its return, which sends the event.
pub const RETURN: &str = "getaddrinfo_return";
/// The program on the tracepoint `task/task_newtask`.
pub const FOLLOW: &str = "follow_fork";
/// The program on the tracepoint `sched/sched_process_exit`.
pub const UNFOLLOW: &str = "follow_exit";
/// The map that events come out of: a `RINGBUF` or a `PERF_EVENT_ARRAY`.
pub const EVENTS: &str = "events";
/// The per-CPU array whose only value is a [`Losses`](super::Losses).
pub const LOSSES: &str = "losses";
/// The set of process ids that are followed, a hash of `u32` to `u8`.
pub const FOLLOWED: &str = "followed";
/// The constant (`u32`) that is not 0 if only followed processes are traced.
pub const ONLY_FOLLOWED: &str = "only_followed";
/// The constant (`u32`) that is not 0 if events carry the cookie of their link: Linux 5.15, where links have cookies.
pub const WITH_COOKIE: &str = "with_cookie";
/// The constant (`u32`) that is not 0 if events carry the id of their process's cgroup: a kernel with `CONFIG_CGROUPS`.
pub const WITH_CGROUP: &str = "with_cgroup";
