//! Tests silent events and CPU hotplug on the running kernel.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Completion;
use perf_reader::{
    AdaptiveReader, Corrupt, EventArray, HotplugChanges, IDLE_POLL_INTERVAL, Options, PerCpuBuffers, Record, Slot,
    Wake, Wakeup, online_cpus,
};

use crate::bpf::Sender;
use crate::harness::Test;
use crate::{bytes, live};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        live!(stream_loses_nothing_busy_or_idle),
        live!(stream_counts_losses_of_both_events),
        live!(stream_delivers_single_records_at_once),
        live!(stream_delivers_records_without_wakeup),
        live!(cpus_without_a_slot_are_skipped),
        live!(missing_slots_are_an_error),
        live!(slot_of_another_reader_is_not_set),
        live!(refresh_that_fails_on_one_cpu_looks_at_the_others),
        live!(slot_that_failed_is_set_the_next_time),
        live!(corrupt_ring_is_skipped_and_read_on),
        live!(cpu_goes_offline_and_comes_back),
        live!(cpu_comes_online),
    ]
}

fn slots(sender: &Sender) -> impl perf_reader::EventArray + '_ {
    |cpu: u32, event: std::os::fd::BorrowedFd<'_>| sender.connect(cpu, event)
}

fn stream(sender: &Sender, pages: usize) -> AdaptiveReader<impl perf_reader::EventArray + '_> {
    for cpu in online_cpus().unwrap() {
        sender.payload(cpu, &[]).unwrap();
    }
    AdaptiveReader::open(bytes(pages), &Options::new(), slots(sender)).unwrap()
}

/// Bursts and pauses of all lengths turn wake-ups off and on many times: every record arrives or is counted, in order.
fn stream_loses_nothing_busy_or_idle(sender: &Sender) {
    let mut stream = stream(sender, 64);
    let stopper = stream.stopper().unwrap();
    let cpu = online_cpus().unwrap()[0];
    let (sent, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let (mut last, mut received) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..60_u32 {
                for _ in 0..round % 7 * 20 {
                    refused.fetch_add(sender.send(cpu, 8, 50).unwrap().into(), Ordering::Relaxed);
                    sent.fetch_add(50, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(u64::from(round % 9 * 4)));
                refused.fetch_add(sender.send(cpu, 8, 1).unwrap().into(), Ordering::Relaxed);
                sent.fetch_add(1, Ordering::Relaxed);
            }
            stopper.stop();
        });
        stream
            .run(|_, record| match record.unwrap() {
                Record::Sample(sample) => {
                    let number = u64::from_ne_bytes(sample.array().unwrap());
                    assert!(number > last, "{last} then {number}");
                    last = number;
                    received += 1;
                }
                Record::Lost(_) => {}
                other => panic!("{other:?}"),
            })
            .unwrap();
    });
    assert!(stream.switches() > 0, "{} switches", stream.switches());
    assert_eq!(stream.lost().unwrap().samples, refused.load(Ordering::Relaxed));
    assert_eq!(received + refused.into_inner(), sent.into_inner());
}

/// Losses through the waking event and through the silent one, in one ring.
fn stream_counts_losses_of_both_events(sender: &Sender) {
    let mut stream = stream(sender, 1);
    let (mut refused, mut announced) = (0, 0);
    for round in 0..20 {
        refused += u64::from(sender.send(0, 8, 400).unwrap());
        stream
            .drain(|_, record| {
                if let Ok(Record::Lost(lost)) = record {
                    announced += lost;
                }
            })
            .unwrap();
        assert_eq!(stream.lost().unwrap().samples, refused, "round {round}");
    }
    assert!(stream.switches() > 0);
    assert!(announced > 0 && announced < refused);
}

/// Single records are delivered no later than by a plain set.
fn stream_delivers_single_records_at_once(sender: &Sender) {
    let mut stream = stream(sender, 8);
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(stream.wait(Some(Duration::ZERO)).unwrap(), Wake::TimedOut);
        sender.send(0, 8, 1).unwrap();
        assert_eq!(stream.wait(Some(Duration::from_secs(5))).unwrap(), Wake::Ready);
        let mut records = 0;
        stream.drain(|_, _| records += 1).unwrap();
        assert_eq!(records, 1);
    }
    assert_eq!(stream.switches(), 0);
}

/// An idle stream that requests few wake-ups: polling finds records that send none, also for callers that sleep by
/// other means.
fn stream_delivers_records_without_wakeup(sender: &Sender) {
    sender.payload(0, &[]).unwrap();
    let options = Options::new().wakeup(Wakeup::Events(1000));
    let mut stream = AdaptiveReader::open(bytes(8), &options, slots(sender)).unwrap();
    for by_next_poll in [false, true] {
        sender.send(0, 8, 3).unwrap();
        if by_next_poll {
            let at = stream.next_poll().unwrap();
            assert!(at <= Instant::now() + IDLE_POLL_INTERVAL);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
        } else {
            assert_eq!(stream.wait(None).unwrap(), Wake::Ready);
        }
        let mut records = 0;
        stream.drain(|_, _| records += 1).unwrap();
        assert_eq!((records, stream.switches()), (3, 0));
        assert!(stream.next_poll().unwrap() > Instant::now(), "the poll is postponed");
    }
    stream.set_idle_poll_interval(None);
    assert_eq!(stream.next_poll(), None);
}

/// With a map of one slot, CPU 0 is read, and the others are returned by `without_slot`, permanently.
fn cpus_without_a_slot_are_skipped(_: &Sender) {
    let sender = Sender::with_slots(1).unwrap();
    let online = online_cpus().unwrap();
    let mut stream = stream(&sender, 1);
    let others = online.get(1..).unwrap_or_default();
    assert_eq!((stream.set().len(), stream.set().without_slot()), (1, others));
    assert_eq!(stream.refresh().unwrap(), HotplugChanges::default());
    assert_eq!(sender.send(0, 8, 3).unwrap(), 0);
    for &cpu in others {
        assert_eq!(sender.send(cpu, 8, 3).unwrap(), 3, "refused, and only the program can count it");
    }
    let mut seen = Vec::new();
    stream.drain(|cpu, _| seen.push(cpu)).unwrap();
    assert_eq!(seen, [0; 3]);
    assert_eq!(stream.lost().unwrap().samples, 0);
}

fn missing_slots_are_an_error(_: &Sender) {
    let none = |_: u32, _: BorrowedFd<'_>| Err(std::io::Error::from_raw_os_error(libc::E2BIG));
    let error = AdaptiveReader::open(bytes(1), &Options::new(), none).err().unwrap();
    assert_eq!(error.errno().map(|errno| errno.raw()), Some(libc::E2BIG), "{error}");
}

/// Slots of which another reader can take that of CPU 0. The time for which its event has been enabled distinguishes it
/// from this reader's.
struct Contested<'s> {
    sender: &'s Sender,
    slot: &'s Cell<Slot>,
    sets: &'s Cell<u32>,
    ours: Instant,
}

impl EventArray for Contested<'_> {
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> std::io::Result<()> {
        if cpu == 0 {
            self.sets.set(self.sets.get() + 1);
            self.slot.set(Slot::Enabled(0));
        }
        self.sender.connect(cpu, event)
    }

    fn query(&self, cpu: u32, since: u64) -> std::io::Result<Option<Slot>> {
        assert!(since < self.ours.elapsed().as_nanos() as u64);
        Ok((cpu == 0).then(|| match self.slot.get() {
            // Between two readings of this reader's event.
            Slot::Enabled(0) => Slot::Enabled(since),
            other => other,
        }))
    }
}

/// A CPU whose slot was taken looks calm. The waking event is not put back then: that would take the slot from the
/// other reader.
fn slot_of_another_reader_is_not_set(sender: &Sender) {
    for cpu in online_cpus().unwrap() {
        sender.payload(cpu, &[]).unwrap();
    }
    let (slot, sets) = (Cell::new(Slot::Empty), Cell::new(0));
    let slots = Contested { sender, slot: &slot, sets: &sets, ours: Instant::now() };
    let mut stream = AdaptiveReader::open(bytes(8), &Options::new(), slots).unwrap();
    sender.send(0, 8, 200).unwrap();
    stream.drain(|_, _| {}).unwrap();
    assert_eq!((sets.get(), stream.switches()), (2, 1), "busy: the silent event is in the slot");
    slot.set(Slot::Other);
    let until = Instant::now() + Duration::from_millis(400);
    while Instant::now() < until {
        stream.wait(Some(Duration::from_millis(5))).unwrap();
        stream.drain(|_, _| {}).unwrap();
    }
    assert_eq!((sets.get(), stream.switches()), (2, 1), "calm, and the slot is not set");
    assert_eq!(stream.refresh().unwrap(), HotplugChanges { taken: vec![0], ..HotplugChanges::default() });
    assert_eq!(stream.refresh().unwrap(), HotplugChanges::default(), "reported once");
    slot.set(Slot::Empty);
    assert_eq!(stream.refresh().unwrap(), HotplugChanges { regained: vec![0], ..HotplugChanges::default() });
    assert_eq!(sets.get(), 3);
    assert_eq!(stream.refresh().unwrap(), HotplugChanges::default());
}

const HOTPLUG: &str = "takes a CPU of the machine offline: in a virtual machine, set PERF_READER_HOTPLUG=1";

/// Returns slots that cannot be set while `refuse` is true.
fn refusing<'s>(sender: &'s Sender, refuse: &'s Cell<bool>) -> impl perf_reader::EventArray + 's {
    move |cpu: u32, event: BorrowedFd<'_>| match refuse.get() {
        true => Err(std::io::Error::from_raw_os_error(libc::ENOMEM)),
        false => sender.connect(cpu, event),
    }
}

/// Slots that appear empty, and cannot be set again on one CPU.
struct Emptied<'s> {
    is_empty: &'s Cell<bool>,
    refused: &'s Cell<Option<u32>>,
}

impl EventArray for Emptied<'_> {
    fn set(&self, cpu: u32, _: BorrowedFd<'_>) -> std::io::Result<()> {
        match self.refused.get() {
            Some(refused) if refused == cpu => Err(std::io::Error::from_raw_os_error(libc::ENOMEM)),
            _ => Ok(()),
        }
    }

    fn query(&self, _: u32, since: u64) -> std::io::Result<Option<Slot>> {
        Ok(Some(if self.is_empty.get() { Slot::Empty } else { Slot::Enabled(since) }))
    }
}

/// Checks that the next refresh that succeeds returns the changes of the other CPUs.
fn refresh_that_fails_on_one_cpu_looks_at_the_others(_: &Sender) -> Completion {
    let cpus = online_cpus().unwrap();
    let [first, .., last] = cpus[..] else { return Completion::ignored_with("needs two CPUs") };
    for failing in [first, last] {
        let (is_empty, refused) = (Cell::new(false), Cell::new(None));
        let slots = Emptied { is_empty: &is_empty, refused: &refused };
        let mut set = PerCpuBuffers::open(bytes(1), &Options::new()).unwrap();
        set.connect(&slots).unwrap();
        assert_eq!(set.refresh(&slots).unwrap(), HotplugChanges::default());
        is_empty.set(true);
        refused.set(Some(failing));
        for _ in 0..2 {
            let error = set.refresh(&slots).unwrap_err();
            assert!(error.to_string().contains("into its slot"), "{error}");
        }
        is_empty.set(false);
        let regained = cpus.iter().copied().filter(|&cpu| cpu != failing).collect();
        assert_eq!(set.refresh(&slots).unwrap(), HotplugChanges { regained, ..HotplugChanges::default() });
        assert_eq!(set.refresh(&slots).unwrap(), HotplugChanges::default(), "reported once");
    }
    Completion::Completed
}

/// The next drain repeats a switch that failed, and reads the records that were sent meanwhile.
fn slot_that_failed_is_set_the_next_time(sender: &Sender) {
    let refuse = Cell::new(false);
    sender.payload(0, &[]).unwrap();
    let mut stream = AdaptiveReader::open(bytes(8), &Options::new(), refusing(sender, &refuse)).unwrap();
    let mut received = 0;
    sender.send(0, 8, 100).unwrap();
    refuse.set(true);
    for _ in 0..2 {
        let error = stream.drain(|_, _| received += 1).unwrap_err();
        assert!(error.to_string().contains("into its slot"), "{error}");
        assert_eq!(stream.switches(), 0);
        sender.send(0, 8, 1).unwrap();
    }
    refuse.set(false);
    stream.drain(|_, _| received += 1).unwrap();
    assert_eq!((stream.switches(), received), (1, 102));
}

/// Bytes that are no header stop the CPU until the reader skips them. Only the kernel can write data, so this test
/// changes `data_tail` to a position in the middle of a record.
fn corrupt_ring_is_skipped_and_read_on(sender: &Sender) {
    const PAGES: usize = 8;
    sender.payload(0, &[]).unwrap();
    let mut stream = AdaptiveReader::open(bytes(PAGES), &Options::new(), slots(sender)).unwrap();
    sender.send(0, 8, 2).unwrap();
    {
        let event = stream.set().get(0).unwrap().as_fd();
        let page = memory_page();
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let pages = unsafe {
            let (prot, fd) = (libc::PROT_READ | libc::PROT_WRITE, event.as_raw_fd());
            libc::mmap(std::ptr::null_mut(), (1 + PAGES) * page, prot, libc::MAP_SHARED, fd, 0)
        };
        assert_ne!(pages, libc::MAP_FAILED);
        let tail = pages.wrapping_byte_add(1032).cast::<u64>();
        // SAFETY: an aligned word of the mapping that was just created.
        let tail = unsafe { AtomicU64::from_ptr(tail) };
        // There, the type is the first record's raw size, 12. The size is bytes 2 and 3 of its number 1, which are 0.
        tail.store(8, Ordering::Relaxed);
        // SAFETY: a mapping of this test that nothing uses any more.
        assert_eq!(unsafe { libc::munmap(pages, (1 + PAGES) * page) }, 0);
    }
    for _ in 0..2 {
        let mut seen = Vec::new();
        stream.drain(|_, record| seen.push(record.err())).unwrap();
        assert!(matches!(seen[..], [Some(Corrupt::Record { at: 8, kind: 12, size: 0, left: 40 })]), "{seen:?}");
    }
    assert_eq!(stream.skip_to_head(0), Some(40));
    assert_eq!(stream.skip_to_head(u32::MAX), None);
    sender.send(0, 8, 3).unwrap();
    let mut received = Vec::new();
    stream
        .drain(|_, record| match record.unwrap() {
            Record::Sample(sample) => received.push(u64::from_ne_bytes(sample.array().unwrap())),
            other => panic!("{other:?}"),
        })
        .unwrap();
    assert_eq!(received, [3, 4, 5]);
}

fn memory_page() -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

pub(crate) fn online_file(cpu: u32) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/online")
}

/// Returns the last CPU, if it can be taken offline and the tests may do that on this machine.
fn victim() -> Result<u32, Completion> {
    if std::env::var_os("PERF_READER_HOTPLUG").is_none() {
        return Err(Completion::ignored_with(HOTPLUG));
    }
    let last = *online_cpus().unwrap().last().unwrap();
    match std::path::Path::new(&online_file(last)).exists() {
        true => Ok(last),
        false => Err(Completion::ignored_with("this machine has no CPU that can be taken offline")),
    }
}

pub(crate) fn switch(cpu: u32, online: bool) {
    std::fs::write(online_file(cpu), if online { "1" } else { "0" }).unwrap();
}

/// Takes a CPU offline while records flow, and back online. Its records before and after are read, and its program is
/// refused in between.
fn cpu_goes_offline_and_comes_back(sender: &Sender) -> Completion {
    let cpu = match victim() {
        Ok(cpu) => cpu,
        Err(ignored) => return ignored,
    };
    for cpu in online_cpus().unwrap() {
        sender.payload(cpu, &[]).unwrap();
    }
    let refuse = Cell::new(false);
    let mut stream = AdaptiveReader::open(bytes(8), &Options::new(), refusing(sender, &refuse)).unwrap();
    let nothing = HotplugChanges::default();
    assert_eq!(stream.refresh().unwrap(), nothing);
    let (mut sent, mut received) = (0, 0);
    for round in 0..5 {
        sent += 10 - sender.send(cpu, 8, 10).unwrap();
        switch(cpu, false);
        assert_eq!(stream.refresh().unwrap(), HotplugChanges { removed: vec![cpu], ..HotplugChanges::default() });
        assert_eq!(stream.refresh().unwrap(), nothing);
        // No records come from it, and its EPOLLHUP makes no busy loop either.
        let began = Instant::now();
        let mut wakes = 0;
        while began.elapsed() < Duration::from_millis(200) {
            wakes += u32::from(stream.wait(Some(Duration::from_millis(50))).unwrap() == Wake::Ready);
            stream.drain(|from, record| received += count(from, cpu, record.unwrap())).unwrap();
        }
        assert!(wakes < 50, "{wakes} wake-ups");
        switch(cpu, true);
        assert_eq!(sender.send(cpu, 8, 10).unwrap(), 10, "EOPNOTSUPP is for the program to count");
        let returned = HotplugChanges { restored: vec![cpu], ..HotplugChanges::default() };
        if round == 1 {
            refuse.set(true);
            stream.refresh().unwrap_err();
            refuse.set(false);
        }
        assert_eq!(stream.refresh().unwrap(), returned, "round {round}");
        assert_eq!(stream.refresh().unwrap(), nothing);
        if round > 2 {
            // Offline and online again between two refreshes.
            sent += 10 - sender.send(cpu, 8, 10).unwrap();
            switch(cpu, false);
            switch(cpu, true);
            assert_eq!(stream.refresh().unwrap(), returned);
        }
        assert_eq!(sender.send(cpu, 8, 10).unwrap(), 0, "round {round}: after the return");
        sent += 10;
        while stream.wait(Some(Duration::from_millis(20))).unwrap() == Wake::Ready {
            stream.drain(|from, record| received += count(from, cpu, record.unwrap())).unwrap();
        }
        assert_eq!(received, sent, "round {round}");
    }
    Completion::Completed
}

fn count(from: u32, cpu: u32, record: Record<'_>) -> u32 {
    assert_eq!(from, cpu);
    u32::from(matches!(record, Record::Sample(_)))
}

/// Checks that a CPU that was offline when the set was opened gets a buffer once it is online.
fn cpu_comes_online(sender: &Sender) -> Completion {
    let cpu = match victim() {
        Ok(cpu) => cpu,
        Err(ignored) => return ignored,
    };
    switch(cpu, false);
    let mut set = PerCpuBuffers::open(bytes(2), &Options::new().wakeup(Wakeup::Events(1))).unwrap();
    set.connect(&slots(sender)).unwrap();
    assert!(set.get(cpu).is_none());
    switch(cpu, true);
    sender.payload(cpu, &[]).unwrap();
    assert_eq!(sender.send(cpu, 8, 5).unwrap(), 5, "ENOENT is for the program to count");
    let refuse = Cell::new(true);
    set.refresh(&refusing(sender, &refuse)).unwrap_err();
    refuse.set(false);
    let added = HotplugChanges { added: vec![cpu], ..HotplugChanges::default() };
    assert_eq!(set.refresh(&refusing(sender, &refuse)).unwrap(), added, "tried again");
    assert_eq!(sender.send(cpu, 8, 5).unwrap(), 0);
    assert_eq!(set.wait(None).unwrap(), Wake::Ready);
    let mut received = 0;
    set.drain(|from, record| received += count(from, cpu, record.unwrap()));
    assert_eq!(received, 5);
    Completion::Completed
}
