//! Counts lost events, each once.
//!
//! The program counts the events that it could not send, by CPU and reason. A perf buffer also counts the records for
//! which it had no room. These are the program's `full`, counted on the other side, so the larger of the two is used: a
//! kernel before 5.0 hides them from the program, and one before 6.0 from the reader.

use cutaway::Loaded;
use cutaway_programs::getaddrinfo::{Losses, names};

use super::source::Source;
use crate::{diagnostics, error::CliError};

/// The losses of all CPUs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    losses: Losses,
    /// Records that arrived but could not be parsed as events.
    unreadable: u64,
}

impl Lost {
    /// Reads the counters, after all programs are detached.
    ///
    /// If probes are attached for one process (`one_process`), a return without an entry is not counted, because it is
    /// another process's. Before Linux 6.12 a return probe for one process also runs in processes that another tracer
    /// probes.
    pub(crate) fn count(
        loaded: &Loaded,
        source: &Source,
        unreadable: u64,
        one_process: bool,
    ) -> Result<Self, CliError> {
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
        if one_process {
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

    /// Prints the number of losses for each reason that occurred, and what to do.
    pub(crate) fn explain(&self) {
        let Losses { full, no_buffer, refused, no_entry, not_followed } = self.losses;
        for (count, why) in [
            (full, "for want of room in the buffer: make it larger with --buffer"),
            (no_buffer, "on a CPU that had just come online, before its buffer was opened"),
            (refused, "because the kernel refused them: too many programs were sending at once"),
            (no_entry, "because too many calls ran at once: the entries of the oldest were dropped"),
            (not_followed, "or more, because processes could not be followed: the set of them was full"),
            (self.unreadable, "because records could not be parsed"),
        ] {
            if count > 0 {
                diagnostics::say(&format!("{count} lost {why}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_that_program_and_buffer_count_is_counted_once() {
        let mut lost = Lost::default();
        lost.add(&Losses { full: 5, refused: 1, ..Losses::default() }, 5);
        lost.add(&Losses { full: 0, ..Losses::default() }, 3); // a kernel that hides the loss from the program
        lost.add(&Losses { full: 4, ..Losses::default() }, 2); // a kernel that hides the last losses from the reader
        assert_eq!(lost.total(), 5 + 1 + 3 + 4);
    }
}
