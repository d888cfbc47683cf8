//! The C libraries whose `getaddrinfo` is traced: every one in use, also those of containers, or the one that was named.
//!
//! ```text
//!     maps.rs       which files the processes have mapped to execute them: /proc/PID/maps
//!     notice.rs     which files they map from now on: PERF_RECORD_MMAP2
//!     provider.rs   whether such a file is a C library, and the way to that very file
//!     quick.rs      the same for the many files that are none, in microseconds
//!     hold.rs       keeps the thread that mapped it from calling before the probes are there
//!     first.rs      runs before ordinary threads to be in time, within limits
//!     names.rs      which library an event came from
//! ```
//!
//! A probe belongs to a file (its inode), so one attachment serves every process that maps it. What is one file to the
//! kernel and what are two is its own to say: paths are never compared.
//!
//! Cost and delay: all processes are looked through once at the start (`docs/containers.md` says what that takes with
//! 1,000 of them), and after that only when records were dropped, the last known user of a file ended, or half a minute has
//! passed. Without the records (perf events forbidden) it is every [`UNNOTICED`].

mod first;
mod hold;
mod maps;
mod names;
mod notice;
mod provider;
mod quick;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::fd::OwnedFd,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cutaway::{Links, Loaded, Uprobe};
use cutaway_programs::getaddrinfo::{self, names as object};
use log::{debug, info, warn};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::write,
};

pub(crate) use self::names::Names;
use self::{
    first::First,
    hold::Holder,
    maps::{Key, Mapping, Processes},
    notice::{Notice, Notices},
    provider::{Found, Marks, Provider},
};
use crate::{diagnostics, failure::Failure};

/// How often to see to attached files with notices, and how often to look through the processes without.
const NOTICED: Duration = Duration::from_secs(1);
const UNNOTICED: Duration = Duration::from_millis(500);
/// How often all processes are looked through although nothing calls for it: a CPU that came online has no notices.
const ALL: Duration = Duration::from_secs(30);
/// How long a file stays probed that no process maps any more: short programs come again.
const LINGER: Duration = Duration::from_secs(5);
/// How many processes are tried for one file: the first may end before its file is opened.
const TRIES: usize = 4;

/// Whose libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Everybody,
    /// The followed processes' (the map `followed`).
    Followed,
    Process(u32),
}

/// The attached programs, kept up to date by a thread of its own until [`Libraries::detach`].
pub(crate) struct Libraries {
    /// Of a library that was named.
    named: Links,
    watcher: Option<Watcher>,
}

struct Watcher {
    thread: JoinHandle<Vec<Attached>>,
    stop: OwnedFd,
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
        watch.begin()?;
        let failed = |error: io::Error| Failure::system("look for libraries that come into use", &error);
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
        let stopped = stop.try_clone().map_err(failed)?;
        let thread = thread::Builder::new()
            .name("libraries".to_owned())
            .spawn(move || watch.run(&stopped, hold))
            .map_err(failed)?;
        Ok(Self { named: Links::default(), watcher: Some(Watcher { thread, stop }) })
    }

    /// Detaches all of them; afterwards nothing runs any more.
    pub(crate) fn detach(&mut self) {
        self.named = Links::default();
        if let Some(Watcher { thread, stop }) = self.watcher.take() {
            // The counter of a new eventfd has room for 1.
            let _ = write(&stop, &1_u64.to_ne_bytes());
            drop(thread.join());
        }
    }
}

impl Drop for Libraries {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Attaches both programs. The return probe comes last and goes first: every call that it sees has passed the entry probe.
fn both(loaded: &Loaded, probe: impl Fn(bool) -> Uprobe) -> Result<Links, Failure> {
    let mut links = Links::default();
    links.push(probe(false).attach(loaded.program(object::ENTRY)?)?);
    links.push(probe(true).attach(loaded.program(object::RETURN)?)?);
    Ok(links)
}

/// An attached file.
struct Attached {
    id: u32,
    provider: Provider,
    /// A mapping of it by which it is known to be in use; `None` for a file that stays attached anyway.
    seen: Option<(u32, u64, u64)>,
    /// Since when no process is known to map it.
    unused: Option<Instant>,
    _links: Links,
}

/// What is known of a file.
#[derive(Clone, Copy)]
enum Verdict {
    /// Not traced; looked at again if the marks change, since inode numbers are used again.
    Nothing(Marks),
    Attached(u32),
}

struct Watch {
    loaded: Arc<Loaded>,
    whose: Whose,
    names: Names,
    notices: Option<Notices>,
    /// `None` if no threads are held: not yet, or not at all.
    holder: Option<Holder>,
    first: Option<First>,
    /// Notices were dropped.
    dropped: bool,
    processes: Processes,
    known: HashMap<Key, Verdict>,
    attached: Vec<Attached>,
    next: u32,
    /// The first file that could not be attached to.
    failure: Option<Failure>,
    looked: Instant,
}

impl Watch {
    fn new(loaded: Arc<Loaded>, whose: Whose, names: Names) -> Self {
        Self {
            loaded,
            whose,
            names,
            notices: None,
            holder: None,
            first: None,
            dropped: false,
            processes: Processes::default(),
            known: HashMap::new(),
            attached: Vec::new(),
            next: 1,
            failure: None,
            looked: Instant::now(),
        }
    }

    /// Attaches to what is in use now. Notices come first: nothing is missed between the two.
    fn begin(&mut self) -> Result<(), Failure> {
        self.notices = Notices::open()
            .map_err(|error| {
                info!(
                    "libraries that come into use are looked for every {UNNOTICED:?}, not noticed at once: the records of \
                     mappings cannot be had: {error}"
                );
            })
            .ok();
        if self.whose == Whose::Followed {
            // Nothing is followed yet; most commands use the library that this program uses.
            let own = std::process::id();
            for mapping in maps::of_process(own) {
                self.consider(own, &mapping, None);
            }
            self.attached.iter_mut().for_each(|attached| attached.seen = None);
            if self.attached.is_empty()
                && let Ok((path, _)) = Uprobe::new(getaddrinfo::LIBRARY, getaddrinfo::FUNCTION).locate()
                && let Found::Provider(provider) = provider::at_path(&path)
            {
                self.attach(provider, None);
            }
        } else {
            self.look(true);
        }
        match self.failure.take() {
            Some(failure) if self.attached.is_empty() => Err(failure),
            _ => {
                if self.attached.is_empty() {
                    warn!("no C library with getaddrinfo is in use there yet: waiting for one");
                }
                Ok(())
            }
        }
    }

    /// Keeps up with what comes into use and what goes out of it, until `stop` is readable.
    fn run(mut self, stop: &OwnedFd, hold: bool) -> Vec<Attached> {
        if hold && self.notices.is_some() {
            self.first = Some(First::begin());
            self.holder = Some(Holder::default());
        }
        loop {
            self.holder.iter_mut().for_each(Holder::prepare);
            let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
            fds.extend(
                self.notices.iter().flat_map(Notices::fds).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
            );
            let patience = match &self.notices {
                Some(_) => NOTICED,
                None => UNNOTICED,
            };
            let waited = poll(&mut fds, Timespec::try_from(patience).ok().as_ref());
            if fds.first().is_some_and(|stop| !stop.revents().is_empty()) {
                return self.attached;
            }
            let is_over = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            let is_over = fds.iter().any(is_over);
            drop(fds);
            if is_over {
                // Otherwise each wait would end at once.
                info!("mappings are no longer noticed: all processes are looked through every {UNNOTICED:?}");
                self.keep_up();
                self.notices = None;
            }
            self.first.iter_mut().for_each(First::account);
            if waited.is_err_and(|error| error != rustix::io::Errno::INTR) {
                thread::sleep(patience);
            }
            self.keep_up();
            if std::mem::take(&mut self.dropped) || self.notices.is_none() || self.looked.elapsed() >= ALL {
                self.look(self.looked.elapsed() >= ALL);
            }
            self.let_go();
            // There is no one to return it to; it was told.
            self.failure = None;
        }
    }

    /// Attaches to what the notices tell of.
    fn keep_up(&mut self) {
        let mut notices = self.notices.as_mut().map(Notices::drain).unwrap_or_default();
        // Those that are in a hurry.
        notices
            .sort_by_key(|notice| !matches!(notice, Notice::Mapped { mapping, .. } if looks_like_libc(&mapping.path)));
        for notice in notices {
            self.first.iter_mut().for_each(First::account);
            match notice {
                Notice::Mapped { pid, tid, mapping } => self.consider(pid, &mapping, Some(tid)),
                Notice::Dropped => self.dropped = true,
            }
        }
    }

    /// Looks through the processes for files that are not known yet.
    fn look(&mut self, afresh: bool) {
        let begin = Instant::now();
        self.looked = begin;
        let mut processes = std::mem::take(&mut self.processes);
        processes.look(afresh, || self.keep_up());
        self.processes = processes;
        let mut files: BTreeMap<(bool, Key), Vec<(u32, Mapping)>> = BTreeMap::new();
        let mut count = 0;
        for (pid, mappings) in self.processes.iter() {
            count += 1;
            for mapping in mappings {
                // The likely ones first.
                let users = files.entry((!looks_like_libc(&mapping.path), mapping.key)).or_default();
                if users.len() < TRIES && self.is_wanted(pid) {
                    users.push((pid, mapping.clone()));
                }
            }
        }
        let number = files.len();
        self.known.retain(|key, verdict| {
            matches!(verdict, Verdict::Attached(_))
                || files.contains_key(&(false, *key))
                || files.contains_key(&(true, *key))
        });
        // Files that processes use which are not wanted are in use all the same.
        let used: Vec<(u32, u32, u64, u64)> = self
            .processes
            .iter()
            .flat_map(|(pid, mappings)| mappings.iter().map(move |mapping| (pid, mapping)))
            .filter_map(|(pid, mapping)| match self.known.get(&mapping.key) {
                Some(Verdict::Attached(id)) => Some((*id, pid, mapping.start, mapping.end)),
                _ => None,
            })
            .collect();
        for (id, pid, start, end) in used {
            self.is_used(id, (pid, start, end));
        }
        for (pid, mapping) in files.into_values().flatten() {
            self.keep_up();
            self.consider(pid, &mapping, None);
        }
        info!("looked through {count} processes with {number} files for C libraries in {:?}", begin.elapsed());
    }

    fn is_wanted(&self, pid: u32) -> bool {
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

    /// Attaches to the file of a mapping, if it is a C library and not attached yet. `thread` has just mapped it, and is held
    /// meanwhile, if threads are held.
    fn consider(&mut self, pid: u32, mapping: &Mapping, thread: Option<u32>) {
        match self.known.get(&mapping.key) {
            Some(Verdict::Attached(id)) => return self.is_used(*id, (pid, mapping.start, mapping.end)),
            Some(Verdict::Nothing(marks)) if provider::marks(pid, mapping) == Some(*marks) => return,
            _ => {}
        }
        let own = self.whose == Whose::Followed && pid == std::process::id();
        if !own && !self.is_wanted(pid) {
            return;
        }
        // Programs and other libraries are looked at as they run, but for those of a followed process in another root: its C
        // library is hardly a known one. Others are not held, so that a command may stop its own tracer (`kill -STOP $PPID`)
        // and go on.
        let may_hold = looks_like_libc(&mapping.path) || self.whose != Whose::Everybody && is_elsewhere(pid);
        let held =
            thread.filter(|_| may_hold && pid != std::process::id()).and_then(|tid| self.holder.as_mut()?.hold(tid));
        let marks = provider::marks(pid, mapping);
        let examine = || provider::examine(pid, mapping);
        let found = match &self.first {
            // Nothing waits for it, and its whole table of symbols may have to be read.
            Some(first) if held.is_none() => first.not_for(examine),
            _ => examine(),
        };
        let verdict = match found {
            Found::Gone => None,
            Found::Nothing => marks.map(Verdict::Nothing),
            Found::Foreign(why) => {
                warn!("getaddrinfo of {} is not traced: {why}", mapping.path);
                marks.map(Verdict::Nothing)
            }
            Found::Provider(provider) => match self.same(&provider, pid, mapping) {
                Some(id) => Some(Verdict::Attached(id)),
                None => self
                    .attach(provider, Some((pid, mapping.start, mapping.end)))
                    .map(Verdict::Attached)
                    .or(marks.map(Verdict::Nothing)),
            },
        };
        drop(held);
        if let Some(verdict) = verdict {
            self.known.insert(mapping.key, verdict);
        }
    }

    /// The attached file that this one is by another name of the kernel's.
    fn same(&self, provider: &Provider, pid: u32, mapping: &Mapping) -> Option<u32> {
        let same = self.attached.iter().find(|attached| attached.provider.marks() == provider.marks())?;
        provider.is_probed_in(pid, mapping).then(|| {
            debug!("{} of process {pid} is the file that is probed as {}", mapping.path, same.provider.shown);
            same.id
        })
    }

    /// Attaches to a file; gives its id.
    fn attach(&mut self, provider: Provider, seen: Option<(u32, u64, u64)>) -> Option<u32> {
        let id = self.next;
        let path = provider.path();
        let cookie = if self.names.by_cookie() { u64::from(id) } else { 0 };
        let links = |path: &str| {
            both(&self.loaded, |on_return| {
                let probe = Uprobe::new(path, getaddrinfo::FUNCTION).on_return(on_return).cookie(cookie);
                match self.whose {
                    Whose::Process(pid) => probe.pid(pid),
                    Whose::Everybody | Whose::Followed => probe,
                }
            })
        };
        let attached = links(&path).and_then(|attached| {
            if provider.leads_here(&path) {
                return Ok(attached);
            }
            // Replaced in this very moment: what is probed is another file now.
            drop(attached);
            links(&provider.open_path())
        });
        match attached {
            Ok(links) => {
                info!("tracing getaddrinfo at {:#x} in {}", provider.function, provider.shown);
                self.next += 1;
                self.names.add(id, &provider.shown);
                self.attached.push(Attached { id, provider, seen, unused: None, _links: links });
                Some(id)
            }
            Err(failure) => {
                if self.failure.is_some() || !self.attached.is_empty() {
                    warn!("getaddrinfo of {} is not traced: {failure}", provider.shown);
                }
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    fn is_used(&mut self, id: u32, by: (u32, u64, u64)) {
        let attached = self.attached.iter_mut().find(|attached| attached.id == id);
        // A mapping that is known to be there is better than a new one: most programs are short.
        if let Some(attached) = attached
            && attached.seen.is_some_and(|(pid, start, end)| !is_mapped(pid, start, end))
        {
            (attached.seen, attached.unused) = (Some(by), None);
        }
    }

    /// Lets go of files that no process uses any more: of one that was deleted at once, of others after [`LINGER`].
    fn let_go(&mut self) {
        let now = Instant::now();
        let is_gone = |attached: &Attached| attached.seen.is_some_and(|(pid, start, end)| !is_mapped(pid, start, end));
        let due = |attached: &Attached| match attached.unused {
            None => true,
            Some(since) => now.duration_since(since) >= LINGER || !attached.provider.is_linked(),
        };
        if !self.attached.iter().any(|attached| is_gone(attached) && due(attached)) {
            return;
        }
        // Another process may have it; those that are found are marked so.
        for attached in self.attached.iter_mut().filter(|attached| is_gone(attached)) {
            attached.unused.get_or_insert(now);
        }
        self.look(false);
        let over: Vec<u32> = self
            .attached
            .iter()
            .filter(|attached| {
                attached
                    .unused
                    .is_some_and(|since| now.duration_since(since) >= LINGER || !attached.provider.is_linked())
            })
            .map(|attached| attached.id)
            .collect();
        if over.is_empty() {
            return;
        }
        self.known.retain(|_, verdict| !matches!(verdict, Verdict::Attached(id) if over.contains(id)));
        self.attached.retain(|attached| {
            let stays = !over.contains(&attached.id);
            if !stays {
                info!("no process uses {} any more: it is no longer traced", attached.provider.shown);
            }
            stays
        });
    }
}

/// Whether the process has this mapping; `true` if that may not be asked.
fn is_mapped(pid: u32, start: u64, end: u64) -> bool {
    match fs::symlink_metadata(format!("/proc/{pid}/map_files/{start:x}-{end:x}")) {
        Ok(_) => true,
        Err(error) => {
            error.kind() == io::ErrorKind::PermissionDenied && fs::exists(format!("/proc/{pid}")).unwrap_or(true)
        }
    }
}

/// Whether the root directory of a process is another one than ours; false if that cannot be told.
fn is_elsewhere(pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = |whose: &str| fs::metadata(format!("/proc/{whose}/root/")).map(|root| (root.dev(), root.ino()));
    matches!((root(&pid.to_string()), root("self")), (Ok(one), Ok(other)) if one != other)
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
    fn c_libraries_are_known_by_their_names() {
        for path in ["/lib/libc.so.6", "libc-2.31.so", "/x/ld-musl-x86_64.so.1", "/libc.so (deleted)"] {
            assert!(looks_like_libc(path), "{path}");
        }
        for path in ["/lib/libcap.so.2", "/usr/bin/libc/cat", "", "/lib/libcrypto.so"] {
            assert!(!looks_like_libc(path), "{path}");
        }
    }

    #[test]
    fn what_this_process_has_mapped_is_in_use() {
        let own = std::process::id();
        let mapping = maps::of_process(own).remove(0);
        assert!(is_mapped(own, mapping.start, mapping.end));
        assert!(!is_mapped(own, 0x1000, 0x2000));
        assert!(!is_mapped(0, mapping.start, mapping.end));
    }
}
