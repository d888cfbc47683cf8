//! Formats received and lost records: a line on stderr, and with `--summary` an object or lines on stdout.
//!
//! Losses that are not counted are unknown, and never 0. The kernel counts the records that a perf buffer has no room
//! for. Only the program sees that a ring is full, and may count it or not.
//!
//! ```text
//!     {"received": 12, "lost": null,
//!      "maps": [{"map": "rb", "kind": "ring", "received": 12, "lost": null, "why": "…"}]}
//! ```

use serde_json::{Value as Json, json};

use super::{buffers::Source, losses::Losses};

/// The received and lost records of a run.
pub(super) struct Summary<'s> {
    pub(super) received: u64,
    /// Corrupt records that were skipped, all of them in perf buffers.
    pub(super) unreadable: u64,
    /// The numbers of each source, in the order of the sources.
    pub(super) each: Vec<SourceSummary<'s>>,
}

/// The received and lost records of a source.
pub(super) struct SourceSummary<'s> {
    pub(super) source: &'s Source,
    pub(super) received: u64,
    pub(super) lost: Losses,
}

impl Summary<'_> {
    /// Returns the summary on one line.
    pub(super) fn text(&self) -> String {
        text(self.received, self.unreadable, self.each.iter().map(|of| of.lost))
    }

    /// Returns a line for each map, and the line for all of them.
    pub(super) fn lines(&self) -> Vec<String> {
        let each =
            self.each.iter().map(|of| format!("`{}`: {}", of.source.name, text(of.received, 0, [of.lost].into_iter())));
        each.chain([self.text()]).collect()
    }

    /// Returns the number of records that a perf buffer had no room for, as far as they are counted.
    pub(super) fn overflowed(&self) -> u64 {
        let counted = self.each.iter().map(|of| match of.lost {
            Losses::Exactly(lost) | Losses::AtLeast(lost, _) => lost,
            Losses::Unknown => 0,
        });
        counted.sum()
    }

    /// Returns the summary as a JSON object.
    pub(super) fn json(&self) -> String {
        // Without a buffer nothing is counted, but the sum would be 0.
        let lost: Option<u64> = self.each.iter().map(|of| of.lost.exact()).sum();
        let lost = lost.filter(|_| !self.each.is_empty());
        let each: Vec<Json> = self.each.iter().map(SourceSummary::json).collect();
        let lost = lost.map(|lost| lost + self.unreadable);
        json!({ "received": self.received, "lost": lost, "unreadable": self.unreadable, "maps": each }).to_string()
    }
}

impl SourceSummary<'_> {
    fn json(&self) -> Json {
        let (at_least, why) = match self.lost {
            Losses::Exactly(_) => (None, None),
            Losses::AtLeast(lost, why) => (Some(lost), Some(why)),
            Losses::Unknown => (None, Some(Losses::OF_RINGS)),
        };
        json!({
            "map": self.source.name, "kind": if self.source.is_ring() { "ring" } else { "perf" },
            "received": self.received, "lost": self.lost.exact(), "lost_at_least": at_least, "why": why,
        })
    }
}

/// The summary of an object without a buffer that is read.
const NO_BUFFER: &str = "no buffer: the object has no ring and no perf event array that is read";

fn text(received: u64, unreadable: u64, each: impl Iterator<Item = Losses> + Clone) -> String {
    if each.clone().next().is_none() {
        return NO_BUFFER.to_owned();
    }
    let rings = each.clone().any(|lost| lost == Losses::Unknown);
    let mut counted = None;
    let mut uncounted = None;
    for lost in each {
        match lost {
            Losses::Exactly(lost) => *counted.get_or_insert(0) += lost,
            Losses::AtLeast(lost, why) => {
                *counted.get_or_insert(0) += lost;
                uncounted = Some(why);
            }
            Losses::Unknown => {}
        }
    }
    let why = Losses::OF_RINGS;
    match (rings, counted, uncounted) {
        (true, None, _) => format!("received {received}, lost unknown ({why})"),
        (true, Some(lost), None) => {
            format!("received {received}, lost {} in perf buffers, unknown in rings ({why})", lost + unreadable)
        }
        (true, Some(lost), Some(uncounted)) => {
            format!(
                "received {received}, lost at least {} in perf buffers ({uncounted}), unknown in rings ({why})",
                lost + unreadable
            )
        }
        (false, lost, None) => format!("received {received}, lost {}", lost.unwrap_or(0) + unreadable),
        (false, lost, Some(uncounted)) => {
            format!("received {received}, lost at least {} ({uncounted})", lost.unwrap_or(0) + unreadable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncounted_losses_are_unknown() {
        let summary = |each: &[Losses]| text(7, 0, each.iter().copied());
        assert_eq!(summary(&[]), NO_BUFFER);
        assert_eq!(summary(&[Losses::Unknown; 2]), "received 7, lost unknown (a ring buffer counts no losses)");
        assert_eq!(summary(&[Losses::Exactly(1), Losses::Exactly(2)]), "received 7, lost 3");
        assert_eq!(summary(&[Losses::AtLeast(0, "why"), Losses::Exactly(2)]), "received 7, lost at least 2 (why)");
        let both = "received 7, lost 2 in perf buffers, unknown in rings (a ring buffer counts no losses)";
        assert_eq!(summary(&[Losses::Exactly(2), Losses::Unknown]), both);
        assert_eq!(text(7, 1, [Losses::Exactly(2)].into_iter()), "received 7, lost 3");
    }
}
