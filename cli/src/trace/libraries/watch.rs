//! Finds C libraries in use, attaches to them, and keeps up with those that come and go.

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
    catch::{Catchers, Common},
    first::First,
    hold::Holder,
    known::{Known, Verdict},
    libc_name::looks_like_libc,
    maps::{self, Key, Mapping, Processes},
    names::Names,
    notice::Ring,
    provider::{self, Found},
    scope::{Wanted, Whose},
    sightings::{Arrived, Mapper, Queue, Sighting},
};
use crate::error::CliError;

/// How often to see to attached files with notices, and how often to look through the processes without.
const NOTICED: Duration = Duration::from_secs(1);
const UNNOTICED: Duration = Duration::from_millis(500);
/// How often all processes are looked through although nothing calls for it: a CPU that came online has no notices.
const ALL: Duration = Duration::from_secs(30);
/// How many processes are tried for one file: the first may end before its file is opened.
const TRIES: usize = 4;

pub(crate) struct Watch {
    wanted: Wanted,
    attached: AllAttached,
    known: Known,
    queue: Arc<Queue>,
    /// `None` if mappings are not noticed.
    catchers: Option<Catchers>,
    /// Why no threads are held; `None` if they are.
    unheld: Option<String>,
    first: Option<First>,
    processes: Processes,
    looked: Instant,
    /// When the trace began; `None` before that: what is found then was in use before.
    began: Option<Instant>,
    /// Notices were dropped, or are over.
    dropped: bool,
    over: bool,
    told_of_losses: bool,
}

impl Watch {
    pub(crate) fn new(loaded: Arc<Loaded>, whose: Whose, names: Names) -> Self {
        Self {
            attached: AllAttached::new(Arc::clone(&loaded), whose, names),
            wanted: Wanted { loaded, whose },
            known: Known::default(),
            queue: Arc::default(),
            catchers: None,
            unheld: None,
            first: None,
            processes: Processes::default(),
            looked: Instant::now(),
            began: None,
            dropped: false,
            over: false,
            told_of_losses: false,
        }
    }

    /// Returns the queue by which it is told to end.
    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Attaches to what is in use now. Notices come first: nothing is missed between the two.
    pub(crate) fn begin(&mut self, hold: bool) -> Result<(), CliError> {
        self.notice(hold);
        if self.wanted.whose == Whose::Followed {
            // Nothing is followed yet; most commands use the library that this program uses.
            let own = std::process::id();
            for mapping in maps::of_process(own) {
                self.consider(own, &mapping, None);
            }
            self.attached.keep_all();
            if self.attached.is_empty()
                && let Ok((path, _)) = Uprobe::new(getaddrinfo::LIBRARY, getaddrinfo::FUNCTION).locate()
                && let Found::Provider(provider) = provider::at_path(&path)
            {
                self.attached.attach(provider, None);
            }
        } else {
            self.look(true);
        }
        self.began = Some(Instant::now());
        match self.attached.failure.take() {
            Some(failure) if self.attached.is_empty() => Err(failure),
            _ => {
                if self.attached.is_empty() {
                    warn!("no C library with getaddrinfo is in use there yet: waiting for one");
                }
                Ok(())
            }
        }
    }

    /// Begins to notice mappings, and to hold threads, as far as this machine lets it.
    fn notice(&mut self, hold: bool) {
        let late = format!("libraries that come into use are looked for every {UNNOTICED:?}, not noticed at once");
        let rings = match Ring::open_all() {
            Ok(rings) => rings,
            Err(error) => {
                self.unheld = Some("mappings are not noticed at once".to_owned());
                return info!("{late}: {}", CliError::system("open the records of mappings", &error));
            }
        };
        let cpus: Vec<u32> = rings.iter().map(Ring::cpu).collect();
        let holder = hold.then(|| Holder::start(&cpus).map(Arc::new));
        self.unheld = match &holder {
            None => Some("no thread is held (--no-hold)".to_owned()),
            Some(Err(error)) => {
                Some(format!("no thread is held: {}", CliError::system("start the process that would do it", error)))
            }
            Some(Ok(_)) => None,
        };
        if let (true, Some(why)) = (hold, &self.unheld) {
            info!("{why}");
        }
        let common = Common {
            wanted: self.wanted.clone(),
            known: self.known.clone(),
            queue: Arc::clone(&self.queue),
            holder: holder.and_then(Result::ok),
        };
        match Catchers::start(rings, &common) {
            Ok(catchers) => self.catchers = Some(catchers),
            Err(error) => {
                info!("{late}: {}", CliError::system("start the threads that read the records of mappings", &error));
            }
        }
    }

    /// Keeps up with what comes into use and what goes out of it, until the queue says that it is time to end. Returns
    /// what is attached then.
    pub(crate) fn run(mut self) -> AllAttached {
        self.first = (self.unheld.is_none() && self.catchers.is_some()).then(|| First::begin(None));
        loop {
            self.queue.wait(if self.catchers.is_some() { NOTICED } else { UNNOTICED });
            if self.keep_up() {
                // They read what there is before they end.
                self.catchers = None;
                let last = self.queue.take();
                self.see_to_losses(&last);
                last.sightings.iter().for_each(|sighting| self.tell_if_late(sighting));
                return self.attached;
            }
            if std::mem::take(&mut self.over) {
                info!("mappings are no longer noticed: all processes are looked through every {UNNOTICED:?}");
                self.catchers = None;
            }
            let is_time = self.looked.elapsed() >= ALL;
            if std::mem::take(&mut self.dropped) || self.catchers.is_none() || is_time {
                self.look(is_time);
            }
            if self.attached.have_to_be_looked_for() {
                self.look(false);
                let over = self.attached.let_go();
                self.known.retain(|_, verdict| !matches!(verdict, Verdict::Attached(id) if over.contains(&id)));
            }
            // There is no one to return it to; it was told.
            self.attached.failure = None;
        }
    }

    /// Attaches to what the notices tell of; returns whether it is time to end.
    fn keep_up(&mut self) -> bool {
        // Also while it looks through many processes, which takes long and is in no hurry.
        self.first.iter_mut().for_each(First::account);
        let arrived = self.queue.take();
        self.see_to_losses(&arrived);
        if arrived.stop {
            // It has to be seen again, by the caller of what has called this.
            self.queue.tell(|arrived| arrived.stop = true);
            arrived.sightings.iter().for_each(|sighting| self.tell_if_late(sighting));
            return true;
        }
        self.over |= arrived.over;
        for Sighting { pid, mapping, thread } in arrived.sightings {
            self.first.iter_mut().for_each(First::account);
            self.consider(pid, &mapping, Some(&thread));
            // Here at the latest the thread goes on.
            drop(thread);
        }
        false
    }

    /// Notes that records were lost, so that all processes are looked through; warns of it once. Processes that have
    /// ended by then cannot be found.
    fn see_to_losses(&mut self, arrived: &Arrived) {
        self.dropped |= arrived.dropped;
        if arrived.dropped && self.began.is_some() && !std::mem::replace(&mut self.told_of_losses, true) {
            warn!(
                "records of mappings were lost: calls of getaddrinfo by processes that have started and ended meanwhile \
                 may be missed; further losses are not reported"
            );
        }
    }

    /// Looks through the processes for files that are not known yet.
    fn look(&mut self, afresh: bool) {
        let begin = Instant::now();
        self.looked = begin;
        let mut processes = std::mem::take(&mut self.processes);
        processes.look(afresh, || {
            self.keep_up();
        });
        self.processes = processes;
        let mut files: BTreeMap<(bool, Key), Vec<(u32, Mapping)>> = BTreeMap::new();
        let mut count = 0;
        for (pid, mappings) in self.processes.iter() {
            count += 1;
            for mapping in mappings {
                // The likely ones first.
                let users = files.entry((!looks_like_libc(&mapping.path), mapping.key)).or_default();
                if users.len() < TRIES && self.wanted.includes(pid) {
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
        // Files that processes use which are not wanted are in use all the same.
        for (pid, mappings) in self.processes.iter() {
            for mapping in mappings {
                if let Some(Verdict::Attached(id)) = self.known.get(mapping.key) {
                    self.attached.is_used(id, (pid, mapping.start, mapping.end));
                }
            }
        }
        for (pid, mapping) in files.into_values().flatten() {
            if self.keep_up() {
                return;
            }
            self.consider(pid, &mapping, None);
        }
        info!("looked through {count} processes with {number} files for C libraries in {:?}", begin.elapsed());
    }

    /// Attaches to the file of a mapping, if it is a C library and not attached yet. `thread` has just mapped it.
    fn consider(&mut self, pid: u32, mapping: &Mapping, thread: Option<&Mapper>) {
        let user = (pid, mapping.start, mapping.end);
        let marks = match self.known.get(mapping.key) {
            Some(Verdict::Attached(id)) => {
                self.attached.is_used(id, user);
                return self.tell_if_missed(id, false, pid, mapping, thread);
            }
            Some(Verdict::Nothing(before, generation)) => {
                let marks = provider::marks(pid, mapping);
                if marks == Some(before) {
                    // Of a file that was found by a look the generation is not known.
                    if let (None, Some(thread)) = (generation, thread) {
                        self.known.insert(mapping.key, Verdict::Nothing(before, Some(thread.generation)));
                    }
                    return;
                }
                marks
            }
            None => provider::marks(pid, mapping),
        };
        let own = self.wanted.whose == Whose::Followed && pid == std::process::id();
        if !own && !self.is_wanted(pid, thread) {
            return;
        }
        let examine = || provider::examine(pid, mapping);
        let found = match &mut self.first {
            // Nothing waits for it, and its whole table of symbols may have to be read.
            Some(first) if thread.is_none_or(|thread| thread.held.is_none()) => first.not_for(examine),
            _ => examine(),
        };
        let nothing = marks.map(|marks| Verdict::Nothing(marks, thread.map(|thread| thread.generation)));
        if let Some(verdict) = self.act_on(found, nothing, pid, mapping, thread) {
            self.known.insert(mapping.key, verdict);
        }
    }

    /// Attaches to what a file was found to be, or says why not. Returns the verdict on the file, `nothing` if it is
    /// not attached; `None` if the file is to be examined again.
    fn act_on(
        &mut self,
        found: Found,
        nothing: Option<Verdict>,
        pid: u32,
        mapping: &Mapping,
        thread: Option<&Mapper>,
    ) -> Option<Verdict> {
        match found {
            Found::Gone => {
                self.tell_if_gone(pid, mapping, thread);
                None
            }
            Found::Nothing => nothing,
            Found::Foreign(why) => {
                warn!("getaddrinfo of {} is not traced: {why}", mapping.path);
                nothing
            }
            Found::Provider(provider) => {
                let same = self.attached.same(&provider, pid, mapping);
                match same.or_else(|| self.attached.attach(provider, Some((pid, mapping.start, mapping.end)))) {
                    Some(id) => {
                        self.tell_if_missed(id, same.is_none(), pid, mapping, thread);
                        Some(Verdict::Attached(id))
                    }
                    None => nothing,
                }
            }
        }
    }

    /// Whether the process is one of those that are traced, or may have been when its thread was noticed.
    fn is_wanted(&self, pid: u32, thread: Option<&Mapper>) -> bool {
        // The command was not there before.
        let is_too_early = |at| self.wanted.whose == Whose::Followed && self.is_before(at);
        thread.is_some_and(|thread| thread.wanted && !is_too_early(thread.at)) || self.wanted.includes(pid)
    }

    /// Whether that was before the trace began.
    fn is_before(&self, moment: Instant) -> bool {
        self.began.is_none_or(|began| moment <= began)
    }
}
