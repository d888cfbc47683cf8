//! Finds variables and functions of the kernel by name in its BTF, and compares their types with the program's
//! declarations.
//!
//! The search ignores a flavor of the name (`bpf_task_acquire___new`). So a program can declare several prototypes of
//! one function, all of them weak, and call the one that matches.

use super::{
    core_relo::{Steps, flavor::essential, is_same_shape},
    externs::{Externs, Value},
};
use crate::{
    Error,
    btf::{
        Btf, Kind, Names, TypeHeader,
        visitor::{Absent, NameFilter, Source, Sources, Visitor},
    },
    object::{Extern, ExternKind},
    privileges::Capability,
    sorted::Sorted,
    sys::btf::of_module,
};

/// The externs with a type, and where they were found.
#[derive(Debug)]
pub(crate) struct Ksyms<'e> {
    wanted: Vec<Wanted<'e>>,
    /// Their indices in `wanted`, by kind and name.
    by_name: Sorted<(Kind, &'e [u8]), usize>,
    filter: NameFilter,
    /// The number of externs not found yet.
    missing: usize,
}

#[derive(Debug)]
struct Wanted<'e> {
    known: &'e Extern,
    kind: Kind,
    /// The name without its flavor.
    name: &'e [u8],
    /// The source and the type id there.
    found: Option<(usize, u32)>,
}

impl<'e> Ksyms<'e> {
    /// Collects the externs that have a type.
    pub(crate) fn of(externs: &'e [Extern]) -> Self {
        let wanted = externs.iter().filter_map(|known| {
            let kind = match known.kind {
                ExternKind::Variable => Kind::Var,
                ExternKind::Function => Kind::Func,
                ExternKind::Config | ExternKind::Address => return None,
            };
            Some(Wanted { known, kind, name: essential(known.name.as_bytes()), found: None })
        });
        let wanted: Vec<_> = wanted.collect();
        let by_name = wanted.iter().enumerate().map(|(index, wanted)| ((wanted.kind, wanted.name), index));
        let mut filter = NameFilter::default();
        for wanted in &wanted {
            filter.add(wanted.name);
        }
        Self { by_name: Sorted::of(by_name), filter, missing: wanted.len(), wanted }
    }

    /// Compares the types after the search, and opens the BTF of modules that have some of them.
    pub(super) fn settle(self, local: &Btf<'_>, sources: Sources<'_, '_>, resolved: &mut Externs) -> Result<(), Error> {
        let mut steps = Steps::of(self.wanted.len());
        // Index in `sources`, index in `resolved.modules`.
        let mut opened = Vec::<(usize, usize)>::new();
        for wanted in self.wanted {
            let value = match (&sources, wanted.found) {
                (Err(Absent(why)), _) => Err(format!("it needs the kernel's BTF: {why}")),
                (Ok(_), None) => Err(format!(
                    "neither the kernel's BTF nor its modules' has a {} of this name",
                    wanted.known.kind.text()
                )),
                (Ok(sources), Some((index, id))) => wanted.fits(local, sources, (index, id), &mut steps),
            };
            let value = match value {
                Ok((0, id, _)) => Ok(Value::Type { id, module: None }),
                Ok((source, id, name)) => {
                    let known = opened.iter().find(|(index, _)| *index == source).map(|(_, module)| *module);
                    let module = match known {
                        Some(module) => module,
                        None => {
                            let module = of_module(name).map_err(|error| {
                                let attempt =
                                    format!("open the types of the module {name}, which has `{}`", wanted.known.name);
                                Error::kernel(attempt, &error).wanting(&[Capability::SYS_ADMIN])
                            })?;
                            resolved.modules.push(module);
                            opened.push((source, resolved.modules.len() - 1));
                            resolved.modules.len() - 1
                        }
                    };
                    Ok(Value::Type { id, module: Some(module) })
                }
                Err(why) => Err(why),
            };
            resolved.set(wanted.known, value);
        }
        Ok(())
    }
}

impl Wanted<'_> {
    /// Compares the found type with the declared one. Returns the source, the type id, and the source's name.
    fn fits<'s>(
        &self,
        local: &Btf<'_>,
        sources: &'s [Source<'_>],
        (index, id): (usize, u32),
        steps: &mut Steps,
    ) -> Result<(usize, u32, &'s str), String> {
        let source = sources.get(index).ok_or_else(|| Error::bug("an extern has no source").to_string())?;
        let theirs = source.btf.resolve(source.btf.ty(id).referred()).ok_or("its type is circular")?;
        // A structure that the program only declares matches any: the program cannot access its members.
        let ours = local.ty(self.known.type_id);
        let declared = ours.kind() == Kind::Fwd && theirs.kind().is_composite();
        if declared || is_same_shape((local, ours.id()), (source.btf, theirs.id()), steps)? {
            return Ok((index, id, source.name));
        }
        let what = if self.kind == Kind::Func { "other parameters or another result" } else { "another type" };
        Err(format!("in {} it has {what} than in the program (type {id} there)", source.name))
    }
}

impl Visitor for Ksyms<'_> {
    fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    fn is_missing_some(&self) -> bool {
        self.missing != 0
    }

    fn visit(&mut self, source: usize, names: Names<'_>, ty: TypeHeader) -> bool {
        let is_sought = matches!(ty.kind, Kind::Var | Kind::Func) && self.filter.may_contain(names.from(ty.name));
        if !is_sought || self.missing == 0 {
            return false;
        }
        let key = (ty.kind, names.at(ty.name));
        let mut any = false;
        for (_, index) in self.by_name.from(&key).iter().take_while(|(known, _)| *known == key) {
            if let Some(wanted) = self.wanted.get_mut(*index).filter(|wanted| wanted.found.is_none()) {
                wanted.found = Some((source, ty.id));
                self.missing -= 1;
                any = true;
            }
        }
        any
    }
}
