//! Records as the kernel writes them, and the walk over them.
//!
//! ```text
//! u32 type   u16 misc   u16 size      size counts this header and the padding: always a multiple of 8
//! SAMPLE (9): [u64 time]  u32 raw_size   raw_size bytes: the payload, then 0 to 7 bytes of stale memory
//! LOST   (2):  u64 id     u64 lost       how many samples found no room before this record
//! ```
//!
//! (`perf_output_sample` and `__perf_output_begin`, `kernel/events/`; `enum perf_event_type`, `include/uapi/linux/perf_event.h`.)

use std::cell::Cell;

use crate::corrupt::Corrupt;
use crate::sample::Sample;
use crate::span::Span;

/// `PERF_RECORD_LOST`.
pub(crate) const LOST: u32 = 2;
/// `PERF_RECORD_SAMPLE`.
pub(crate) const SAMPLE: u32 = 9;
/// Bytes of a record's header.
pub(crate) const HEADER: u64 = 8;

/// What a buffer holds, one after the other.
///
/// A record borrows from its [`Drain`](crate::Drain): its bytes lie in the ring and stay there until the drain ends.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Record<'d> {
    /// What a program sent with `bpf_perf_event_output`.
    Sample(Sample<'d>),
    /// So many samples found no room between the record before this one and the one behind it. The kernel can say so only
    /// when a later record fits: losses at the very end are in [`Buffer::lost_total`](crate::Buffer::lost_total).
    Lost(u64),
}

/// The records of a drain, in the order in which their CPU wrote them.
///
/// Kinds other than the two are skipped by their size. After [`Corrupt::Record`] there is no next record; after
/// [`Corrupt::Content`] there is.
#[derive(Debug)]
pub struct Records<'d> {
    /// What is still to be walked over.
    rest: Span<'d>,
    /// Bytes from a record's beginning to the `raw_size` of a sample.
    raw_at: u64,
    /// Losses announced in what was walked over.
    lost: u64,
    stand: &'d Stand,
}

/// How far a drain has read. Written once a walk, not once a record, so that the walk stays in registers.
#[derive(Debug)]
pub(crate) struct Stand {
    /// Where the next record begins.
    pub(crate) position: Cell<u64>,
    /// Losses announced in them.
    pub(crate) lost: Cell<u64>,
}

impl Stand {
    pub(crate) fn at(position: u64) -> Self {
        Self { position: Cell::new(position), lost: Cell::new(0) }
    }
}

impl<'d> Records<'d> {
    pub(crate) fn new(rest: Span<'d>, timed: bool, stand: &'d Stand) -> Self {
        Self { rest, raw_at: if timed { HEADER + 8 } else { HEADER }, lost: 0, stand }
    }

    /// Where the next record begins, in bytes since the buffer was made.
    pub fn position(&self) -> u64 {
        self.rest.at()
    }

    /// Ends the walk in front of a record that begins with `header` and cannot be believed.
    #[cold]
    fn bad_size(&mut self, header: u64) -> Corrupt {
        let corrupt = Corrupt::Record {
            at: self.rest.at(),
            kind: header_kind(header),
            size: header_size(header) as u16,
            left: self.rest.len(),
        };
        self.rest = self.rest.take(0).unwrap_or(self.rest);
        corrupt
    }
}

impl<'d> Iterator for Records<'d> {
    type Item = Result<Record<'d>, Corrupt>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let header = self.rest.word(0)?;
            let size = header_size(header);
            if size < HEADER {
                return Some(Err(self.bad_size(header)));
            }
            let Some(record) = self.rest.take(size) else {
                return Some(Err(self.bad_size(header)));
            };
            match header_kind(header) {
                SAMPLE => {
                    return Some(match Sample::parse(record, self.raw_at) {
                        Some(sample) => Ok(Record::Sample(sample)),
                        None => Err(bad_content(record, header, self.raw_at)),
                    });
                }
                LOST => {
                    let Some(lost) = record.word(16) else {
                        return Some(Err(bad_content(record, header, self.raw_at)));
                    };
                    self.lost = self.lost.wrapping_add(lost);
                    return Some(Ok(Record::Lost(lost)));
                }
                _ => {}
            }
        }
    }
}

impl Drop for Records<'_> {
    /// Tells the drain how far it was read: also when the walk is left early, or by a panic.
    #[inline]
    fn drop(&mut self) {
        let stand = self.stand;
        stand.position.set(self.rest.at());
        stand.lost.set(stand.lost.get().wrapping_add(self.lost));
    }
}

/// What is wrong with a record whose size is credible.
#[cold]
fn bad_content(record: Span<'_>, header: u64, raw_at: u64) -> Corrupt {
    Corrupt::Content {
        at: record.at(),
        kind: header_kind(header),
        size: header_size(header) as u16,
        declared: record.word(raw_at).map_or(0, low_half),
    }
}

/// The `type` of the header that this word is.
#[inline]
fn header_kind(header: u64) -> u32 {
    low_half(header)
}

/// The `size` of the header that this word is.
#[inline]
fn header_size(header: u64) -> u64 {
    if cfg!(target_endian = "little") { header >> 48 } else { header & 0xffff }
}

/// The u32 at the lower address of this word.
#[inline]
pub(crate) fn low_half(word: u64) -> u32 {
    if cfg!(target_endian = "little") { word as u32 } else { (word >> 32) as u32 }
}
