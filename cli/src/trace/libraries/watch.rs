//! The watcher: finds C libraries in use, attaches to them, and follows those that come into use or go out of it.

mod missed;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use cutaway::{Loaded, Uprobe};
use cutaway_programs::getaddrinfo;
use log::{info, warn};

use super::{
    attached::AllAttached,
    cpu_readers::{CpuReaders, Shared},
    hold::Holder,
    known::{Known, Verdict},
    libc_name::looks_like_libc,
    maps::{self, Key, Mapping, Processes},
    mmap_records::PerfBuffer,
    names::Names,
    provider::{self, Found},
    queue::{MappingThread, NewMapping, Pending, Queue},
    realtime::RealtimePriority,
    scope::{ProcessFilter, Scope},
};
use crate::error::CliError;

/// How often to check the users of attached files, while mmap records are read.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often to scan the processes, if no mmap records are read.
const SCAN_INTERVAL: Duration = Duration::from_millis(500);
/// How often to scan all processes in any case, because a CPU that came online has no reader of mmap records.
const RESCAN_INTERVAL: Duration = Duration::from_secs(30);
/// How many processes are tried for one file. The first may end before its file is opened.
const MAX_TRIES: usize = 4;

/// The state of the watcher thread.
pub(crate) struct Watch {
    filter: ProcessFilter,
    attached: AllAttached,
    known: Known,
    queue: Arc<Queue>,
    /// `None` if no mmap records are read.
    readers: Option<CpuReaders>,
    /// The reason why threads are not held; `None` if they are held.
    no_hold_reason: Option<String>,
    priority: Option<RealtimePriority>,
    processes: Processes,
    last_scan: Instant,
    /// When the trace began; `None` before that. A library that is found before was in use before the trace.
    began: Option<Instant>,
    /// Mmap records were lost.
    lost_records: bool,
    /// A reader has ended.
    readers_ended: bool,
    warned_of_losses: bool,
}

impl Watch {
    pub(crate) fn new(loaded: Arc<Loaded>, scope: Scope, names: Names) -> Self {
        Self {
            attached: AllAttached::new(Arc::clone(&loaded), scope, names),
            filter: ProcessFilter { loaded, scope },
            known: Known::default(),
            queue: Arc::default(),
            readers: None,
            no_hold_reason: None,
            priority: None,
            processes: Processes::default(),
            last_scan: Instant::now(),
            began: None,
            lost_records: false,
            readers_ended: false,
            warned_of_losses: false,
        }
    }

    /// Returns the queue, which can stop the watcher.
    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Attaches to the libraries in use now. The readers of mmap records start first, so that no library is missed in
    /// between.
    pub(crate) fn begin(&mut self, hold: bool) -> Result<(), CliError> {
        self.start_readers(hold);
        if self.filter.scope == Scope::Command {
            // No process is followed yet. Most commands use the same C library as this program.
            let own = std::process::id();
            for mapping in maps::of_process(own) {
                self.examine(own, &mapping, None);
            }
            self.attached.keep_all();
            if self.attached.is_empty()
                && let Ok((path, _)) = Uprobe::new(getaddrinfo::LIBRARY, getaddrinfo::FUNCTION).locate()
                && let Found::Provider(provider) = provider::at_path(&path)
            {
                self.attached.attach(provider, None);
            }
        } else {
            self.scan(true);
        }
        self.began = Some(Instant::now());
        match self.attached.failure.take() {
            Some(failure) if self.attached.is_empty() => Err(failure),
            _ => {
                if self.attached.is_empty() {
                    warn!("no traced process uses a C library with getaddrinfo yet: waiting for one");
                }
                Ok(())
            }
        }
    }

    /// Starts the readers of mmap records, and the holder process if `hold` is true, as far as the machine permits it.
    fn start_readers(&mut self, hold: bool) {
        let fallback = format!("scanning all processes for new libraries every {SCAN_INTERVAL:?}");
        let buffers = match PerfBuffer::open_all() {
            Ok(buffers) => buffers,
            Err(error) => {
                self.no_hold_reason = Some("new mappings are found only by scans".to_owned());
                return info!("{fallback}: {}", CliError::system("open the records of mappings", &error));
            }
        };
        let cpus: Vec<u32> = buffers.iter().map(PerfBuffer::cpu).collect();
        let holder = hold.then(|| Holder::start(&cpus).map(Arc::new));
        self.no_hold_reason = match &holder {
            None => Some("no thread is held (--no-hold)".to_owned()),
            Some(Err(error)) => {
                Some(format!("no thread is held: {}", CliError::system("start the process that holds threads", error)))
            }
            Some(Ok(_)) => None,
        };
        if let (true, Some(why)) = (hold, &self.no_hold_reason) {
            info!("{why}");
        }
        let shared = Shared {
            filter: self.filter.clone(),
            known: self.known.clone(),
            queue: Arc::clone(&self.queue),
            holder: holder.and_then(Result::ok),
        };
        match CpuReaders::start(buffers, &shared) {
            Ok(readers) => self.readers = Some(readers),
            Err(error) => {
                info!(
                    "{fallback}: {}",
                    CliError::system("start the threads that read the records of mappings", &error)
                );
            }
        }
    }

    /// Attaches to libraries that come into use and detaches from those that go out of it, until it is stopped by the
    /// queue. Returns the files that are still attached.
    pub(crate) fn run(mut self) -> AllAttached {
        self.priority =
            (self.no_hold_reason.is_none() && self.readers.is_some()).then(|| RealtimePriority::start(None));
        loop {
            self.queue.wait(if self.readers.is_some() { CHECK_INTERVAL } else { SCAN_INTERVAL });
            if self.keep_up() {
                // The readers read the last records before they end.
                self.readers = None;
                let last = self.queue.take();
                self.record_losses(&last);
                last.mappings.iter().for_each(|mapping| self.tell_if_late(mapping));
                return self.attached;
            }
            if std::mem::take(&mut self.readers_ended) {
                info!("mmap records can no longer be read: scanning all processes every {SCAN_INTERVAL:?}");
                self.readers = None;
            }
            let is_time = self.last_scan.elapsed() >= RESCAN_INTERVAL;
            if std::mem::take(&mut self.lost_records) || self.readers.is_none() || is_time {
                self.scan(is_time);
            }
            if self.attached.mark_unused() {
                self.scan(false);
                let over = self.attached.detach_unused();
                self.known.retain(|_, verdict| !matches!(verdict, Verdict::Attached(id) if over.contains(&id)));
            }
            // The failure was reported as a warning, and cannot be returned here.
            self.attached.failure = None;
        }
    }

    /// Empties the queue and attaches to new C libraries. Returns whether the trace ends.
    fn keep_up(&mut self) -> bool {
        // A scan of many processes calls this too: it takes long and is not urgent.
        self.priority.iter_mut().for_each(RealtimePriority::throttle);
        let pending = self.queue.take();
        self.record_losses(&pending);
        if pending.stop {
            // A scan may have called this, so the flag is set again for `run`.
            self.queue.update(|pending| pending.stop = true);
            pending.mappings.iter().for_each(|mapping| self.tell_if_late(mapping));
            return true;
        }
        self.readers_ended |= pending.ended;
        for NewMapping { pid, mapping, thread } in pending.mappings {
            self.priority.iter_mut().for_each(RealtimePriority::throttle);
            self.examine(pid, &mapping, Some(&thread));
            // The thread continues here at the latest.
            drop(thread);
        }
        false
    }

    /// Notes that records were lost, so that all processes are scanned, and warns once. The scan does not find
    /// processes that have ended.
    fn record_losses(&mut self, pending: &Pending) {
        self.lost_records |= pending.lost;
        if pending.lost && self.began.is_some() && !std::mem::replace(&mut self.warned_of_losses, true) {
            warn!(
                "records of mappings were lost: calls of getaddrinfo by processes that have started and ended meanwhile \
                 may be missed; further losses are not reported"
            );
        }
    }

    /// Scans the processes for unknown files. `reread` also reads processes that seem unchanged.
    fn scan(&mut self, reread: bool) {
        let begin = Instant::now();
        self.last_scan = begin;
        let mut processes = std::mem::take(&mut self.processes);
        processes.scan(reread, || {
            self.keep_up();
        });
        self.processes = processes;
        let mut files: BTreeMap<(bool, Key), Vec<(u32, Mapping)>> = BTreeMap::new();
        let mut count = 0;
        for (pid, mappings) in self.processes.iter() {
            count += 1;
            for mapping in mappings {
                // Files with a C library's name come first.
                let users = files.entry((!looks_like_libc(&mapping.path), mapping.key)).or_default();
                if users.len() < MAX_TRIES && self.filter.includes(pid) {
                    users.push((pid, mapping.clone()));
                }
            }
        }
        let number = files.len();
        self.known.retain(|key, verdict| {
            matches!(verdict, Verdict::Attached(_))
                || files.contains_key(&(false, key))
                || files.contains_key(&(true, key))
        });
        // A file also counts as in use if only processes use it that are not traced.
        for (pid, mappings) in self.processes.iter() {
            for mapping in mappings {
                if let Some(Verdict::Attached(id)) = self.known.get(mapping.key) {
                    self.attached.mark_used(id, (pid, mapping.start, mapping.end));
                }
            }
        }
        for (pid, mapping) in files.into_values().flatten() {
            if self.keep_up() {
                return;
            }
            self.examine(pid, &mapping, None);
        }
        info!("scanned {count} processes with {number} files for C libraries in {:?}", begin.elapsed());
    }

    /// Examines the file of a mapping. Attaches to it if it is a C library and not attached yet. `thread` has just
    /// mapped the file.
    fn examine(&mut self, pid: u32, mapping: &Mapping, thread: Option<&MappingThread>) {
        let user = (pid, mapping.start, mapping.end);
        let fingerprint = match self.known.get(mapping.key) {
            Some(Verdict::Attached(id)) => {
                self.attached.mark_used(id, user);
                return self.tell_if_missed(id, false, pid, mapping, thread);
            }
            Some(Verdict::NotTraced(before, generation)) => {
                let fingerprint = provider::fingerprint(pid, mapping);
                if fingerprint == Some(before) {
                    // A scan does not show the generation of an inode, so the first mmap record adds it.
                    if let (None, Some(thread)) = (generation, thread) {
                        self.known.insert(mapping.key, Verdict::NotTraced(before, Some(thread.generation)));
                    }
                    return;
                }
                fingerprint
            }
            None => provider::fingerprint(pid, mapping),
        };
        let own = self.filter.scope == Scope::Command && pid == std::process::id();
        if !own && !self.is_wanted(pid, thread) {
            return;
        }
        let examine = || provider::examine(pid, mapping);
        let found = match &mut self.priority {
            // No thread is held for this file, and its full symbol table may have to be read.
            Some(priority) if thread.is_none_or(|thread| thread.held.is_none()) => {
                priority.at_ordinary_priority(examine)
            }
            _ => examine(),
        };
        let not_traced =
            fingerprint.map(|fingerprint| Verdict::NotTraced(fingerprint, thread.map(|thread| thread.generation)));
        if let Some(verdict) = self.apply(found, not_traced, pid, mapping, thread) {
            self.known.insert(mapping.key, verdict);
        }
    }

    /// Attaches to an examined file, or reports why not. Returns the verdict on the file: `not_traced` if it is not
    /// attached, `None` if it is to be examined again.
    fn apply(
        &mut self,
        found: Found,
        not_traced: Option<Verdict>,
        pid: u32,
        mapping: &Mapping,
        thread: Option<&MappingThread>,
    ) -> Option<Verdict> {
        match found {
            Found::NotOpened => {
                self.tell_if_gone(pid, mapping, thread);
                None
            }
            Found::NotLibrary => not_traced,
            Found::Unsupported(why) => {
                warn!("getaddrinfo of {} is not traced: {why}", mapping.path);
                not_traced
            }
            Found::Provider(provider) => {
                let same = self.attached.find_same(&provider, pid, mapping);
                match same.or_else(|| self.attached.attach(provider, Some((pid, mapping.start, mapping.end)))) {
                    Some(id) => {
                        self.tell_if_missed(id, same.is_none(), pid, mapping, thread);
                        Some(Verdict::Attached(id))
                    }
                    None => not_traced,
                }
            }
        }
    }

    /// Returns whether the process is traced, or may have been when the record of its thread was read.
    fn is_wanted(&self, pid: u32, thread: Option<&MappingThread>) -> bool {
        // The command did not exist before the trace began.
        let is_before_command = |at| self.filter.scope == Scope::Command && self.is_before(at);
        thread.is_some_and(|thread| thread.wanted && !is_before_command(thread.at)) || self.filter.includes(pid)
    }

    /// Returns whether the trace had not begun at this time.
    fn is_before(&self, time: Instant) -> bool {
        self.began.is_none_or(|began| time <= began)
    }
}
