//! Finds the candidates: all types of the kernel with the same name, apart from flavors, and of the same kind.
//!
//! An object uses few type names; the kernel has a hundred thousand types. So the names are collected first, and each
//! type is compared with them in the one walk over the kernel's BTF.

use super::flavor::essential;
use crate::{
    btf::{
        Btf, Kind, Names, TypeHeader,
        visitor::{NameFilter, Visitor},
    },
    sorted::{Sorted, sort},
};

/// A type of the kernel: the index of its source (0 is vmlinux, others are modules), and its id there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) source: usize,
    pub(super) id: u32,
}

/// The types that an object uses, and the candidates of each.
#[derive(Debug, Default)]
pub(crate) struct Candidates<'l> {
    /// By the type id in the object's BTF.
    wanted: Sorted<u32, Wanted>,
    /// Candidates by name without flavor and kind. All flavors of a type have the same candidates.
    named: Sorted<(&'l [u8], Kind), Vec<Candidate>>,
    /// A bit for each kind of the types.
    kinds: u32,
    filter: NameFilter,
}

#[derive(Debug)]
struct Wanted {
    /// Its index in `named`.
    named: usize,
    /// The candidates on which all earlier accesses existed; `None` as long as these are all.
    kept: Option<Vec<Candidate>>,
}

impl<'l> Candidates<'l> {
    /// Collects the names of the types with these ids in `local`. Unnamed types have no candidates.
    pub(super) fn wanted(local: &'l Btf<'_>, ids: impl Iterator<Item = u32>) -> Self {
        let mut is_asked = vec![false; local.end() as usize];
        for id in ids {
            if let Some(is_asked) = is_asked.get_mut(id as usize) {
                *is_asked = true;
            }
        }
        let key = |id: u32| {
            let ty = local.ty(id);
            // Enumerations of both widths count as one kind.
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

    /// Returns the candidates of the type `id` of the object.
    pub(super) fn of(&self, id: u32) -> &[Candidate] {
        let Some(wanted) = self.wanted.get(&id) else { return &[] };
        match &wanted.kept {
            Some(kept) => kept,
            None => self.named.at(wanted.named).map_or(&[], Vec::as_slice),
        }
    }

    /// Restricts the candidates to `kept`, those on which an access existed.
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
        // Modules count only for types that vmlinux does not have.
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
