//! The options of a buffer.

/// The condition on which the kernel wakes the reader of a buffer.
///
/// The kernel also wakes it each time half of the ring was filled, except with [`Bytes`](Wakeup::Bytes) above that
/// (`ring_buffer_init` in `kernel/events/ring_buffer.c`).
///
/// With any value except [`Events(1)`](Wakeup::Events), a buffer can hold records that sent no wake-up.
/// [`PerCpuBuffers::wait`](crate::PerCpuBuffers::wait) and [`AdaptiveReader::wait`](crate::AdaptiveReader::wait) poll
/// for them every [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), which costs an idle reader 11 wake-ups a second.
/// So on a machine that is not overloaded, no record waits longer than 100 ms.
#[doc(alias("wakeup_events", "wakeup_watermark"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wakeup {
    /// After this number of samples: 1 is after each sample, 0 is never because of samples.
    ///
    /// A wake-up costs the program's CPU microseconds: one for each sample limits a stream to a few hundred thousand
    /// samples a second. With more than 1, the last few samples of a burst send no wake-up.
    #[doc(alias = "wakeup_events")]
    Events(u32),
    /// After this number of bytes of records, headers and padding included; 0 is half of the ring.
    #[doc(alias = "wakeup_watermark")]
    Bytes(u32),
}

/// Options of [`Buffer::open`](crate::Buffer::open) and [`PerCpuBuffers::open`](crate::PerCpuBuffers::open): by default
/// a wake-up for every sample, and no timestamps.
#[doc(alias("perf_buffer_opts", "perf_event_attr", "ReaderOptions"))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(crate) wakeup: Wakeup,
    pub(crate) timestamps: bool,
}

impl Options {
    /// Returns the default options.
    pub fn new() -> Self {
        Self { wakeup: Wakeup::Events(1), timestamps: false }
    }

    /// Sets when the kernel wakes the reader.
    pub fn wakeup(mut self, wakeup: Wakeup) -> Self {
        self.wakeup = wakeup;
        self
    }

    /// Sets whether each sample carries the time it was sent, in nanoseconds of CLOCK_MONOTONIC. It takes 8 more bytes
    /// per record. Needs Linux 4.1.
    #[doc(alias = "PERF_SAMPLE_TIME")]
    pub fn timestamps(mut self, timestamps: bool) -> Self {
        self.timestamps = timestamps;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
