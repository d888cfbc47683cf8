//! Which of the kernel's types are meant: all that have the same name, flavours aside, and are of the same kind.
//!
//! An object asks for a handful of names, the kernel has a hundred thousand types. So the names are collected first, and
//! each type is held against them in the one walk that reads the kernel's BTF anyway. Three bytes of a name decide about
//! nearly all of them.

use super::{compatible::kinds_are_compatible, flavour::essential};
use crate::{
    btf::{Btf, Kind, Names, Seen, search::Seeker},
    sorted::{Sorted, sort},
};

/// A type of the kernel's: in which BTF (0 is the kernel itself, others are modules), and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) source: usize,
    pub(super) id: u32,
}

/// The types that an object asks for, and what has been found for each.
#[derive(Debug, Default)]
pub(crate) struct Candidates<'l> {
    /// By the number of the type in the object's BTF.
    wanted: Sorted<u32, Wanted<'l>>,
    /// A bit for each kind that is wanted at all.
    kinds: u32,
    /// A bit for each first three bytes (see [`slot`]) of a name that is wanted.
    beginnings: [u64; 16],
}

#[derive(Debug)]
struct Wanted<'l> {
    kind: Kind,
    /// Its name without flavour.
    name: &'l [u8],
    found: Vec<Candidate>,
}

impl<'l> Candidates<'l> {
    /// Prepares to look for the types of these numbers in `local`. What has no name cannot be looked for.
    pub(super) fn wanted(local: &'l Btf<'_>, ids: impl Iterator<Item = u32>) -> Self {
        let mut ids: Vec<_> = ids.collect();
        sort(&mut ids, u32::cmp);
        ids.dedup();
        let (mut this, mut wanted) = (Self::default(), Vec::new());
        for id in ids {
            let ty = local.ty(id);
            let name = essential(ty.name_bytes());
            if name.is_empty() {
                continue;
            }
            this.kinds |= if ty.kind().is_enum() { bit(Kind::Enum) | bit(Kind::Enum64) } else { bit(ty.kind()) };
            let (word, mask) = slot(name);
            if let Some(beginnings) = this.beginnings.get_mut(word) {
                *beginnings |= mask;
            }
            wanted.push((id, Wanted { kind: ty.kind(), name, found: Vec::new() }));
        }
        this.wanted = Sorted::in_order(wanted);
        this
    }

    /// What may be meant by the type `id` of the object.
    pub(super) fn of(&self, id: u32) -> &[Candidate] {
        self.wanted.get(&id).map_or(&[], |wanted| &wanted.found)
    }

    /// Only `kept` have had what a relocation asked for: others are not asked again.
    pub(super) fn narrow(&mut self, id: u32, kept: Vec<Candidate>) {
        if let Some(wanted) = self.wanted.get_mut(&id) {
            wanted.found = kept;
        }
    }
}

impl Seeker for Candidates<'_> {
    fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    fn is_missing_some(&self) -> bool {
        self.wanted.iter().any(|(_, wanted)| wanted.found.is_empty())
    }

    fn see(&mut self, source: usize, names: Names<'_>, seen: Seen) -> bool {
        if self.kinds & bit(seen.kind) == 0 {
            return false;
        }
        let (word, mask) = slot(names.from(seen.name));
        if self.beginnings.get(word).is_none_or(|beginnings| beginnings & mask == 0) {
            return false;
        }
        let name = essential(names.at(seen.name));
        let mut any = false;
        for wanted in self.wanted.values_mut() {
            // Modules are asked only for what the kernel itself does not have.
            let is_late = wanted.found.first().is_some_and(|first| first.source == 0 && source != 0);
            if wanted.name == name && kinds_are_compatible(wanted.kind, seen.kind) && !is_late {
                wanted.found.push(Candidate { source, id: seen.id });
                any = true;
            }
        }
        any
    }
}

fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}

/// Where the beginning of a name is marked: which word, which bit in it.
fn slot(name: &[u8]) -> (usize, u64) {
    // A name that begins with another's one or two characters and an end or a flavour is still the same name.
    let at = |index| name.get(index).copied().unwrap_or(0);
    let (first, second) = (at(0), at(1));
    let second = if first == 0 || second == b'_' { 0 } else { second };
    let third = if second == 0 || at(2) == b'_' { 0 } else { at(2) };
    let mixed = u32::from(first) | u32::from(second) << 8 | u32::from(third) << 16;
    let number = mixed.wrapping_mul(0x9e37_79b1) >> 22;
    ((number / 64) as usize, 1 << (number % 64))
}
