//! Attaches to perf events: a program that runs whenever a counter overflows, which is how profilers sample.
//!
//! A counter counts on one CPU (or in one process), so a machine-wide program needs an event on each online CPU. Every
//! machine has the software clock; hardware counters may be missing, e.g. in a virtual machine
//! (`kernel/events/core.c`).

use log::debug;

use cutaway_sys::cpus;

use super::{Breakpoint, Link};
use crate::{
    Error, Program, ProgramType,
    sys::perf_event::{self, Event, Sampling, Scope},
};

/// A counter to attach to. Linux 4.9.
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// let link = cutaway::PerfEvent::cpu_clock().frequency(99).attach(loaded.program("sample")?)?;
/// # Ok(())
/// # }
/// ```
///
/// Kernel source: `kernel/events/core.c`.
///
/// Needs this crate's feature `perf-event`.
#[doc(alias("bpf_program__attach_perf_event", "perf_event_open"))]
#[derive(Debug, Clone)]
pub struct PerfEvent {
    kind: Kind,
    sampling: Sampling,
    scope: Option<Scope>,
    cookie: u64,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter { event_type: u32, config: u64 },
    Breakpoint(Breakpoint),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Counter { event_type, config } => write!(f, "the event {event_type}:{config}"),
            Self::Breakpoint(breakpoint) => breakpoint.fmt(f),
        }
    }
}

impl PerfEvent {
    /// Selects the event `config` of the PMU `event_type`, numbered as in `perf_event_open(2)` and sysfs, sampled 49
    /// times a second.
    #[must_use]
    pub fn new(event_type: u32, config: u64) -> Self {
        Self::of(Kind::Counter { event_type, config })
    }

    fn of(kind: Kind) -> Self {
        Self { kind, sampling: Sampling::Frequency(49), scope: None, cookie: 0 }
    }

    /// Selects accesses to an address, which the CPU's debug registers watch. The program runs at each access, when
    /// the CPU has made it (x86-64: for an execution before). [`PerfEvent::frequency`] and [`PerfEvent::period`] have
    /// no effect.
    ///
    /// An address of user space is one of the process of [`PerfEvent::pid`]. The kernel watches the thread with that
    /// id only, and not the other threads of the process. Without `pid` the breakpoint is set on each CPU, for all
    /// processes, which suits addresses of the kernel.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let loaded = cutaway::Object::parse(&[])?.load()?;
    /// # let (pid, address) = (1, 0);
    /// use cutaway::{Breakpoint, PerfEvent};
    ///
    /// let written = PerfEvent::breakpoint(Breakpoint::write(address, 8)).pid(pid);
    /// let link = written.attach(loaded.program("sample")?)?;
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("PERF_TYPE_BREAKPOINT", "bp_addr", "bp_len"))]
    #[must_use]
    pub fn breakpoint(breakpoint: Breakpoint) -> Self {
        Self::of(Kind::Breakpoint(breakpoint))
    }

    /// Selects the CPU's time, running or idle, by the kernel's own clock (`PERF_COUNT_SW_CPU_CLOCK`), which needs no
    /// hardware counter.
    #[must_use]
    pub fn cpu_clock() -> Self {
        const PERF_TYPE_SOFTWARE: u32 = 1;
        const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
        Self::new(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK)
    }

    /// Runs the program about `hertz` times a second on each CPU. The kernel's limit is in
    /// `/proc/sys/kernel/perf_event_max_sample_rate`.
    #[must_use]
    pub fn frequency(mut self, hertz: u64) -> Self {
        self.sampling = Sampling::Frequency(hertz);
        self
    }

    /// Runs the program after each `events` counted events; for a clock, nanoseconds.
    #[must_use]
    pub fn period(mut self, events: u64) -> Self {
        self.sampling = Sampling::Period(events);
        self
    }

    /// Counts only while this process runs, on any CPU.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.scope = Some(Scope::Process(pid));
        self
    }

    /// Counts only on this CPU.
    #[must_use]
    pub fn cpu(mut self, cpu: u32) -> Self {
        self.scope = Some(Scope::Cpu(cpu));
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie` (Linux 5.15).
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Sets the cookie if there is one.
    pub(super) fn override_cookie(self, cookie: Option<u64>) -> Self {
        Self { cookie: cookie.unwrap_or(self.cookie), ..self }
    }

    /// Attaches `program`: without [`PerfEvent::pid`] or [`PerfEvent::cpu`] on every CPU that is online now.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: ENOENT or
    /// EOPNOTSUPP if the machine has no such counter. For a breakpoint: EINVAL or EOPNOTSUPP if the CPU cannot watch
    /// that address, length or access, ENOSPC if no debug register is free.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = self.kind.to_string();
        program.must_be(&[ProgramType::PERF_EVENT], &what)?;
        if let Some(scope) = self.scope {
            return self.one(program, scope, &what);
        }
        let cpus = cpus::online().map_err(|error| Error::Invalid {
            operation: format!("attach the program `{}` to {what} on all CPUs", program.name()),
            why: error.to_string(),
        })?;
        debug!("`{}` is attached to {what} by an event on each of {} CPUs", program.name(), cpus.len());
        let each = cpus.into_iter().filter_map(|cpu| match self.one(program, Scope::Cpu(cpu), &what) {
            // The CPU went offline after the list was read.
            Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::ENODEV) => None,
            answer => Some(answer),
        });
        Ok(Link::several(program, &what, each.collect::<Result<_, _>>()?))
    }

    fn one(&self, program: &Program, scope: Scope, what: &str) -> Result<Link, Error> {
        let (event, why) = match self.kind {
            Kind::Counter { event_type, config } => (
                Event::Counter { event_type, config, sampling: self.sampling },
                "starts a counter that a program can be attached to",
            ),
            Kind::Breakpoint(breakpoint) => {
                (breakpoint.event(), "sets a breakpoint, as an event that a program can be attached to")
            }
        };
        let event = perf_event::open(event, scope, why).map_err(|error| {
            let plain = Error::kernel(format!("open {what}"), &error);
            match error.raw_os_error() {
                Some(libc::ENOSPC) => plain.advise("no debug register of the CPU is free"),
                Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOENT) if matches!(self.kind, Kind::Breakpoint(_)) => {
                    plain.advise(
                        "the CPU must be able to watch it: 1, 2, 4 or 8 bytes, at a multiple of the length, and on \
                         x86-64 no reads alone",
                    )
                }
                Some(libc::ENOENT | libc::EOPNOTSUPP) => plain.advise("this machine has no such counter"),
                Some(libc::EINVAL) => {
                    plain.advise("is the frequency above /proc/sys/kernel/perf_event_max_sample_rate?")
                }
                _ => plain,
            }
        })?;
        Link::on_event(program, event, self.cookie, what)
    }
}
