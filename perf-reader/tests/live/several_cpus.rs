//! Tests the set of all CPUs' buffers on the running kernel.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Completion;
use perf_reader::{AdaptiveReader, HotplugChanges, Options, PerCpuBuffers, Record, Wake, online_cpus};

use crate::bpf::Sender;
use crate::harness::Test;
use crate::{bytes, live};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        live!(every_online_cpu_is_read_after_one_wait),
        live!(busy_cpu_does_not_keep_a_drain_that_breaks_from_the_others),
        live!(missing_cpus_are_skipped),
        live!(set_reads_only_the_chosen_cpus),
        live!(stopper_ends_a_wait),
        live!(set_is_polled_by_the_callers_epoll),
        live!(producers_on_every_cpu_lose_nothing),
    ]
}

fn open(sender: &Sender, pages: usize) -> PerCpuBuffers {
    let set = PerCpuBuffers::open(bytes(pages), &Options::new()).unwrap();
    for buffer in &set {
        sender.connect(buffer.cpu(), buffer.as_fd()).unwrap();
        sender.payload(buffer.cpu(), &[]).unwrap();
    }
    set
}

fn every_online_cpu_is_read_after_one_wait(sender: &Sender) {
    let mut set = open(sender, 2);
    let cpus = online_cpus().unwrap();
    assert_eq!(set.iter().map(|buffer| buffer.cpu()).collect::<Vec<_>>(), cpus);
    assert_eq!(set.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
    for &cpu in &cpus {
        assert_eq!(sender.send(cpu, 8, 3).unwrap(), 0);
    }
    assert_eq!(set.wait(None).unwrap(), Wake::Ready);
    let mut seen = Vec::new();
    set.drain(|cpu, record| match record {
        Ok(Record::Sample(sample)) => {
            seen.push((cpu, u64::from_ne_bytes(sample.array().unwrap())));
        }
        other => panic!("{other:?}"),
    });
    let expected: Vec<_> = cpus.iter().flat_map(|&cpu| (1..=3).map(move |n| (cpu, n))).collect();
    assert_eq!(seen, expected);
    assert_eq!(set.lost().unwrap().samples, 0);
}

/// Breaks each drain at its first record, and one CPU always has more records.
fn busy_cpu_does_not_keep_a_drain_that_breaks_from_the_others(sender: &Sender) -> Completion {
    let cpus = online_cpus().unwrap();
    let [busy, ref others @ ..] = cpus[..] else { unreachable!("this runs on a CPU") };
    if others.is_empty() {
        return Completion::ignored_with("needs two CPUs");
    }
    let mut set = open(sender, 2);
    let slots = |cpu: u32, event: BorrowedFd<'_>| sender.connect(cpu, event);
    let read = |drain: &mut dyn FnMut() -> Option<u32>| {
        let mut seen = Vec::new();
        others.iter().for_each(|&cpu| assert_eq!(sender.send(cpu, 8, 1).unwrap(), 0));
        for _ in &cpus {
            assert_eq!(sender.send(busy, 8, 2).unwrap(), 0);
            seen.extend(drain());
        }
        assert_eq!(seen, cpus);
    };
    read(&mut || set.drain(|cpu, _| ControlFlow::Break(cpu)));
    let mut stream = AdaptiveReader::open(bytes(2), &Options::new(), slots).unwrap();
    read(&mut || stream.drain(|cpu, _| ControlFlow::Break(cpu)).unwrap());
    // After a complete drain the next one begins with the first CPU.
    let mut seen = Vec::new();
    stream.drain(|_, _| ()).unwrap();
    cpus.iter().for_each(|&cpu| assert_eq!(sender.send(cpu, 8, 1).unwrap(), 0));
    stream.drain(|cpu, _| seen.push(cpu)).unwrap();
    assert_eq!(seen, cpus);
    Completion::Completed
}

fn missing_cpus_are_skipped(_: &Sender) {
    let mut cpus = online_cpus().unwrap();
    let last = *cpus.last().unwrap();
    cpus.push(last + 1);
    let set = PerCpuBuffers::open_on(cpus, bytes(1), &Options::new()).unwrap();
    assert!(set.get(last).is_some());
    assert!(set.get(last + 1).is_none());
}

/// A refresh adds no CPUs except those that the set was opened on.
fn set_reads_only_the_chosen_cpus(sender: &Sender) {
    let mut set = PerCpuBuffers::open_on([0], bytes(1), &Options::new()).unwrap();
    let slots = |cpu: u32, event: BorrowedFd<'_>| sender.connect(cpu, event);
    assert_eq!(set.refresh(&slots).unwrap(), HotplugChanges::default());
    assert_eq!(set.iter().map(|buffer| buffer.cpu()).collect::<Vec<_>>(), [0]);
}

fn stopper_ends_a_wait(sender: &Sender) {
    let mut set = open(sender, 1);
    let stopper = set.stopper().unwrap();
    for by_fd in [false, true] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                if by_fd {
                    // As a signal handler does.
                    // SAFETY: one readable byte, and the fd is open.
                    let written = unsafe { libc::write(stopper.as_fd().as_raw_fd(), [0_u8].as_ptr().cast(), 1) };
                    assert_eq!(written, 1);
                } else {
                    stopper.stop();
                }
            });
            assert_eq!(set.wait(None).unwrap(), Wake::Stopped);
        });
        assert_eq!(set.wait(None).unwrap(), Wake::Stopped, "until it is resumed");
        set.resume().unwrap();
        assert_eq!(set.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
        sender.send(0, 8, 1).unwrap();
        assert_eq!(set.wait(None).unwrap(), Wake::Ready);
    }
    drop(set);
    stopper.stop();
}

/// poll(2) reports the set when a CPU has records, and when it was stopped.
fn set_is_polled_by_the_callers_epoll(sender: &Sender) {
    let mut set = open(sender, 1);
    let poll = |set: &PerCpuBuffers, timeout| {
        let mut fd = libc::pollfd { fd: set.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live element.
        unsafe { libc::poll(&mut fd, 1, timeout) }
    };
    assert_eq!(poll(&set, 0), 0);
    sender.send(0, 8, 1).unwrap();
    assert_eq!(poll(&set, 5000), 1);
    let mut samples = 0;
    set.drain(|_, _| samples += 1);
    assert_eq!(samples, 1);
    assert_eq!(poll(&set, 0), 0, "polling consumes the readiness");
    set.stopper().unwrap().stop();
    assert_eq!(poll(&set, 5000), 1);
}

/// One thread per CPU sends without pause while the set is drained: all sent samples are received or lost, in order on
/// each CPU.
fn producers_on_every_cpu_lose_nothing(sender: &Sender) {
    let mut set = open(sender, 4);
    let cpus = online_cpus().unwrap();
    let until = Instant::now() + Duration::from_millis(1500);
    let (sent, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let running = AtomicU64::new(cpus.len() as u64);
    let mut last = vec![0; *cpus.last().unwrap() as usize + 1];
    let (mut received, mut announced) = (0, 0);
    std::thread::scope(|scope| {
        for &cpu in &cpus {
            let (sent, refused, running) = (&sent, &refused, &running);
            scope.spawn(move || {
                while Instant::now() < until {
                    let failed = sender.send(cpu, 8, 100).unwrap();
                    sent.fetch_add(100, Ordering::Relaxed);
                    refused.fetch_add(failed.into(), Ordering::Relaxed);
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        loop {
            let over = running.load(Ordering::Acquire) == 0;
            if !over {
                set.wait(Some(Duration::from_millis(10))).unwrap();
            }
            set.drain(|cpu, record| match record.unwrap() {
                Record::Sample(sample) => {
                    let number = u64::from_ne_bytes(sample.array().unwrap());
                    let last = &mut last[cpu as usize];
                    assert!(number > *last, "CPU {cpu}: {last} then {number}");
                    *last = number;
                    received += 1;
                }
                Record::Lost(lost) => announced += lost,
                other => panic!("{other:?}"),
            });
            if over {
                break;
            }
        }
    });
    let lost = refused.into_inner();
    assert_eq!(received + lost, sent.into_inner());
    assert!(announced <= lost);
    assert_eq!(set.lost().unwrap().samples, lost);
    assert!(received > 1000);
}
