//! Which of the kernel's types are meant: all that have the same name, flavours aside, and are of the same kind.
//!
//! An object asks for a handful of names, the kernel has a hundred thousand types. So the names are collected first,
//! and each type is held against them in the one walk that reads the kernel's BTF anyway.

use super::flavour::essential;
use crate::{
    btf::{
        Btf, Kind, Names, TypeHeader,
        visitor::{NameFilter, Visitor},
    },
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
    /// By the type id in the object's BTF.
    wanted: Sorted<u32, Wanted>,
    /// What is looked for, by name without flavour, and for each name by kind: all flavours of a type have the same.
    named: Sorted<(&'l [u8], Kind), Vec<Candidate>>,
    /// A bit for each kind that is wanted at all.
    kinds: u32,
    filter: NameFilter,
}

#[derive(Debug)]
struct Wanted {
    /// Its index in the list of names.
    named: usize,
    /// Those of the candidates that have had what relocations asked for; `None` as long as all have.
    kept: Option<Vec<Candidate>>,
}

impl<'l> Candidates<'l> {
    /// Prepares to look for the types of these numbers in `local`. What has no name cannot be looked for.
    pub(super) fn wanted(local: &'l Btf<'_>, ids: impl Iterator<Item = u32>) -> Self {
        let mut is_asked = vec![false; local.end() as usize];
        for id in ids {
            if let Some(is_asked) = is_asked.get_mut(id as usize) {
                *is_asked = true;
            }
        }
        let key = |id: u32| {
            let ty = local.ty(id);
            // Enumerations of either width are one kind here.
            let kind = if ty.kind().is_enum() { Kind::Enum } else { ty.kind() };
            (essential(ty.name_bytes()), kind)
        };
        let asked = (0..local.end()).filter(|id| is_asked.get(*id as usize) == Some(&true));
        let asked: Vec<_> = asked.map(|id| (id, key(id))).filter(|(_, (name, _))| !name.is_empty()).collect();
        let mut keys: Vec<_> = asked.iter().map(|(_, key)| *key).collect();
        sort(&mut keys, Ord::cmp);
        keys.dedup();
        let mut this = Self::default();
        for (name, kind) in &keys {
            this.kinds |= if kind.is_enum() { bit(Kind::Enum) | bit(Kind::Enum64) } else { bit(*kind) };
            this.filter.add(name);
        }
        this.named = Sorted::in_order(keys.into_iter().map(|key| (key, Vec::new())).collect());
        let wanted = asked.iter().filter_map(|(id, key)| {
            let named = this.named.position(key)?;
            Some((*id, Wanted { named, kept: None }))
        });
        this.wanted = Sorted::in_order(wanted.collect());
        this
    }

    /// What may be meant by the type `id` of the object.
    pub(super) fn of(&self, id: u32) -> &[Candidate] {
        let Some(wanted) = self.wanted.get(&id) else { return &[] };
        match &wanted.kept {
            Some(kept) => kept,
            None => self.named.at(wanted.named).map_or(&[], Vec::as_slice),
        }
    }

    /// Only `kept` have had what a relocation asked for: others are not asked again.
    pub(super) fn narrow(&mut self, id: u32, kept: Vec<Candidate>) {
        if kept.len() == self.of(id).len() {
            return;
        }
        if let Some(wanted) = self.wanted.get_mut(&id) {
            wanted.kept = Some(kept);
        }
    }
}

impl Visitor for Candidates<'_> {
    fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    fn is_missing_some(&self) -> bool {
        self.named.iter().any(|(_, found)| found.is_empty())
    }

    fn visit(&mut self, source: usize, names: Names<'_>, ty: TypeHeader) -> bool {
        if self.kinds & bit(ty.kind) == 0 || !self.filter.may_contain(names.from(ty.name)) {
            return false;
        }
        let kind = if ty.kind.is_enum() { Kind::Enum } else { ty.kind };
        let Some(index) = self.named.position(&(essential(names.at(ty.name)), kind)) else { return false };
        let Some(found) = self.named.at_mut(index) else { return false };
        // Modules are asked only for what the kernel itself does not have.
        if found.first().is_some_and(|first| first.source == 0 && source != 0) {
            return false;
        }
        found.push(Candidate { source, id: ty.id });
        true
    }
}

fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}
