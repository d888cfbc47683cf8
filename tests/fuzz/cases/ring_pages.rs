//! A ring whose pages have any content. Reading it ends with records or an error, and never leaves the pages (checked
//! by the address sanitizer).
//!
//! Shared by the fuzz target and the test that replays the corpus.

use arbitrary::{Arbitrary, Unstructured};
use mmap_ring::fake::{Commit, Kernel};

/// The pages, and the steps of reading.
#[derive(Arbitrary, Debug)]
struct Case<'a> {
    log: u8,
    consumer: u64,
    ahead: u16,
    overwrite: Option<u16>,
    steps: [Step; 6],
    data: &'a [u8],
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Batch,
    AtMost(u8),
    AtMostBytes(u16),
    Record,
    Settle,
    Peek,
    Produce(u8),
}

/// Reads the pages as the case specifies.
fn run(case: Case<'_>) {
    let size = 1_u64 << (3 + case.log % 9);
    // Half of the cases are not aligned to a record.
    let producer = case.consumer.wrapping_add(u64::from(case.ahead));
    let (kernel, mut ring) = Kernel::holding(size, case.consumer, producer, case.data).expect("an eventfd");
    let kernel = kernel.watched();
    let mut sum = 0_u64;
    let mut read = |record: &[u8]| {
        assert!(record.len() as u64 <= size - 8);
        sum = record.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
    };
    if let Some(ahead) = case.overwrite {
        let overwrite = case.consumer.wrapping_add(u64::from(ahead));
        let (kernel, mut ring) = kernel.as_overwriting(ring, overwrite).expect("an eventfd");
        // Each record takes at least eight bytes, so the loop has a limit.
        for _ in 0..=size / 8 {
            match ring.record() {
                Ok(Some(record)) => read(record),
                Ok(None) | Err(_) => break,
            }
        }
        assert!(kernel.peek().pending().count() as u64 <= size / 8 + 2);
        return;
    }
    for step in case.steps {
        match step {
            Step::Batch => {
                if let Ok(mut batch) = ring.batch() {
                    batch.records().for_each(&mut read);
                }
            }
            Step::AtMost(count) => {
                if let Ok(mut batch) = ring.batch() {
                    batch.at_most(usize::from(count)).for_each(&mut read);
                }
            }
            Step::AtMostBytes(bytes) => {
                if let Ok(mut batch) = ring.batch() {
                    batch.at_most_bytes(u64::from(bytes)).for_each(&mut read);
                }
            }
            Step::Record => {
                if let Ok(Some(record)) = ring.record() {
                    read(&record);
                }
            }
            Step::Settle => drop(ring.prepare_wait()),
            Step::Peek => {
                let peek = kernel.peek();
                let mut payload = Vec::new();
                for seen in peek.pending() {
                    if let mmap_ring::PendingRecord::Committed(location) = seen
                        && peek.copy(location, &mut payload)
                    {
                        read(&payload);
                    }
                }
            }
            // The pages are arbitrary only at the start. From here on the kernel may append to a ring whose content is
            // valid: one that was read to its end.
            Step::Produce(length) => {
                let positions = ring.positions();
                if positions.waiting() == 0 && positions.producer % 8 == 0 {
                    kernel.output(&vec![1; usize::from(length)], Commit::Adaptive);
                }
            }
        }
    }
}

/// Decodes an input and runs it. Returns false if the input has too few bytes for a case.
pub(crate) fn replay(bytes: &[u8]) -> bool {
    let case = Case::arbitrary_take_rest(Unstructured::new(bytes));
    case.map(run).is_ok()
}
