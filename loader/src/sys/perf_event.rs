//! perf_event_open(2) for attach points of programs: probes and tracepoints.
//!
//! Such a probe lives as long as its fd, and has no name in tracefs. The kernel removes it when the process dies. (The
//! crate perf-reader uses perf events as buffers.)
#![expect(unsafe_code, reason = "the system calls themselves")]

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use cutaway_sys::{
    PerfEventAttr,
    fd::owned,
    perf_event::perf_event_open,
    report::{check, report},
};
use log::kv;

/// The event to open, with the fields of `struct perf_event_attr`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event<'a> {
    /// The dynamic PMU `uprobe`. `event_type` is from sysfs. `config` has the bit for return probes and, in its upper
    /// half, the file offset of the probe's reference counter, if it has one.
    Uprobe { event_type: u32, config: u64, path: &'a CStr, offset: u64 },
    /// The dynamic PMU `kprobe`: the same for a function of the kernel.
    Kprobe { event_type: u32, config: u64, function: &'a CStr, offset: u64 },
    /// `PERF_TYPE_TRACEPOINT` with the tracepoint's id.
    Tracepoint { id: u64 },
    /// `PERF_TYPE_BREAKPOINT`: an access to an address, with `bp_type` and `bp_len` of `struct perf_event_attr`.
    Breakpoint { bp_type: u32, address: u64, length: u64 },
    /// A counter that is sampled at intervals.
    Counter { event_type: u32, config: u64, sampling: Sampling },
}

/// The sampling interval of a counter. The program runs at each sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampling {
    /// A sample each time this many events were counted.
    Period(u64),
    /// About this many samples a second.
    Frequency(u64),
}

/// The processes and CPUs of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All processes on all CPUs, for probes and tracepoints only.
    AllProcesses,
    /// One process, on any CPU.
    Process(u32),
    /// One CPU, for any process.
    Cpu(u32),
}

/// Opens an event.
pub(crate) fn open(event: Event<'_>, scope: Scope, why: &str) -> io::Result<OwnedFd> {
    let mut attr = PerfEventAttr::new();
    match event {
        Event::Uprobe { event_type, config, path, offset } => {
            attr.event_type = event_type;
            attr.config = config;
            attr.config1 = path.as_ptr().expose_provenance() as u64;
            attr.config2 = offset;
        }
        Event::Kprobe { event_type, config, function, offset } => {
            attr.event_type = event_type;
            attr.config = config;
            attr.config1 = function.as_ptr().expose_provenance() as u64;
            attr.config2 = offset;
        }
        Event::Counter { event_type, config, sampling } => {
            attr.event_type = event_type;
            attr.config = config;
            // Both are in one field.
            (attr.sample_period, attr.flags) = match sampling {
                Sampling::Period(events) => (events, 0),
                Sampling::Frequency(hertz) => (hertz, PerfEventAttr::FREQ),
            };
        }
        Event::Breakpoint { bp_type, address, length } => {
            attr.event_type = PerfEventAttr::TYPE_BREAKPOINT;
            attr.bp_type = bp_type;
            // The kernel's names of these fields are `bp_addr` and `bp_len`.
            attr.config1 = address;
            attr.config2 = length;
            // A sample, and with it a run of the program, at each access.
            attr.sample_period = 1;
        }
        Event::Tracepoint { id } => {
            attr.event_type = PerfEventAttr::TYPE_TRACEPOINT;
            attr.config = id;
            // Kernels require a period for a tracepoint, though no sample is taken.
            attr.sample_period = 1;
        }
    }
    let (pid, cpu) = match scope {
        // The CPU has no meaning: the program runs on all CPUs.
        Scope::AllProcesses => (-1, 0),
        Scope::Process(pid) => (number(pid), -1),
        Scope::Cpu(cpu) => (-1, number(cpu)),
    };
    // SAFETY: the size is the struct's; the address in `config1` is that of a C string borrowed for the call.
    let answer = unsafe { perf_event_open(&attr, pid, cpu) };
    report("perf_event_open", &Arguments { event, pid, cpu }, &answer, why);
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { owned(answer) }
}

/// Returns the id of a process or CPU as the kernel takes it. No valid id is `i32::MAX` or greater: the kernel refuses
/// that one like any other that does not exist.
fn number(id: u32) -> i32 {
    i32::try_from(id).unwrap_or(i32::MAX)
}

struct Arguments<'a> {
    event: Event<'a>,
    pid: i32,
    cpu: i32,
}

impl kv::Source for Arguments<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        let mut pair = |name: &'static str, value| visitor.visit_pair(kv::Key::from_str(name), value);
        match &self.event {
            Event::Uprobe { event_type, config, path, offset } => {
                pair("type", kv::Value::from(*event_type))?;
                pair("config", kv::Value::from(*config))?;
                pair("uprobe_path", kv::Value::from_debug(path))?;
                pair("probe_offset", kv::Value::from(*offset))?;
            }
            Event::Kprobe { event_type, config, function, offset } => {
                pair("type", kv::Value::from(*event_type))?;
                pair("config", kv::Value::from(*config))?;
                pair("kprobe_func", kv::Value::from_debug(function))?;
                pair("probe_offset", kv::Value::from(*offset))?;
            }
            Event::Counter { event_type, config, sampling } => {
                match (event_type, config) {
                    (&PerfEventAttr::TYPE_SOFTWARE, 0) => {
                        pair("type", kv::Value::from("PERF_TYPE_SOFTWARE"))?;
                        pair("config", kv::Value::from("PERF_COUNT_SW_CPU_CLOCK"))?;
                    }
                    _ => {
                        pair("type", kv::Value::from(*event_type))?;
                        pair("config", kv::Value::from(*config))?;
                    }
                }
                match sampling {
                    Sampling::Period(events) => pair("sample_period", kv::Value::from(*events))?,
                    Sampling::Frequency(hertz) => {
                        pair("freq", kv::Value::from(1))?;
                        pair("sample_freq", kv::Value::from(*hertz))?;
                    }
                }
            }
            Event::Breakpoint { bp_type, address, length } => {
                pair("type", kv::Value::from("PERF_TYPE_BREAKPOINT"))?;
                pair("bp_type", kv::Value::from(*bp_type))?;
                pair("bp_addr", kv::Value::from(*address))?;
                pair("bp_len", kv::Value::from(*length))?;
                pair("sample_period", kv::Value::from(1))?;
            }
            Event::Tracepoint { id } => {
                pair("type", kv::Value::from("PERF_TYPE_TRACEPOINT"))?;
                pair("config", kv::Value::from(*id))?;
                pair("sample_period", kv::Value::from(1))?;
            }
        }
        pair("size", kv::Value::from(PerfEventAttr::SIZE))?;
        pair("pid", kv::Value::from(self.pid))?;
        pair("cpu", kv::Value::from(self.cpu))?;
        pair("group_fd", kv::Value::from(-1))?;
        pair("flags", kv::Value::from("PERF_FLAG_FD_CLOEXEC"))
    }
}

/// Attaches a program to an event, for kernels without such links (before 5.15): `PERF_EVENT_IOC_SET_BPF`.
pub(crate) fn set_bpf(event: BorrowedFd<'_>, program: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    ioctl(event, libc::c_ulong::from(SET_BPF), "PERF_EVENT_IOC_SET_BPF", program.as_raw_fd(), why)
}

/// Enables an event: `PERF_EVENT_IOC_ENABLE`.
pub(crate) fn enable(event: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    ioctl(event, libc::c_ulong::from(ENABLE), "PERF_EVENT_IOC_ENABLE", 0, why)
}

/// `PERF_EVENT_IOC_ENABLE`: `_IO('$', 0)`, the same on all architectures of this crate except MIPS, PowerPC and SPARC.
const ENABLE: u32 = 0x2400;
/// `PERF_EVENT_IOC_SET_BPF`: `_IOW('$', 8, __u32)`, the same on these architectures.
const SET_BPF: u32 = 0x4004_2408;

fn ioctl(event: BorrowedFd<'_>, request: libc::c_ulong, name: &str, argument: i32, why: &str) -> io::Result<()> {
    // SAFETY: both requests take an integer, not an address.
    let value = unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) };
    let answer = check(value);
    let arguments: [(&str, kv::Value<'_>); 3] =
        [("fd", event.as_raw_fd().into()), ("op", name.into()), ("argument", argument.into())];
    report("ioctl", &arguments.as_slice(), &answer, why);
    answer.map(drop)
}
