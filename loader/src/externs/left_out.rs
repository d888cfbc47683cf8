//! In the place of all that finds externs, in a build without the feature `externs`: it knows of them no more than that they are
//! there. An object that has one is refused before it is loaded.

use super::{Extern, ExternKind, KCONFIG, KSYMS, Resolved};
use crate::{
    Error,
    btf::{
        Btf, Names, Seen,
        search::{Seeker, Sources, Types},
    },
    elf::Elf,
};

/// Where in the section of constants one lies: nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {}

impl Slot {
    pub(super) fn place(&self) -> (u32, u32) {
        match *self {}
    }
}

/// Externs that are looked for in the kernel's types: none.
#[derive(Debug)]
pub(crate) struct Ksyms;

impl Ksyms {
    pub(crate) fn of(_: &[Extern]) -> Self {
        Self
    }
}

impl Seeker for Ksyms {
    fn is_idle(&self) -> bool {
        true
    }

    fn is_missing_some(&self) -> bool {
        false
    }

    fn see(&mut self, _: usize, _: Names<'_>, _: Seen) -> bool {
        false
    }
}

/// All externs of the object, by their names alone.
pub(crate) fn read(elf: &Elf, btf: Option<&Btf<'_>>) -> Result<Vec<Extern>, Error> {
    let Some(btf) = btf else { return Ok(Vec::new()) };
    let listed = [KCONFIG, KSYMS].map(|section| btf.listed(section));
    let imports =
        elf.imports().filter(|(_, import)| listed.iter().any(|list| list.get(import.name.as_bytes()).is_some()));
    let externs = imports.map(|(symbol, import)| Extern {
        name: import.name.clone(),
        weak: import.weak,
        kind: ExternKind::Config,
        symbol,
        type_id: 0,
        slot: None,
    });
    Ok(externs.collect())
}

/// There is none to find a value for.
pub(crate) fn resolve(
    _: &[Extern],
    _: Ksyms,
    _: &Btf<'_>,
    _: Sources<'_, '_>,
    _: &str,
    _: Types<'_>,
) -> Result<Resolved, Error> {
    Ok(Resolved::default())
}
