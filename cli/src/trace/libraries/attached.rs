//! The files that are traced: attached to, known to be in use, let go.

use std::{
    fs, io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cutaway::{Links, Loaded, Uprobe};
use cutaway_programs::getaddrinfo;
use log::{debug, info, warn};

use super::{maps::Mapping, names::Names, probes::both, provider::Provider, scope::Whose};
use crate::error::CliError;

/// How long a file stays probed that no process maps any more: short programs come again.
const LINGER: Duration = Duration::from_secs(5);

/// A mapping: process, first address, address behind the last byte.
pub(crate) type User = (u32, u64, u64);

/// An attached file.
struct Attached {
    id: u32,
    provider: Provider,
    /// When both probes were there.
    since: Instant,
    /// A mapping of it by which it is known to be in use; `None` for a file that stays attached anyway.
    seen: Option<User>,
    /// Since when no process is known to map it.
    unused: Option<Instant>,
    links: Links,
}

impl Attached {
    fn is_gone(&self) -> bool {
        self.seen.is_some_and(|(pid, start, end)| !is_mapped(pid, start, end))
    }

    fn is_over(&self, now: Instant) -> bool {
        self.unused.is_some_and(|since| now.duration_since(since) >= LINGER || !self.provider.is_linked())
    }
}

/// All of them. They are detached when this is dropped.
pub(crate) struct AllAttached {
    loaded: Arc<Loaded>,
    whose: Whose,
    names: Names,
    files: Vec<Attached>,
    next: u32,
    /// The first file that could not be attached to.
    pub(crate) failure: Option<CliError>,
    /// Threads that detach.
    detaching: Vec<JoinHandle<()>>,
}

impl AllAttached {
    pub(crate) fn new(loaded: Arc<Loaded>, whose: Whose, names: Names) -> Self {
        Self { loaded, whose, names, files: Vec::new(), next: 1, failure: None, detaching: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Keeps those that are there now, whether a process uses them or not.
    pub(crate) fn keep_all(&mut self) {
        self.files.iter_mut().for_each(|attached| attached.seen = None);
    }

    fn get(&self, id: u32) -> Option<&Attached> {
        self.files.iter().find(|attached| attached.id == id)
    }

    /// Returns when both probes were there, and the file's path.
    pub(crate) fn since(&self, id: u32) -> Option<(Instant, &str)> {
        self.get(id).map(|attached| (attached.since, attached.provider.shown.as_str()))
    }

    /// Returns the attached file that this one is by another name of the kernel's.
    pub(crate) fn same(&self, provider: &Provider, pid: u32, mapping: &Mapping) -> Option<u32> {
        let same = self.files.iter().find(|attached| attached.provider.marks() == provider.marks())?;
        provider.is_probed_in(pid, mapping).then(|| {
            debug!("{} of process {pid} is the file that is probed as {}", mapping.path, same.provider.shown);
            same.id
        })
    }

    /// Attaches to a file; gives its id.
    pub(crate) fn attach(&mut self, provider: Provider, seen: Option<User>) -> Option<u32> {
        let begin = Instant::now();
        let id = self.next;
        let path = provider.path();
        let cookie = if self.names.by_cookie() { u64::from(id) } else { 0 };
        let links = |path: &str| {
            both(&self.loaded, |retprobe| {
                let probe = Uprobe::new(path, getaddrinfo::FUNCTION).retprobe(retprobe).cookie(cookie);
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
                debug!("that took {:?}", begin.elapsed());
                self.next += 1;
                self.names.add(id, &provider.shown);
                self.files.push(Attached { id, provider, since: Instant::now(), seen, unused: None, links });
                Some(id)
            }
            Err(failure) => {
                if self.failure.is_some() || !self.files.is_empty() {
                    warn!("getaddrinfo of {} is not traced: {failure}", provider.shown);
                }
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    /// A mapping that is known to be there is better than a new one: most programs are short.
    pub(crate) fn is_used(&mut self, id: u32, by: User) {
        if let Some(attached) = self.files.iter_mut().find(|attached| attached.id == id)
            && attached.is_gone()
        {
            (attached.seen, attached.unused) = (Some(by), None);
        }
    }

    /// Marks the files whose known user is gone; returns whether other users are to be looked for now, since one of
    /// them may be let go.
    pub(crate) fn have_to_be_looked_for(&mut self) -> bool {
        let now = Instant::now();
        if !self.files.iter().any(|attached| attached.is_gone() && (attached.unused.is_none() || attached.is_over(now)))
        {
            return false;
        }
        for attached in self.files.iter_mut().filter(|attached| attached.is_gone()) {
            attached.unused.get_or_insert(now);
        }
        true
    }

    /// Lets go of files that no process uses any more: of one that was deleted at once, of others after [`LINGER`].
    /// Returns their ids.
    pub(crate) fn let_go(&mut self) -> Vec<u32> {
        let now = Instant::now();
        let (over, stay): (Vec<_>, Vec<_>) = self.files.drain(..).partition(|attached| attached.is_over(now));
        self.files = stay;
        self.detaching.retain(|thread| !thread.is_finished());
        for attached in &over {
            info!("no process uses {} any more: it is no longer traced", attached.provider.shown);
        }
        let ids: Vec<u32> = over.iter().map(|attached| attached.id).collect();
        if !over.is_empty() {
            // It takes some ten milliseconds for each probe, and threads may be held for another file meanwhile.
            let detach = move || over.into_iter().for_each(|attached| drop(attached.links));
            // If there is no room for a thread, the closure is dropped here, and the links with it.
            self.detaching.extend(thread::Builder::new().name("detach".to_owned()).spawn(detach));
        }
        ids
    }
}

impl Drop for AllAttached {
    fn drop(&mut self) {
        self.files.clear();
        for thread in self.detaching.drain(..) {
            let _ = thread.join();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::libraries::maps;

    #[test]
    fn what_this_process_has_mapped_is_in_use() {
        let own = std::process::id();
        let mapping = maps::of_process(own).remove(0);
        assert!(is_mapped(own, mapping.start, mapping.end));
        assert!(!is_mapped(own, 0x1000, 0x2000));
        assert!(!is_mapped(0, mapping.start, mapping.end));
    }
}
