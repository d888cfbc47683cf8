//! Which type a record is: told by the user, or found.
//!
//! Nothing in a record or a map says it. What there is, is put together:
//!
//! ```text
//!     --type MAP=TYPE                    settles it
//!     the program reserves 24 bytes      (submit_sites.rs); else the record's own length
//!       └─ types of 24 bytes             (type_candidates.rs) one that the author names, else the only one: a guess
//!            └─ several                  they are told, and the record is shown as hex
//! ```

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use cutaway::btf::Btf;

use super::{
    submit_sites::SubmitSite,
    type_candidates::Candidates,
    type_choice::{Basis, Choice, Shape},
};
use crate::{decode, diagnostics, error::CliError};

/// What is known of one map's records.
#[derive(Debug)]
pub(super) struct Records<'b> {
    map: String,
    /// Records are padded, as in a perf buffer.
    padded: bool,
    told: Option<Shape<'b>>,
    /// By size, what programs send; empty if they work it out.
    sent: BTreeMap<u32, Choice<'b>>,
    candidates: &'b Candidates<'b>,
    /// By length, what was found when such a record came.
    met: RefCell<BTreeMap<usize, Choice<'b>>>,
    /// What was said of such records, without their length.
    said: RefCell<BTreeSet<String>>,
}

/// How long a record of this size is in a perf buffer: `raw_size` counts the padding (`perf_prepare_sample`).
fn padded(size: usize) -> usize {
    (size + 4).next_multiple_of(8) - 4
}

impl<'b> Records<'b> {
    pub(super) fn new(
        map: &str,
        is_padded: bool,
        told: Option<Shape<'b>>,
        sent: &[SubmitSite],
        candidates: &'b Candidates<'b>,
    ) -> Self {
        let mine: Vec<&SubmitSite> = sent.iter().filter(|sent| sent.map == map).collect();
        let sizes: BTreeSet<u32> = mine.iter().filter_map(|sent| sent.size).collect();
        let choice = |size: u32| {
            let of_size: Vec<&SubmitSite> = mine.iter().copied().filter(|sent| sent.size == Some(size)).collect();
            (size, candidates.choose(size as usize, &of_size))
        };
        Self {
            map: map.to_owned(),
            padded: is_padded,
            told,
            sent: sizes.into_iter().map(choice).collect(),
            candidates,
            met: RefCell::default(),
            said: RefCell::default(),
        }
    }

    /// The name of the map that they come from.
    pub(super) fn map(&self) -> &str {
        &self.map
    }

    /// Whether they are padded, as in a perf buffer: then they tell their CPU, too.
    pub(super) fn is_padded(&self) -> bool {
        self.padded
    }

    /// The one type of all records, if that is known before any has come.
    pub(super) fn only(&self) -> Option<(Shape<'b>, Basis)> {
        match (self.told, self.sent.len(), self.sent.values().next()) {
            (Some(shape), ..) => Some((shape, Basis::Told)),
            (None, 1, Some(Choice::Known(shape, basis))) => Some((*shape, *basis)),
            _ => None,
        }
    }

    /// What a record of this length is, and how many of its bytes are no padding.
    pub(super) fn of(&self, length: usize) -> (Choice<'b>, usize) {
        if let Some(shape) = self.told {
            let padding = self.padded && !shape.flexible && (1..8).contains(&length.saturating_sub(shape.size));
            return (Choice::Known(shape, Basis::Told), if padding { shape.size } else { length });
        }
        let mut fits = self.sent.iter().filter(|(size, _)| match **size as usize {
            size if self.padded => padded(size) == length,
            size => size == length,
        });
        if let (Some((size, choice)), None) = (fits.next(), fits.next()) {
            return (choice.clone(), *size as usize);
        }
        let choice = self.met.borrow_mut().entry(length).or_insert_with(|| self.met(length)).clone();
        let size = match &choice {
            Choice::Known(shape, _) if self.padded && !shape.flexible => shape.size,
            _ => length,
        };
        (choice, size)
    }

    /// What a record of a length that no program was seen to send is. The same is said once, whatever the length.
    fn met(&self, length: usize) -> Choice<'b> {
        let sizes = if self.padded { length.saturating_sub(7)..=length } else { length..=length };
        let sizes: Vec<_> = sizes.filter(|size| !self.padded || padded(*size) == length).collect();
        let choice = self.candidates.fitting(&sizes, length);
        if self.said.borrow_mut().insert(self.describe("", &choice)) {
            let bytes = match &choice {
                Choice::Known(shape, _) if shape.flexible => format!("{} or more", shape.size),
                _ => length.to_string(),
            };
            diagnostics::say(&format!("`{}`: {}", self.map, self.describe(&bytes, &choice)));
        }
        choice
    }

    /// Sentences on what its records are, as far as that is known: one for each type.
    pub(super) fn sentences(&self) -> Vec<String> {
        /// Of so many different types are records told.
        const MOST: usize = 20;
        if let Some(shape) = self.told {
            return vec![format!("records are {}, as told", shape.name())];
        }
        if self.sent.is_empty() {
            return vec!["how long its records are is not to be seen in the programs".to_owned()];
        }
        let mut groups: Vec<(String, Vec<String>, &Choice<'b>)> = Vec::new();
        for (size, choice) in &self.sent {
            let key = self.describe("", choice);
            match groups.iter_mut().find(|(known, ..)| *known == key) {
                Some((_, sizes, _)) => sizes.push(size.to_string()),
                None => groups.push((key, vec![size.to_string()], choice)),
            }
        }
        let each = groups.iter().take(MOST).map(|(_, sizes, choice)| self.describe(&some(sizes, ", "), choice));
        let more = groups.len().saturating_sub(MOST);
        each.chain((more > 0).then(|| format!("records are of {more} more types"))).collect()
    }

    /// A sentence on records of so many bytes.
    fn describe(&self, bytes: &str, choice: &Choice<'b>) -> String {
        let map = &self.map;
        match choice {
            Choice::Known(shape, Basis::Guess) => format!(
                "records of {bytes} bytes are {}, a guess by their size: --type '{map}=TYPE' settles it",
                shape.name()
            ),
            Choice::Known(shape, _) => format!("records of {bytes} bytes are {}", shape.name()),
            Choice::Several(names) => format!(
                "records of {bytes} bytes may be {}, and are shown as hex: say which with --type '{map}={}'",
                some(names, " or "),
                names.first().map_or("TYPE", String::as_str)
            ),
            Choice::Unknown => format!(
                "records of {bytes} bytes are of no type that the object describes, and are shown as hex: --type '{map}=TYPE' reads them as what you say"
            ),
        }
    }
}

/// At most eight of these, and how many more there are.
pub(super) fn some(names: &[String], between: &str) -> String {
    const SHOWN: usize = 8;
    let shown = names.get(..SHOWN).unwrap_or(names).join(between);
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}{between}{more} more"),
    }
}

/// The types that the user tells, as `[MAP=]TYPE`, for the maps of these names.
pub(super) fn told<'b>(
    options: &[String],
    maps: &[String],
    own: Option<&'b Btf<'b>>,
    kernel: Option<&'b Btf<'b>>,
) -> Result<BTreeMap<String, Shape<'b>>, CliError> {
    let mut told = BTreeMap::new();
    for option in options {
        let (map, name) = option.split_once('=').map_or((None, option.as_str()), |(map, name)| (Some(map), name));
        if let Some(map) = map.filter(|map| !maps.iter().any(|known| known == map)) {
            let known: Vec<_> = maps.iter().map(|map| format!("`{map}`")).collect();
            return Err(CliError::new(format!(
                "the object has no ring and no perf event array `{map}`; it has {}",
                crate::error::listed(&known)
            )));
        }
        let mut shapes =
            [own, kernel].into_iter().flatten().filter_map(|btf| Shape::new(btf, decode::find(btf, name)?));
        let shape = shapes.next().ok_or_else(|| {
            let known = own.map_or_else(|| "; the object describes no types at all".to_owned(), decode::structures);
            CliError::new(format!("neither the object nor the kernel has a type `{name}`{known}"))
        })?;
        match map {
            Some(map) => drop(told.insert(map.to_owned(), shape)),
            None => {
                for map in maps {
                    told.entry(map.clone()).or_insert(shape);
                }
            }
        }
    }
    Ok(told)
}

/// Whether one of the types that are told is not the object's own.
pub(super) fn asks_the_kernel(options: &[String], own: Option<&Btf<'_>>) -> bool {
    let name = |option: &String| option.split_once('=').map_or(option.clone(), |(_, name)| name.to_owned());
    options.iter().map(name).any(|name| own.is_none_or(|btf| decode::find(btf, &name).is_none()))
}
