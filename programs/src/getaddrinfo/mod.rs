//! The program under study: it hangs on `getaddrinfo` and sends one event for each call, in three ways.
//!
//! ```text
//!     entry.rs   on entry    keeps the arguments and the time, by thread and stack frame, in the map `calls`
//!     answer.rs  on return   finds them again, fills the event: the body that all three ways share
//!       stack.rs             … in a struct on the BPF stack, then bpf_perf_event_output copies it
//!       heap.rs              … in a value of a per-CPU array, then bpf_perf_event_output copies it
//!       ring.rs              … in a reservation inside the ring itself, then bpf_ringbuf_submit: no copy
//!     losses.rs              counts what could not be sent, for each CPU and by reason
//!     follow.rs  on fork     keeps the set of processes that descend from a followed one
//!     event.rs               what arrives, and how to read it
//! ```
//!
//! To see the difference between the ways, read `stack.rs`, `heap.rs` and `ring.rs` side by side: each is a page.

mod answer;
mod entry;
mod event;
mod follow;
mod heap;
mod losses;
mod registers;
mod ring;
mod stack;

use std::{fmt, str::FromStr};

pub use event::{Address, Call, Event, EventError, Lookup, StackEvent, Text};
pub use losses::{Losses, Reason};

use crate::{Error, ObjectBuilder, source};

/// How an event travels from the program to user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Built on the BPF stack, copied into the perf buffer of the CPU.
    PerfStack,
    /// Built in a per-CPU value, copied into the perf buffer of the CPU.
    PerfHeap,
    /// Built inside the ring buffer that all CPUs share. Linux 5.8.
    Ring,
}

/// The function that is traced.
pub const FUNCTION: &str = "getaddrinfo";
/// The library that defines it.
pub const LIBRARY: &str = "libc.so.6";

/// The names in the objects.
pub mod names {
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
}

impl Transport {
    /// All of them, in the order of the story: two copies, one copy fewer limits, none.
    pub const ALL: [Self; 3] = [Self::PerfStack, Self::PerfHeap, Self::Ring];

    /// The object file with the programs that send events this way, for this machine's architecture.
    ///
    /// # Errors
    ///
    /// Only if the programs in this crate are wrong, which its tests rule out.
    pub fn object(self) -> Result<Vec<u8>, Error> {
        self.builder().write()
    }

    /// The programs as text: Rust lines, instructions, names.
    ///
    /// # Errors
    ///
    /// As [`Transport::object`].
    pub fn listing(self) -> Result<String, Error> {
        self.builder().listing()
    }

    fn builder(self) -> ObjectBuilder {
        let mut object = ObjectBuilder::new("Dual MIT/GPL");
        for source in [
            source!("mod.rs"),
            answer::SOURCE,
            entry::SOURCE,
            follow::SOURCE,
            heap::SOURCE,
            losses::SOURCE,
            ring::SOURCE,
            stack::SOURCE,
        ] {
            object.source(source);
        }
        let losses = losses::Counters::new(&mut object);
        let followed = follow::programs(&mut object, &losses);
        let calls = entry::program(&mut object, &followed);
        let origin = answer::Origin::new(&mut object);
        match self {
            Self::PerfStack => {
                let way = stack::Stack::new(&mut object);
                answer::program(&mut object, &way, calls, &followed, &losses, &origin);
            }
            Self::PerfHeap => {
                let way = heap::Heap::new(&mut object);
                answer::program(&mut object, &way, calls, &followed, &losses, &origin);
            }
            Self::Ring => {
                let way = ring::Ring::new(&mut object);
                answer::program(&mut object, &way, calls, &followed, &losses, &origin);
            }
        }
        object
    }

    /// The name on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PerfStack => "perf-stack",
            Self::PerfHeap => "perf-heap",
            Self::Ring => "ring",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|transport| transport.name() == name).ok_or_else(|| {
            format!("there is no transport `{name}`; there are {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
