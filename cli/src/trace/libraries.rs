//! The C libraries whose `getaddrinfo` is traced: every one in use, also those of containers, or the one that was
//! named.
//!
//! ```text
//!     watch.rs      the thread that examines files, attaches, and keeps up with what comes and goes
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
mod maps;
mod moment;
mod names;
mod notice;
mod provider;
mod quick;
mod sightings;
mod watch;
mod wire;

use std::{
    fs, io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use cutaway::{Links, Loaded, Uprobe};
use cutaway_programs::getaddrinfo::{self, names as object};

use self::{attached::AllAttached, first::First, sightings::Queue, watch::Watch};
pub(crate) use self::{holder::be_it_if_asked as hold_threads_if_asked, names::Names};
use crate::{diagnostics, failure::Failure};

/// Whose libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Everybody,
    /// The followed processes' (the map `followed`).
    Followed,
    Process(u32),
}

/// Whether a process is one of those.
#[derive(Clone)]
struct Wanted {
    loaded: Arc<Loaded>,
    whose: Whose,
}

impl Wanted {
    fn includes(&self, pid: u32) -> bool {
        match self.whose {
            Whose::Everybody => true,
            Whose::Process(only) => pid == only,
            Whose::Followed => {
                let find = || self.loaded.map(object::FOLLOWED).and_then(|map| map.lookup(&pid.to_ne_bytes()));
                let followed = diagnostics::quietly(find);
                followed.is_ok_and(|found| found.is_some())
            }
        }
    }

    /// Whether the process that has mapped this file was one of those, as far as that is known: one that has ended is
    /// no longer followed, and whether it was is asked for C libraries alone.
    fn included(&self, pid: u32, path: &str) -> bool {
        self.includes(pid) || self.whose == Whose::Followed && looks_like_libc(path) && has_ended(pid)
    }
}

/// Whether the process is gone, or just ending, or a zombie.
fn has_ended(pid: u32) -> bool {
    /// `PF_EXITING` (`include/linux/sched.h`)
    const EXITING: u64 = 4;
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { return true };
    let stat = String::from_utf8_lossy(&stat);
    // The name may hold anything; behind it come the state, five numbers, and the flags (proc(5)).
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let is_over = fields.next().is_none_or(|state| matches!(state, "Z" | "X" | ""));
    is_over || fields.nth(5).and_then(|flags| flags.parse().ok()).is_some_and(|flags: u64| flags & EXITING != 0)
}

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
    pub(crate) fn named(loaded: &Loaded, library: &str, pid: Option<u32>) -> Result<Self, Failure> {
        let probe = |on_return| {
            let probe = Uprobe::new(library, getaddrinfo::FUNCTION).on_return(on_return);
            match pid {
                Some(pid) => probe.seen_by(pid).pid(pid),
                None => probe,
            }
        };
        Ok(Self { named: both(loaded, probe)?, watcher: None })
    }

    /// Attaches to every library in use, and from now on to those that come into use.
    /// `hold` permits it to hold threads, and to run first, so that it is in time.
    pub(crate) fn in_use(loaded: &Arc<Loaded>, whose: Whose, names: &Names, hold: bool) -> Result<Self, Failure> {
        let mut watch = Watch::new(Arc::clone(loaded), whose, names.clone());
        watch.begin(hold)?;
        let queue = watch.queue();
        let thread = thread::Builder::new()
            .name("libraries".to_owned())
            .spawn(move || watch.run())
            .map_err(|error: io::Error| Failure::system("look for libraries that come into use", &error))?;
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

/// Attaches both programs. The return probe comes last and goes first: every call that it sees has passed the entry
/// probe.
fn both(loaded: &Loaded, probe: impl Fn(bool) -> Uprobe) -> Result<Links, Failure> {
    let mut links = Links::default();
    links.push(probe(false).attach(loaded.program(object::ENTRY)?)?);
    links.push(probe(true).attach(loaded.program(object::RETURN)?)?);
    Ok(links)
}

/// By its name it is a C library: `libc.so.6`, `libc-2.31.so`, `ld-musl-x86_64.so.1`, `libc.musl-x86_64.so.1`.
fn looks_like_libc(path: &str) -> bool {
    let name = path.trim_end_matches(" (deleted)").rsplit('/').next().unwrap_or_default();
    ["libc.so", "libc-", "libc.musl", "ld-musl"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_told_from_one_that_runs() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        assert!(!has_ended(child.id()) && !has_ended(std::process::id()));
        child.kill().unwrap();
        let begin = std::time::Instant::now();
        while !has_ended(child.id()) {
            assert!(begin.elapsed() < std::time::Duration::from_secs(10), "a zombie has ended");
        }
        child.wait().unwrap();
        assert!(has_ended(child.id()) && has_ended(u32::MAX));
    }

    #[test]
    fn c_libraries_are_known_by_their_names() {
        for path in ["/lib/libc.so.6", "libc-2.31.so", "/x/ld-musl-x86_64.so.1", "/libc.so (deleted)"] {
            assert!(looks_like_libc(path), "{path}");
        }
        for path in ["/lib/libcap.so.2", "/usr/bin/libc/cat", "", "/lib/libcrypto.so"] {
            assert!(!looks_like_libc(path), "{path}");
        }
    }
}
