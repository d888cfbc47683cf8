//! Tests machines with one CPU, and machines with more possible than online CPUs. If this machine is neither and the
//! tests may take CPUs offline (`PERF_READER_HOTPLUG`), they do so for as long as a test runs.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libtest_mimic::Completion;
use perf_reader::{
    AdaptiveReader, Buffer, Error, HotplugChanges, Merge, Options, PerCpuBuffers, Record, Wake, online_cpus,
};

use crate::bpf::{Sender, possible_cpus};
use crate::harness::Test;
use crate::stream::{online_file, switch};
use crate::{bytes, live};

pub(crate) fn tests() -> Vec<Test> {
    vec![live!(machine_of_one_cpu_is_read), live!(offline_cpus_have_slots_and_no_buffers)]
}

/// CPUs that are offline until this is dropped.
struct Offline<'c>(&'c [u32]);

impl<'c> Offline<'c> {
    /// Takes the CPUs offline; `None` if the tests may not do that on this machine, or the CPUs cannot be taken
    /// offline.
    fn take(cpus: &'c [u32]) -> Option<Self> {
        let allowed = std::env::var_os("PERF_READER_HOTPLUG").is_some();
        if !allowed || !cpus.iter().all(|&cpu| std::path::Path::new(&online_file(cpu)).exists()) {
            return None;
        }
        let away = Self(cpus);
        cpus.iter().for_each(|&cpu| switch(cpu, false));
        Some(away)
    }
}

impl Drop for Offline<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|&cpu| switch(cpu, true));
    }
}

/// Checks that program and reader take turns on the only CPU: every record that is sent in bursts and after pauses is
/// read or counted, and a merge of one CPU is in order.
fn machine_of_one_cpu_is_read(sender: &Sender) -> Completion {
    let cpus = online_cpus().unwrap();
    let (&cpu, others) = cpus.split_first().unwrap();
    let away = Offline::take(others);
    if !others.is_empty() && away.is_none() {
        return Completion::ignored_with(
            "needs a machine with one CPU: a virtual machine, or set PERF_READER_HOTPLUG=1",
        );
    }
    assert_eq!(online_cpus().unwrap(), [cpu]);
    let slots = |cpu: u32, event: BorrowedFd<'_>| sender.connect(cpu, event);
    sender.payload(cpu, &[]).unwrap();
    let mut stream = AdaptiveReader::open(bytes(16), &Options::new(), slots).unwrap();
    assert_eq!(stream.set().iter().map(|buffer| buffer.cpu()).collect::<Vec<_>>(), [cpu]);
    let stopper = stream.stopper().unwrap();
    let (sent, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let (mut last, mut received) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..20_u32 {
                for count in std::iter::repeat_n(100, round as usize % 4 * 3).chain([1]) {
                    refused.fetch_add(sender.send(cpu, 8, count).unwrap().into(), Ordering::Relaxed);
                    sent.fetch_add(count.into(), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(u64::from(round % 5 * 8)));
            }
            stopper.stop();
        });
        let ran = stream.run(|_, record| {
            if let Record::Sample(sample) = record.unwrap() {
                let number = u64::from_ne_bytes(sample.array().unwrap());
                assert!(number > last, "{last} then {number}");
                last = number;
                received += 1;
            }
        });
        ran.unwrap();
    });
    assert!(stream.switches() > 0, "busy and idle");
    assert_eq!(stream.lost().unwrap().samples, refused.load(Ordering::Relaxed));
    assert_eq!(received + refused.into_inner(), sent.into_inner());
    assert_eq!(stream.refresh().unwrap(), HotplugChanges::default());
    // CPUs that come online meanwhile are read, too.
    drop(away);
    assert_eq!(stream.refresh().unwrap(), HotplugChanges { added: others.to_vec(), ..HotplugChanges::default() });
    drop(stream);
    let mut set = PerCpuBuffers::open_on([cpu], bytes(4), &Options::new().timestamps(true)).unwrap();
    set.connect(&slots).unwrap();
    sender.send(cpu, 8, 50).unwrap();
    let mut times = Vec::new();
    Merge::new(Duration::ZERO).finish(&mut set, |event| times.push(event.time)).unwrap();
    assert_eq!(times.len(), 50);
    assert!(times.is_sorted());
    Completion::Completed
}

/// Checks that the map has a slot for each possible CPU. Offline CPUs have no buffer, which is an error only for a
/// buffer of that very CPU.
fn offline_cpus_have_slots_and_no_buffers(sender: &Sender) -> Completion {
    let all: Vec<u32> = (0..possible_cpus()).collect();
    let before = online_cpus().unwrap();
    let last = before.last_chunk::<1>().filter(|_| before.len() > 1);
    let away = match last {
        Some(last) if before.len() == all.len() => Offline::take(last),
        _ => None,
    };
    let online = online_cpus().unwrap();
    if online.len() == all.len() {
        return Completion::ignored_with(
            "needs more possible CPUs than online ones: such a virtual machine, or set PERF_READER_HOTPLUG=1",
        );
    }
    let slots = |cpu: u32, event: BorrowedFd<'_>| sender.connect(cpu, event);
    let cpus = |set: &PerCpuBuffers| set.iter().map(|buffer| buffer.cpu()).collect::<Vec<_>>();
    assert_eq!(
        cpus(&PerCpuBuffers::open_on(all.iter().copied(), bytes(1), &Options::new()).unwrap()),
        online,
        "of all possible CPUs"
    );
    for &cpu in all.iter().filter(|cpu| !online.contains(cpu)) {
        let error = Buffer::open(cpu, bytes(1), &Options::new()).unwrap_err();
        assert!(matches!(error, Error::Offline { cpu: named, .. } if named == cpu), "{error}");
        assert!(sender.send(cpu, 8, 1).is_err(), "no program runs on an offline CPU");
    }
    let mut set = PerCpuBuffers::open(bytes(2), &Options::new()).unwrap();
    assert_eq!(cpus(&set), online);
    set.connect(&slots).unwrap();
    let first = set.iter().next().unwrap().as_fd();
    assert!(sender.connect(possible_cpus(), first).is_err(), "the map has as many slots as there are possible CPUs");
    for &cpu in &online {
        sender.payload(cpu, &[]).unwrap();
        assert_eq!(sender.send(cpu, 8, 3).unwrap(), 0);
    }
    assert_eq!(set.wait(None).unwrap(), Wake::Ready);
    let mut seen = Vec::new();
    set.drain(|cpu, record| match record.unwrap() {
        Record::Sample(sample) => seen.push((cpu, u64::from_ne_bytes(sample.array().unwrap()))),
        other => panic!("{other:?}"),
    });
    let expected: Vec<_> = online.iter().flat_map(|&cpu| (1..=3).map(move |number| (cpu, number))).collect();
    assert_eq!(seen, expected);
    assert_eq!(set.refresh(&slots).unwrap(), HotplugChanges::default());
    drop(away);
    Completion::Completed
}
