//! The C libraries whose `getaddrinfo` is traced: every one in use, also those of containers, or the one that was
//! named.
//!
//! ```text
//!     watch.rs      the thread that examines files, attaches, and keeps up with what comes and goes
//!                   (watch/missed.rs: warns of calls that may have been missed)
//!     maps.rs       which files the processes have mapped to execute them: /proc/PID/maps
//!     notice.rs     which files they map from now on: PERF_RECORD_MMAP2
//!     catch.rs      a thread for each CPU that reads those notices, in time
//!     sightings.rs  the queue from there to the first one
//!     provider.rs   whether such a file is a C library, and the way to that very file
//!     quick.rs      the same for the many files that are none, in microseconds
//!     known.rs      what was found of which file
//!     attached.rs   the files that are traced
//!     hold.rs       keeps the thread that mapped a new file from calling before the probes are there,
//!     holder.rs     by a process of its own,
//!     wire.rs       and the messages between the two
//!     moment.rs     whether a held thread can have called before
//!     first.rs      runs before ordinary threads to be in time, within limits
//!     names.rs      which library an event came from
//!     scope.rs      the processes whose libraries are traced
//!     probes.rs     the two probes on one file
//!     libc_name.rs  what C libraries are called
//! ```
//!
//! A probe belongs to a file (its inode), so one attachment serves every process that maps it. What is one file to the
//! kernel and what are two is its own to say: paths are never compared.
//!
//! Cost and delay: all processes are looked through once at the start (`docs/containers.md` says what that takes with
//! 1,000 of them), and after that only when records were dropped, the last known user of a file ended, or half a minute
//! has passed. Without the records (perf events forbidden) it is every half second.

mod attached;
mod catch;
mod first;
mod hold;
mod holder;
mod known;
mod libc_name;
mod maps;
mod moment;
mod names;
mod notice;
mod probes;
mod provider;
mod quick;
mod scope;
mod sightings;
mod watch;
mod wire;

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use cutaway::{Links, Loaded, Uprobe};
use cutaway_programs::getaddrinfo;

use self::{attached::AllAttached, probes::both, sightings::Queue, watch::Watch};
pub(crate) use self::{holder::be_it_if_asked as hold_threads_if_asked, names::Names, scope::Whose};
use crate::error::CliError;

/// The attached programs, kept up to date by a thread of its own until [`Libraries::detach`].
pub(crate) struct Libraries {
    /// Of a library that was named.
    named: Links,
    watcher: Option<Watcher>,
}

struct Watcher {
    thread: JoinHandle<AllAttached>,
    queue: Arc<Queue>,
}

impl Libraries {
    /// Attaches to the library of this name or path, as the traced process sees it.
    pub(crate) fn named(loaded: &Loaded, library: &str, pid: Option<u32>) -> Result<Self, CliError> {
        let probe = |retprobe| {
            let probe = Uprobe::new(library, getaddrinfo::FUNCTION).retprobe(retprobe);
            match pid {
                Some(pid) => probe.resolve_in_process(pid).pid(pid),
                None => probe,
            }
        };
        Ok(Self { named: both(loaded, probe)?, watcher: None })
    }

    /// Attaches to every library in use, and from now on to those that come into use.
    /// `hold` permits it to hold threads, and to run first, so that it is in time.
    pub(crate) fn in_use(loaded: &Arc<Loaded>, whose: Whose, names: &Names, hold: bool) -> Result<Self, CliError> {
        let mut watch = Watch::new(Arc::clone(loaded), whose, names.clone());
        watch.begin(hold)?;
        let queue = watch.queue();
        let thread = thread::Builder::new()
            .name("libraries".to_owned())
            .spawn(move || watch.run())
            .map_err(|error: io::Error| CliError::system("look for libraries that come into use", &error))?;
        Ok(Self { named: Links::default(), watcher: Some(Watcher { thread, queue }) })
    }

    /// Detaches all of them; afterwards nothing runs any more.
    pub(crate) fn detach(&mut self) {
        self.named = Links::default();
        if let Some(Watcher { thread, queue }) = self.watcher.take() {
            queue.tell(|arrived| arrived.stop = true);
            drop(thread.join());
        }
    }
}

impl Drop for Libraries {
    fn drop(&mut self) {
        self.detach();
    }
}
