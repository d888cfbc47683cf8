//! A perf buffer in which somebody has written what no kernel writes: what comes later is read all the same.
#![expect(unsafe_code, reason = "writes into the control page of another process's perf buffer")]

use std::{
    fs,
    net::ToSocketAddrs,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use libtest_mimic::Trial;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::{
    binary::{self, Running},
    ignorable, lacks,
    requirements::Needs,
};

pub(crate) fn trials() -> Vec<Trial> {
    let lacks = || Needs::Root.obstacle().or_else(|| lacks::at_least(5, 6, "borrowing a descriptor"));
    vec![ignorable("what_no_kernel_writes_is_given_up_and_what_comes_later_is_read", lacks, given_up)]
}

fn given_up() {
    stay_on_one_cpu();
    let mut command = binary::command(["run", "--built-in", "perf-heap", "--buffer", "4096", "--format", "json"]);
    let running = Running::start(&mut command);
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    assert!(damage(running.pid()) > 0);
    ask();
    running.stderr_line("it goes on", |line| line.contains(" bytes are given up, to go on behind them"));
    let before = running.stdout_lines();
    ask();
    let own = format!("\"pid\":{},", std::process::id());
    running.stdout_line("it reads on", |line| line.contains(&own));
    assert!(running.stdout_lines() > before);
    running.send(Signal::INT);
    let (received, lost) = running.end().success();
    assert!(received > 0 && lost > 0, "{received} {lost}");
}

/// A call that the programs wait for.
fn ask() {
    assert!(("localhost", 80).to_socket_addrs().unwrap().next().is_some());
}

/// What is sent twice goes through one buffer then.
fn stay_on_one_cpu() {
    let allowed = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
}

/// Puts `data_tail` where no record begins, in every perf buffer of a process; how many these are.
fn damage(pid: u32) -> usize {
    let process = pidfd_open(Pid::from_raw(pid as i32).unwrap(), PidfdFlags::empty()).unwrap();
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap());
    let events = fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[perf_event]"));
    let numbers = events.map(|fd| fd.file_name().to_str().unwrap().parse().unwrap());
    numbers.filter(|&fd| misplace_tail(&pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()).unwrap())).count()
}

/// False if the event has no ring of one page, of its own or another's.
fn misplace_tail(event: &OwnedFd) -> bool {
    let length = 2 * rustix::param::page_size();
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: maps new pages, which are never unmapped.
    let page = unsafe { libc::mmap(ptr::null_mut(), length, access, shared, event.as_raw_fd(), 0) };
    if page == libc::MAP_FAILED {
        return false;
    }
    let word = page.wrapping_byte_add(1032).cast::<u64>();
    // SAFETY: byte 1032 of a control page is its `data_tail`, which everybody accesses atomically.
    unsafe { AtomicU64::from_ptr(word) }.store(4, Ordering::Relaxed);
    true
}
