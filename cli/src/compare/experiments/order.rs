//! Tests whether fork, exec and exit of a process arrive in order through perf buffers and through a ring.
//!
//! A process is created on one CPU, runs on the next, and ends. The same program sends each of these events into a ring
//! and into perf buffers. The readers read after every few processes. A process forks, then execs, then exits; any
//! other order of arrival is wrong, regardless of clocks. A third reader merges the perf buffers by the timestamps of
//! the samples ([`cutaway::perf_reader::Merge`]).

use std::{
    collections::HashMap,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use cutaway::{
    mmap_ring::Ring,
    perf_reader::{Merge, PerCpuBuffers},
};
use cutaway_programs::compare::{TaskEvent, TaskEventKind, names};
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};

use crate::compare::{
    bench::{Bench, Obstacle, joined},
    cpus,
    data::{Axis, Cell, Plot, Point, Table},
    experiment::{Experiment, Findings, Judgement, Verdict},
    producer::{Producer, drain, perf, silent},
};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "order",
    claim: "Perf buffers keep no order across CPUs: fork, exec and exit of a process arrive out of order. The ring \
         keeps the order.",
    run,
};

const BUFFER: usize = 256 * 1024;
/// Processes between two reads.
const READ_AFTER: usize = 10;
/// How long the merging reader delays samples.
const DELAY: Duration = Duration::from_millis(20);

/// The events that one reader received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Delivered {
    /// Processes of which it received all three events.
    complete: usize,
    /// Those with events out of order.
    wrong: usize,
    /// Pairs of events out of order.
    inversions: usize,
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    processes: usize,
    ring: Delivered,
    perf: Delivered,
    merged: Delivered,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.reader()?; // requires two CPUs
    let producer = Producer::load(&TaskEvent::object()?, 0)?;
    let mut ring = producer.loaded().map(names::RING)?.ring()?;
    let mut plain = perf(&producer, names::PERF, BUFFER, &silent())?;
    let mut timed = perf(&producer, names::MERGED, BUFFER, &silent().timestamps(true))?;
    let links = producer.loaded().attach()?;

    // Processes are recognized by the name of the thread that creates them: pids differ between containers.
    let name = format!("cutaway{}", std::process::id() % 100_000_000);
    let processes = bench.effort.choose(60, 300);
    let mut arrivals = Arrivals::default();
    thread::scope(|scope| {
        let work = || {
            for first in (0..processes).step_by(READ_AFTER) {
                bench.step()?;
                bench.progress(first, processes);
                for index in first..processes.min(first + READ_AFTER) {
                    run_process(&bench.cpus, index)?;
                }
                arrivals.read(&mut ring, &mut plain, &mut timed, bench.control)?;
            }
            Ok(())
        };
        let worker = thread::Builder::new().name(name.clone()).spawn_scoped(scope, work)?;
        joined(worker)
    })?;
    drop(links);
    arrivals.finish(&mut timed)?;

    let ours = |events: &[TaskEvent]| delivered(events, &name);
    let [ring, perf, merged] = [ours(&arrivals.ring), ours(&arrivals.perf), ours(&arrivals.merged)];
    let figures = Figures { processes, ring, perf, merged };
    let rows = [("perf", perf), ("perf, merged by time", merged), ("ring", ring)];
    let columns = [("reader", ""), ("processes", ""), ("out of order", "processes"), ("inversions", "pairs of events")];
    let mut table = Table::new("Order of delivery", columns);
    for (reader, delivered) in rows {
        let numbers =
            [delivered.complete, delivered.wrong, delivered.inversions].map(|number| Cell::Number(number as f64));
        table.row([Cell::text(reader)].into_iter().chain(numbers));
    }
    let share =
        |delivered: Delivered| Point::exact(0.0, 100.0 * delivered.wrong as f64 / delivered.complete.max(1) as f64);
    let plot = Plot::Bars {
        title: "Processes with events out of order".to_owned(),
        y: Axis::linear("% of processes"),
        series: vec!["out of order".to_owned()],
        groups: rows.iter().map(|&(reader, delivered)| (reader.to_owned(), vec![Some(share(delivered))])).collect(),
    };
    Ok(Findings {
        judgement: judge(&figures),
        tables: vec![table],
        plots: vec![plot],
        notes: vec![format!(
            "The readers read after every {READ_AFTER} processes. A reader that reads after each event sees less \
                 disorder, at a higher cost."
        )],
    })
}

/// Creates a process on one CPU that executes a program on the next CPU, and waits for its end.
#[expect(unsafe_code, reason = "runs a function between fork and exec")]
fn run_process(cpus: &[usize], index: usize) -> Result<(), Obstacle> {
    let cpu = |offset: usize| cpus.get((index + offset) % cpus.len().max(1)).copied().unwrap_or(0);
    let (here, there) = (cpu(0), cpu(1));
    cpus::pin(here)?;
    // This program, even if its file has been replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec the closure makes one system call, on values that were copied: no lock, no
    // allocation.
    unsafe { command.pre_exec(move || cpus::pin(there)) };
    let mut child = command.spawn()?;
    // The process exits on its first CPU, unless it has exited already.
    let mut set = CpuSet::new();
    set.set(here);
    let _ = sched_setaffinity(Some(Pid::from_child(&child)), &set);
    child.wait()?;
    Ok(())
}

/// The received events, in their order of arrival.
#[derive(Default)]
struct Arrivals {
    ring: Vec<TaskEvent>,
    perf: Vec<TaskEvent>,
    merged: Vec<TaskEvent>,
    merge: Option<Merge>,
}

impl Arrivals {
    fn read(
        &mut self,
        ring: &mut Ring,
        plain: &mut PerCpuBuffers,
        timed: &mut PerCpuBuffers,
        control: bool,
    ) -> Result<(), Obstacle> {
        let before = self.ring.len();
        self.ring.extend((&mut ring.batch()?).into_iter().filter_map(TaskEvent::read));
        // The control's reader reverses the order.
        if control && let Some(new) = self.ring.get_mut(before..) {
            new.reverse();
        }
        let perf = &mut self.perf;
        drain(plain, |_, record| perf.extend(TaskEvent::read(record)))?;
        let (merged, merge) = (&mut self.merged, self.merge.get_or_insert_with(|| Merge::new(DELAY)));
        let mut scratch = Vec::new();
        merge.drain(timed, |event| merged.extend(TaskEvent::read(event.sample.padded().contiguous(&mut scratch))))?;
        Ok(())
    }

    fn finish(&mut self, timed: &mut PerCpuBuffers) -> Result<(), Obstacle> {
        let (merged, merge) = (&mut self.merged, self.merge.get_or_insert_with(|| Merge::new(DELAY)));
        let mut scratch = Vec::new();
        merge.finish(timed, |event| merged.extend(TaskEvent::read(event.sample.padded().contiguous(&mut scratch))))?;
        Ok(())
    }
}

/// Counts the processes that a thread named `parent` created, and their events out of order.
fn delivered(arrived: &[TaskEvent], parent: &str) -> Delivered {
    // The kernel reuses the address of a task, so events are assigned to processes in the order of their timestamps.
    let mut by_time: Vec<(usize, &TaskEvent)> = arrived.iter().enumerate().collect();
    by_time.sort_by_key(|(_, life)| (life.time_ns, life.moment));
    let mut open: HashMap<u64, usize> = HashMap::new();
    let mut processes: Vec<Vec<(usize, u32)>> = Vec::new();
    for (arrival, life) in by_time {
        if life.moment == TaskEventKind::Fork as u32 {
            let comm = life.comm.split(|&byte| byte == 0).next().unwrap_or_default();
            open.remove(&life.task);
            if comm == parent.as_bytes() {
                open.insert(life.task, processes.len());
                processes.push(vec![(arrival, life.moment)]);
            }
        } else if let Some(moments) = open.get(&life.task).and_then(|&index| processes.get_mut(index)) {
            moments.push((arrival, life.moment));
        }
    }
    let mut delivered = Delivered::default();
    for moments in processes.iter_mut().filter(|moments| moments.len() == TaskEventKind::ALL.len()) {
        moments.sort_unstable();
        let later = |index: usize| moments.iter().skip(index + 1);
        let pairs =
            moments.iter().enumerate().flat_map(|(index, first)| later(index).map(move |second| (first, second)));
        let inversions = pairs.filter(|((_, first), (_, second))| first > second).count();
        delivered.complete += 1;
        delivered.wrong += usize::from(inversions > 0);
        delivered.inversions += inversions;
    }
    delivered
}

fn judge(figures: &Figures) -> Judgement {
    let Figures { processes, ring, perf, merged } = figures;
    let complete = |delivered: &Delivered| delivered.complete * 10 >= processes * 9;
    if !complete(ring) || !complete(perf) {
        return Judgement::new(
            Verdict::TooNoisy,
            format!(
                "The ring delivered all events of {} of {processes} processes, the perf buffers of {}.",
                ring.complete, perf.complete
            ),
        );
    }
    let sentence = format!(
        "Events of {} processes: perf buffers delivered {} out of order, the ring {}; merged by time, perf buffers \
             delivered {}.",
        processes, perf.wrong, ring.wrong, merged.wrong
    );
    Judgement::holds(ring.wrong == 0 && perf.wrong > 0, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(time_ns: u64, task: u64, moment: TaskEventKind) -> TaskEvent {
        let mut comm = [0; 16];
        comm[..6].copy_from_slice(b"parent");
        TaskEvent { time_ns, task, moment: moment as u32, cpu: 0, comm }
    }

    #[test]
    fn inversions_are_counted_for_each_process() {
        use TaskEventKind::{Exec, Exit, Fork};
        let right = [life(1, 7, Fork), life(2, 7, Exec), life(3, 7, Exit)];
        assert_eq!(delivered(&right, "parent"), Delivered { complete: 1, wrong: 0, inversions: 0 });
        assert_eq!(delivered(&right, "other"), Delivered::default());
        let [fork, exec, exit] = right;
        assert_eq!(delivered(&[exec, fork, exit], "parent"), Delivered { complete: 1, wrong: 1, inversions: 1 });
        assert_eq!(delivered(&[exit, exec, fork], "parent"), Delivered { complete: 1, wrong: 1, inversions: 3 });
        // The same address, used twice, and a process that has not exited.
        let again = [life(4, 7, Fork), life(5, 7, Exec), life(6, 7, Exit), life(7, 8, Fork)];
        assert_eq!(delivered(&[right, again[..3].try_into().unwrap()].concat(), "parent").complete, 2);
        assert_eq!(delivered(&again, "parent"), Delivered { complete: 1, wrong: 0, inversions: 0 });
    }

    #[test]
    fn verdict_follows_the_figures() {
        let delivered = |wrong| Delivered { complete: 60, wrong, inversions: wrong };
        let verdict = |ring, perf| judge(&Figures { processes: 60, ring, perf, merged: delivered(0) }).verdict;
        assert_eq!(verdict(delivered(0), delivered(20)), Verdict::Holds);
        assert_eq!(verdict(delivered(1), delivered(20)), Verdict::DoesNotHold);
        assert_eq!(verdict(delivered(0), delivered(0)), Verdict::DoesNotHold);
        assert_eq!(verdict(Delivered::default(), delivered(20)), Verdict::TooNoisy);
    }
}
