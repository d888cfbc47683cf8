//! Formats received and lost records: a line on stderr, and with `--summary` an object or lines on stdout.
//!
//! With `--filter` or `--only-command`, the object has also the key `printed`: the number of printed records.
//!
//! A number that is not exact is never shown as exact, nor as 0: it is a lower bound or unknown, with the reason.
//!
//! ```text
//!     {"received": 12, "lost": 3, "lost_at_least": null, "lost_why": null, "unreadable": 0, "unknown_map_sites": [],
//!      "maps": [{"map": "rb", "kind": "ring", "received": 12, "lost": 3, "lost_at_least": null, "lost_why": null,
//!                "sites": [{"function": "sends", "helper": "bpf_ringbuf_reserve", "file": "program.c", "line": 42,
//!                           "text": "…", "lost": 3, "lost_why": null}]}]}
//! ```

use std::collections::BTreeMap;

use cutaway::LossSite;
use serde_json::{Value as Json, json};

use super::{
    buffers::Source,
    counted::{LossesOfSource, sends_to_ring},
    losses::Losses,
};
use crate::{error::CliError, terminal};

/// The received and lost records of a run.
pub(super) struct Summary<'s> {
    pub(super) received: u64,
    /// The printed records; `None` if all are printed.
    pub(super) printed: Option<u64>,
    /// Corrupt records that were skipped, all of them in perf buffers.
    pub(super) unreadable: u64,
    /// The numbers of each source, in the order of the sources.
    pub(super) each: Vec<SourceSummary<'s>>,
    /// The calls that send to an unknown map.
    pub(super) of_unknown_maps: Vec<LossSite>,
    /// The losses of all sources and of these calls.
    pub(super) total: Losses,
}

/// The received and lost records of a source.
pub(super) struct SourceSummary<'s> {
    pub(super) source: &'s Source,
    pub(super) received: u64,
    pub(super) lost: LossesOfSource,
}

impl Summary<'_> {
    /// Returns the summary on one line.
    pub(super) fn text(&self) -> String {
        if self.each.is_empty() { NO_BUFFER.to_owned() } else { text(self.received, &self.lost()) }
    }

    /// Returns whether all records were received and read.
    pub(super) fn is_lossless(&self) -> bool {
        !self.each.is_empty() && self.lost() == Losses::Exactly(0)
    }

    /// Returns whether there are buffers, and no record was sent to them.
    pub(super) fn has_received_nothing(&self) -> bool {
        self.is_lossless() && self.received == 0
    }

    /// Returns the error of `--strict` for records that were skipped.
    pub(super) fn check_strictly(&self) -> Result<(), CliError> {
        match self.unreadable {
            0 => Ok(()),
            count => Err(CliError::new(format!("--strict: {count} corrupt records were skipped, see above"))),
        }
    }

    /// Returns the number of lost records, if it is exact.
    pub(super) fn lost_records(&self) -> Option<u64> {
        if self.each.is_empty() { None } else { self.lost().exact() }
    }

    /// Returns the lost records and those that cannot be read.
    fn lost(&self) -> Losses {
        Losses::sum([&self.total, &Losses::Exactly(self.unreadable)])
    }

    /// Returns a line for each map, followed by its lines of source that lost records, and the line for all maps.
    pub(super) fn lines(&self) -> Vec<String> {
        let of_map = |of: &SourceSummary<'_>| {
            let line = format!("`{}`: {}", of.source.name, text(of.received, &of.lost.lost));
            [line].into_iter().chain(site_lines(&of.lost.sites))
        };
        let mut lines: Vec<_> = self.each.iter().flat_map(of_map).collect();
        lines.extend(site_lines(&self.of_unknown_maps));
        lines.push(self.text());
        lines
    }

    /// Returns the lines of source that lost records, and the advice to enlarge a buffer.
    pub(super) fn reasons(&self) -> Vec<String> {
        let sites = self.each.iter().flat_map(|of| &of.lost.sites).chain(&self.of_unknown_maps);
        let mut lines = site_lines(sites);
        let overflowed = self.each.iter().map(|of| of.lost.overflowed).fold(0, u64::saturating_add);
        if overflowed > 0 {
            lines.push(format!("{overflowed} lost for want of room in a perf buffer: make it larger with --buffer"));
        }
        let rings = self.each.iter().filter(|of| of.source.is_ring());
        let of_maps = rings.filter_map(|of| of.lost.lost.counted());
        let of_unknown_maps = self.of_unknown_maps.iter().filter(|site| sends_to_ring(site));
        let of_unknown_maps = of_unknown_maps.filter_map(|site| site.lost.as_ref().ok().copied());
        let refused = of_maps.chain(of_unknown_maps).fold(0, u64::saturating_add);
        if refused > 0 {
            lines.push(format!("{refused} refused by a ring, usually for want of room: make it larger with --buffer"));
        }
        lines
    }

    /// Returns the summary as a JSON object.
    pub(super) fn json(&self) -> Result<String, CliError> {
        // Without a buffer nothing is counted, but the sum would be 0.
        let lost = if self.each.is_empty() { Losses::Unknown(NO_BUFFER.to_owned()) } else { self.lost() };
        let each: Vec<Json> = self.each.iter().map(SourceSummary::json).collect();
        let of_unknown_maps: Vec<Json> = self.of_unknown_maps.iter().map(site_json).collect();
        let mut object = json!({
            "received": self.received, "lost": lost.exact(), "lost_at_least": at_least(&lost), "lost_why": lost.why(),
            "unreadable": self.unreadable, "maps": each, "unknown_map_sites": of_unknown_maps,
        });
        if let (Some(printed), Some(keys)) = (self.printed, object.as_object_mut()) {
            keys.insert("printed".to_owned(), printed.into());
        }
        terminal::json(&object)
    }
}

impl SourceSummary<'_> {
    fn json(&self) -> Json {
        let lost = &self.lost.lost;
        let sites: Vec<Json> = self.lost.sites.iter().map(site_json).collect();
        json!({
            "map": self.source.name, "kind": if self.source.is_ring() { "ring" } else { "perf" },
            "received": self.received, "lost": lost.exact(), "lost_at_least": at_least(lost), "lost_why": lost.why(),
            "sites": sites,
        })
    }
}

/// Returns the counted losses if more may be lost.
fn at_least(lost: &Losses) -> Option<u64> {
    lost.counted().filter(|_| lost.exact().is_none())
}

fn site_json(site: &LossSite) -> Json {
    let line = site.line.as_ref();
    json!({
        "function": site.function, "helper": site.helper.name(), "file": line.map(|line| &*line.file),
        "line": line.map(|line| line.line), "text": line.map(|line| &*line.text), "lost": site.lost.as_ref().ok(),
        "lost_why": site.lost.as_ref().err(),
    })
}

/// Returns a line for each line of source that lost records, in the order of the calls. Several calls on one line of
/// source, as in an unrolled loop, are one.
fn site_lines<'s>(sites: impl IntoIterator<Item = &'s LossSite>) -> Vec<String> {
    let mut lost_at: Vec<(String, u64)> = Vec::new();
    let mut known = BTreeMap::new();
    for site in sites {
        let Ok(lost @ 1..) = site.lost else { continue };
        let place = match &site.line {
            Some(line) => format!("{}:{}: {}", line.file, line.line, site.function),
            None => site.function.clone(),
        };
        let place = if site.map.is_some() { place } else { format!("{place}, to an unknown map") };
        let index = *known.entry(place.clone()).or_insert(lost_at.len());
        match lost_at.get_mut(index) {
            Some((_, all)) => *all = all.saturating_add(lost),
            None => lost_at.push((place, lost)),
        }
    }
    lost_at.into_iter().map(|(place, lost)| terminal::one_line(&format!("{place}: {lost} lost"))).collect()
}

/// The summary of an object without a buffer that is read.
const NO_BUFFER: &str = "no buffer: the object has no ring and no perf event array that is read";

fn text(received: u64, lost: &Losses) -> String {
    match lost {
        Losses::Exactly(lost) => format!("received {received}, lost {lost}"),
        Losses::AtLeast(lost, why) => format!("received {received}, lost at least {lost} ({why})"),
        Losses::Unknown(why) => format!("received {received}, lost unknown ({why})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inexact_losses_are_a_lower_bound_or_unknown() {
        let at_least = |lost, why: &str| Losses::AtLeast(lost, why.to_owned());
        let unknown = |why: &str| Losses::Unknown(why.to_owned());
        let summary = |each: &[Losses]| text(7, &Losses::sum(each));
        assert_eq!(summary(&[unknown("why"), unknown("why")]), "received 7, lost unknown (why)");
        assert_eq!(summary(&[Losses::Exactly(1), Losses::Exactly(2)]), "received 7, lost 3");
        assert_eq!(summary(&[Losses::Exactly(0), unknown("why")]), "received 7, lost unknown (why)");
        assert_eq!(summary(&[at_least(1, "why"), Losses::Exactly(2)]), "received 7, lost at least 3 (why)");
        let both = "received 7, lost at least 3 (one; two)";
        assert_eq!(summary(&[Losses::Exactly(2), unknown("one"), at_least(1, "two")]), both);
        let most = format!("received 7, lost {}", u64::MAX);
        assert_eq!(summary(&[Losses::Exactly(u64::MAX), Losses::Exactly(1)]), most);
    }
}
