//! The kernel's record format, and the walk over records.
//!
//! ```text
//! u32 type   u16 misc   u16 size      size counts this header and the padding: always a multiple of 8
//! SAMPLE (9): [u64 time]  u32 raw_size   raw_size bytes: the payload, then 0 to 7 bytes of stale memory
//! LOST   (2):  u64 id     u64 lost       the number of samples that found no room before this record
//! ```
//!
//! (`perf_output_sample` and `__perf_output_begin`, `kernel/events/`; `enum perf_event_type`,
//! `include/uapi/linux/perf_event.h`.)

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

/// One record of a buffer.
///
/// A record borrows from its [`Batch`](crate::Batch): its bytes stay in the ring until the batch is dropped.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Record<'d> {
    /// A sample that a program sent with `bpf_perf_event_output`.
    #[doc(alias = "PERF_RECORD_SAMPLE")]
    Sample(Sample<'d>),
    /// The number of samples that found no room between the record before this one and the one after it. The kernel can
    /// write this record only when a later record fits. [`Buffer::lost`](crate::Buffer::lost) includes losses that no
    /// later record followed.
    #[doc(alias = "PERF_RECORD_LOST")]
    Lost(u64),
}

/// The records of a batch, in the order in which their CPU wrote them.
///
/// Records of other kinds are skipped by their size. After [`Corrupt::Record`] the iterator ends; after
/// [`Corrupt::Content`] it continues.
#[derive(Debug)]
pub struct Records<'d> {
    rest: Rest<'d>,
    /// Losses announced before the next record, since the batch began.
    lost: u64,
    cursor: &'d Cursor,
}

/// The bytes that are still to be walked over.
#[derive(Clone, Copy, Debug)]
struct Rest<'d> {
    /// Up to the end of the ring, or to `end`.
    front: &'d [u8],
    /// From the start of the ring; empty if the rest does not wrap.
    back: &'d [u8],
    /// The position after its last byte.
    end: u64,
    /// Whether samples carry a time.
    timed: bool,
}

/// A position in a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint<'d> {
    rest: Rest<'d>,
    lost: u64,
}

/// The position up to which a batch was read. It is written once per walk, not once per record, so that the walk stays
/// in registers. If several walks overlap, it is that of the walk that ends last.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// The position of the next record.
    pub(crate) position: Cell<u64>,
    /// Losses announced before that record.
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

    /// Returns the current position of the walk.
    pub(crate) fn checkpoint(&self) -> Checkpoint<'d> {
        Checkpoint { rest: self.rest, lost: self.lost }
    }

    /// Moves back to an earlier position of this walk, as if the records since had not been read.
    pub(crate) fn back_to(&mut self, mark: Checkpoint<'d>) {
        Checkpoint { rest: self.rest, lost: self.lost } = mark;
    }

    /// Calls `each` with every record, until it breaks. As fast as `fold`, which cannot end early.
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

    /// Walks over the remaining records, for `for_each` and similar methods. It is the fastest walk, because the code
    /// that takes the records is compiled into the fast path, where no record wraps and none is corrupt.
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
/// take the slow path, which also returns the errors. The two agree where both apply, with one exception: a size that
/// is no multiple of 8 and has a matching raw size, which no kernel writes. The fast path does not check for it; the
/// next batch finds its misaligned position.
impl<'d> Records<'d> {
    #[inline(always)]
    fn fast<const FIXED: usize>(&mut self) -> Option<Sample<'d>> {
        let (sample, front) = self.rest.whole_sample::<FIXED>()?;
        self.rest.front = front;
        Some(sample)
    }

    #[inline]
    fn slow(&mut self) -> Option<Result<Record<'d>, Corrupt>> {
        // Passed and returned by value: a walk whose address is never taken stays in registers.
        let (rest, record) = self.rest.any_record();
        self.rest = rest;
        if let Some(Ok(Record::Lost(lost))) = record {
            self.lost = self.lost.wrapping_add(lost);
        }
        record
    }
}

impl Drop for Records<'_> {
    /// Tells the batch how far it was read, also if the walk ends early or by a panic.
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

    /// Returns the sample at the start of the front and the bytes after it, if that sample is whole and valid: the fast
    /// path. `FIXED` is the minimum size of such a record: all bytes before `raw_size`, plus 8.
    #[inline(always)]
    fn whole_sample<const FIXED: usize>(&self) -> Option<(Sample<'d>, &'d [u8])> {
        let raw_at = const { FIXED - 8 };
        let fixed = Bytes::Single(self.front.first_chunk::<FIXED>()?);
        let kind = u32::from_ne_bytes(fixed.array(0)?);
        let size = usize::from(u16::from_ne_bytes(fixed.array(6)?));
        let raw_size = u32::from_ne_bytes(fixed.array(raw_at)?) as usize;
        // The kernel rounds `raw_size` up to the end of the record, so this check bounds both.
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

    /// Returns the next record that is not skipped, of any kind, and the rest after it: the slow path.
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
                // The walk ends, and its position stays that of this record.
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

/// Returns the sample in `record`; `None` if its `raw_size` does not match the size of the record.
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

/// Returns the `raw_size` in a sample; 0 if the record is too short to hold one.
fn declared(record: Bytes<'_>, timed: bool) -> u32 {
    record.array(raw_at(timed)).map_or(0, u32::from_ne_bytes)
}
