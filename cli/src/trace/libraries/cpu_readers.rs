//! The per-CPU reader threads: each reads the mmap records of its CPU, and has the mapping threads held.
//!
//! The kernel wakes the reader of a CPU's records on that CPU, while the mapping thread is still in the kernel. A
//! reader at real-time priority that is pinned to the CPU therefore runs before the mapping thread returns to its
//! program. A reader on another CPU would be late: an idle virtual CPU can take milliseconds to wake.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cutaway_sys::stop::Stop;
use log::{debug, info};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{
    hold::{Held, Holder},
    known::{Known, Lookup},
    libc_name::looks_like_libc,
    maps::Mapping,
    mmap_records::{MmapRecord, PerfBuffer},
    queue::{MappingThread, NewMapping, Queue},
    realtime::RealtimePriority,
    scope::{ProcessFilter, Scope},
};

/// The data that the threads share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) filter: ProcessFilter,
    pub(crate) known: Known,
    pub(crate) queue: Arc<Queue>,
    /// `None` if threads are not held.
    pub(crate) holder: Option<Arc<Holder>>,
}

/// The reader threads. They end when this is dropped.
pub(crate) struct CpuReaders {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Stop>,
}

impl CpuReaders {
    /// Starts a thread for each buffer, and waits until each is ready. Stops waiting after a second without a new one.
    pub(crate) fn start(buffers: Vec<PerfBuffer>, shared: &Shared) -> io::Result<Self> {
        /// Bytes of a thread's stack. It is small because there may be many CPUs.
        const STACK: usize = 256 << 10;
        const TIMEOUT: Duration = Duration::from_secs(1);
        let stop = Arc::new(Stop::new()?);
        let mut readers = Self { threads: Vec::new(), stop: Arc::clone(&stop) };
        let (ready, are_ready) = mpsc::channel();
        for buffer in buffers {
            let reader = CpuReader { buffer, stop: Arc::clone(&stop), shared: shared.clone() };
            let (name, ready) = (format!("mmap/{}", reader.buffer.cpu()), ready.clone());
            let thread = thread::Builder::new().name(name).stack_size(STACK).spawn(move || reader.run(&ready))?;
            readers.threads.push(thread);
        }
        for _ in &readers.threads {
            if are_ready.recv_timeout(TIMEOUT).is_err() {
                info!("the first mmap records may be read late: the machine is busy");
                break;
            }
        }
        Ok(readers)
    }
}

impl Drop for CpuReaders {
    fn drop(&mut self) {
        // No thread reads from the pipe, so one stop wakes all of them.
        self.stop.stopper().stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct CpuReader {
    buffer: PerfBuffer,
    stop: Arc<Stop>,
    shared: Shared,
}

impl CpuReader {
    fn run(mut self, ready: &Sender<()>) {
        let mut priority = self.shared.holder.as_ref().map(|holder| {
            let priority = RealtimePriority::start(Some(self.buffer.cpu()));
            match holder.pid() {
                Some(pid) => priority.with_helper(pid),
                None => priority,
            }
        });
        let _ = ready.send(());
        loop {
            let mut fds = [self.buffer.fd(), self.stop.fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let waited = poll(&mut fds, None);
            let [records, stop] = fds.map(|fd| fd.revents());
            priority.iter_mut().for_each(RealtimePriority::throttle);
            for record in self.buffer.drain() {
                match record {
                    MmapRecord::Mapped { pid, tid, mapping, generation } => self.handle(pid, tid, mapping, generation),
                    MmapRecord::Lost => self.shared.queue.update(|pending| pending.lost = true),
                }
            }
            // The last records are read first, because calls of their processes may have been missed.
            if !stop.is_empty() {
                return;
            }
            // Without this return each poll would end at once.
            let is_over = records.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            if is_over || waited.is_err_and(|error| error != Errno::INTR) {
                debug!("mmap records of CPU {} can no longer be read", self.buffer.cpu());
                return self.shared.queue.update(|pending| pending.ended = true);
            }
        }
    }

    /// Queues a mapping. First of all, requests that its thread be held, if necessary.
    fn handle(&self, pid: u32, tid: u32, mapping: Mapping, generation: u64) {
        let known = self.shared.known.lookup(mapping.key, generation);
        let wanted = self.shared.filter.may_include(pid, &mapping.path);
        let held = if known == Lookup::Unknown { self.hold(pid, tid, wanted, &mapping) } else { None };
        let thread = MappingThread { tid, generation, wanted, at: Instant::now(), held };
        // A known file is examined again only because it may have been written to, and an attached one not at all.
        self.shared.queue.push(NewMapping { pid, mapping, thread }, known != Lookup::Attached);
    }

    fn hold(&self, pid: u32, tid: u32, wanted: bool, mapping: &Mapping) -> Option<Held> {
        let holder = self.shared.holder.as_ref()?;
        let is_own = pid == std::process::id() || Some(pid) == holder.pid();
        (!is_own && should_hold(self.shared.filter.scope, wanted, mapping))
            .then(|| holder.hold(self.buffer.cpu(), tid))?
    }
}

/// Returns whether a thread that maps an unknown file is held.
///
/// Each thread of a requested process (`wanted`) is held, so that a program without a dynamic loader is traced from its
/// start too. If every process is traced, a thread is held only if the file has a C library's name, because most new
/// files are not C libraries.
pub(crate) fn should_hold(scope: Scope, wanted: bool, mapping: &Mapping) -> bool {
    match scope {
        Scope::All => looks_like_libc(&mapping.path),
        Scope::Process(_) | Scope::Command | Scope::Processes => wanted,
    }
}
