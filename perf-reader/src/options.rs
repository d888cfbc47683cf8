//! The options of a buffer.

/// The condition on which the kernel wakes the reader of a buffer.
///
/// The kernel also wakes the reader each time half of the ring was filled, unless [`Bytes`](Wakeup::Bytes) requests
/// more than half of the ring (`ring_buffer_init` in `kernel/events/ring_buffer.c`).
///
/// With any value except [`Events(1)`](Wakeup::Events), a buffer can hold records that sent no wake-up. To find them,
/// [`PerCpuBuffers::wait`](crate::PerCpuBuffers::wait) and [`AdaptiveReader::wait`](crate::AdaptiveReader::wait) poll
/// every [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL) (90 ms). An idle reader then wakes up 11 times a second. On
/// a machine that is not overloaded, each record is found within 100 ms.
#[doc(alias("wakeup_events", "wakeup_watermark"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wakeup {
    /// After this number of samples. 1 is after each sample. With 0, samples send no wake-up.
    ///
    /// A wake-up costs the program's CPU several microseconds. So a wake-up for each sample limits a stream to a few
    /// hundred thousand samples a second. With more than 1, the last samples of a burst may send no wake-up.
    #[doc(alias = "wakeup_events")]
    Events(u32),
    /// After this number of bytes of records, headers and padding included. 0 means half of the ring.
    #[doc(alias = "wakeup_watermark")]
    Bytes(u32),
}

/// The options of [`Buffer::open`](crate::Buffer::open) and [`PerCpuBuffers::open`](crate::PerCpuBuffers::open). The
/// default is a wake-up for every sample, and no timestamps.
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

    /// Sets whether each sample carries the time at which it was sent, in nanoseconds of CLOCK_MONOTONIC. The time
    /// takes 8 more bytes in each record. Needs Linux 4.1.
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
