//! Perf pages with any content, and with wrong layout fields. Reading them ends with records or an error, and never
//! leaves the pages (checked by the address sanitizer).
//!
//! Shared by the fuzz target and the test that runs it on generated inputs.

use arbitrary::{Arbitrary, Unstructured};
use perf_reader::fake::perf_buffer_at;
use perf_reader::{Reader, Record};

/// The pages, and the steps of reading.
#[derive(Arbitrary, Debug)]
struct Case<'a> {
    log: u8,
    start: u64,
    tail: Option<u64>,
    ahead: u16,
    layout: Option<(u64, u64)>,
    timed: bool,
    /// Headers of records at multiples of 8: offset, type, size, raw size.
    headers: [(u16, u8, u16, u32); 8],
    data: &'a [u8],
    steps: [Step; 6],
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Batch,
    AtMost(u8),
    Declared(u16),
    Skip,
    Produce(u16),
}

/// Reads the pages as the case specifies.
fn run(case: Case<'_>) {
    let size = 1_u64 << (3 + case.log % 12);
    let (mut kernel, pages) = perf_buffer_at(size as usize, case.start);
    let start = kernel.head();
    // SAFETY: no batch is open.
    unsafe { kernel.poke(start, case.data.get(..size as usize).unwrap_or(case.data)) };
    for (at, kind, len, raw_size) in case.headers {
        let at = start.wrapping_add(u64::from(at) * 8);
        // Types 0 to 15, of which two are known.
        let kind = u32::from(kind % 16);
        // SAFETY: no batch is open.
        unsafe { kernel.poke(at, &kind.to_ne_bytes()) };
        // SAFETY: no batch is open.
        unsafe { kernel.poke(at.wrapping_add(6), &len.to_ne_bytes()) };
        // SAFETY: no batch is open.
        unsafe { kernel.poke(at.wrapping_add(if case.timed { 16 } else { 8 }), &raw_size.to_ne_bytes()) };
    }
    if let Some(tail) = case.tail {
        // SAFETY: no batch is open.
        unsafe { kernel.set_word(1032, tail) };
    }
    // SAFETY: no batch is open.
    unsafe { kernel.set_head(start.wrapping_add(u64::from(case.ahead))) };
    if let Some((offset, bytes)) = case.layout {
        // SAFETY: no batch is open, and no record is produced below while the layout fields are wrong.
        unsafe { kernel.set_word(1040, offset) };
        // SAFETY: as above.
        unsafe { kernel.set_word(1048, bytes) };
    }
    let Ok(mut reader) = Reader::new(pages, case.timed) else {
        return;
    };
    let mut sum = 0_u64;
    for step in case.steps {
        match step {
            Step::Skip => drop(reader.skip_to_head()),
            Step::Produce(len) if case.layout.is_none() => {
                let _ = kernel.sample(&vec![7; usize::from(len)]);
            }
            Step::Produce(_) => {}
            Step::Batch | Step::AtMost(_) | Step::Declared(_) => {
                let Ok(drain) = reader.batch() else { continue };
                let most = if let Step::AtMost(most) = step { usize::from(most) } else { usize::MAX };
                let mut bytes = 0;
                let mut take = |record: Result<Record<'_>, _>| {
                    let Ok(Record::Sample(sample)) = record else { return };
                    let padded = sample.padded();
                    bytes += padded.len() as u64 + 12;
                    sum = padded.to_contiguous().iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
                    if let Step::Declared(len) = step
                        && let Ok(payload) = sample.payload(usize::from(len))
                    {
                        assert_eq!(payload.len(), usize::from(len));
                    }
                };
                // Both forms of iteration: `for` and `for_each`.
                for record in drain.records().take(most) {
                    take(record);
                }
                if most == usize::MAX {
                    drain.records().for_each(&mut take);
                }
                assert!(bytes <= drain.len());
            }
        }
    }
    std::hint::black_box(sum);
}

/// Decodes an input and runs it. Returns false if the input has too few bytes for a case.
pub(crate) fn replay(bytes: &[u8]) -> bool {
    let case = Case::arbitrary_take_rest(Unstructured::new(bytes));
    case.map(run).is_ok()
}
