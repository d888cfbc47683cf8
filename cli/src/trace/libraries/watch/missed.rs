//! Warns of calls that may have been missed, with the reason.

use std::{thread, time::Duration};

use log::warn;

use super::{
    super::{
        catch::is_held,
        holder::{Answer, MOST},
        known::{Familiar, Verdict},
        libc_name::looks_like_libc,
        maps::Mapping,
        moment::{self, Moment},
        provider::{self, Found},
        scope::Whose,
        sightings::{Mapper, Sighting},
    },
    Watch,
};

impl Watch {
    /// Warns of a C library that could not be opened. Its thread may have mapped it before the trace began, and may
    /// have called the function since.
    pub(super) fn tell_if_gone(&self, pid: u32, mapping: &Mapping, thread: Option<&Mapper>) {
        if thread.is_some() && self.began.is_some() && looks_like_libc(&mapping.path) {
            warn!(
                "calls of getaddrinfo in {} by {} may be missed: the file could not be opened before the \
                 process ended, or may not be",
                mapping.path,
                name_of(pid)
            );
        }
    }

    /// Warns if the process may have called the function before the probes were there, and its calls are wanted.
    /// `is_new` says that they were put there for this mapping.
    pub(super) fn tell_if_missed(&self, id: u32, is_new: bool, pid: u32, mapping: &Mapping, thread: Option<&Mapper>) {
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

    /// Warns of a C library that was mapped but not examined before the trace ended, unless its thread is still held.
    /// A held thread that has continued, because the hold failed or took too long, may have called the function.
    pub(super) fn tell_if_late(&self, Sighting { pid, mapping, thread }: &Sighting) {
        if let Some(Verdict::Attached(id)) = self.known.get(mapping.key) {
            return self.tell_if_missed(id, false, *pid, mapping, Some(thread));
        }
        let is_wanted = *pid != std::process::id() && self.is_wanted(*pid, Some(thread));
        let is_known = self.known.familiar(mapping.key, thread.generation) == Familiar::Nothing;
        if !is_wanted || is_known || self.began.is_none() || !self.may_be_library(*pid, mapping) {
            return;
        }
        if self.why_missed(is_wanted, mapping, Some(thread)).is_some() {
            warn!(
                "calls of getaddrinfo in {} by {} may be missed: the trace ended before the file could be examined",
                mapping.path,
                name_of(*pid)
            );
        }
    }

    /// Returns whether the file is a C library by its name. Files of traced processes are also examined, because a
    /// statically linked program can have any name.
    fn may_be_library(&self, pid: u32, mapping: &Mapping) -> bool {
        looks_like_libc(&mapping.path)
            || self.wanted.whose != Whose::Everybody && matches!(provider::examine(pid, mapping), Found::Provider(_))
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
            // It was killed while it was held.
            Some(Moment::Gone) if answer == Some(Answer::Held) && !held.is_closed() => None,
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
