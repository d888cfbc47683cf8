//! The kernel's record format, and the iterator over records.
//!
//! ```text
//! u32 type   u16 misc   u16 size      size counts this header and the padding: always a multiple of 8
//! SAMPLE (9): [u64 time]  u32 raw_size   raw_size bytes: the payload, then 0 to 7 bytes of stale memory
//! LOST   (2):  u64 id     u64 lost       the number of samples dropped since the previous record
//! ```
//!
//! `perf_output_sample` and `__perf_output_begin` in `kernel/events/` write records. `enum perf_event_type` in
//! `include/uapi/linux/perf_event.h` describes the types.

use std::cell::Cell;
use std::ops::ControlFlow;

use crate::bytes::Bytes;
use crate::corrupt::Corrupt;
use crate::sample::Sample;

/// `PERF_RECORD_LOST`.
pub(crate) const LOST: u32 = 2;
/// `PERF_RECORD_SAMPLE`.
pub(crate) const SAMPLE: u32 = 9;
/// Size of a record's header in bytes.
pub(crate) const HEADER: usize = 8;

/// One record of a buffer. `Send` and `Sync`.
///
/// A record borrows from its [`Batch`](crate::Batch): its bytes stay in the ring until the batch is dropped.
///
/// ```no_run
/// use perf_reader::{Buffer, Options, Record};
///
/// let mut buffer = Buffer::open(0, 64 * 1024, &Options::new())?;
/// for record in &buffer.batch()? {
///     match record? {
///         Record::Sample(sample) => println!("sample: {:?}", sample.padded()),
///         Record::Lost(samples) => eprintln!("{samples} samples were lost before the next one"),
///         _ => {}
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Record<'d> {
    /// A sample that a program sent with `bpf_perf_event_output`.
    #[doc(alias = "PERF_RECORD_SAMPLE")]
    Sample(Sample<'d>),
    /// The number of samples that the kernel dropped after the previous record, because they did not fit.
    ///
    /// The kernel writes this record before the next sample that fits. So the losses after the last sample have no
    /// record. Since Linux 6.0, [`Buffer::lost`](crate::Buffer::lost) counts these losses, too.
    #[doc(alias = "PERF_RECORD_LOST")]
    Lost(u64),
}

/// An iterator over the records of a batch, in the order in which the CPU wrote them. Neither `Send` nor `Sync`.
///
/// Records that are neither samples nor LOST records are skipped. After [`Corrupt::Record`] the iterator ends. After
/// [`Corrupt::Content`] it continues with the next record.
#[derive(Debug)]
pub struct Records<'d> {
    rest: Rest<'d>,
    /// The sum of the LOST records that were read since the batch began.
    lost: u64,
    cursor: &'d Cursor,
}

/// The bytes of a batch that the iterator has not read.
#[derive(Clone, Copy, Debug)]
struct Rest<'d> {
    /// The bytes up to the end of the data area, or to `end`.
    front: &'d [u8],
    /// The bytes from the start of the data area. Empty if the unread bytes do not wrap.
    back: &'d [u8],
    /// The position after the last byte.
    end: u64,
    /// Whether samples carry a time.
    timed: bool,
}

/// The state of an iterator at one position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint<'d> {
    rest: Rest<'d>,
    lost: u64,
}

/// The position up to which a batch was read. An iterator sets it when it is dropped, not at each record, so that its
/// own state stays in registers. If several iterators exist at once, the one that is dropped last sets it.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// The position of the next record.
    pub(crate) position: Cell<u64>,
    /// The sum of the LOST records before this position.
    pub(crate) lost: Cell<u64>,
}

impl Cursor {
    pub(crate) fn at(position: u64) -> Self {
        Self { position: Cell::new(position), lost: Cell::new(0) }
    }
}

impl<'d> Records<'d> {
    #[inline]
    pub(crate) fn new(rest: Bytes<'d>, end: u64, timed: bool, cursor: &'d Cursor) -> Self {
        let [front, back] = rest.pieces();
        Self { rest: Rest { front, back, end, timed }, lost: cursor.lost.get(), cursor }
    }

    /// Returns the current state of the iterator, for [`back_to`](Records::back_to).
    pub(crate) fn checkpoint(&self) -> Checkpoint<'d> {
        Checkpoint { rest: self.rest, lost: self.lost }
    }

    /// Returns to an earlier state of this iterator. The records that were read since then count as unread.
    pub(crate) fn back_to(&mut self, mark: Checkpoint<'d>) {
        Checkpoint { rest: self.rest, lost: self.lost } = mark;
    }

    /// Calls `each` with every record, until `each` returns `Break`. This is as fast as `fold`, but can end early.
    #[inline]
    pub(crate) fn walk<B>(
        mut self,
        mut each: impl FnMut(Result<Record<'d>, Corrupt>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        loop {
            if self.rest.timed {
                while let Some(sample) = self.fast::<24>() {
                    each(Ok(Record::Sample(sample)))?;
                }
            } else {
                while let Some(sample) = self.fast::<16>() {
                    each(Ok(Record::Sample(sample)))?;
                }
            }
            match self.slow() {
                Some(record) => each(record)?,
                None => return ControlFlow::Continue(()),
            }
        }
    }

    /// Returns the position of the next record, in bytes since the buffer was created.
    pub fn position(&self) -> u64 {
        self.rest.position()
    }
}

impl<'d> Iterator for Records<'d> {
    type Item = Result<Record<'d>, Corrupt>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let sample = if self.rest.timed { self.fast::<24>() } else { self.fast::<16>() };
        match sample {
            Some(sample) => Some(Ok(Record::Sample(sample))),
            None => self.slow(),
        }
    }

    /// Calls `f` with the remaining records, for `for_each` and similar methods. This is faster than `next`, because
    /// `f` is compiled into the fast path, in which no record wraps or is corrupt.
    #[inline]
    fn fold<B, F>(mut self, init: B, mut f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        let mut result = init;
        loop {
            if self.rest.timed {
                while let Some(sample) = self.fast::<24>() {
                    result = f(result, Ok(Record::Sample(sample)));
                }
            } else {
                while let Some(sample) = self.fast::<16>() {
                    result = f(result, Ok(Record::Sample(sample)));
                }
            }
            match self.slow() {
                Some(record) => result = f(result, record),
                None => return result,
            }
        }
    }
}

/// Nearly all records are samples that do not wrap. They take the fast path, a few comparisons and no call. All others
/// take the slow path, which also returns the errors.
///
/// The fast path does not check that a record's size is a multiple of 8. No kernel writes such a record with a matching
/// `raw_size`. If a buffer contains such a record, the next batch returns an error for its misaligned position.
impl<'d> Records<'d> {
    #[inline(always)]
    fn fast<const FIXED: usize>(&mut self) -> Option<Sample<'d>> {
        let (sample, front) = self.rest.whole_sample::<FIXED>()?;
        self.rest.front = front;
        Some(sample)
    }

    #[inline]
    fn slow(&mut self) -> Option<Result<Record<'d>, Corrupt>> {
        // Passed and returned by value: state whose address is never taken stays in registers.
        let (rest, record) = self.rest.any_record();
        self.rest = rest;
        if let Some(Ok(Record::Lost(lost))) = record {
            self.lost = self.lost.wrapping_add(lost);
        }
        record
    }
}

impl Drop for Records<'_> {
    /// Stores the position in the batch, even if the iterator is dropped early or by a panic.
    #[inline]
    fn drop(&mut self) {
        let cursor = self.cursor;
        cursor.position.set(self.rest.position());
        cursor.lost.set(self.lost);
    }
}

impl<'d> Rest<'d> {
    #[inline]
    fn position(&self) -> u64 {
        let len = self.front.len().wrapping_add(self.back.len());
        self.end.wrapping_sub(len as u64)
    }

    /// Returns the sample at the start of `front` and the bytes after it, if the sample is whole and valid: the fast
    /// path. `FIXED` is the minimum size of a sample in bytes: the bytes before `raw_size`, the 4 bytes of `raw_size`,
    /// and at least 4 bytes after it.
    #[inline(always)]
    fn whole_sample<const FIXED: usize>(&self) -> Option<(Sample<'d>, &'d [u8])> {
        let raw_at = const { FIXED - 8 };
        let fixed = Bytes::Single(self.front.first_chunk::<FIXED>()?);
        let kind = u32::from_ne_bytes(fixed.array(0)?);
        let size = usize::from(u16::from_ne_bytes(fixed.array(6)?));
        let raw_size = u32::from_ne_bytes(fixed.array(raw_at)?) as usize;
        // The kernel rounds `raw_size` up to the end of the record, so this check validates `raw_size` and `size`.
        if kind != SAMPLE || raw_size.wrapping_add(raw_at).wrapping_add(4) != size {
            return None;
        }
        let (record, front) = self.front.split_at_checked(size)?;
        let sample = Sample {
            padded: Bytes::Single(record.get(raw_at.wrapping_add(4)..)?),
            time: if raw_at == HEADER { None } else { Some(u64::from_ne_bytes(fixed.array(HEADER)?)) },
            position: self.position(),
        };
        Some((sample, front))
    }

    /// Returns the next record that is not skipped, of any kind, and the bytes after it: the slow path.
    #[inline(never)]
    fn any_record(mut self) -> (Self, Option<Result<Record<'d>, Corrupt>>) {
        loop {
            let rest = Bytes::of(self.front, self.back);
            let at = self.position();
            if rest.is_empty() {
                return (self, None);
            }
            let header: [u8; HEADER] = rest.array(0).unwrap_or_default();
            let [k0, k1, k2, k3, _, _, s0, s1] = header;
            let kind = u32::from_ne_bytes([k0, k1, k2, k3]);
            let size = u16::from_ne_bytes([s0, s1]);
            let len = usize::from(size);
            let is_valid = len >= HEADER && len.is_multiple_of(8);
            let Some(record) = rest.slice(0..len).filter(|_| is_valid) else {
                let corrupt = Corrupt::Record { at, kind, size, left: rest.len() as u64 };
                // The iterator ends, and its position stays the position of this record.
                (self.front, self.back, self.end) = (&[], &[], at);
                return (self, Some(Err(corrupt)));
            };
            let behind = rest.slice(len..rest.len()).unwrap_or_default();
            [self.front, self.back] = behind.pieces();
            let content = match kind {
                SAMPLE => sample(record, at, self.timed).map(Record::Sample),
                LOST => record.array(16).map(|lost| Record::Lost(u64::from_ne_bytes(lost))),
                _ => continue,
            };
            let record = content.ok_or(Corrupt::Content { at, kind, size, declared: declared(record, self.timed) });
            return (self, Some(record));
        }
    }
}

/// Returns the sample in `record`. Returns `None` if its `raw_size` does not match the size of the record.
fn sample(record: Bytes<'_>, position: u64, timed: bool) -> Option<Sample<'_>> {
    let raw_at = raw_at(timed);
    let raw_size = u32::from_ne_bytes(record.array(raw_at)?) as usize;
    let padded = record.slice(raw_at.wrapping_add(4)..record.len())?;
    if padded.len() != raw_size {
        return None;
    }
    let time = match timed {
        true => Some(u64::from_ne_bytes(record.array(HEADER)?)),
        false => None,
    };
    Some(Sample { padded, time, position })
}

/// Returns the offset of `raw_size` in a sample, in bytes.
fn raw_at(timed: bool) -> usize {
    if timed { HEADER + 8 } else { HEADER }
}

/// Returns the `raw_size` in a sample, or 0 if the record is too short to hold a `raw_size`.
fn declared(record: Bytes<'_>, timed: bool) -> u32 {
    record.array(raw_at(timed)).map_or(0, u32::from_ne_bytes)
}
