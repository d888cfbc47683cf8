//! Perf buffers shuffle fork, exec and exit across CPUs; the ring does not.
//!
//! Processes are made on one CPU, run on the next, and end. Each of these moments is sent into a ring and into perf
//! buffers by the same program. The readers come by after every few processes. Of one process fork comes first, then
//! exec, then exit, whatever any clock says: a reader that is told otherwise was told wrongly. A third reader merges
//! the perf buffers by the times that the kernel stamps on samples ([`cutaway::perf_reader::Merge`]).

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
    claim: "Perf buffers keep no order across CPUs: fork, exec and exit of a process arrive out of order. The ring keeps the order.",
    run,
};

const BUFFER: usize = 256 * 1024;
/// Processes between two visits of the readers.
const VISIT: usize = 10;
/// How long the merging reader holds samples back.
const DELAY: Duration = Duration::from_millis(20);

/// What one reader was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    /// Processes of which it was told all three moments.
    lives: usize,
    /// Those of which it was told in the wrong order.
    wrong: usize,
    /// Pairs of moments in the wrong order.
    inversions: usize,
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    processes: usize,
    ring: Told,
    perf: Told,
    merged: Told,
}

fn run(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
    bench.reader()?; // it takes two CPUs
    let producer = Producer::load(&TaskEvent::object()?, 0)?;
    let mut ring = producer.loaded().map(names::RING)?.ring()?;
    let mut plain = perf(&producer, names::PERF, BUFFER, &silent())?;
    let mut timed = perf(&producer, names::MERGED, BUFFER, &silent().timestamps(true))?;
    let links = producer.loaded().attach()?;

    // Our processes are known by the name of the thread that makes them: numbers differ between containers.
    let name = format!("cutaway{}", std::process::id() % 100_000_000);
    let processes = bench.effort.choose(60, 300);
    let mut arrivals = Arrivals::default();
    thread::scope(|scope| {
        let work = || {
            for first in (0..processes).step_by(VISIT) {
                bench.step()?;
                bench.progress(first, processes);
                for index in first..processes.min(first + VISIT) {
                    live_and_die(&bench.cpus, index)?;
                }
                arrivals.visit(&mut ring, &mut plain, &mut timed, bench.control)?;
            }
            Ok(())
        };
        let worker = thread::Builder::new().name(name.clone()).spawn_scoped(scope, work)?;
        joined(worker)
    })?;
    drop(links);
    arrivals.finish(&mut timed)?;

    let ours = |lives: &[TaskEvent]| told(lives, &name);
    let [ring, perf, merged] = [ours(&arrivals.ring), ours(&arrivals.perf), ours(&arrivals.merged)];
    let figures = Figures { processes, ring, perf, merged };
    let rows = [("perf", perf), ("perf, merged by time", merged), ("ring", ring)];
    let columns = [("reader", ""), ("processes", ""), ("out of order", "processes"), ("inversions", "pairs of events")];
    let mut table = Table::new("Order of delivery", columns);
    for (reader, told) in rows {
        let numbers = [told.lives, told.wrong, told.inversions].map(|number| Cell::Number(number as f64));
        table.row([Cell::text(reader)].into_iter().chain(numbers));
    }
    let share = |told: Told| Point::exact(0.0, 100.0 * told.wrong as f64 / told.lives.max(1) as f64);
    let plot = Plot::Bars {
        title: "Processes with events out of order".to_owned(),
        y: Axis::linear("% of processes"),
        series: vec!["out of order".to_owned()],
        groups: rows.iter().map(|&(reader, told)| (reader.to_owned(), vec![Some(share(told))])).collect(),
    };
    Ok(Findings {
        judgement: judge(&figures),
        tables: vec![table],
        plots: vec![plot],
        notes: vec![format!(
            "The readers read after every {VISIT} processes. A reader that reads after each event sees less disorder, at a higher cost."
        )],
    })
}

/// Makes a process on one CPU that runs another program on the next, and waits for its end.
#[expect(unsafe_code, reason = "runs a function between fork and exec")]
fn live_and_die(cpus: &[usize], index: usize) -> Result<(), Obstacle> {
    let cpu = |offset: usize| cpus.get((index + offset) % cpus.len().max(1)).copied().unwrap_or(0);
    let (here, there) = (cpu(0), cpu(1));
    cpus::pin(here)?;
    // This program, even if its file has been replaced since.
    let mut command = Command::new("/proc/self/exe");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec the closure makes one system call, on values that were copied: no lock, no
    // allocation.
    unsafe { command.pre_exec(move || cpus::pin(there)) };
    let mut child = command.spawn()?;
    // It ends where it began, if it has not ended yet.
    let mut set = CpuSet::new();
    set.set(here);
    let _ = sched_setaffinity(Some(Pid::from_child(&child)), &set);
    child.wait()?;
    Ok(())
}

/// What came, in the order in which it came.
#[derive(Default)]
struct Arrivals {
    ring: Vec<TaskEvent>,
    perf: Vec<TaskEvent>,
    merged: Vec<TaskEvent>,
    merge: Option<Merge>,
}

impl Arrivals {
    fn visit(
        &mut self,
        ring: &mut Ring,
        plain: &mut PerCpuBuffers,
        timed: &mut PerCpuBuffers,
        control: bool,
    ) -> Result<(), Obstacle> {
        let before = self.ring.len();
        self.ring.extend((&mut ring.batch()?).into_iter().filter_map(TaskEvent::read));
        // The control's reader shuffles.
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

/// Counts the processes that a thread of this name made, and what was told of them in the wrong order.
fn told(arrived: &[TaskEvent], parent: &str) -> Told {
    // A task's address is given to a later task again, so which life a moment belongs to is a question of time.
    let mut by_time: Vec<(usize, &TaskEvent)> = arrived.iter().enumerate().collect();
    by_time.sort_by_key(|(_, life)| (life.time_ns, life.moment));
    let mut open: HashMap<u64, usize> = HashMap::new();
    let mut lives: Vec<Vec<(usize, u32)>> = Vec::new();
    for (arrival, life) in by_time {
        if life.moment == TaskEventKind::Fork as u32 {
            let comm = life.comm.split(|&byte| byte == 0).next().unwrap_or_default();
            open.remove(&life.task);
            if comm == parent.as_bytes() {
                open.insert(life.task, lives.len());
                lives.push(vec![(arrival, life.moment)]);
            }
        } else if let Some(moments) = open.get(&life.task).and_then(|&index| lives.get_mut(index)) {
            moments.push((arrival, life.moment));
        }
    }
    let mut told = Told::default();
    for moments in lives.iter_mut().filter(|moments| moments.len() == TaskEventKind::ALL.len()) {
        moments.sort_unstable();
        let later = |index: usize| moments.iter().skip(index + 1);
        let pairs =
            moments.iter().enumerate().flat_map(|(index, first)| later(index).map(move |second| (first, second)));
        let inversions = pairs.filter(|((_, first), (_, second))| first > second).count();
        told.lives += 1;
        told.wrong += usize::from(inversions > 0);
        told.inversions += inversions;
    }
    told
}

fn judge(figures: &Figures) -> Judgement {
    let Figures { processes, ring, perf, merged } = figures;
    let complete = |told: &Told| told.lives * 10 >= processes * 9;
    if !complete(ring) || !complete(perf) {
        return Judgement::new(
            Verdict::TooNoisy,
            format!(
                "The ring delivered all events of {} of {processes} processes, the perf buffers of {}.",
                ring.lives, perf.lives
            ),
        );
    }
    let sentence = format!(
        "Events of {} processes: perf buffers delivered {} out of order, the ring {}; merged by time, perf buffers delivered {}.",
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
    fn inversions_are_counted_for_each_life() {
        use TaskEventKind::{Exec, Exit, Fork};
        let right = [life(1, 7, Fork), life(2, 7, Exec), life(3, 7, Exit)];
        assert_eq!(told(&right, "parent"), Told { lives: 1, wrong: 0, inversions: 0 });
        assert_eq!(told(&right, "somebody"), Told::default());
        let [fork, exec, exit] = right;
        assert_eq!(told(&[exec, fork, exit], "parent"), Told { lives: 1, wrong: 1, inversions: 1 });
        assert_eq!(told(&[exit, exec, fork], "parent"), Told { lives: 1, wrong: 1, inversions: 3 });
        // The same address, used twice, and a life that is not complete.
        let again = [life(4, 7, Fork), life(5, 7, Exec), life(6, 7, Exit), life(7, 8, Fork)];
        assert_eq!(told(&[right, again[..3].try_into().unwrap()].concat(), "parent").lives, 2);
        assert_eq!(told(&again, "parent"), Told { lives: 1, wrong: 0, inversions: 0 });
    }

    #[test]
    fn the_verdict_turns_with_the_figures() {
        let told = |wrong| Told { lives: 60, wrong, inversions: wrong };
        let verdict = |ring, perf| judge(&Figures { processes: 60, ring, perf, merged: told(0) }).verdict;
        assert_eq!(verdict(told(0), told(20)), Verdict::Holds);
        assert_eq!(verdict(told(1), told(20)), Verdict::DoesNotHold);
        assert_eq!(verdict(told(0), told(0)), Verdict::DoesNotHold);
        assert_eq!(verdict(Told::default(), told(20)), Verdict::TooNoisy);
    }
}
