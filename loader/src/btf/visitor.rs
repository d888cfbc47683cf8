//! One pass over the kernel's BTF, shared by all visitors.
//!
//! CO-RE relocation searches for structures, programs for their attach functions, externs for variables and functions,
//! struct_ops maps for the kernel's structures. The walk over the kernel's 130,000 types takes most of the time of
//! loading. So there is one walk for all visitors, and none if they search for nothing. Modules are searched only for
//! what vmlinux does not have.
//!
//! A visitor finds type ids, each valid in one [`Source`]. The sources are borrowed while their types are compared, and
//! dropped afterwards. They are an index of 130 KB and a mapping, which takes no memory.

use std::fmt;

use super::{error::Broken, kernel, names::Names, view::Btf, walk::TypeHeader};
use crate::Error;

/// BTF that was searched. The first source is vmlinux, the others are modules.
pub(crate) struct Source<'t> {
    /// `vmlinux`, or the module's name.
    pub(crate) name: &'t str,
    pub(crate) btf: &'t Btf<'t>,
}

/// Searches for types by name.
pub(crate) trait Visitor {
    /// Returns whether it searches for nothing.
    fn is_idle(&self) -> bool;
    /// Returns whether something has not been found yet.
    fn is_missing_some(&self) -> bool;
    /// Visits a type of a source during the walk; returns whether the visitor searches for it.
    fn visit(&mut self, source: usize, names: Names<'_>, ty: TypeHeader) -> bool;
}

/// A Bloom filter of the names that a visitor searches for, by their first three bytes. It excludes nearly all of the
/// kernel's names, so a name is read to its end only if it may match.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameFilter([u64; 16]);

impl NameFilter {
    /// Adds a name, with or without its flavor.
    pub(crate) fn add(&mut self, name: &[u8]) {
        let (word, mask) = Self::slot(name);
        if let Some(word) = self.0.get_mut(word) {
            *word |= mask;
        }
    }

    /// Returns whether the name at the start of `name` may be an added one, apart from flavors.
    pub(crate) fn may_contain(&self, name: &[u8]) -> bool {
        let (word, mask) = Self::slot(name);
        self.0.get(word).is_some_and(|word| word & mask != 0)
    }

    /// Returns the word and the bit for the first bytes of a name.
    fn slot(name: &[u8]) -> (usize, u64) {
        // A name of one or two characters may be followed by its end or by a flavor. Both give the same bit.
        let at = |index| name.get(index).copied().unwrap_or(0);
        let (first, second) = (at(0), at(1));
        let second = if first == 0 || second == b'_' { 0 } else { second };
        let third = if second == 0 || at(2) == b'_' { 0 } else { at(2) };
        let mixed = u32::from(first) | u32::from(second) << 8 | u32::from(third) << 16;
        let number = mixed.wrapping_mul(0x9e37_79b1) >> 22;
        ((number / 64) as usize, 1 << (number % 64))
    }
}

impl<A: Visitor, B: Visitor, C: Visitor, D: Visitor> Visitor for (A, B, C, D) {
    fn is_idle(&self) -> bool {
        self.0.is_idle() && self.1.is_idle() && self.2.is_idle() && self.3.is_idle()
    }

    fn is_missing_some(&self) -> bool {
        self.0.is_missing_some() || self.1.is_missing_some() || self.2.is_missing_some() || self.3.is_missing_some()
    }

    fn visit(&mut self, source: usize, names: Names<'_>, ty: TypeHeader) -> bool {
        // Every visitor must see the type.
        self.0.visit(source, names, ty)
            | self.1.visit(source, names, ty)
            | self.2.visit(source, names, ty)
            | self.3.visit(source, names, ty)
    }
}

/// The reason why there is no BTF to search.
#[derive(Debug, Clone)]
pub(crate) struct Absent(pub(crate) String);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The BTF that was searched: empty if the visitors search for nothing, otherwise at least vmlinux. Or the reason why
/// there is none.
pub(crate) type Sources<'s, 't> = Result<&'s [Source<'t>], Absent>;

/// The BTF to search.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Types<'a> {
    /// The running kernel and its modules.
    Running,
    /// These bytes, in place of the kernel's BTF.
    Given(&'a [u8]),
}

impl Types<'_> {
    /// Walks over the types, then calls `then` with the sources in which a visitor found something.
    pub(crate) fn search<S: Visitor, T>(self, mut visitor: S, then: impl FnOnce(S, Sources<'_, '_>) -> T) -> T {
        if visitor.is_idle() {
            return then(visitor, Ok(&[]));
        }
        match self {
            Self::Given(bytes) => match base(bytes, &mut visitor) {
                Ok(btf) => then(visitor, Ok(&[Source { name: "vmlinux", btf: &btf }])),
                Err(absent) => then(visitor, Err(absent)),
            },
            Self::Running => match kernel::Bytes::vmlinux() {
                Ok(bytes) => match base(&bytes, &mut visitor) {
                    Ok(base) => with_modules(&base, visitor, then),
                    Err(absent) => then(visitor, Err(absent)),
                },
                Err(error) => then(
                    visitor,
                    Err(Absent(format!(
                        "{}/vmlinux cannot be read: {error}; a kernel has it if it was built with CONFIG_DEBUG_INFO_BTF \
                         (Linux 5.4)",
                        kernel::DIRECTORY
                    ))),
                ),
            },
        }
    }
}

/// Walks over the types of vmlinux.
fn base<'b>(bytes: &'b [u8], visitor: &mut impl Visitor) -> Result<Btf<'b>, Absent> {
    let base = Btf::parse_watching(bytes, None, |names, ty| {
        visitor.visit(0, names, ty);
    });
    base.map_err(|Broken(why)| Absent(format!("it is broken: {why}")))
}

/// Walks over the modules until the visitors have found everything.
fn with_modules<S: Visitor, T>(base: &Btf<'_>, mut visitor: S, then: impl FnOnce(S, Sources<'_, '_>) -> T) -> T {
    let mut kept = Vec::new();
    if visitor.is_missing_some() {
        for name in kernel::modules() {
            if !visitor.is_missing_some() {
                break;
            }
            // A module may be unloaded meanwhile, and the BTF of one from another build may not fit: both are skipped.
            let Ok(bytes) = kernel::Bytes::module(&name) else { continue };
            match Btf::parse_split(&bytes, base) {
                Err(error) => log::debug!("the BTF of the module {name} is skipped: {error}"),
                Ok(btf) => {
                    let mut any = false;
                    btf.watch(|names, ty| any |= visitor.visit(kept.len() + 1, names, ty));
                    if any {
                        kept.push((name, bytes));
                    }
                }
            }
        }
    }
    // Parsed a second time, because a view cannot be stored next to the bytes that it borrows. Each module has the same
    // index as during the walk.
    let parsed = kept.iter().map(|(name, bytes)| Btf::parse_split(bytes, base).map(|btf| (name, btf)));
    let parsed: Vec<_> = match parsed.collect::<Result<_, _>>() {
        Ok(parsed) => parsed,
        Err(_) => return then(visitor, Err(Absent(Error::bug("a module's BTF has changed in memory").to_string()))),
    };
    let mut sources = vec![Source { name: "vmlinux", btf: base }];
    sources.extend(parsed.iter().map(|(name, btf)| Source { name, btf }));
    then(visitor, Ok(&sources))
}
