//! Tests that an event on the stack cannot exceed 512 bytes, and that one on the heap or in the ring can.
//!
//! Programs with larger and larger events are loaded. Each one that the verifier accepts sends an event, which must
//! arrive. The verifier limits the stack (`MAX_BPF_STACK` in `include/linux/filter.h`). The largest per-CPU value
//! limits the heap (32 KiB, `PCPU_MIN_UNIT_SIZE`). A record in a ring can have the size of the ring less 16 bytes.

use cutaway_programs::compare::{FixedSize, Transport, Work};

use crate::compare::{
    bench::{Bench, Obstacle},
    data::{Cell, Table, number},
    experiment::{Experiment, Findings, Judgement},
    producer::{ADAPTIVE, Buffer, Producer, STACK, silent},
};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "stack-limit",
    claim: "An event built on the BPF stack cannot exceed 512 bytes; one built on a heap or in the ring can.",
    run,
};

/// Bytes of the ring, and of each perf buffer.
const BUFFER: u32 = 256 * 1024;

/// The tested sizes in bytes; a transport stops at the first that fails.
const SIZES: [(Transport, &[u32]); 3] = [
    (Transport::Stack, &[64, 256, 504, 512, 520, 1024]),
    (Transport::Heap, &[512, 520, 4096, 32_768, 32_776, 65_512]),
    (Transport::Reserve, &[512, 520, 4096, 65_536, BUFFER - 16, BUFFER - 8]),
];

/// The result of one size.
#[derive(Debug, Clone, PartialEq)]
struct Attempt {
    transport: Transport,
    size: u32,
    /// The reason why the event did not arrive; `None` if it arrived.
    refused: Option<String>,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.sender_here()?;
    let mut attempts = Vec::new();
    for (transport, sizes) in SIZES {
        for &size in sizes {
            bench.step()?;
            let refused = attempt(transport, size, bench.control)?;
            let stop = refused.is_some();
            attempts.push(Attempt { transport, size, refused });
            if stop {
                break;
            }
        }
    }
    let mut table = Table::new("One record of each size", [("transport", ""), ("size", "bytes"), ("result", "")]);
    for Attempt { transport, size, refused } in &attempts {
        let outcome = refused.as_ref().map_or("arrived complete", |why| why);
        table.row([Cell::text(transport.name()), u64::from(*size).into(), Cell::text(outcome)]);
    }
    Ok(Findings {
        judgement: judge(&attempts),
        tables: vec![table],
        plots: Vec::new(),
        notes: vec![
            "The heap is a value of a PERCPU_ARRAY, for which the kernel allocates at most 32 KiB.".to_owned(),
            format!("The ring has {} bytes.", number(BUFFER.into())),
        ],
    })
}

/// Loads the program and sends one event. Returns the reason if the event does not arrive.
fn attempt(transport: Transport, size: u32, control: bool) -> Result<Option<String>, Obstacle> {
    // The control builds the "stack" event on the heap.
    let really = if control && transport == Transport::Stack { Transport::Heap } else { transport };
    let work = if really == Transport::Stack { Work::Words } else { Work::Ends };
    let object = FixedSize { transport: really, size, most: 1, work, timed: true }.object()?;
    let mut parsed = cutaway::Object::parse(&object)?;
    if really.is_ring() {
        parsed.map_mut(cutaway_programs::compare::names::EVENTS)?.max_entries = BUFFER;
    }
    let producer = match parsed.load() {
        Ok(loaded) => Producer::from(loaded),
        Err(cutaway::Error::Verifier { sentence, .. }) => {
            return Ok(Some(format!("the verifier refuses it: {sentence}")));
        }
        Err(cutaway::Error::Syscall { errno, .. }) if really == Transport::Heap && size > STACK => {
            return Ok(Some(format!("the kernel refuses a per-CPU value of that size: {errno}")));
        }
        Err(error) => return Err(error.into()),
    };
    let mut buffer = Buffer::open(really, &producer, BUFFER as usize, &silent())?;
    let tally = producer.send(1, ADAPTIVE, ADAPTIVE)?;
    let (mut length, wanted) = (None, size as usize);
    buffer.drain(|record| length = Some(record.len()))?;
    let padding = if really.is_ring() { 0 } else { cutaway::perf_reader::MAX_PADDING };
    Ok(match (tally.refused, length) {
        (0, Some(length)) if (wanted..=wanted + padding).contains(&length) => None,
        (0, Some(length)) => Some(format!("{} bytes arrived", number(length as f64))),
        (0, None) => Some("it was sent and did not arrive".to_owned()),
        _ => Some("it does not fit into the empty buffer".to_owned()),
    })
}

fn judge(attempts: &[Attempt]) -> Judgement {
    let of = |transport| attempts.iter().filter(move |attempt| attempt.transport == transport);
    let largest = |transport| {
        of(transport).filter(|attempt| attempt.refused.is_none()).map(|attempt| attempt.size).max().unwrap_or(0)
    };
    let refusal = of(Transport::Stack).find_map(|attempt| attempt.refused.as_ref().map(|why| (attempt.size, why)));
    let [stack, heap, ring] = [Transport::Stack, Transport::Heap, Transport::Reserve].map(largest);
    let sizes = [stack, heap, ring].map(|size| number(size.into()));
    let [stack_text, heap_text, ring_text] = &sizes;
    match refusal {
        Some((size, why)) if stack == STACK => {
            let sentence = format!(
                "Largest events: {stack_text} bytes on the stack (with {size}, {why}), {heap_text} on the heap, \
                     {ring_text} in the ring."
            );
            Judgement::holds(heap > STACK && ring > STACK, sentence)
        }
        _ => Judgement::holds(
            false,
            format!(
                "Largest events: {stack_text} bytes on the stack, {heap_text} on the heap, {ring_text} in the ring."
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::experiment::Verdict;

    fn attempts(stack: u32, heap: u32, ring: u32) -> Vec<Attempt> {
        let pair = |transport, size| {
            let refused = Some("the verifier refuses it: invalid stack".to_owned());
            [Attempt { transport, size, refused: None }, Attempt { transport, size: size + 8, refused }]
        };
        [pair(Transport::Stack, stack), pair(Transport::Heap, heap), pair(Transport::Reserve, ring)].concat()
    }

    #[test]
    fn verdict_follows_the_figures() {
        let verdict = |attempts: &[Attempt]| judge(attempts).verdict;
        assert_eq!(verdict(&attempts(512, 32_768, 65_536)), Verdict::Holds);
        assert_eq!(verdict(&attempts(1024, 32_768, 65_536)), Verdict::DoesNotHold);
        assert_eq!(verdict(&attempts(512, 512, 65_536)), Verdict::DoesNotHold);
        assert_eq!(verdict(&attempts(512, 32_768, 512)), Verdict::DoesNotHold);
        assert_eq!(verdict(&attempts(256, 32_768, 65_536)), Verdict::DoesNotHold);
        // No size was refused.
        let mut endless = attempts(512, 32_768, 65_536);
        endless.retain(|attempt| attempt.refused.is_none());
        assert_eq!(verdict(&endless), Verdict::DoesNotHold);
    }
}
