//! CO-RE, "compile once, run everywhere": instructions adapted to the structures of the kernel they will run in.
//!
//! A program reads `task->pid`. Where `pid` is, its compiler knew from some kernel's header; where it is in *this* kernel,
//! this kernel's BTF says. For each instruction that depends on such a thing the compiler has left a record: which
//! instruction, from which type, on which way (`0:17`: member 17), and what of it is wanted: the offset, the size, whether
//! there is such a field at all.
//!
//! ```text
//!     record ─▶ way through the program's types ─▶ names on the way          spec
//!                                                     │
//!     kernel's BTF ─▶ types of the same name ─▶ the same way there           candidates, matching, compatible
//!                                                     │
//!     what the compiler assumed ──┐      what is so in the kernel            value
//!                                 ▼                   ▼
//!                          instruction: old value ─▶ new value               patch
//! ```
//!
//! Several types of the kernel's can have the name, since it is compiled file by file. All on which the way exists must
//! give the same answer; else the relocation is refused, for any answer could be wrong. None gives a 0 where the question
//! was whether there is one; anywhere else the instruction is *poisoned*, so that only a program that really gets there is
//! refused by the verifier ([`unresolved`] then says why).
//!
//! All of it is pure: types and instructions in, instructions and a report out. [`relocate_for_kernel`] reads the running
//! kernel's BTF, its modules' if need be, and forgets it again.

mod candidates;
mod compatible;
pub(crate) mod flavour;
mod matching;
mod patch;
mod record;
mod spec;
mod steps;
mod value;

use std::{collections::BTreeMap, fmt, sync::Arc};

use cutaway_sys::Instruction;

pub use self::record::{Relocation, RelocationKind};
use self::{
    candidates::Candidate,
    compatible::Compatible,
    patch::{Change, Expected, Patched, Resize},
    spec::Spec,
    value::{Access, Value},
};
pub(crate) use self::{candidates::Candidates, steps::Steps};
use crate::btf::{
    Btf, Kind, shown,
    visitor::{Absent, Seeker, Source, Sources, Types},
};
use crate::text::listed;

/// Instructions by the section they were compiled into and their place in it.
pub trait Code {
    /// The instruction at `offset` bytes in `section`; `None` if nobody is going to load it.
    fn read(&self, section: &str, offset: u32) -> Option<Instruction>;
    /// Replaces it.
    fn write(&mut self, section: &str, offset: u32, instruction: Instruction);
}

/// Why relocation could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to relocate against.
    Target {
        /// Why it cannot be had, and what to do.
        why: String,
    },
    /// A record contradicts the object it is in, or more than one answer is possible.
    Relocation {
        /// The section of code.
        section: String,
        /// Bytes from its start to the instruction.
        offset: u32,
        /// What was to be found out.
        what: String,
        /// Why it could not.
        why: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { why } => write!(f, "its CO-RE relocations need the kernel's BTF: {why}"),
            Self::Relocation { section, offset, what, why } => {
                let number = offset / 8;
                write!(f, "CO-RE relocation of {what} (instruction {number} of section `{section}`) fails: {why}")
            }
        }
    }
}

impl std::error::Error for Error {}

/// A relocation as it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The section of code.
    pub section: Arc<str>,
    /// Bytes from its start to the instruction.
    pub offset: u32,
    /// What the program wanted to know.
    pub kind: RelocationKind,
    /// The accessed field in C syntax, e.g. `struct task_struct.pid`.
    pub local: Arc<str>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a relocation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The instruction has the kernel's value.
    Changed {
        /// What the compiler had put there.
        before: u64,
        /// What is there now; often the same.
        after: u64,
        /// What in the kernel it was found to be; `None` if there is no such thing, and `after` says so by a 0.
        target: Option<Found>,
    },
    /// The instruction is now one that the verifier refuses if the program can reach it.
    Poisoned {
        /// Why there is no value for it.
        why: Arc<str>,
    },
}

/// A type of the kernel's, and the way from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// As C would write it: `struct task_struct.pid`.
    pub path: Arc<str>,
    /// The number of the type.
    pub type_id: u32,
    /// The BTF that has it: `vmlinux` or a module's name.
    pub source: Arc<str>,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.kind, self.local)?;
        match &self.outcome {
            Outcome::Changed { before, after, target: Some(found) } => {
                write!(f, "{before} -> {after} ({}, type {} of {})", found.path, found.type_id, found.source)
            }
            Outcome::Changed { before, after, target: None } => write!(f, "{before} -> {after} (there is none)"),
            Outcome::Poisoned { why } => write!(f, "poisoned: {why}"),
        }
    }
}

/// Adapts instructions to the types of one BTF, given as the bytes of its section.
///
/// # Errors
///
/// [`Error::Target`] if `target` is broken, else [`Error::Relocation`] for the first relocation that fails. Instructions
/// may have been changed already then, and are not to be loaded.
pub fn relocate(
    local: &Btf<'_>,
    relocations: &[Relocation<'_>],
    target: &[u8],
    code: &mut impl Code,
) -> Result<Vec<Applied>, Error> {
    let candidates = wanted(local, relocations, code);
    Types::Given(target).search(candidates, |candidates, sources| apply(local, relocations, sources, candidates, code))
}

/// Adapts instructions to the running kernel. Its BTF is read only if a relocation needs it, its modules' only if it
/// lacks a type by name; both are forgotten again.
///
/// # Errors
///
/// As for [`relocate`]; [`Error::Target`] also if the kernel has no BTF: it was built without
/// `CONFIG_DEBUG_INFO_BTF`, or is older than 5.4.
pub fn relocate_for_kernel(
    local: &Btf<'_>,
    relocations: &[Relocation<'_>],
    code: &mut impl Code,
) -> Result<Vec<Applied>, Error> {
    let candidates = wanted(local, relocations, code);
    Types::Running.search(candidates, |candidates, sources| apply(local, relocations, sources, candidates, code))
}

/// For a refused program: the relocation that left a poisoned instruction where the program can reach it. `sentence` is
/// what the verifier said, e.g. `invalid func unknown#195896081`; `applied` the whole list that relocation gave.
#[must_use]
pub fn unresolved<'a>(sentence: &str, applied: &'a [Applied]) -> Option<&'a Applied> {
    let (_, number) = sentence.split_once("unknown#")?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    let number = digits.parse::<i32>().ok()?.checked_sub(patch::POISON)?;
    let applied = applied.get(usize::try_from(number).ok()?)?;
    matches!(applied.outcome, Outcome::Poisoned { .. }).then_some(applied)
}

/// Returns whether a type of the kernel's is of the same shape as one of the program's, by the rules of
/// `bpf_core_type_exists`. `steps` is the allowance of all such questions of an object.
pub(crate) fn is_same_shape(
    local: (&Btf<'_>, u32),
    target: (&Btf<'_>, u32),
    steps: &mut Steps,
) -> Result<bool, String> {
    steps.add();
    let mut compatible = Compatible { local: local.0, target: target.0, steps };
    compatible.types(local.1, target.1).map_err(|stop| stop.to_string())
}

/// The types to look for: those that instructions to be loaded ask about.
pub(crate) fn wanted<'l>(local: &'l Btf<'_>, relocations: &[Relocation<'_>], code: &impl Code) -> Candidates<'l> {
    let asked = relocations.iter().filter(|relocation| {
        relocation.kind() != Some(RelocationKind::TypeIdLocal)
            && code.read(relocation.section, relocation.offset).is_some()
    });
    Candidates::wanted(local, asked.map(|relocation| relocation.type_id))
}

/// Applies all relocations, in the object's order.
pub(crate) fn apply(
    local: &Btf<'_>,
    relocations: &[Relocation<'_>],
    sources: Sources<'_, '_>,
    mut candidates: Candidates<'_>,
    code: &mut impl Code,
) -> Result<Vec<Applied>, Error> {
    let sources = match sources {
        Ok(sources) => sources,
        Err(_) if candidates.is_idle() => &[],
        Err(Absent(why)) => return Err(Error::Target { why }),
    };
    apply_with(local, relocations, sources, &mut candidates, code, &mut Known::of(relocations.len()))
}

fn apply_with(
    local: &Btf<'_>,
    relocations: &[Relocation<'_>],
    sources: &[Source<'_>],
    candidates: &mut Candidates<'_>,
    code: &mut impl Code,
    known: &mut Known,
) -> Result<Vec<Applied>, Error> {
    let mut applied = Vec::with_capacity(relocations.len());
    for relocation in relocations {
        let Some(first) = code.read(relocation.section, relocation.offset) else { continue };
        let next = relocation.offset.checked_add(8).and_then(|offset| code.read(relocation.section, offset));
        let mut one = One { local, sources, relocation, what: None };
        let ((first, second), done) =
            one.apply(candidates, known, (first, next), applied.len()).map_err(|why| one.error(why))?;
        code.write(relocation.section, relocation.offset, first);
        if let Some(second) = second {
            code.write(relocation.section, relocation.offset.saturating_add(8), second);
        }
        log::debug!("CO-RE, instruction {} of section `{}`: {done}", relocation.offset / 8, relocation.section);
        applied.push(done);
    }
    Ok(applied)
}

/// What is remembered from one relocation to the next, and what looking may still cost.
struct Known {
    /// The name of the last relocation's section, which most likely is the next one's as well.
    sections: Arc<str>,
    /// By type, access string and kind: an object asks the same in many of its instructions.
    answers: BTreeMap<(u32, u32, u32), Asked>,
    steps: Steps,
}

impl Known {
    fn of(relocations: usize) -> Self {
        Self { sections: Arc::from(""), answers: BTreeMap::new(), steps: Steps::of(relocations) }
    }

    fn section(&mut self, name: &str) -> Arc<str> {
        if *self.sections != *name {
            self.sections = Arc::from(name);
        }
        Arc::clone(&self.sections)
    }
}

/// What is asked by a type, an access string and a kind, and the answer.
#[derive(Clone)]
struct Asked {
    kind: RelocationKind,
    /// As C would write it.
    text: Arc<str>,
    /// What the program's own types say.
    ours: Value,
    answer: Answer,
    found: Option<Found>,
}

/// One relocation while it is being applied.
struct One<'r> {
    local: &'r Btf<'r>,
    sources: &'r [Source<'r>],
    relocation: &'r Relocation<'r>,
    /// What it is about, once that is known.
    what: Option<(RelocationKind, Arc<str>)>,
}

/// What the kernel's types say: a value and how a load or store of it changes, or why there is none.
type Answer = Result<(u64, Resize), Arc<str>>;

impl One<'_> {
    /// Gives the instruction as it is to be, and what was done to it. `number` is the place of that in the whole list.
    fn apply(
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
        let Asked { kind, text, ours, answer, found } = match known.answers.get(&key) {
            Some(asked) => asked.clone(),
            None => {
                let asked = self.look(candidates, &mut known.steps)?;
                known.answers.insert(key, asked.clone());
                asked
            }
        };
        self.what = Some((kind, Arc::clone(&text)));
        // Whoever prints all of them needs that much room.
        known.steps.write(text.len() + relocation.section.len()).map_err(|stop| stop.to_string())?;
        let section = known.section(relocation.section);
        let done = |pair, outcome| (pair, Applied { section, offset: relocation.offset, kind, local: text, outcome });
        let why = match answer {
            Err(why) => why,
            Ok((new, resize)) => {
                let expected = ours.certain.then_some(Expected { value: ours.value, low_half: ours.low_half });
                match patch::patch(first, next, Change { expected, new, resize })? {
                    Patched::Unfit(why) => why.into(),
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

    /// Finds out what is asked for the first time.
    fn look(&mut self, candidates: &mut Candidates<'_>, steps: &mut Steps) -> Result<Asked, String> {
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
            self.ask(kind, &local, ours, candidates, steps)?
        };
        Ok(Asked { kind, text, ours, answer, found })
    }

    /// Asks the kernel's types. All candidates on which the way exists must agree.
    fn ask(
        &self,
        kind: RelocationKind,
        local: &Spec<'_>,
        ours: Value,
        candidates: &mut Candidates<'_>,
        steps: &mut Steps,
    ) -> Result<(Answer, Option<Found>), String> {
        if self.local.ty(local.root).name_bytes().is_empty() {
            return Err("a type without a name cannot be looked for".to_owned());
        }
        let mut kept: Vec<Candidate> = Vec::new();
        let mut first: Option<(u64, Answer, Found)> = None;
        for &candidate in candidates.of(local.root) {
            steps.take_for(CANDIDATE).map_err(|stop| stop.to_string())?;
            let Some(source) = self.sources.get(candidate.source) else { continue };
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

    fn error(self, why: String) -> Error {
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

/// Bytes that are kept for each candidate that has what was asked for, and as much work besides.
const CANDIDATE: usize = 64;

/// How a load or store changes that was of one size in the program, and is of another in the kernel.
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

fn ambiguous(kept: &[Candidate], sources: &[Source<'_>]) -> String {
    let names = listed(&mut kept.iter().filter_map(|candidate| {
        let source = sources.get(candidate.source)?;
        Some(format!("type {} of {}", candidate.id, source.name))
    }));
    format!("the kernel has several types of that name, which give different answers: {names}")
}

#[cfg(test)]
mod tests;
