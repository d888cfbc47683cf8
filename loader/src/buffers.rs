//! Opens the readers of maps that carry records.
//!
//! The readers know neither maps nor bpf(2): one takes a file descriptor to map, the other opens perf events, which
//! this module puts into an array.
//!
//! | file | content |
//! | --- | --- |
//! | `open` | [`Map::ring`](crate::Map::ring) |
//! | `slots` | [`Map::perf_buffers`](crate::Map::perf_buffers): a `PERF_EVENT_ARRAY` and its slots |
//! | `poller` | [`Poller`]: one wait for all of them |

#[cfg(any(feature = "ring", feature = "perf"))]
mod open;
#[cfg(all(feature = "poller", any(feature = "ring", feature = "perf")))]
mod poller;
#[cfg(feature = "perf")]
mod slots;

#[cfg(all(feature = "poller", any(feature = "ring", feature = "perf")))]
pub use self::poller::{PollError, Poller, Source, Token};
#[cfg(feature = "perf")]
pub use self::slots::PerfEventArray;
