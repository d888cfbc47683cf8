//! Replaces the resolution of externs in a build without the feature `externs`.

use super::externs::Externs;
use crate::{
    Error,
    btf::{
        Btf, Names, TypeHeader,
        visitor::{Sources, Types, Visitor},
    },
    object::Extern,
};

/// A visitor that searches for nothing.
#[derive(Debug)]
pub(crate) struct Ksyms;

impl Ksyms {
    pub(crate) fn of(_: &[Extern]) -> Self {
        Self
    }
}

impl Visitor for Ksyms {
    fn is_idle(&self) -> bool {
        true
    }

    fn is_missing_some(&self) -> bool {
        false
    }

    fn visit(&mut self, _: usize, _: Names<'_>, _: TypeHeader) -> bool {
        false
    }
}

/// Resolves nothing.
pub(crate) fn resolve_externs(
    _: &[Extern],
    _: Ksyms,
    _: &Btf<'_>,
    _: Sources<'_, '_>,
    _: &str,
    _: Types<'_>,
) -> Result<Externs, Error> {
    Ok(Externs::default())
}
