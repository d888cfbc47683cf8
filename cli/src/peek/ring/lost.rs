//! The lost records of a ring, as instructions in its programs count them.
//!
//! `cutaway run` and other users of the library insert such instructions when they load a program
//! (`Object::count_losses`). The counters are in an array `cutaway_losses`, which is one of the program's maps. So they
//! are found through the programs that use the ring. `loader/src/instrument/losses/counters.rs` has their layout: a u64
//! count, the u32 id of the map, a u32 source line.
//!
//! Any program can have a map of this name. The numbers are shown as what they are: counted by the ring's programs.

use std::collections::BTreeMap;

use cutaway::{Map, MapType, system::ProgramEntry};
use serde::{Deserialize, Serialize};

use crate::error::listed;

/// The name of the map.
const NAME: &str = "cutaway_losses";

/// The size of a counter in bytes.
const COUNTER: usize = 16;

/// The largest value that is read: 65,536 counters.
const MOST: usize = COUNTER << 16;

/// The lost records of a ring: fields of a snapshot's JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// The number of lost records, if all of them are counted.
    #[serde(default)]
    pub(crate) lost: Option<u64>,
    /// The counted losses, if there are any and more may be lost.
    #[serde(default)]
    pub(crate) lost_at_least: Option<u64>,
    /// The reason why `lost` is `None`.
    #[serde(default)]
    pub(crate) lost_why: Option<String>,
    /// The source lines that lost records, most records first.
    #[serde(default)]
    pub(crate) lost_lines: Vec<LostLine>,
}

/// The losses of a source line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LostLine {
    /// The number of the line; the counters do not name its file. `None` if unknown.
    pub(crate) line: Option<u32>,
    pub(crate) lost: u64,
}

impl Lost {
    /// Returns unknown losses, for a reason.
    pub(crate) fn unknown(why: &str) -> Self {
        Self { lost_why: Some(why.to_owned()), ..Self::default() }
    }

    /// Returns the counted losses.
    pub(crate) fn counted(&self) -> Option<u64> {
        self.lost.or(self.lost_at_least)
    }

    /// Formats the number: `745`, `≥ 745`; a dash if it is unknown.
    pub(crate) fn short(&self) -> String {
        match (self.lost, self.lost_at_least) {
            (Some(lost), _) => lost.to_string(),
            (None, Some(lost)) => format!("≥ {lost}"),
            (None, None) => "-".to_owned(),
        }
    }

    /// Formats the number, and how it is known. `rate` follows the number.
    pub(crate) fn text(&self, rate: &str) -> String {
        let why = self.lost_why.as_deref().unwrap_or("not counted");
        match (self.lost, self.lost_at_least) {
            (Some(lost), _) => format!("{lost}{rate}, counted by its programs (map `{NAME}`)"),
            (None, Some(lost)) => format!("at least {lost}{rate}: {why}"),
            (None, None) => format!("unknown: {why}"),
        }
    }

    /// Formats the losses of each source line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |of: &LostLine| match of.line {
            None => format!("{} at an unknown line", of.lost),
            Some(line) => format!("{} at line {line}", of.lost),
        };
        self.lost_lines.iter().map(line).collect()
    }
}

/// The counters of the programs that use a ring.
#[derive(Debug)]
pub(crate) struct Counters {
    /// The id of the ring.
    ring: u32,
    maps: Vec<Map>,
    /// The reason why not all losses are counted.
    uncounted: Option<String>,
}

impl Counters {
    /// Finds the counters among the maps of these programs, all of which use the ring; `None` if programs cannot be
    /// inspected.
    pub(crate) fn find(ring: u32, programs: Option<&[ProgramEntry]>) -> Self {
        let mut maps: BTreeMap<u32, Map> = BTreeMap::new();
        let mut without = Vec::new();
        for program in programs.unwrap_or_default() {
            let mut counts = false;
            for id in program.maps.iter().filter(|id| **id != ring) {
                counts |= maps.contains_key(id);
                // A map that cannot be opened counts nothing that could be read.
                if let Ok(map) = Map::from_id(*id)
                    && is_counters(&map)
                {
                    maps.insert(*id, map);
                    counts = true;
                }
            }
            if !counts {
                without.push(format!("`{}`", program.name));
            }
        }
        let uncounted = match programs {
            None => Some("programs cannot be inspected (CAP_SYS_ADMIN)".to_owned()),
            Some([]) => Some("no program uses it".to_owned()),
            Some(_) if maps.is_empty() => Some(format!("its programs have no map `{NAME}`")),
            Some(_) => match without.as_slice() {
                [] => None,
                [one] => Some(format!("the program {one} does not count")),
                _ => Some(format!("the programs {} do not count", listed(&without))),
            },
        };
        Self { ring, maps: maps.into_values().collect(), uncounted }
    }

    /// Returns no counters, for a reason.
    pub(crate) fn none(why: &str) -> Self {
        Self { ring: 0, maps: Vec::new(), uncounted: Some(why.to_owned()) }
    }

    /// Reads the counters.
    pub(crate) fn read(&self) -> Lost {
        let mut sums = Sums::default();
        let mut uncounted = self.uncounted.clone();
        for map in &self.maps {
            match map.lookup(&0_u32.to_ne_bytes()) {
                Ok(Some(value)) => sums.add(&value, self.ring),
                Ok(None) => uncounted = Some(format!("the map {} has no value", map.id())),
                Err(error) => uncounted = Some(error.to_string()),
            }
        }
        if self.maps.is_empty() {
            return Lost::unknown(&uncounted.unwrap_or_default());
        }
        if sums.of_unknown_maps > 0 {
            // As `MapLosses::unknown` says it.
            uncounted.get_or_insert_with(|| format!("{} lost by calls whose map is unknown", sums.of_unknown_maps));
        }
        sums.lost(uncounted)
    }
}

/// Returns whether a map has the form of counters.
fn is_counters(map: &Map) -> bool {
    map.name() == NAME
        && map.map_type() == MapType::ARRAY
        && map.key_size() == 4
        && map.max_entries() == 1
        && map.value_size().is_multiple_of(COUNTER)
        && (COUNTER..=MOST).contains(&map.value_size())
}

/// The sums of the counters of a ring.
#[derive(Debug, Default)]
struct Sums {
    by_line: BTreeMap<u32, u64>,
    of_unknown_maps: u64,
}

impl Sums {
    /// Adds the counters in a map's value. Another program may have written any numbers.
    fn add(&mut self, value: &[u8], ring: u32) {
        for counter in value.chunks_exact(COUNTER) {
            let (Some((count, rest)), Some(line)) = (counter.split_first_chunk(), counter.last_chunk()) else {
                continue;
            };
            let (count, line) = (u64::from_ne_bytes(*count), u32::from_ne_bytes(*line));
            let Some(map) = rest.first_chunk().map(|map| u32::from_ne_bytes(*map)) else { continue };
            if map == ring {
                let sum = self.by_line.entry(line).or_default();
                *sum = sum.saturating_add(count);
            } else if map == 0 {
                self.of_unknown_maps = self.of_unknown_maps.saturating_add(count);
            }
        }
    }

    fn lost(self, uncounted: Option<String>) -> Lost {
        let all = self.by_line.values().fold(0_u64, |all, lost| all.saturating_add(*lost));
        let lines = self.by_line.into_iter().filter(|(_, lost)| *lost > 0);
        let mut lines: Vec<_> =
            lines.map(|(line, lost)| LostLine { line: Some(line).filter(|line| *line > 0), lost }).collect();
        lines.sort_by_key(|of| std::cmp::Reverse(of.lost));
        let (lost, lost_at_least) =
            if uncounted.is_none() { (Some(all), None) } else { (None, Some(all).filter(|all| *all > 0)) };
        Lost { lost, lost_at_least, lost_why: uncounted, lost_lines: lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(count: u64, map: u32, line: u32) -> Vec<u8> {
        [&count.to_ne_bytes()[..], &map.to_ne_bytes(), &line.to_ne_bytes()].concat()
    }

    #[test]
    fn counters_of_the_ring_are_summed_by_line() {
        let mut sums = Sums::default();
        let value = [counter(3, 7, 42), counter(9, 8, 42), counter(0, 7, 50), counter(2, 0, 60), counter(5, 7, 0)];
        sums.add(&value.concat(), 7);
        sums.add(&counter(4, 7, 42), 7);
        assert_eq!(sums.of_unknown_maps, 2);
        let lost = sums.lost(None);
        assert_eq!((lost.lost, lost.lines().join(", ").as_str()), (Some(12), "7 at line 42, 5 at an unknown line"));
    }

    #[test]
    fn any_value_is_summed() {
        let mut sums = Sums::default();
        sums.add(&[counter(u64::MAX, 7, 1), counter(u64::MAX, 7, 1), counter(u64::MAX, 7, 2)].concat(), 7);
        sums.add(&[0xff; COUNTER + 15], 7);
        sums.add(&[], 7);
        let lost = sums.lost(Some("why".to_owned()));
        assert_eq!(lost.text(""), format!("at least {}: why", u64::MAX));
        assert_eq!(lost.short(), format!("≥ {}", u64::MAX));
    }

    #[test]
    fn nothing_counted_is_unknown_if_more_may_be_lost() {
        let lost = Sums::default().lost(Some("why".to_owned()));
        assert_eq!((lost.text("").as_str(), lost.short().as_str(), lost.counted()), ("unknown: why", "-", None));
    }
}
