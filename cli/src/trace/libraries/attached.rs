//! The attached files: attaches to files, keeps track of their users, and detaches unused files.

use std::{
    fs, io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cutaway::{Links, Loaded, Uprobe};
use cutaway_programs::getaddrinfo;
use log::{debug, info, warn};

use super::{maps::Mapping, names::Names, probes::attach_both, provider::Provider, scope::Scope};
use crate::error::CliError;

/// How long an unused file stays attached. Short-lived programs are often started again.
const LINGER: Duration = Duration::from_secs(5);

/// A mapping of a file: process, start address, end address (exclusive).
pub(crate) type User = (u32, u64, u64);

/// An attached file.
struct Attached {
    id: u32,
    provider: Provider,
    /// When both probes were attached.
    since: Instant,
    /// A mapping that shows that the file is in use; `None` for a file that stays attached in any case.
    user: Option<User>,
    /// Since when the file has no known user.
    unused: Option<Instant>,
    links: Links,
}

impl Attached {
    fn lost_user(&self) -> bool {
        self.user.is_some_and(|(pid, start, end)| !is_mapped(pid, start, end))
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.unused.is_some_and(|since| now.duration_since(since) >= LINGER || !self.provider.is_linked())
    }
}

/// All attached files. They are detached when this is dropped.
pub(crate) struct AllAttached {
    loaded: Arc<Loaded>,
    scope: Scope,
    names: Names,
    files: Vec<Attached>,
    next: u32,
    /// The error of the first file that could not be attached to.
    pub(crate) failure: Option<CliError>,
    /// Threads that detach.
    detaching: Vec<JoinHandle<()>>,
}

impl AllAttached {
    pub(crate) fn new(loaded: Arc<Loaded>, scope: Scope, names: Names) -> Self {
        Self { loaded, scope, names, files: Vec::new(), next: 1, failure: None, detaching: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Keeps the files that are attached now until the end, used or not.
    pub(crate) fn keep_all(&mut self) {
        self.files.iter_mut().for_each(|attached| attached.user = None);
    }

    fn get(&self, id: u32) -> Option<&Attached> {
        self.files.iter().find(|attached| attached.id == id)
    }

    /// Returns when both probes were attached, and the file's path.
    pub(crate) fn since(&self, id: u32) -> Option<(Instant, &str)> {
        self.get(id).map(|attached| (attached.since, attached.provider.display_path.as_str()))
    }

    /// Returns the id of an attached file that is the same file with another inode.
    pub(crate) fn find_same(&self, provider: &Provider, pid: u32, mapping: &Mapping) -> Option<u32> {
        let same = self.files.iter().find(|attached| attached.provider.fingerprint() == provider.fingerprint())?;
        provider.is_probed_in(pid, mapping).then(|| {
            debug!("{} of process {pid} is the file that is attached as {}", mapping.path, same.provider.display_path);
            same.id
        })
    }

    /// Attaches to a file. Returns its id.
    pub(crate) fn attach(&mut self, provider: Provider, user: Option<User>) -> Option<u32> {
        let begin = Instant::now();
        let id = self.next;
        let path = provider.path();
        let cookie = if self.names.by_cookie() { u64::from(id) } else { 0 };
        let links = |path: &str| {
            attach_both(&self.loaded, |retprobe| {
                let probe = Uprobe::new(path, getaddrinfo::FUNCTION).retprobe(retprobe).cookie(cookie);
                match self.scope {
                    Scope::Process(pid) => probe.pid(pid),
                    Scope::All | Scope::Command | Scope::Processes => probe,
                }
            })
        };
        let attached = links(&path).and_then(|attached| {
            if provider.is_path_of_file(&path) {
                return Ok(attached);
            }
            // The file at the path was replaced meanwhile, so another file may have been attached.
            drop(attached);
            links(&provider.open_path())
        });
        match attached {
            Ok(links) => {
                info!("tracing getaddrinfo at {:#x} in {}", provider.function, provider.display_path);
                debug!("attaching took {:?}", begin.elapsed());
                self.next += 1;
                self.names.add(id, &provider.display_path);
                self.files.push(Attached { id, provider, since: Instant::now(), user, unused: None, links });
                Some(id)
            }
            Err(failure) => {
                if self.failure.is_some() || !self.files.is_empty() {
                    warn!("getaddrinfo of {} is not traced: {failure}", provider.display_path);
                }
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    /// Makes a mapping the file's known user, if the former one has ended. A known user that is still there is kept,
    /// because most new processes are short-lived.
    pub(crate) fn mark_used(&mut self, id: u32, by: User) {
        if let Some(attached) = self.files.iter_mut().find(|attached| attached.id == id)
            && attached.lost_user()
        {
            (attached.user, attached.unused) = (Some(by), None);
        }
    }

    /// Marks the files whose known user has ended. Returns whether to scan for other users now: a file has just lost
    /// its user, or is to be detached.
    pub(crate) fn mark_unused(&mut self) -> bool {
        let now = Instant::now();
        if !self
            .files
            .iter()
            .any(|attached| attached.lost_user() && (attached.unused.is_none() || attached.is_expired(now)))
        {
            return false;
        }
        for attached in self.files.iter_mut().filter(|attached| attached.lost_user()) {
            attached.unused.get_or_insert(now);
        }
        true
    }

    /// Detaches files that no process uses: a deleted file at once, others after [`LINGER`]. Returns their ids.
    pub(crate) fn detach_unused(&mut self) -> Vec<u32> {
        let now = Instant::now();
        let (expired, stay): (Vec<_>, Vec<_>) = self.files.drain(..).partition(|attached| attached.is_expired(now));
        self.files = stay;
        self.detaching.retain(|thread| !thread.is_finished());
        for attached in &expired {
            info!("no process uses {} now: it is no longer traced", attached.provider.display_path);
        }
        let ids: Vec<u32> = expired.iter().map(|attached| attached.id).collect();
        if !expired.is_empty() {
            // Each probe takes some ten milliseconds, and threads may be held for another file meanwhile.
            let detach = move || expired.into_iter().for_each(|attached| attached.links.detach_together());
            // If the thread cannot be started, the closure is dropped here, and the links with it.
            self.detaching.extend(thread::Builder::new().name("detach".to_owned()).spawn(detach));
        }
        ids
    }
}

impl Drop for AllAttached {
    fn drop(&mut self) {
        let mut links = Links::default();
        self.files.drain(..).for_each(|attached| links.append(attached.links));
        links.detach_together();
        for thread in self.detaching.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Returns whether the process has this mapping; `true` if that may not be read and the process exists.
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
    fn mappings_of_this_process_are_in_use() {
        let own = std::process::id();
        let mapping = maps::of_process(own).remove(0);
        assert!(is_mapped(own, mapping.start, mapping.end));
        assert!(!is_mapped(own, 0x1000, 0x2000));
        assert!(!is_mapped(0, mapping.start, mapping.end));
    }
}
