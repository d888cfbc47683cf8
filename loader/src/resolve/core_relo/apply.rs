//! Applies one relocation: computes its value by the program's types and by the kernel's, and patches the instruction.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    candidates::{Candidate, Candidates},
    matching,
    patch::{self, Change, Expected, Patched, Resize},
    record::{Relocation, RelocationKind},
    report::{Applied, Error, Found, Outcome},
    spec::Spec,
    steps::Steps,
    value::{Access, Value},
};
use crate::{
    btf::{Btf, Kind, shown, visitor::Source},
    text::listed,
};

/// The state that is kept between relocations: results, and the remaining allowance of steps.
pub(super) struct Known {
    /// The section name of the last relocation, which is usually that of the next one.
    sections: Arc<str>,
    /// Results by type, access string and kind: many instructions of an object have the same.
    answers: BTreeMap<(u32, u32, u32), Computed>,
    pub(super) steps: Steps,
}

impl Known {
    pub(super) fn of(relocations: usize) -> Self {
        Self { sections: Arc::from(""), answers: BTreeMap::new(), steps: Steps::of(relocations) }
    }

    fn section(&mut self, name: &str) -> Arc<str> {
        if *self.sections != *name {
            self.sections = Arc::from(name);
        }
        Arc::clone(&self.sections)
    }
}

/// The result for a type, an access string and a kind.
#[derive(Clone)]
struct Computed {
    kind: RelocationKind,
    /// The access as C writes it.
    text: Arc<str>,
    /// The value by the program's own types.
    ours: Value,
    answer: Answer,
    found: Option<Found>,
}

/// One relocation while it is being applied.
pub(super) struct One<'r> {
    pub(super) local: &'r Btf<'r>,
    pub(super) sources: &'r [Source<'r>],
    pub(super) relocation: &'r Relocation<'r>,
    /// The kind and the access, once they are known.
    pub(super) what: Option<(RelocationKind, Arc<str>)>,
}

/// The result by the kernel's types: a value and the change of a load's or store's size, or why there is none.
type Answer = Result<(u64, Resize), Arc<str>>;

impl One<'_> {
    /// Returns the changed instruction and the report. `number` is the index of the report in the list.
    pub(super) fn apply(
        &mut self,
        candidates: &mut Candidates<'_>,
        known: &mut Known,
        (first, next): patch::Pair,
        number: usize,
    ) -> Result<(patch::Pair, Applied), String> {
        let relocation = self.relocation;
        if !relocation.offset.is_multiple_of(8) {
            return Err("it is in the middle of an instruction".to_owned());
        }
        let key = (relocation.type_id, relocation.access, relocation.kind);
        let Computed { kind, text, ours, answer, found } = match known.answers.get(&key) {
            Some(computed) => computed.clone(),
            None => {
                let computed = self.compute(candidates, &mut known.steps)?;
                known.answers.insert(key, computed.clone());
                computed
            }
        };
        self.what = Some((kind, Arc::clone(&text)));
        // The caller may print all reports, which takes this much memory.
        known.steps.write(text.len() + relocation.section.len()).map_err(|stop| stop.to_string())?;
        let section = known.section(relocation.section);
        let done = |pair, outcome| (pair, Applied { section, offset: relocation.offset, kind, local: text, outcome });
        let why = match answer {
            Err(why) => why,
            Ok((new, resize)) => {
                let expected = ours.certain.then_some(Expected { value: ours.value, low_half: ours.low_half });
                match patch::patch(first, next, Change { expected, new, resize })? {
                    Patched::Invalid(why) => why.into(),
                    Patched::Changed(pair, before) => {
                        return Ok(done(pair, Outcome::Changed { before, after: new, target: found }));
                    }
                }
            }
        };
        let (first, second) = patch::poison(first, number);
        if second.is_some() && next.is_none() {
            return Err("its 64-bit load has no second half".to_owned());
        }
        Ok(done((first, second), Outcome::Poisoned { why }))
    }

    /// Computes the result for a new type, access string and kind.
    fn compute(&mut self, candidates: &mut Candidates<'_>, steps: &mut Steps) -> Result<Computed, String> {
        let relocation = self.relocation;
        steps.add();
        let kind = relocation.kind().ok_or_else(|| format!("kind {} is unknown", relocation.kind))?;
        let local = Spec::read(self.local, relocation.type_id, self.local.string(relocation.access), kind)?;
        let text: Arc<str> = local.to_string().into();
        self.what = Some((kind, Arc::clone(&text)));
        let ours = Value::of(kind, &local)?;
        let (answer, found) = if kind == RelocationKind::TypeIdLocal {
            (Ok((ours.value, Resize::Keep)), None)
        } else {
            self.compute_for_kernel(kind, &local, ours, candidates, steps)?
        };
        Ok(Computed { kind, text, ours, answer, found })
    }

    /// Computes the result by the kernel's types. All candidates on which the access exists must give the same.
    fn compute_for_kernel(
        &self,
        kind: RelocationKind,
        local: &Spec<'_>,
        ours: Value,
        candidates: &mut Candidates<'_>,
        steps: &mut Steps,
    ) -> Result<(Answer, Option<Found>), String> {
        if self.local.ty(local.root).name_bytes().is_empty() {
            return Err("a type without a name cannot be found in the kernel".to_owned());
        }
        let mut kept: Vec<Candidate> = Vec::new();
        let mut first: Option<(u64, Answer, Found)> = None;
        for &candidate in candidates.of(local.root) {
            steps.take_for(CANDIDATE).map_err(|stop| stop.to_string())?;
            let source = self.sources.get(candidate.source).ok_or_else(|| bug("a candidate has no source"))?;
            let spec = matching::follow(local, kind, source.btf, candidate.id, steps);
            let Some(spec) = spec.map_err(|stop| stop.to_string())? else { continue };
            let answer = Value::of(kind, &spec)
                .map(|theirs| (theirs.value, resize((local.btf, ours.access), (spec.btf, theirs.access))))
                .map_err(Arc::from);
            kept.push(candidate);
            match &first {
                None => {
                    let found =
                        Found { path: spec.to_string().into(), type_id: candidate.id, source: source.name.into() };
                    first = Some((spec.bit_offset, answer, found));
                }
                Some((bits, before, _)) => {
                    let value = |answer: &Answer| answer.as_ref().ok().map(|&(value, _)| value);
                    if *bits != spec.bit_offset || value(before) != value(&answer) {
                        return Err(ambiguous(&kept, self.sources));
                    }
                }
            }
        }
        let Some((_, answer, found)) = first else {
            let none = if candidates.of(local.root).is_empty() {
                format!("the kernel has no type `{}`", self.local.ty(local.root))
            } else {
                format!("the kernel's `{}` has no such part, or one of another kind", self.local.ty(local.root))
            };
            return Ok((Value::absent(kind).map(|value| (value, Resize::Keep)).ok_or_else(|| none.into()), None));
        };
        candidates.narrow(local.root, kept);
        Ok((answer, Some(found)))
    }

    pub(super) fn error(self, why: String) -> Error {
        let (section, offset) = (self.relocation.section.to_owned(), self.relocation.offset);
        let what = match self.what {
            Some((kind, text)) => format!("the {kind} `{text}`"),
            None => {
                let access = shown(self.local.string(self.relocation.access));
                format!("`{}` + `{access}`", self.local.ty(self.relocation.type_id))
            }
        };
        Error::Relocation { section, offset, what, why }
    }
}

/// Bytes that are kept for each candidate on which the access exists, and an allowance of as much work.
const CANDIDATE: usize = 64;

/// Returns how the size of a load or store changes.
fn resize((local, ours): (&Btf<'_>, Option<Access>), (target, theirs): (&Btf<'_>, Option<Access>)) -> Resize {
    let (ours, theirs) = match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours, theirs),
        (None, None) => return Resize::Keep,
        _ => return Resize::BitField,
    };
    let (from, to) = (ours.size, theirs.size);
    if from == to {
        return Resize::Keep;
    }
    let (ours, theirs) = (local.ty(ours.type_id), target.ty(theirs.type_id));
    match (ours.kind(), theirs.kind()) {
        (Kind::Ptr, Kind::Ptr) => Resize::Zeroes { from, to },
        (Kind::Int, Kind::Int) if !ours.is_signed() && !theirs.is_signed() => Resize::Zeroes { from, to },
        (Kind::Int, Kind::Int) if ours.is_signed() && theirs.is_signed() => Resize::Sign { from, to },
        _ => Resize::Impossible { from, to },
    }
}

/// Returns the error text for a bug of this crate.
fn bug(what: &'static str) -> String {
    crate::Error::bug(what).to_string()
}

fn ambiguous(kept: &[Candidate], sources: &[Source<'_>]) -> String {
    let names = listed(&mut kept.iter().filter_map(|candidate| {
        let source = sources.get(candidate.source)?;
        Some(format!("type {} of {}", candidate.id, source.name))
    }));
    format!("the kernel has several types of that name, with different results: {names}")
}
