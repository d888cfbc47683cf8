//! What has come and what was lost: a line on stderr, and with `--summary` the same on stdout, as an object or as
//! lines.
//!
//! A number that was not counted is never shown as 0. The kernel counts records that a perf buffer has no room for; a
//! full ring is seen by the program alone, which may count it or not.
//!
//! ```text
//!     {"received": 12, "lost": null, "maps": [{"map": "rb", "kind": "ring", "received": 12, "lost": null, "why": "…"}]}
//! ```

use serde_json::{Value as Json, json};

use super::{buffers::Source, losses::Losses};

/// The whole of it.
pub(super) struct Summary<'s> {
    pub(super) received: u64,
    /// Records that came and could not be read, all of them from perf buffers.
    pub(super) unreadable: u64,
    /// In the order of the sources.
    pub(super) each: Vec<Of<'s>>,
}

/// One source's part.
pub(super) struct Of<'s> {
    pub(super) source: &'s Source,
    pub(super) received: u64,
    pub(super) lost: Losses,
}

impl Summary<'_> {
    /// On one line.
    pub(super) fn text(&self) -> String {
        text(self.received, self.unreadable, self.each.iter().map(|of| of.lost))
    }

    /// Returns a line for each map, and the line for all of them.
    pub(super) fn lines(&self) -> Vec<String> {
        let each =
            self.each.iter().map(|of| format!("`{}`: {}", of.source.name, text(of.received, 0, [of.lost].into_iter())));
        each.chain([self.text()]).collect()
    }

    /// How many found no room in a perf buffer, as far as that is counted.
    pub(super) fn without_room(&self) -> u64 {
        let counted = self.each.iter().map(|of| match of.lost {
            Losses::Exactly(lost) | Losses::AtLeast(lost, _) => lost,
            Losses::Unknown => 0,
        });
        counted.sum()
    }

    /// As an object.
    pub(super) fn json(&self) -> String {
        // Without a buffer there is nothing that could count, and the sum of nothing would be 0.
        let lost: Option<u64> = self.each.iter().map(|of| of.lost.exact()).sum();
        let lost = lost.filter(|_| !self.each.is_empty());
        let each: Vec<Json> = self.each.iter().map(Of::json).collect();
        let lost = lost.map(|lost| lost + self.unreadable);
        json!({ "received": self.received, "lost": lost, "unreadable": self.unreadable, "maps": each }).to_string()
    }
}

impl Of<'_> {
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

/// What is said of an object that sends no records.
const NO_BUFFER: &str = "no buffer: the object has no ring and no perf event array that is read";

fn text(received: u64, unreadable: u64, each: impl Iterator<Item = Losses> + Clone) -> String {
    if each.clone().next().is_none() {
        return NO_BUFFER.to_owned();
    }
    let rings = each.clone().any(|lost| lost == Losses::Unknown);
    let mut counted = None;
    let mut doubt = None;
    for lost in each {
        match lost {
            Losses::Exactly(lost) => *counted.get_or_insert(0) += lost,
            Losses::AtLeast(lost, why) => {
                *counted.get_or_insert(0) += lost;
                doubt = Some(why);
            }
            Losses::Unknown => {}
        }
    }
    let why = Losses::OF_RINGS;
    match (rings, counted, doubt) {
        (true, None, _) => format!("received {received}, lost unknown ({why})"),
        (true, Some(lost), None) => {
            format!("received {received}, lost {} of perf buffers, unknown of rings ({why})", lost + unreadable)
        }
        (true, Some(lost), Some(doubt)) => {
            format!(
                "received {received}, lost at least {} of perf buffers ({doubt}), unknown of rings ({why})",
                lost + unreadable
            )
        }
        (false, lost, None) => format!("received {received}, lost {}", lost.unwrap_or(0) + unreadable),
        (false, lost, Some(doubt)) => {
            format!("received {received}, lost at least {} ({doubt})", lost.unwrap_or(0) + unreadable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncounted_losses_are_unknown() {
        let told = |each: &[Losses]| text(7, 0, each.iter().copied());
        assert_eq!(told(&[]), NO_BUFFER);
        assert_eq!(told(&[Losses::Unknown; 2]), "received 7, lost unknown (a ring buffer counts no losses)");
        assert_eq!(told(&[Losses::Exactly(1), Losses::Exactly(2)]), "received 7, lost 3");
        assert_eq!(told(&[Losses::AtLeast(0, "why"), Losses::Exactly(2)]), "received 7, lost at least 2 (why)");
        let both = "received 7, lost 2 of perf buffers, unknown of rings (a ring buffer counts no losses)";
        assert_eq!(told(&[Losses::Exactly(2), Losses::Unknown]), both);
        assert_eq!(text(7, 1, [Losses::Exactly(2)].into_iter()), "received 7, lost 3");
    }
}
