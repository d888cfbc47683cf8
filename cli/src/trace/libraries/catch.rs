//! One thread for each CPU that reads the notices of mappings on it, and has threads held.
//!
//! The kernel wakes the reader of a CPU's records on that CPU, while the thread that maps is still in the kernel. A
//! reader at real-time priority that is pinned to the CPU therefore runs before that thread returns to its program. A
//! reader on another CPU would be late: an idle virtual CPU can take milliseconds to wake.

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
    first::First,
    hold::{Held, Holder},
    known::{Familiar, Known},
    libc_name::looks_like_libc,
    maps::Mapping,
    notice::{Notice, Ring},
    scope::{Wanted, Whose},
    sightings::{Mapper, Queue, Sighting},
};

/// What the threads have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) wanted: Wanted,
    pub(crate) known: Known,
    pub(crate) queue: Arc<Queue>,
    /// `None` if no threads are held.
    pub(crate) holder: Option<Arc<Holder>>,
}

/// The threads; they end when this is dropped.
pub(crate) struct Catchers {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Stop>,
}

impl Catchers {
    /// Starts a thread for each CPU's records, and waits until each of them is ready.
    pub(crate) fn start(rings: Vec<Ring>, common: &Common) -> io::Result<Self> {
        /// There may be many.
        const STACK: usize = 256 << 10;
        const PATIENCE: Duration = Duration::from_secs(1);
        let stop = Arc::new(Stop::new()?);
        let mut catchers = Self { threads: Vec::new(), stop: Arc::clone(&stop) };
        let (ready, are_ready) = mpsc::channel();
        for ring in rings {
            let catcher = Catcher { ring, stop: Arc::clone(&stop), common: common.clone() };
            let (name, ready) = (format!("catch/{}", catcher.ring.cpu()), ready.clone());
            let thread = thread::Builder::new().name(name).stack_size(STACK).spawn(move || catcher.run(&ready))?;
            catchers.threads.push(thread);
        }
        for _ in &catchers.threads {
            if are_ready.recv_timeout(PATIENCE).is_err() {
                info!("the first mappings may be noticed late: this machine is busy");
                break;
            }
        }
        Ok(catchers)
    }
}

impl Drop for Catchers {
    fn drop(&mut self) {
        // No thread reads from the pipe, so that one stop wakes all of them.
        self.stop.stopper().stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Catcher {
    ring: Ring,
    stop: Arc<Stop>,
    common: Common,
}

impl Catcher {
    fn run(mut self, ready: &Sender<()>) {
        let mut first = self.common.holder.as_ref().map(|holder| {
            let first = First::begin(Some(self.ring.cpu()));
            match holder.pid() {
                Some(pid) => first.with(pid),
                None => first,
            }
        });
        let _ = ready.send(());
        loop {
            let mut fds = [self.ring.fd(), self.stop.fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let waited = poll(&mut fds, None);
            let [notices, stop] = fds.map(|fd| fd.revents());
            first.iter_mut().for_each(First::account);
            for notice in self.ring.drain() {
                match notice {
                    Notice::Mapped { pid, tid, mapping, generation } => self.see(pid, tid, mapping, generation),
                    Notice::Dropped => self.common.queue.tell(|arrived| arrived.dropped = true),
                }
            }
            // Not before the last notices: what they tell of may have been missed.
            if !stop.is_empty() {
                return;
            }
            // Otherwise each wait would end at once.
            let is_over = notices.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            if is_over || waited.is_err_and(|error| error != Errno::INTR) {
                debug!("there are no notices of mappings on CPU {} any more", self.ring.cpu());
                return self.common.queue.tell(|arrived| arrived.over = true);
            }
        }
    }

    /// Has the thread held if that is called for, first of all.
    fn see(&self, pid: u32, tid: u32, mapping: Mapping, generation: u64) {
        let familiar = self.common.known.familiar(mapping.key, generation);
        let wanted = self.common.wanted.included(pid, &mapping.path);
        let held = if familiar == Familiar::No { self.hold(pid, tid, wanted, &mapping) } else { None };
        let thread = Mapper { tid, generation, wanted, at: Instant::now(), held };
        // A known file is looked at again only because it may have been written to; or not even that.
        self.common.queue.add(Sighting { pid, mapping, thread }, familiar != Familiar::Attached);
    }

    fn hold(&self, pid: u32, tid: u32, wanted: bool, mapping: &Mapping) -> Option<Held> {
        let holder = self.common.holder.as_ref()?;
        let is_ours = pid == std::process::id() || Some(pid) == holder.pid();
        (!is_ours && is_held(self.common.wanted.whose, wanted, mapping)).then(|| holder.hold(self.ring.cpu(), tid))?
    }
}

/// Whether a thread that maps this file is held, if the file is not known: of the processes that were asked for
/// (`wanted`) every one, so that a program without a dynamic loader is traced from its start, too. Of all others only
/// those that map what looks like a C library: most new files are not one.
pub(crate) fn is_held(whose: Whose, wanted: bool, mapping: &Mapping) -> bool {
    match whose {
        Whose::Everybody => looks_like_libc(&mapping.path),
        Whose::Process(_) | Whose::Followed => wanted,
    }
}
