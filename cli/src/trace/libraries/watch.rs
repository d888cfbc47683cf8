//! Finds C libraries in use, attaches to them, and keeps up with those that come and go.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cutaway::{Loaded, Uprobe};
use cutaway_programs::getaddrinfo;
use log::{info, warn};

use super::{
    attached::AllAttached,
    catch::{Catchers, Common, is_held},
    first::First,
    hold::Holder,
    holder::{Answer, MOST},
    known::{Known, Verdict},
    libc_name::looks_like_libc,
    maps::{self, Key, Mapping, Processes},
    moment::{self, Moment},
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

    /// Notes that records were lost, so that all processes are looked through; warns of it once. Processes that have ended
    /// by then cannot be found.
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
        let verdict = match found {
            Found::Gone => {
                if thread.is_some_and(|thread| !self.is_before(thread.at)) && looks_like_libc(&mapping.path) {
                    warn!(
                        "calls of getaddrinfo in {} by {} may be missed: the file could not be opened before the \
                         process ended, or may not be",
                        mapping.path,
                        name_of(pid)
                    );
                }
                None
            }
            Found::Nothing => nothing,
            Found::Foreign(why) => {
                warn!("getaddrinfo of {} is not traced: {why}", mapping.path);
                nothing
            }
            Found::Provider(provider) => {
                let same = self.attached.same(&provider, pid, mapping);
                match same.or_else(|| self.attached.attach(provider, Some(user))) {
                    Some(id) => {
                        self.tell_if_missed(id, same.is_none(), pid, mapping, thread);
                        Some(Verdict::Attached(id))
                    }
                    None => nothing,
                }
            }
        };
        if let Some(verdict) = verdict {
            self.known.insert(mapping.key, verdict);
        }
    }

    /// Warns if the process may have called the function before the probes were there, and its calls are wanted.
    /// `is_new` says that they were put there for this mapping.
    fn tell_if_missed(&self, id: u32, is_new: bool, pid: u32, mapping: &Mapping, thread: Option<&Mapper>) {
        let Some((since, path)) = self.attached.since(id) else { return };
        let is_in_time = thread.map_or(!is_new, |thread| thread.at > since);
        if self.is_before(since) || is_in_time {
            return;
        }
        let is_wanted = pid != std::process::id() && self.is_wanted(pid, thread);
        let Some(why) = self.why_missed(is_wanted, mapping, thread).filter(|_| is_wanted) else { return };
        let after = match thread {
            Some(thread) => format!("{:.1} ms after it had mapped the file", (since - thread.at).as_secs_f64() * 1e3),
            None => "some time after it had mapped the file".to_owned(),
        };
        let process = name_of(pid);
        warn!("calls of getaddrinfo in {path} by {process} may be missed: it is traced from {after}: {why}");
    }

    /// Warns of a C library that comes too late to be looked at, if its thread has gone on meanwhile.
    fn tell_if_late(&self, Sighting { pid, mapping, thread }: &Sighting) {
        let is_new = thread.held.is_none() && self.known.get(mapping.key).is_none() && looks_like_libc(&mapping.path);
        if is_new && !self.is_before(thread.at) && *pid != std::process::id() && self.is_wanted(*pid, Some(thread)) {
            warn!(
                "calls of getaddrinfo in {} by {} may be missed: the trace ended before the file could be looked at",
                mapping.path,
                name_of(*pid)
            );
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

    /// Why a thread may have called it meanwhile; `None` if it cannot have.
    fn why_missed(&self, is_wanted: bool, mapping: &Mapping, thread: Option<&Mapper>) -> Option<String> {
        /// How often to look whether the thread has come to stand still, and how long between two looks.
        const LOOKS: (u32, Duration) = (40, Duration::from_millis(1));
        let unheld = || self.unheld.clone();
        let Some(thread) = thread else { return unheld().or(Some("no notice of it came".to_owned())) };
        let Some(held) = &thread.held else {
            let name = || "without COMMAND or --pid no thread is held for a file of such a name".to_owned();
            let many = || "too many threads were held, or the process that holds them has ended".to_owned();
            return unheld()
                .or_else(|| Some(if is_held(self.wanted.whose, is_wanted, mapping) { many() } else { name() }));
        };
        let answer = held.last_answer();
        if answer == Some(Answer::TooLong) {
            return Some(format!("the thread was held for {MOST:?}, which was not enough"));
        }
        let mut looks = (0..LOOKS.0).map(|_| match moment::of(thread.tid, mapping) {
            Moment::Running => {
                thread::sleep(LOOKS.1);
                Moment::Running
            }
            moment => moment,
        });
        match looks.find(|moment| *moment != Moment::Running) {
            Some(Moment::Mapping) => None,
            // It was killed, or never held.
            Some(Moment::Gone) if answer == Some(Answer::Held) => None,
            _ if matches!(answer, Some(Answer::No)) => Some("the thread could not be held".to_owned()),
            _ if answer == Some(Answer::Waiting) => Some("another tracer has the thread".to_owned()),
            _ => Some("the thread went on before it could be held".to_owned()),
        }
    }
}

/// Names a process. The kernel gives those of PID namespaces that this one does not see the number 0.
fn name_of(pid: u32) -> String {
    match pid {
        0 => "a process outside of this PID namespace".to_owned(),
        pid => format!("process {pid}"),
    }
}
