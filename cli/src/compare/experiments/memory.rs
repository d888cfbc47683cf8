//! Measures the memory that per-CPU buffers and a shared ring need for the same burst.
//!
//! The experiment finds the memory with which an unread burst loses no record. It doubles the buffer until the burst
//! arrives complete: once for a burst on one CPU, which can be any of them, and once for a burst on all CPUs. The
//! memory is the size of the mappings in `/proc/self/maps`: the pages of the perf buffers of all CPUs, or those of the
//! ring. The ring's data is mapped twice and counted once.

use cutaway_programs::compare::{FixedSize, Transport, Work};

use crate::compare::{
    bench::{Bench, Obstacle},
    cpus,
    data::{Axis, Cell, Plot, Point, Table, number},
    experiment::{Experiment, Findings, Judgement},
    mappings,
    producer::{Buffer, NO_WAKEUP, Producer, silent},
};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "memory",
    claim: "For the same burst on one CPU, perf buffers need the memory of the ring times the number of CPUs: the \
         ring is shared.",
    run,
};

const SIZE: u32 = 240;
/// Records that each bursting CPU sends: a little less than [`BURST_BYTES`] in either buffer.
const BURST: u64 = 1_000;
const BURST_BYTES: usize = 256 * 1024;
/// Largest buffer in bytes, a little below `RINGBUF_MAX_SIZE`.
const MOST: usize = 1 << 30;

/// The memory with which a burst loses no record.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Need {
    /// CPUs that burst.
    bursting: usize,
    /// Online CPUs, each with a perf buffer. The affinity of this process may exclude some of them.
    cpus: usize,
    transport: Transport,
    /// Bytes of the ring, or of each CPU's perf buffer.
    buffer: usize,
    /// Total memory in bytes.
    memory: u64,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.reader()?; // requires two CPUs
    let all = bench.cpus.len();
    let cpus = cutaway::perf_reader::online_cpus()?.len();
    let mut needs = Vec::new();
    for bursting in [1, all] {
        for transport in [Transport::Heap, Transport::Reserve] {
            needs.push(need(bench, transport, bursting, cpus)?);
        }
    }
    let columns = [("CPUs that burst", ""), ("buffer", ""), ("size", "KiB"), ("total memory", "KiB")];
    let mut table =
        Table::new(format!("Memory for a burst of {} records of {SIZE} bytes", number(BURST as f64)), columns);
    let kib = |bytes: f64| bytes / 1024.0;
    for need in &needs {
        table.row([
            (need.bursting as u64).into(),
            Cell::text(if need.transport.is_ring() { "one ring" } else { "perf, for each CPU" }),
            kib(need.buffer as f64).into(),
            kib(need.memory as f64).into(),
        ]);
    }
    let bar = |bursting: usize| {
        let of = |transport| needs.iter().find(|need| need.bursting == bursting && need.transport == transport);
        [Transport::Heap, Transport::Reserve]
            .map(|transport| of(transport).map(|need| Point::exact(0.0, kib(need.memory as f64))))
            .into()
    };
    let plot = Plot::Bars {
        title: "Memory for a burst without losses".to_owned(),
        y: Axis::linear("memory in KiB"),
        series: vec!["perf buffers".to_owned(), "ring".to_owned()],
        groups: vec![
            ("one CPU bursts".to_owned(), bar(1)),
            (format!("{}{all} CPUs burst", if all == cpus { "all " } else { "" }), bar(all)),
        ],
    };
    Ok(Findings { judgement: judge(&needs), tables: vec![table], plots: vec![plot], notes: Vec::new() })
}

/// Finds the smallest buffer that loses no record, and its memory.
fn need(bench: &Bench<'_>, transport: Transport, bursting: usize, cpus: usize) -> Result<Need, Obstacle> {
    let mut bytes = rustix::param::page_size();
    let largest = largest(bursting);
    while bytes <= largest {
        bench.step()?;
        let burst = FixedSize { transport, size: SIZE, most: BURST as u32, work: Work::Words, timed: false };
        let producer = Producer::burst(&burst, bytes as u32)?;
        let file = if transport.is_ring() { "anon_inode:bpf-map" } else { "anon_inode:[perf_event]" };
        let before = mapped(file)?;
        let buffer = Buffer::open(transport, &producer, bytes, &silent())?;
        let mut refused = 0;
        for &cpu in bench.cpus.iter().take(bursting) {
            cpus::pin(cpu)?;
            refused += producer.send(BURST, NO_WAKEUP, NO_WAKEUP)?.refused;
        }
        if refused == 0 {
            let mapped = mapped(file)? - before;
            let memory = match buffer {
                Buffer::Ring(ring) => {
                    // The control has a ring for each CPU.
                    let rings = if bench.control { cpus as u64 } else { 1 };
                    (mapped - ring.capacity()) * rings
                }
                Buffer::Perf(_) => mapped,
            };
            return Ok(Need { bursting, cpus, transport, buffer: bytes, memory });
        }
        bytes *= 2;
    }
    Err(Obstacle::because(format!("{} bytes of buffer still lose records", number(largest as f64))))
}

/// Returns the largest buffer to try, in bytes, for a burst on `bursting` CPUs: half of it must suffice.
fn largest(bursting: usize) -> usize {
    BURST_BYTES.saturating_mul(bursting.next_power_of_two()).saturating_mul(2).min(MOST)
}

/// Returns the total bytes of this process's mappings of files whose name contains `name`.
fn mapped(name: &str) -> Result<u64, Obstacle> {
    Ok(mappings::of(name)?.iter().map(|mapping| mapping.len() as u64).sum())
}

fn judge(needs: &[Need]) -> Judgement {
    let memory = |bursting: fn(&Need) -> bool, transport: Transport| {
        needs.iter().find(|need| bursting(need) && need.transport == transport).map(|need| need.memory as f64)
    };
    let pair = |bursting| Some((memory(bursting, Transport::Heap)?, memory(bursting, Transport::Reserve)?));
    let one = pair(|need| need.bursting == 1);
    let all = pair(|need| need.bursting > 1);
    let (Some((perf, ring)), Some((perf_all, ring_all)), Some(first), Some(last)) =
        (one, all, needs.first(), needs.last())
    else {
        return Judgement::holds(false, "There are no measurements.");
    };
    let (times, cpus) = (perf / ring, first.cpus as f64);
    let kib = |bytes: f64| number((bytes / 1024.0).round());
    let together = if last.bursting == last.cpus { "all".to_owned() } else { last.bursting.to_string() };
    let sentence = format!(
        "With {} CPUs, a burst on one of them needs {} KiB of perf buffers or {} KiB of ring, a ratio of {}; \
         a burst on {together} of them at once needs {} or {} KiB.",
        first.cpus,
        kib(perf),
        kib(ring),
        number(times),
        kib(perf_all),
        kib(ring_all),
    );
    // A ring has two pages besides its data; each CPU's perf buffer has one.
    Judgement::holds(times > 1.0 + (cpus - 1.0) / 2.0 && times < cpus * 1.5, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::experiment::Verdict;

    fn needs(perf: u64, ring: u64) -> Vec<Need> {
        let need = |bursting, transport, memory| Need { bursting, cpus: 4, transport, buffer: 32_768, memory };
        vec![
            need(1, Transport::Heap, perf),
            need(1, Transport::Reserve, ring),
            need(4, Transport::Heap, perf),
            need(4, Transport::Reserve, ring * 4),
        ]
    }

    #[test]
    fn verdict_follows_the_figures() {
        let verdict = |perf, ring| judge(&needs(perf, ring)).verdict;
        assert_eq!(verdict(144 * 1024, 44 * 1024), Verdict::Holds);
        assert_eq!(verdict(144 * 1024, 144 * 1024), Verdict::DoesNotHold);
        assert_eq!(verdict(36 * 1024, 44 * 1024), Verdict::DoesNotHold);
        assert_eq!(verdict(1024 * 1024, 44 * 1024), Verdict::DoesNotHold);
        assert_eq!(judge(&[]).verdict, Verdict::DoesNotHold);
    }

    #[test]
    fn excluded_cpus_have_perf_buffers_too() {
        let mut needs = needs(144 * 1024, 44 * 1024);
        needs.iter_mut().filter(|need| need.bursting > 1).for_each(|need| need.bursting = 2);
        let Judgement { verdict, sentence } = judge(&needs);
        assert_eq!(verdict, Verdict::Holds);
        assert!(sentence.starts_with("With 4 CPUs") && sentence.contains("a burst on 2 of them at once"), "{sentence}");
    }

    #[test]
    fn largest_ring_holds_a_burst_on_every_cpu() {
        for cpus in [1, 2, 6, 17, 64, 512] {
            // As in `BPF_MAP_TYPE_RINGBUF`: a header of 8 bytes, and one byte stays free.
            let burst = cpus * BURST as usize * (SIZE as usize + 8);
            assert!(burst < largest(cpus), "{cpus} CPUs");
            assert!(largest(cpus).is_power_of_two() && u32::try_from(largest(cpus)).is_ok(), "{cpus} CPUs");
        }
    }
}
