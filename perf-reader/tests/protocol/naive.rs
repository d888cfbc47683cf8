//! A reader that is too simple to be wrong.

use perf_reader::Record;
use perf_reader::fake::Kernel;

/// An owned copy of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Sample { time: Option<u64>, padded: Vec<u8> },
    Lost(u64),
}

impl From<Record<'_>> for Seen {
    fn from(record: Record<'_>) -> Self {
        match record {
            Record::Sample(sample) => Self::Sample { time: sample.time(), padded: sample.padded().to_vec() },
            Record::Lost(lost) => Self::Lost(lost),
            _ => unreachable!("there are two kinds"),
        }
    }
}

/// Reads byte by byte and copies everything, without slices or words: too simple to be wrong.
pub(crate) fn naive(kernel: &Kernel, timed: bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut at = kernel.tail();
    while at != kernel.head() {
        let header = kernel.peek(at, 8);
        let kind = u32::from_ne_bytes(header[..4].try_into().unwrap());
        let size = u16::from_ne_bytes(header[6..].try_into().unwrap());
        let body = kernel.peek(at.wrapping_add(8), usize::from(size) - 8);
        match kind {
            9 => {
                let (time, raw) = if timed { body.split_at(8) } else { body.split_at(0) };
                let raw_size = u32::from_ne_bytes(raw[..4].try_into().unwrap()) as usize;
                seen.push(Seen::Sample {
                    time: time.try_into().ok().map(u64::from_ne_bytes),
                    padded: raw[4..4 + raw_size].to_vec(),
                });
            }
            2 => seen.push(Seen::Lost(u64::from_ne_bytes(body[8..16].try_into().unwrap()))),
            _ => {}
        }
        at = at.wrapping_add(size.into());
    }
    seen
}

/// Adds the samples, and the losses that records announce.
pub(crate) fn count(seen: &[Seen], received: &mut u64, announced: &mut u64) {
    for seen in seen {
        match seen {
            Seen::Sample { .. } => *received += 1,
            Seen::Lost(lost) => *announced += lost,
        }
    }
}
