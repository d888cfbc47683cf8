//! The names in the objects.

/// The one program that is run.
pub const PROGRAM: &str = "send";
/// The map that records come out of: a `RINGBUF` or a `PERF_EVENT_ARRAY`.
pub const EVENTS: &str = "events";
/// What records are cut from: an array with one value.
pub const BYTES: &str = "bytes";
/// The ring of `task_event.rs`.
pub const RING: &str = "ring";
/// The perf buffers of `task_event.rs`, to be read as they come.
pub const PERF: &str = "perf";
/// The perf buffers of `task_event.rs`, to be merged by time.
pub const MERGED: &str = "merged";
/// The times of `array_sink.rs`: an array of `u64`.
pub const SLOTS: &str = "slots";
/// How many times were put there, an array with one `u64`.
pub const NEXT: &str = "next";
