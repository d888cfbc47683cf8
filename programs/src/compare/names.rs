//! The names of the programs and maps in the objects.

/// The program that user space runs.
pub const PROGRAM: &str = "send";
/// The map through which records are sent: a `RINGBUF` or a `PERF_EVENT_ARRAY`.
pub const EVENTS: &str = "events";
/// The bytes that records are copied from: an array with one value.
pub const BYTES: &str = "bytes";
/// The ring buffer of `task_event.rs`.
pub const RING: &str = "ring";
/// The perf buffers of `task_event.rs` that are read in arrival order.
pub const PERF: &str = "perf";
/// The perf buffers of `task_event.rs` that are merged by time.
pub const MERGED: &str = "merged";
/// The timestamps of `array_sink.rs`: an array of `u64`.
pub const SLOTS: &str = "slots";
/// The number of timestamps written so far: an array with one `u64`.
pub const NEXT: &str = "next";
