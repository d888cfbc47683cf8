//! What did not arrive, each event counted once.
//!
//! The program counts what it could not send, on every CPU and by reason. A perf buffer also counts what it had no room
//! for; that is the program's `full` seen from the other side, and the larger of the two is taken: a kernel before 5.0
//! hides it from the program, one before 6.0 from the reader.

use cutaway::Loaded;
use cutaway_programs::getaddrinfo::{Losses, names};

use super::source::Source;
use crate::{diagnostics, error::CliError};

/// The losses of all CPUs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    losses: Losses,
    /// Records that arrived and were no events.
    unreadable: u64,
}

impl Lost {
    /// Reads the counters; all programs should be detached.
    ///
    /// When one process is traced, a return without an entry is another process's: before Linux 6.12 a return probe for
    /// one process also runs in others that another tracer probes.
    pub(crate) fn count(loaded: &Loaded, source: &Source, unreadable: u64, pid: Option<u32>) -> Result<Self, CliError> {
        let values = loaded.map(names::LOSSES)?.lookup_per_cpu(&0_u32.to_ne_bytes())?.unwrap_or_default();
        let mut lost = Self { unreadable, ..Self::default() };
        for (cpu, value) in &values {
            let losses =
                Losses::read(value).ok_or_else(|| CliError::new("the program's counters have an unknown layout"))?;
            let reported = match source {
                Source::Ring(_) => 0,
                Source::Perf(buffers) => buffers.lost(*cpu).map_err(cutaway::Error::from)?,
            };
            lost.add(&losses, reported);
        }
        if pid.is_some() {
            lost.losses.no_entry = 0;
        }
        Ok(lost)
    }

    fn add(&mut self, losses: &Losses, reported: u64) {
        let all = &mut self.losses;
        all.full += losses.full.max(reported);
        all.no_buffer += losses.no_buffer;
        all.refused += losses.refused;
        all.no_entry += losses.no_entry;
        all.not_followed += losses.not_followed;
    }

    pub(crate) fn total(&self) -> u64 {
        self.losses.full + self.losses.unseen() + self.unreadable
    }

    /// Says why, and what to do, for each reason that occurred.
    pub(crate) fn explain(&self) {
        let Losses { full, no_buffer, refused, no_entry, not_followed } = self.losses;
        for (number, why) in [
            (full, "for want of room in the buffer: make it larger with --buffer"),
            (no_buffer, "on a CPU that had only just come online"),
            (refused, "refused by the kernel, too many programs being in the middle of sending at once"),
            (no_entry, "in too many calls at once: the entries of the oldest were given up"),
            (not_followed, "or more, with processes that could not be followed: the set of them was full"),
            (self.unreadable, "as records that could not be read"),
        ] {
            if number > 0 {
                diagnostics::say(&format!("{number} lost {why}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_program_and_buffer_both_saw_counts_once() {
        let mut lost = Lost::default();
        lost.add(&Losses { full: 5, refused: 1, ..Losses::default() }, 5);
        lost.add(&Losses { full: 0, ..Losses::default() }, 3); // a kernel that hides it from the program
        lost.add(&Losses { full: 4, ..Losses::default() }, 2); // one that hides the last ones from the reader
        assert_eq!(lost.total(), 5 + 1 + 3 + 4);
    }
}
