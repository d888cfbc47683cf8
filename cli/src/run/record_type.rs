//! The type of a record: given by `--type`, or found.
//!
//! Neither a record nor its map has a type, so it is inferred:
//!
//! ```text
//!     --type MAP=TYPE                 the type
//!     the program reserves 24 bytes   (submit_sites.rs); else the record's own length
//!       └─ types of 24 bytes          (type_candidates.rs) the one that the author names, else the only one: a guess
//!            └─ several               their names are printed, and the record as hex
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

/// The types of the records of one map, as far as they are known.
#[derive(Debug)]
pub(crate) struct Records<'b> {
    map: String,
    /// Records are padded, as in a perf buffer.
    padded: bool,
    given: Option<Shape<'b>>,
    /// The types of the sizes that programs submit; empty if no size is a constant.
    submitted: BTreeMap<u32, Choice<'b>>,
    /// Whether each submitting call has a constant size.
    all_sizes: bool,
    candidates: &'b Candidates<'b>,
    /// The types of other lengths, found when a record of that length arrived.
    received: RefCell<BTreeMap<usize, Choice<'b>>>,
    /// The sentences that were printed for such records, without their length.
    printed: RefCell<BTreeSet<String>>,
    /// Nothing is printed when a type is inferred.
    silent: bool,
}

/// Returns the length in a perf buffer of a record of this size: `raw_size` counts the padding (`perf_prepare_sample`).
fn padded(size: usize) -> usize {
    (size + 4).next_multiple_of(8) - 4
}

impl<'b> Records<'b> {
    pub(crate) fn new(
        map: &str,
        is_padded: bool,
        given: Option<Shape<'b>>,
        sites: &[SubmitSite],
        candidates: &'b Candidates<'b>,
    ) -> Self {
        let mine: Vec<&SubmitSite> = sites.iter().filter(|site| site.map == map).collect();
        let sizes: BTreeSet<u32> = mine.iter().filter_map(|site| site.size).collect();
        let choice = |size: u32| {
            let of_size: Vec<&SubmitSite> = mine.iter().copied().filter(|site| site.size == Some(size)).collect();
            (size, candidates.choose(size as usize, &of_size))
        };
        Self {
            map: map.to_owned(),
            padded: is_padded,
            given,
            submitted: sizes.into_iter().map(choice).collect(),
            all_sizes: mine.iter().all(|site| site.size.is_some()),
            candidates,
            received: RefCell::default(),
            printed: RefCell::default(),
            silent: false,
        }
    }

    /// Prints nothing when a type is inferred: the caller shows it with each record.
    pub(crate) fn silent(self) -> Self {
        Self { silent: true, ..self }
    }

    /// Returns the name of the map that they come from.
    pub(super) fn map(&self) -> &str {
        &self.map
    }

    /// Returns whether they are padded, as in a perf buffer. Such records also have a CPU.
    pub(super) fn is_padded(&self) -> bool {
        self.padded
    }

    /// Returns the types that are known before any record arrives.
    pub(super) fn known_shapes(&self) -> impl Iterator<Item = Shape<'b>> {
        let submitted = self.submitted.values().filter(|_| self.given.is_none());
        let submitted = submitted.filter_map(|choice| match choice {
            Choice::Known(shape, _) => Some(*shape),
            _ => None,
        });
        self.given.into_iter().chain(submitted)
    }

    /// Returns whether every record has one of the known types.
    pub(super) fn are_known(&self) -> bool {
        let is_known = |choice: &Choice<'b>| matches!(choice, Choice::Known(..));
        self.given.is_some() || !self.submitted.is_empty() && self.all_sizes && self.submitted.values().all(is_known)
    }

    /// Returns the type of all records, if there is only one and it is known before any record arrives.
    pub(super) fn only(&self) -> Option<(Shape<'b>, Basis)> {
        match (self.given, self.submitted.len(), self.submitted.values().next()) {
            (Some(shape), ..) => Some((shape, Basis::Given)),
            (None, 1, Some(Choice::Known(shape, basis))) => Some((*shape, *basis)),
            _ => None,
        }
    }

    /// Returns the type of a record of this length, and its size without padding.
    pub(crate) fn of(&self, length: usize) -> (Choice<'b>, usize) {
        if let Some(shape) = self.given {
            let padding = self.padded && !shape.flexible && (1..8).contains(&length.saturating_sub(shape.size));
            return (Choice::Known(shape, Basis::Given), if padding { shape.size } else { length });
        }
        let mut fits = self.submitted.iter().filter(|(size, _)| match **size as usize {
            size if self.padded => padded(size) == length,
            size => size == length,
        });
        if let (Some((size, choice)), None) = (fits.next(), fits.next()) {
            return (choice.clone(), *size as usize);
        }
        let choice = self.received.borrow_mut().entry(length).or_insert_with(|| self.infer(length)).clone();
        let size = match &choice {
            Choice::Known(shape, _) if self.padded && !shape.flexible => shape.size,
            _ => length,
        };
        (choice, size)
    }

    /// Infers the type of records of a length that is no program's constant size, and prints it. Prints each type once,
    /// also if it is inferred for several lengths.
    fn infer(&self, length: usize) -> Choice<'b> {
        let sizes = if self.padded { length.saturating_sub(7)..=length } else { length..=length };
        let sizes: Vec<_> = sizes.filter(|size| !self.padded || padded(*size) == length).collect();
        let choice = self.candidates.fitting(&sizes, length);
        if !self.silent && self.printed.borrow_mut().insert(self.describe("", &choice)) {
            let bytes = match &choice {
                Choice::Known(shape, _) if shape.flexible => format!("{} or more", shape.size),
                _ => length.to_string(),
            };
            diagnostics::say(&format!("`{}`: {}", self.map, self.describe(&bytes, &choice)));
        }
        choice
    }

    /// Returns a sentence for each known type of the records.
    pub(super) fn sentences(&self) -> Vec<String> {
        /// Maximum number of types that are printed.
        const MOST: usize = 20;
        if let Some(shape) = self.given {
            return vec![format!("records are {}, from --type", shape.name())];
        }
        if self.submitted.is_empty() {
            return vec!["the programs do not show the size of its records".to_owned()];
        }
        let mut groups: Vec<(String, Vec<String>, &Choice<'b>)> = Vec::new();
        for (size, choice) in &self.submitted {
            let key = self.describe("", choice);
            match groups.iter_mut().find(|(known, ..)| *known == key) {
                Some((_, sizes, _)) => sizes.push(size.to_string()),
                None => groups.push((key, vec![size.to_string()], choice)),
            }
        }
        let each = groups.iter().take(MOST).map(|(_, sizes, choice)| self.describe(&abbreviated(sizes, ", "), choice));
        let more = groups.len().saturating_sub(MOST);
        each.chain((more > 0).then(|| format!("records have {more} more types"))).collect()
    }

    /// Returns a sentence on the type of records of this size.
    fn describe(&self, bytes: &str, choice: &Choice<'b>) -> String {
        let map = &self.map;
        match choice {
            Choice::Known(shape, Basis::Guess) => format!(
                "records of {bytes} bytes are {}, a guess by their size; set it with --type '{map}=TYPE'",
                shape.name()
            ),
            Choice::Known(shape, _) => format!("records of {bytes} bytes are {}", shape.name()),
            Choice::Several(names) => format!(
                "records of {bytes} bytes may be {}, and are printed as hex; choose with --type '{map}={}'",
                abbreviated(names, " or "),
                names.first().map_or("TYPE", String::as_str)
            ),
            Choice::Unknown => format!(
                "records of {bytes} bytes have an unknown type (not in the object's BTF), and are printed as hex; set it \
                 with --type '{map}=TYPE'"
            ),
        }
    }
}

/// Lists the first 8 names and the number of the others.
pub(super) fn abbreviated(names: &[String], between: &str) -> String {
    const SHOWN: usize = 8;
    let shown = names.get(..SHOWN).unwrap_or(names).join(between);
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}{between}{more} more"),
    }
}

/// Returns the types that the user gives as `[MAP=]TYPE`, by map, for the maps with these names.
pub(super) fn given<'b>(
    options: &[String],
    maps: &[String],
    own: Option<&'b Btf<'b>>,
    kernel: Option<&'b Btf<'b>>,
) -> Result<BTreeMap<String, Shape<'b>>, CliError> {
    let mut given = BTreeMap::new();
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
            let known = own.map_or_else(|| "; the object has no readable BTF".to_owned(), decode::structures);
            CliError::new(format!("neither the object nor the kernel has a type `{name}`{known}"))
        })?;
        match map {
            Some(map) => drop(given.insert(map.to_owned(), shape)),
            None => {
                for map in maps {
                    given.entry(map.clone()).or_insert(shape);
                }
            }
        }
    }
    Ok(given)
}

/// Returns whether the object's BTF lacks one of the types of `--type`.
pub(super) fn needs_kernel_btf(options: &[String], own: Option<&Btf<'_>>) -> bool {
    let name = |option: &String| option.split_once('=').map_or(option.clone(), |(_, name)| name.to_owned());
    options.iter().map(name).any(|name| own.is_none_or(|btf| decode::find(btf, &name).is_none()))
}
