//! Attaches to `getaddrinfo` of every C library in use, also in containers, or of a named library.
//!
//! ```text
//!     watch.rs          the watcher thread: examines files, attaches, and follows libraries in use
//!                       (watch/missed.rs: warns of calls that may have been missed)
//!     maps.rs           the executable mappings of all processes: /proc/PID/maps
//!     mmap_records.rs   new executable mappings: PERF_RECORD_MMAP2
//!     cpu_readers.rs    a thread for each CPU that reads these records in time
//!     queue.rs          the queue from these threads to the watcher
//!     provider.rs       whether a mapped file is a C library; opens exactly that file
//!     symbol_hash.rs    excludes most files in microseconds, by their hash tables
//!     known.rs          the files that have been examined
//!     attached.rs       the attached files
//!     hold.rs           holds the thread that mapped a new file until the probes are attached,
//!     holder.rs         by a separate process,
//!     wire.rs           and the messages between the two
//!     thread_state.rs   whether a held thread can have called before
//!     realtime.rs       real-time priority within a limit of CPU time, to hold threads in time
//!     names.rs          the library of an event
//!     scope.rs          the processes whose libraries are traced
//!     probes.rs         the two probes on one file
//!     libc_name.rs      file names of C libraries
//! ```
//!
//! A probe belongs to a file (its inode), so one attachment serves every process that maps the file. The kernel decides
//! whether two mappings are of one file; paths are never compared.
//!
//! Cost and delay: all processes are scanned once at the start (`docs/containers.md` has the time for 1,000 processes).
//! They are scanned again only if records were lost, the last known user of a file has ended, or half a minute has
//! passed. Without the records (perf events forbidden) they are scanned every half second.

mod attached;
mod cpu_readers;
mod hold;
mod holder;
mod known;
mod libc_name;
mod maps;
mod mmap_records;
mod names;
mod probes;
mod provider;
mod queue;
mod realtime;
mod scope;
mod symbol_hash;
mod thread_state;
mod watch;
mod wire;

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use cutaway::{Links, Loaded, Uprobe};
use cutaway_programs::getaddrinfo;

use self::{attached::AllAttached, probes::attach_both, queue::Queue, watch::Watch};
pub(crate) use self::{holder::run_if_requested as hold_threads_if_asked, names::Names, scope::Scope};
use crate::error::CliError;

/// The attached programs, kept up to date by a thread of its own until [`Libraries::detach`].
pub(crate) struct Libraries {
    /// The links of a named library.
    named: Links,
    watcher: Option<Watcher>,
}

struct Watcher {
    thread: JoinHandle<AllAttached>,
    queue: Arc<Queue>,
}

impl Libraries {
    /// Attaches to the library with this name or path. With `seen_by`, the path is resolved as that process sees it.
    /// With `only`, other processes are not traced.
    pub(crate) fn named(
        loaded: &Loaded,
        library: &str,
        seen_by: Option<u32>,
        only: Option<u32>,
    ) -> Result<Self, CliError> {
        let probe = |retprobe| {
            let probe = Uprobe::new(library, getaddrinfo::FUNCTION).retprobe(retprobe);
            let probe = match seen_by {
                Some(pid) => probe.resolve_in_process(pid),
                None => probe,
            };
            match only {
                Some(pid) => probe.pid(pid),
                None => probe,
            }
        };
        Ok(Self { named: attach_both(loaded, probe)?, watcher: None })
    }

    /// Attaches to every C library in use, and from now on to those that come into use.
    ///
    /// `hold` allows it to hold threads and to use real-time priority, so that new libraries are attached in time.
    pub(crate) fn in_use(loaded: &Arc<Loaded>, scope: Scope, names: &Names, hold: bool) -> Result<Self, CliError> {
        let mut watch = Watch::new(Arc::clone(loaded), scope, names.clone());
        watch.begin(hold)?;
        let queue = watch.queue();
        let thread = thread::Builder::new()
            .name("libraries".to_owned())
            .spawn(move || watch.run())
            .map_err(|error: io::Error| CliError::system("start the thread that watches for new libraries", &error))?;
        Ok(Self { named: Links::default(), watcher: Some(Watcher { thread, queue }) })
    }

    /// Detaches from all libraries, and ends the threads and the holder process.
    pub(crate) fn detach(&mut self) {
        std::mem::take(&mut self.named).detach_together();
        if let Some(Watcher { thread, queue }) = self.watcher.take() {
            queue.update(|pending| pending.stop = true);
            drop(thread.join());
        }
    }
}

impl Drop for Libraries {
    fn drop(&mut self) {
        self.detach();
    }
}
