//! How a buffer is opened.

/// When the kernel wakes whoever waits for a buffer.
///
/// In any case it also does so each time half of the ring was filled, except with [`Bytes`](Wakeup::Bytes) above that
/// (`ring_buffer_init` in `kernel/events/ring_buffer.c`).
///
/// With anything but [`Events(1)`](Wakeup::Events) records can lie in a buffer without a wake-up.
/// [`PerCpuBuffers::wait`](crate::PerCpuBuffers::wait) and [`AdaptiveReader::wait`](crate::AdaptiveReader::wait) look
/// for them every [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), which costs an idle reader 11 wake-ups a second;
/// so no record waits for longer than 100 ms on a machine that is not overloaded.
#[doc(alias("wakeup_events", "wakeup_watermark"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wakeup {
    /// After so many samples; 1 means after each, 0 not for samples at all.
    ///
    /// A wake-up costs the program's CPU microseconds: one for each sample bounds a stream at a few hundred thousand a
    /// second. With more than 1, the last few samples of a burst send no wake-up.
    #[doc(alias = "wakeup_events")]
    Events(u32),
    /// After so many bytes of records, headers and padding included; 0 means half of the ring.
    #[doc(alias = "wakeup_watermark")]
    Bytes(u32),
}

/// Options of [`Buffer::open`](crate::Buffer::open) and [`PerCpuBuffers::open`](crate::PerCpuBuffers::open): by default
/// a wake-up for every sample, and no times.
#[doc(alias("perf_buffer_opts", "perf_event_attr", "ReaderOptions"))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(crate) wakeup: Wakeup,
    pub(crate) timestamps: bool,
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self { wakeup: Wakeup::Events(1), timestamps: false }
    }

    /// When to be woken.
    pub fn wakeup(mut self, wakeup: Wakeup) -> Self {
        self.wakeup = wakeup;
        self
    }

    /// Whether each sample carries the time it was sent, in nanoseconds of CLOCK_MONOTONIC: 8 bytes more a record.
    /// Needs Linux 4.1.
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
