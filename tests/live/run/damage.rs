//! A perf buffer with content that no kernel writes: later records are still read.
#![expect(unsafe_code, reason = "writes into the control page of another process's perf buffer")]

use std::{
    fs,
    net::ToSocketAddrs,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

use crate::{
    binary::{self, Running},
    harness::{Test, test},
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(corrupt_positions_are_skipped_and_later_records_read).needs(root).since(5, 6, "borrowing an fd"),
        test!(corrupt_record_is_skipped_and_later_ones_read).needs(root).since(5, 6, "borrowing an fd"),
    ]
}

fn corrupt_positions_are_skipped_and_later_records_read() {
    given_up(Pages::misplace_tail, "something else writes into the control page");
}

fn corrupt_record_is_skipped_and_later_ones_read() {
    given_up(Pages::misplace_tail_within, "claims 0 bytes");
}

fn given_up(how: fn(&Pages) -> bool, why: &str) {
    stay_on_one_cpu();
    let mut command = binary::command(["run", "--built-in", "perf-heap", "--buffer", "4096", "--format", "json"]);
    let running = Running::start(&mut command);
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    running.stop();
    ask();
    assert!(damage(running.pid(), how) > 0);
    running.send(Signal::CONT);
    ask();
    running.stderr_line("the offset is reported", |line| line.contains(why));
    running.stderr_line("it continues", |line| line.contains("its unread records are skipped, to read later ones"));
    // A separate thread, which no earlier record is from.
    let thread = thread::spawn(|| {
        ask();
        gettid().as_raw_nonzero()
    });
    let own = format!("\"tid\":{},", thread.join().unwrap());
    running.stdout_line("it continues reading", |line| line.contains(&own));
    running.send(Signal::INT);
    let (received, lost) = running.end().success();
    assert!(received > 0 && lost > 0, "{received} {lost}");
}

/// Makes a call that the programs wait for.
fn ask() {
    assert!(("localhost", 80).to_socket_addrs().unwrap().next().is_some());
}

/// Keeps both records of a call in one buffer.
fn stay_on_one_cpu() {
    let allowed = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
}

/// Damages every perf buffer of a process for which `how` succeeds. Returns their number.
fn damage(pid: u32, how: fn(&Pages) -> bool) -> usize {
    let process = pidfd_open(Pid::from_raw(pid as i32).unwrap(), PidfdFlags::empty()).unwrap();
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap());
    let events = fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[perf_event]"));
    let numbers = events.map(|fd| fd.file_name().to_str().unwrap().parse().unwrap());
    let events = numbers.map(|fd| pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()).unwrap());
    events.filter_map(|event| Pages::of(&event)).filter(how).count()
}

/// A control page, and one page of records after it.
struct Pages(*mut libc::c_void);

impl Pages {
    /// Returns `None` if the event has no ring, neither its own nor another event's.
    fn of(event: &OwnedFd) -> Option<Self> {
        let length = 2 * rustix::param::page_size();
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: maps new pages, which are never unmapped.
        let pages = unsafe { libc::mmap(ptr::null_mut(), length, access, shared, event.as_raw_fd(), 0) };
        (pages != libc::MAP_FAILED).then_some(Self(pages))
    }

    /// Moves `data_tail` to an offset where no record begins.
    fn misplace_tail(&self) -> bool {
        self.tail().store(4, Ordering::Relaxed);
        true
    }

    /// Moves `data_tail` into a pending record, to an offset whose bytes read as a header with the length 0. Returns
    /// `false` if there is no such offset.
    fn misplace_tail_within(&self) -> bool {
        let (head, tail) = (self.word(1024).load(Ordering::Acquire), self.tail().load(Ordering::Relaxed));
        let offset = (tail + 8..head).step_by(8).find(|&offset| self.length_at(offset) == 0);
        offset.inspect(|&offset| self.tail().store(offset, Ordering::Relaxed)).is_some()
    }

    /// Returns the last two bytes of a record's header at this offset: the length.
    fn length_at(&self, offset: u64) -> u16 {
        let page = rustix::param::page_size();
        let length = self.0.wrapping_byte_add(page + offset as usize % page + 6).cast::<u16>();
        // SAFETY: records begin at multiples of eight bytes, so this lies within the second page, and the kernel writes
        // nothing there between tail and head.
        unsafe { length.read() }
    }

    fn tail(&self) -> &AtomicU64 {
        self.word(1032)
    }

    /// Returns a word of the control page: `data_head` or `data_tail`.
    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: these words are within the first page and aligned, and all accesses to them are atomic.
        unsafe { AtomicU64::from_ptr(self.0.wrapping_byte_add(offset).cast()) }
    }
}
