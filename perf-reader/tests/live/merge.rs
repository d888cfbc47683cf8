//! Tests the order of events across CPUs, with short processes observed through the scheduler's tracepoints.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use libtest_mimic::Completion;
use perf_reader::{Corrupt, Error, Merge, Options, PerCpuBuffers, Record, Sample, Wakeup, online_cpus};

use crate::bpf::{Lives, Sender};
use crate::harness::Test;
use crate::one_cpu::now;
use crate::{bytes, live};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        live!(merged_task_events_are_in_causal_order),
        live!(merged_samples_are_in_time_order),
        live!(merge_that_ends_early_loses_nothing),
        live!(corrupt_record_does_not_hide_what_a_merge_broke_with),
        live!(buffers_without_times_cannot_be_merged),
    ]
}

/// Events in the order of arrival: time, pid and stage. Other processes of the machine cause most of them.
#[derive(Default)]
struct Seen(Vec<(u64, u32, u8)>);

/// The number of stages: fork, exec, exit.
const STAGES: u8 = 3;

/// A process of this test, and the time during which it had its pid: from before the fork until after the wait.
struct Process {
    pid: u32,
    since: u64,
    until: u64,
}

impl Seen {
    /// An event is `{u32 pid, u32 stage}`.
    fn event(&mut self, sample: Sample<'_>) {
        let [a, b, c, d, stage, ..] = sample.array::<8>().unwrap();
        self.0.push((sample.time().unwrap(), u32::from_ne_bytes([a, b, c, d]), stage));
    }

    /// Returns the number of events of these processes, and the number of those that arrived out of order.
    fn count(&self, processes: &[Process]) -> (usize, usize) {
        let mut lives: HashMap<u32, Vec<(&Process, u8)>> = HashMap::new();
        for process in processes {
            lives.entry(process.pid).or_default().push((process, 0));
        }
        let (mut events, mut early) = (0, 0);
        for (time, pid, stage) in &self.0 {
            let lives = lives.get_mut(pid).into_iter().flatten();
            let ours = |(process, _): &&mut (&Process, u8)| (process.since..process.until).contains(time);
            if let Some((_, due)) = lives.into_iter().find(ours) {
                events += 1;
                early += usize::from(*due != *stage);
                *due += 1;
            }
        }
        (events, early)
    }
}

/// Runs this number of short processes, each forked on one CPU and executed on another. Returns them.
fn spawn(processes: u32) -> Vec<Process> {
    let cpus = online_cpus().unwrap();
    let one = |n: usize| {
        let cpu = cpus[(n + 1) % cpus.len()];
        pin(cpus[n % cpus.len()]);
        let mut command = Command::new("/bin/true");
        // SAFETY: makes only one system call between fork and exec.
        let moved = unsafe {
            command.pre_exec(move || {
                pin(cpu);
                Ok(())
            })
        };
        let since = now();
        let mut child = moved.spawn().unwrap();
        assert!(child.wait().unwrap().success());
        Process { pid: child.id(), since, until: now() }
    };
    (0..processes as usize).map(one).collect()
}

fn pin(cpu: u32) {
    // SAFETY: a plain C struct, of which all zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is live, and CPUs beyond its end are ignored.
    unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    // SAFETY: the set is live and as long as stated.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
}

fn merged_task_events_are_in_causal_order(_: &Sender) -> Completion {
    if online_cpus().unwrap().len() < 2 {
        return Completion::ignored_with("needs several CPUs: one CPU keeps its own order");
    }
    if !std::path::Path::new("/bin/true").exists() {
        return Completion::ignored_with("there is no /bin/true to run");
    }
    let lives = match Lives::new() {
        Ok(lives) => lives,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Completion::ignored_with("there is no tracefs at /sys/kernel/tracing");
        }
        Err(error) => panic!("watching processes: {error}"),
    };
    let count = if crate::soak() { 10_000 } else { 600 };
    // Few wake-ups, as in a reader that saves CPU time, so that there are events to put in order.
    let options = Options::new().timestamps(true).wakeup(Wakeup::Events(1000));
    let mut set = PerCpuBuffers::open(bytes(64), &options).unwrap();
    set.connect(&|cpu: u32, event: BorrowedFd<'_>| lives.connect(cpu, event)).unwrap();
    let mut merge = Merge::new(Duration::from_millis(20));
    let mut counted = Vec::new();
    for ordered in [false, true] {
        let (mut seen, over) = (Seen::default(), AtomicBool::new(false));
        let processes = std::thread::scope(|scope| {
            let spawner = scope.spawn(|| {
                let processes = spawn(count);
                over.store(true, Ordering::Release);
                processes
            });
            let mut last = false;
            while !last {
                last = over.load(Ordering::Acquire);
                set.wait(Some(merge.delay())).unwrap();
                match (ordered, last) {
                    (false, _) => set.drain(|_, record| {
                        if let Record::Sample(sample) = record.unwrap() {
                            seen.event(sample);
                        }
                    }),
                    (true, false) => merge.drain(&mut set, |event| seen.event(event.sample)).unwrap(),
                    (true, true) => merge.finish(&mut set, |event| seen.event(event.sample)).unwrap(),
                };
            }
            spawner.join().unwrap()
        });
        counted.push(seen.count(&processes));
    }
    let [(all, shuffled), (events, early)] = counted[..] else { unreachable!("two rounds") };
    println!(
        "{count} processes: out of order without merging {:.2} % of {all} events, with it {early} of {events}; {} late",
        100.0 * shuffled as f64 / all as f64,
        merge.late(),
    );
    assert_eq!(set.lost().unwrap().samples, 0);
    let expected = count as usize * usize::from(STAGES);
    assert_eq!((all, events), (expected, expected));
    assert!(shuffled > 0, "no event arrived out of order without merging");
    assert!(early as u64 <= merge.late(), "{early} of {events} events out of order, {} late", merge.late());
    Completion::Completed
}

/// All CPUs send at once: the merge hands out all samples, in the order of time.
fn merged_samples_are_in_time_order(sender: &Sender) {
    let cpus = online_cpus().unwrap();
    let mut set = PerCpuBuffers::open(bytes(16), &Options::new().timestamps(true)).unwrap();
    set.connect(&|cpu: u32, event: BorrowedFd<'_>| sender.connect(cpu, event)).unwrap();
    for &cpu in &cpus {
        sender.payload(cpu, &[]).unwrap();
    }
    let mut merge = Merge::new(Duration::from_millis(10));
    let (sent, running) = (AtomicU64::new(0), AtomicU64::new(cpus.len() as u64));
    let (mut received, mut newest, mut late) = (0, 0, 0);
    let mut last = vec![0; *cpus.last().unwrap() as usize + 1];
    std::thread::scope(|scope| {
        for &cpu in &cpus {
            let (sent, running) = (&sent, &running);
            scope.spawn(move || {
                for n in 0..300 {
                    let refused = sender.send(cpu, 8, 1 + n % 40).unwrap();
                    sent.fetch_add(u64::from(1 + n % 40 - refused), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_micros(u64::from(n % 7) * 100));
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        loop {
            let over = running.load(Ordering::Acquire) == 0;
            let each = |event: perf_reader::TimedSample<'_>| {
                received += 1;
                assert_eq!(event.late, event.time < newest);
                late += u64::from(event.late);
                newest = newest.max(event.time);
                let number = u64::from_ne_bytes(event.sample.array().unwrap());
                assert!(number > last[event.cpu as usize], "order on CPU {}", event.cpu);
                last[event.cpu as usize] = number;
            };
            if over {
                merge.finish(&mut set, each).unwrap();
                break;
            }
            set.wait(Some(merge.delay())).unwrap();
            merge.drain(&mut set, each).unwrap();
        }
    });
    assert_eq!(received, sent.into_inner());
    assert_eq!(late, merge.late());
    assert!(late <= received / 100, "{late} of {received} late");
    assert!(set.iter().all(|buffer| buffer.reader().fill() == 0));
}

/// A callback that breaks or panics consumes only the samples that it was given, on every CPU.
fn merge_that_ends_early_loses_nothing(sender: &Sender) {
    let cpus = online_cpus().unwrap();
    let mut set = PerCpuBuffers::open(bytes(16), &Options::new().timestamps(true)).unwrap();
    set.connect(&|cpu: u32, event: BorrowedFd<'_>| sender.connect(cpu, event)).unwrap();
    for &cpu in &cpus {
        sender.payload(cpu, &[]).unwrap();
        assert_eq!(sender.send(cpu, 8, 10).unwrap(), 0);
    }
    let mut merge = Merge::new(Duration::ZERO);
    let mut times = Vec::new();
    let ended = merge.finish(&mut set, |event| {
        times.push(event.time);
        ControlFlow::Break(event.cpu)
    });
    assert!(cpus.contains(&ended.unwrap().unwrap()));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        merge.finish(&mut set, |event| {
            times.push(event.time);
            assert!(times.len() < 4, "on purpose");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(merge.finish(&mut set, |event| times.push(event.time)).unwrap(), None);
    assert_eq!((times.len(), merge.late()), (10 * cpus.len(), 0));
    assert!(times.is_sorted());
}

/// A payload whose length wraps the kernel's 16-bit size leaves a corrupt record, which can be skipped.
fn corrupt_record_does_not_hide_what_a_merge_broke_with(sender: &Sender) {
    let mut set = PerCpuBuffers::open_on([0], bytes(64), &Options::new().timestamps(true)).unwrap();
    set.connect(&|cpu: u32, event: BorrowedFd<'_>| sender.connect(cpu, event)).unwrap();
    sender.payload(0, &[]).unwrap();
    assert_eq!(sender.send(0, 66_000, 1).unwrap(), 0);
    assert_eq!(sender.send(0, 8, 3).unwrap(), 0);
    let mut merge = Merge::new(Duration::ZERO);
    assert_eq!(merge.finish(&mut set, |_| ControlFlow::Break("one")).unwrap(), Some("one"));
    assert_eq!(merge.drain(&mut set, |_| ControlFlow::Break("two")).unwrap(), Some("two"));
    // Then the error is returned, once, after the other records were read.
    let mut others = 0;
    let error = merge.finish(&mut set, |_| others += 1).unwrap_err();
    assert!(matches!(error, Error::Corrupt { cpu: 0, corrupt: Corrupt::Content { .. } }), "{error}");
    assert_eq!(others, 1);
    assert_eq!(merge.finish(&mut set, |_| ()).unwrap(), None);
}

fn buffers_without_times_cannot_be_merged(_: &Sender) {
    let mut set = PerCpuBuffers::open(bytes(1), &Options::new()).unwrap();
    let error = Merge::new(Duration::ZERO).drain(&mut set, |_| {}).unwrap_err();
    assert!(error.to_string().contains("without timestamps"), "{error}");
    assert!(set.as_fd().try_clone_to_owned().is_ok());
}
