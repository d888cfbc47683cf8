//! One sample, and the true length of its payload.

use std::fmt;

use crate::bytes::Bytes;

/// The maximum number of bytes of stale memory that the kernel leaves after a payload.
pub const MAX_PADDING: usize = 7;

/// The data that a program sent with one `bpf_perf_event_output`, in place in the ring. `Send` and `Sync`.
///
/// The kernel does not store the number of bytes that the program sent. It rounds the record up to a multiple of 8
/// bytes, and `raw_size` includes the padding (`perf_prepare_sample`). For a payload of 8 bytes, `raw_size` is 12, and
/// 4 of these bytes are stale bytes of the ring.
///
/// Only the program's author knows the payload's length. So the caller passes the length to
/// [`payload`](Sample::payload), [`payload_by`](Sample::payload_by) or [`array`](Sample::array), which check it against
/// the record. [`padded`](Sample::padded) returns the payload with its padding.
#[doc(alias("PERF_RECORD_SAMPLE", "PERF_SAMPLE_RAW"))]
#[derive(Clone, Copy, Debug)]
pub struct Sample<'d> {
    pub(crate) padded: Bytes<'d>,
    pub(crate) time: Option<u64>,
    pub(crate) position: u64,
}

impl<'d> Sample<'d> {
    /// Returns the payload followed by 0 to 7 bytes of stale memory: `raw_size` bytes.
    #[inline]
    pub fn padded(&self) -> Bytes<'d> {
        self.padded
    }

    /// Returns the payload of a program that sends `len` bytes at a time.
    ///
    /// # Errors
    /// [`WrongLength`] if a payload of `len` bytes does not make a record of this size.
    #[inline]
    pub fn payload(&self, len: usize) -> Result<Bytes<'d>, WrongLength> {
        let wrong = WrongLength { declared: len, padded: self.padded.len() };
        if wrong.padded.wrapping_sub(len) > MAX_PADDING {
            return Err(wrong);
        }
        self.padded.slice(0..len).ok_or(wrong)
    }

    /// Returns the payload of a program that writes its length into the payload. `declared` reads that length from the
    /// padded bytes.
    ///
    /// ```
    /// # let (mut kernel, pages) = perf_reader::fake::perf_buffer(4096);
    /// # let mut reader = perf_reader::Reader::new(pages, false)?;
    /// # kernel.sample(b"\x06\0\0\0ab").unwrap();
    /// # let batch = reader.batch()?;
    /// # let Some(Ok(perf_reader::Record::Sample(sample))) = batch.records().next() else { panic!() };
    /// // The event begins with a u32 that counts its bytes, itself included.
    /// let payload = sample.payload_by(|padded| Some(u32::from_ne_bytes(padded.array(0)?) as usize))?;
    /// # assert!(payload == *b"\x06\0\0\0ab".as_slice());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WrongLength`] if `declared` returns a length that does not make a record of this size. Also if `declared`
    /// returns `None`; the error's `declared` is then 0.
    #[inline]
    pub fn payload_by(&self, declared: impl FnOnce(Bytes<'d>) -> Option<usize>) -> Result<Bytes<'d>, WrongLength> {
        let padded = self.padded();
        match declared(padded) {
            Some(len) => self.payload(len),
            None => Err(WrongLength { declared: 0, padded: padded.len() }),
        }
    }

    /// Returns a copy of the payload of a program that sends `N` bytes at a time. A typed event is decoded from it.
    ///
    /// # Errors
    /// [`WrongLength`] if a payload of `N` bytes does not make a record of this size.
    #[inline]
    pub fn array<const N: usize>(&self) -> Result<[u8; N], WrongLength> {
        self.payload(N)?.array(0).ok_or(WrongLength { declared: N, padded: self.padded.len() })
    }

    /// Returns the time at which the sample was sent, in nanoseconds of CLOCK_MONOTONIC, the clock of
    /// `bpf_ktime_get_ns`. Returns `None` unless the buffer was opened with [`timestamps`](crate::Options::timestamps).
    #[inline]
    pub fn time(&self) -> Option<u64> {
        self.time
    }

    /// Returns the position of the sample's record, in bytes since the buffer was created.
    pub fn position(&self) -> u64 {
        self.position
    }
}

/// A declared length that does not match the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongLength {
    /// The declared length of the payload, in bytes.
    pub declared: usize,
    /// The length of the payload with its padding, in bytes. The payload has up to [`MAX_PADDING`] bytes fewer.
    pub padded: usize,
}

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a payload of {} bytes was declared, but the record holds {} to {}: \
             the program and its reader disagree on the event's layout",
            self.declared,
            self.padded.saturating_sub(MAX_PADDING),
            self.padded
        )
    }
}

impl std::error::Error for WrongLength {}
