//! Records as the kernel writes them, and the walk over them.
//!
//! ```text
//! u32 type   u16 misc   u16 size      size counts this header and the padding: always a multiple of 8
//! SAMPLE (9): [u64 time]  u32 raw_size   raw_size bytes: the payload, then 0 to 7 bytes of stale memory
//! LOST   (2):  u64 id     u64 lost       how many samples found no room before this record
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
/// Bytes of a record's header.
pub(crate) const HEADER: usize = 8;

/// What a buffer holds, one after the other.
///
/// A record borrows from its [`Batch`](crate::Batch): its bytes lie in the ring and stay there until the batch is
/// dropped.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Record<'d> {
    /// What a program sent with `bpf_perf_event_output`.
    #[doc(alias = "PERF_RECORD_SAMPLE")]
    Sample(Sample<'d>),
    /// So many samples found no room between the record before this one and the one behind it. The kernel can say so
    /// only when a later record fits: losses at the very end are in [`Buffer::lost`](crate::Buffer::lost).
    #[doc(alias = "PERF_RECORD_LOST")]
    Lost(u64),
}

/// The records of a batch, in the order in which their CPU wrote them.
///
/// Kinds other than the two are skipped by their size. After [`Corrupt::Record`] there is no next record; after
/// [`Corrupt::Content`] there is.
#[derive(Debug)]
pub struct Records<'d> {
    rest: Rest<'d>,
    /// Losses announced before it, since the batch began.
    lost: u64,
    cursor: &'d Cursor,
}

/// What is still to be walked over.
#[derive(Clone, Copy, Debug)]
struct Rest<'d> {
    /// Up to the end of the ring, or to `end`.
    front: &'d [u8],
    /// From the beginning of the ring on; empty if the rest does not wrap.
    back: &'d [u8],
    /// The position behind its last byte.
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

/// How far a batch was read. Written once a walk, not once a record, so that the walk stays in registers. Of several
/// walks at once, the one that ends last tells.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Where the next record begins.
    pub(crate) position: Cell<u64>,
    /// Losses announced before it.
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

    /// Where the walk stands.
    pub(crate) fn checkpoint(&self) -> Checkpoint<'d> {
        Checkpoint { rest: self.rest, lost: self.lost }
    }

    /// Goes back to where this walk stood, as if the records since had not been looked at.
    pub(crate) fn back_to(&mut self, mark: Checkpoint<'d>) {
        Checkpoint { rest: self.rest, lost: self.lost } = mark;
    }

    /// Calls `each` with every record, until it breaks: as fast as `fold`, which cannot end early.
    #[inline]
    pub(crate) fn walk<B>(
        mut self,
        mut each: impl FnMut(Result<Record<'d>, Corrupt>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        loop {
            if self.rest.timed {
                while let Some(sample) = self.short::<24>() {
                    each(Ok(Record::Sample(sample)))?;
                }
            } else {
                while let Some(sample) = self.short::<16>() {
                    each(Ok(Record::Sample(sample)))?;
                }
            }
            match self.long() {
                Some(record) => each(record)?,
                None => return ControlFlow::Continue(()),
            }
        }
    }

    /// Where the next record begins, in bytes since the buffer was made.
    pub fn position(&self) -> u64 {
        self.rest.position()
    }
}

impl<'d> Iterator for Records<'d> {
    type Item = Result<Record<'d>, Corrupt>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let sample = if self.rest.timed { self.short::<24>() } else { self.short::<16>() };
        match sample {
            Some(sample) => Some(Ok(Record::Sample(sample))),
            None => self.long(),
        }
    }

    /// What `for_each` and its like do: the fastest way to walk, as the code that takes the records is compiled into
    /// the short way, where nothing wraps and nothing is wrong.
    #[inline]
    fn fold<B, F>(mut self, init: B, mut f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        let mut result = init;
        loop {
            if self.rest.timed {
                while let Some(sample) = self.short::<24>() {
                    result = f(result, Ok(Record::Sample(sample)));
                }
            } else {
                while let Some(sample) = self.short::<16>() {
                    result = f(result, Ok(Record::Sample(sample)));
                }
            }
            match self.long() {
                Some(record) => result = f(result, record),
                None => return result,
            }
        }
    }
}

/// Nearly all records are samples that do not wrap. Those take the short way, a few comparisons and no call; the rest
/// takes the long way, which also tells what is wrong. The two agree where both apply, but for a size that is no
/// multiple of 8 and has a raw size to match, which no kernel writes: the short way spares itself the question, and the
/// next batch is told by its position.
impl<'d> Records<'d> {
    #[inline(always)]
    fn short<const FIXED: usize>(&mut self) -> Option<Sample<'d>> {
        let (sample, front) = self.rest.whole_sample::<FIXED>()?;
        self.rest.front = front;
        Some(sample)
    }

    #[inline]
    fn long(&mut self) -> Option<Result<Record<'d>, Corrupt>> {
        // By value, there and back: a walk whose address nobody took stays in registers.
        let (rest, record) = self.rest.any_record();
        self.rest = rest;
        if let Some(Ok(Record::Lost(lost))) = record {
            self.lost = self.lost.wrapping_add(lost);
        }
        record
    }
}

impl Drop for Records<'_> {
    /// Tells the batch how far it was read: also when the walk is left early, or by a panic.
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

    /// The short way: the sample that the front begins with, if it begins with one that is whole and right, and what
    /// follows it. `FIXED` is how many bytes such a record has at least: all that precedes `raw_size`, and 8.
    #[inline(always)]
    fn whole_sample<const FIXED: usize>(&self) -> Option<(Sample<'d>, &'d [u8])> {
        let raw_at = const { FIXED - 8 };
        let fixed = Bytes::Single(self.front.first_chunk::<FIXED>()?);
        let kind = u32::from_ne_bytes(fixed.array(0)?);
        let size = usize::from(u16::from_ne_bytes(fixed.array(6)?));
        let raw_size = u32::from_ne_bytes(fixed.array(raw_at)?) as usize;
        // The kernel rounds `raw_size` so that the record ends with it: this bounds both.
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

    /// The long way: the next record that is none to skip, whatever it is, and the rest behind it.
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
            let believable = len >= HEADER && len.is_multiple_of(8);
            let Some(record) = rest.slice(0..len).filter(|_| believable) else {
                let corrupt = Corrupt::Record { at, kind, size, left: rest.len() as u64 };
                // Nothing more to walk over, and the position stays that of this record.
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

/// The sample in `record`; `None` if its `raw_size` is not what makes a record of this size.
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

/// Bytes between a sample's beginning and its `raw_size`.
fn raw_at(timed: bool) -> usize {
    if timed { HEADER + 8 } else { HEADER }
}

/// The `raw_size` that a sample claims; 0 if it is too short even for that.
fn declared(record: Bytes<'_>, timed: bool) -> u32 {
    record.array(raw_at(timed)).map_or(0, u32::from_ne_bytes)
}
