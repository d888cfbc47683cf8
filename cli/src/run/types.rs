//! Which type a record is: told by the user, or found.
//!
//! Nothing in a record or a map says it. What there is, is put together:
//!
//! ```text
//!     --type MAP=TYPE                    settles it
//!     the program reserves 24 bytes      (sends.rs); else the record's own length
//!       └─ types of 24 bytes             one: that is it
//!            └─ named on that line       several: the one that the line of source names
//!                 └─ otherwise           they are told, and the record is shown as hex
//! ```
//!
//! What describes a map, or is the argument that the kernel hands to a program, is no record's type; nor is what is only the
//! beginning of another candidate.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use cutaway::{
    Object,
    btf::{Btf, Kind, Type, Value},
};

use super::sends::Sent;
use crate::{decode, diagnostics, failure::Failure};

/// A type, ready to read records by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'b> {
    pub(super) btf: &'b Btf<'b>,
    pub(super) id: u32,
    /// Bytes; of one that ends flexibly, those before its end.
    pub(super) size: usize,
    flexible: bool,
}

impl<'b> Shape<'b> {
    fn new(btf: &'b Btf<'b>, ty: Type<'b>) -> Option<Self> {
        let size = btf.size_of(ty.id())? as usize;
        Some(Self { btf, id: ty.id(), size, flexible: decode::ends_flexibly(btf, ty.id()) })
    }

    pub(super) fn name(&self) -> String {
        self.btf.ty(self.id).to_string()
    }

    /// The record's value, and what is left of the record behind it.
    pub(super) fn read<'a>(&'a self, record: &'a [u8]) -> (Value<'a>, &'a [u8]) {
        let rest = if self.flexible { &[] } else { record.get(self.size..).unwrap_or_default() };
        (self.btf.value(self.id, record), rest)
    }
}

/// What a record of some length is.
#[derive(Debug, Clone)]
pub(super) enum Choice<'b> {
    Known(Shape<'b>),
    /// One of these, and it cannot be told which.
    Several(Vec<String>),
    /// Of no type that the object describes.
    Unknown,
}

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
}

/// The types that records can be.
#[derive(Debug, Default)]
pub(super) struct Candidates<'b>(Vec<Shape<'b>>);

impl<'b> Candidates<'b> {
    pub(super) fn of(object: &Object, btf: &'b Btf<'b>) -> Self {
        let not = excluded(object, btf);
        let mut shapes = Vec::new();
        for ty in btf.types().filter(|ty| !ty.name_bytes().is_empty()) {
            let composite = match ty.kind() {
                Kind::Struct | Kind::Union => Some(ty),
                // `typedef struct { … } event;`
                Kind::Typedef => {
                    btf.resolve(ty.id()).filter(|of| of.kind().is_composite() && of.name_bytes().is_empty())
                }
                _ => None,
            };
            let Some(composite) = composite.filter(|ty| !not.contains(&ty.id())) else { continue };
            let Some(shape) = Shape::new(btf, ty).filter(|shape| shape.size > 0) else { continue };
            if !composite.is_empty() {
                shapes.push(shape);
            }
        }
        Self(shapes)
    }

    /// Those of this size; of several, only the outermost.
    fn of_size(&self, size: usize) -> Vec<Shape<'b>> {
        let fits: Vec<_> = self.0.iter().filter(|shape| shape.size == size).copied().collect();
        let inner = |shape: &Shape<'b>| {
            fits.iter().any(|other| {
                let mut members = other.btf.resolve(other.id).into_iter().flat_map(Type::members);
                let same = |id| other.btf.resolve(id).map(Type::id) == shape.btf.resolve(shape.id).map(Type::id);
                members.any(|member| member.bit_offset == 0 && same(member.type_id))
            })
        };
        fits.iter().filter(|shape| !inner(shape)).copied().collect()
    }

    fn choose(&self, size: usize, lines: &[&str]) -> Choice<'b> {
        let mut fits = self.of_size(size);
        if fits.len() > 1 {
            let named: Vec<_> =
                fits.iter().filter(|shape| lines.iter().any(|line| names(line, shape))).copied().collect();
            if named.len() == 1 {
                fits = named;
            }
        }
        Self::only(&fits)
    }

    fn only(fits: &[Shape<'b>]) -> Choice<'b> {
        match fits {
            [] => Choice::Unknown,
            [shape] => Choice::Known(*shape),
            several => Choice::Several(several.iter().map(Shape::name).collect()),
        }
    }
}

/// Whether a line of source has the type's name as a word.
fn names(line: &str, shape: &Shape<'_>) -> bool {
    let name = shape.btf.ty(shape.id).name();
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}

/// The types that describe maps, and those of what programs are handed.
fn excluded(object: &Object, btf: &Btf<'_>) -> HashSet<u32> {
    let mut not = HashSet::new();
    let mut descriptions: Vec<u32> = Vec::new();
    for section in btf.types().filter(|ty| ty.kind() == Kind::Datasec && ty.name_bytes() == b".maps") {
        descriptions.extend(section.section_vars().map(|variable| btf.ty(variable.type_id).referred()));
    }
    while let Some(description) = descriptions.pop().and_then(|id| btf.resolve(id)) {
        if !not.insert(description.id()) {
            continue;
        }
        // What a map of maps holds: an array of pointers.
        let held = description.members().find(|member| member.name == b"values");
        let pointer = held.and_then(|member| btf.resolve(btf.resolve(member.type_id)?.array()?.element));
        descriptions.extend(pointer.map(Type::referred));
    }
    let programs: HashSet<&str> = object.programs().iter().map(|program| program.name.as_str()).collect();
    for function in btf.types().filter(|ty| ty.kind() == Kind::Func && programs.contains(&*ty.name())) {
        let argument = btf.ty(function.referred()).params().next().and_then(|argument| btf.resolve(argument.type_id));
        not.extend(argument.and_then(|pointer| btf.resolve(pointer.referred())).map(Type::id));
    }
    not
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
        sent: &[Sent],
        candidates: &'b Candidates<'b>,
    ) -> Self {
        let mine: Vec<&Sent> = sent.iter().filter(|sent| sent.map == map).collect();
        let sizes: BTreeSet<u32> = mine.iter().filter_map(|sent| sent.size).collect();
        let choice = |size: u32| {
            let lines: Vec<&str> =
                mine.iter().filter(|sent| sent.size == Some(size)).map(|sent| sent.line.as_str()).collect();
            (size, candidates.choose(size as usize, &lines))
        };
        Self {
            map: map.to_owned(),
            padded: is_padded,
            told,
            sent: sizes.into_iter().map(choice).collect(),
            candidates,
            met: RefCell::default(),
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
    pub(super) fn only(&self) -> Option<Shape<'b>> {
        match (self.told, self.sent.len(), self.sent.values().next()) {
            (Some(shape), ..) => Some(shape),
            (None, 1, Some(Choice::Known(shape))) => Some(*shape),
            _ => None,
        }
    }

    /// What a record of this length is, and how many of its bytes are no padding.
    pub(super) fn of(&self, length: usize) -> (Choice<'b>, usize) {
        if let Some(shape) = self.told {
            let padding = self.padded && !shape.flexible && (1..8).contains(&length.saturating_sub(shape.size));
            return (Choice::Known(shape), if padding { shape.size } else { length });
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
            Choice::Known(shape) if self.padded && !shape.flexible => shape.size,
            _ => length,
        };
        (choice, size)
    }

    /// What a record of a length that no program was seen to send is: said once.
    fn met(&self, length: usize) -> Choice<'b> {
        let sizes = if self.padded { length.saturating_sub(7)..=length } else { length..=length };
        let fits: Vec<_> = sizes
            .filter(|size| !self.padded || padded(*size) == length)
            .flat_map(|size| self.candidates.of_size(size))
            .collect();
        let mut choice = Candidates::only(&fits);
        if matches!(choice, Choice::Unknown) {
            let flexible = self.candidates.0.iter().filter(|shape| shape.flexible && shape.size <= length);
            choice = Candidates::only(&flexible.copied().collect::<Vec<_>>());
        }
        diagnostics::say(&format!("`{}`: {}", self.map, self.describe(length, &choice)));
        choice
    }

    /// A sentence on what its records are, as far as that is known.
    pub(super) fn sentence(&self) -> String {
        if let Some(shape) = self.told {
            return format!("records are {}, as told", shape.name());
        }
        if self.sent.is_empty() {
            return "how long its records are is not to be seen in the programs".to_owned();
        }
        let each: Vec<_> = self.sent.iter().map(|(size, choice)| self.describe(*size as usize, choice)).collect();
        each.join("; ")
    }

    fn describe(&self, size: usize, choice: &Choice<'b>) -> String {
        let map = &self.map;
        match choice {
            Choice::Known(shape) => format!("records of {size} bytes are {}", shape.name()),
            Choice::Several(names) => format!(
                "records of {size} bytes may be {}, and are shown as hex: say which with --type '{map}={}'",
                names.join(" or "),
                names.first().map_or("TYPE", String::as_str)
            ),
            Choice::Unknown => format!(
                "records of {size} bytes are of no type that the object describes, and are shown as hex: --type '{map}=TYPE' reads them as what you say"
            ),
        }
    }
}

/// The types that the user tells, as `[MAP=]TYPE`, for the maps of these names.
pub(super) fn told<'b>(
    options: &[String],
    maps: &[String],
    own: Option<&'b Btf<'b>>,
    kernel: Option<&'b Btf<'b>>,
) -> Result<BTreeMap<String, Shape<'b>>, Failure> {
    let mut told = BTreeMap::new();
    for option in options {
        let (map, name) = option.split_once('=').map_or((None, option.as_str()), |(map, name)| (Some(map), name));
        if let Some(map) = map.filter(|map| !maps.iter().any(|known| known == map)) {
            let known: Vec<_> = maps.iter().map(|map| format!("`{map}`")).collect();
            return Err(Failure::new(format!(
                "the object has no ring and no perf event array `{map}`; it has {}",
                crate::failure::listed(&known)
            )));
        }
        let mut shapes =
            [own, kernel].into_iter().flatten().filter_map(|btf| Shape::new(btf, decode::find(btf, name)?));
        let shape = shapes.next().ok_or_else(|| {
            let known = own.map_or_else(|| "; the object describes no types at all".to_owned(), decode::structures);
            Failure::new(format!("neither the object nor the kernel has a type `{name}`{known}"))
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
