//! The insertions for the programs of one object, and the fallbacks if the verifier refuses them.
//!
//! The verifier may refuse a program with the insertions and accept it without: more instructions have more states, and
//! a saved register takes stack. So each program is tried with all insertions, then with fewer ([`ATTEMPTS`]), and at
//! last as it is. The reason of the first refusal is kept: the losses of the program are then unknown, or its lines not
//! measured.
//!
//! Programs may be loaded on several threads. So loading one changes nothing that a later program depends on: its
//! result is a [`Note`], and the caller passes the notes on in the order of the file.

use std::path::PathBuf;

use cutaway_sys::Instruction;

use super::{
    code,
    coverage::{Covering, Unmarked, directory},
    insertions::Insertions,
    losses::LossCounting,
};
use crate::{
    Coverage, Error, Losses, Map, Object, Program,
    elf::Start,
    link::Linked,
    object::ProgramSpec,
    program::{Shared, Warnings},
    resolve::Resolved,
    sys::bpf::BtfTarget,
    token::Tokens,
};

/// The insertions for the programs of one object.
#[derive(Debug)]
pub(crate) struct Instrumentation {
    losses: Option<LossCounting>,
    coverage: Option<Covering>,
    /// True to insert an instruction without effect before each one.
    no_ops: bool,
    /// The directory for a report of the coverage.
    directory: Option<PathBuf>,
}

/// The insertions of one attempt to load a program.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    losses: Counting,
    coverage: Marking,
}

/// The first attempt that the kernel refused.
#[derive(Debug)]
struct Refusal {
    attempt: Attempt,
    why: Error,
}

impl Refusal {
    /// Returns the reason why a program is loaded as in `loaded`, without the instructions that do `missing`.
    fn text(&self, program: &str, loaded: Attempt, missing: &str) -> String {
        let with = match (self.attempt.losses, self.attempt.coverage) {
            (_, Marking::None) => COUNT.to_owned(),
            (Counting::None, _) => MARK.to_owned(),
            _ => format!("{COUNT} and {MARK}"),
        };
        let without = match (loaded.losses, loaded.coverage) {
            (Counting::None, Marking::None) => "them".to_owned(),
            _ => format!("those that {missing}"),
        };
        match &self.why {
            Error::Verifier { sentence, at, .. } => {
                let at = at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
                format!(
                    "the verifier refuses `{program}` with the instructions that {with}: {sentence}{at}; it was loaded \
                     without {without}"
                )
            }
            why => format!(
                "`{program}` does not load with the instructions that {with}: {why}; it was loaded without {without}"
            ),
        }
    }
}

/// The purposes of the insertions, as reasons name them.
const COUNT: &str = "count losses";
const MARK: &str = "mark the code that runs";

/// How an attempt counts losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    None,
    /// By a jump after each call.
    Jump,
    /// Without jumps, where possible.
    Sum,
}

/// How an attempt marks blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marking {
    None,
    /// All blocks for which a register is free, or can be saved.
    All,
    /// The blocks for which a register is free.
    WithoutSaving,
}

/// The attempts, in order. Losses are worth more than coverage.
const ATTEMPTS: [Attempt; 7] = [
    Attempt { losses: Counting::Jump, coverage: Marking::All },
    Attempt { losses: Counting::Jump, coverage: Marking::WithoutSaving },
    Attempt { losses: Counting::Sum, coverage: Marking::WithoutSaving },
    Attempt { losses: Counting::Jump, coverage: Marking::None },
    Attempt { losses: Counting::Sum, coverage: Marking::None },
    Attempt { losses: Counting::None, coverage: Marking::All },
    Attempt { losses: Counting::None, coverage: Marking::WithoutSaving },
];

/// The last attempt: nothing is inserted.
const PLAIN: Attempt = Attempt { losses: Counting::None, coverage: Marking::None };

/// The insertions with which a program is loaded.
#[derive(Debug)]
pub(crate) struct Note {
    /// The program's functions, each with the index of its first instruction.
    functions: Vec<(Start, usize)>,
    /// Whether its losses are counted; the reason if not.
    losses: Result<(), String>,
    /// The blocks without a mark; the reason if no block is marked.
    coverage: Result<Unmarked, String>,
}

impl Note {
    fn new(name: &str, attempt: Attempt, linked: Linked, unmarked: Unmarked, refusal: Option<&Refusal>) -> Self {
        let why = |missing| refusal.map(|refusal| refusal.text(name, attempt, missing)).unwrap_or_default();
        Self {
            functions: linked.functions,
            losses: if attempt.losses == Counting::None { Err(why(COUNT)) } else { Ok(()) },
            coverage: if attempt.coverage == Marking::None { Err(why(MARK)) } else { Ok(unmarked) },
        }
    }
}

impl Instrumentation {
    /// Prepares the insertions that the object asks for. `created` returns a map by its index in the object.
    ///
    /// If the kernel refuses a map for the counts, the reason is kept, and the programs are loaded as they are.
    pub(crate) fn of<'m>(
        object: &Object,
        resolved: &Resolved,
        created: &dyn Fn(usize) -> Option<&'m Map>,
        tokens: &Tokens<'_>,
    ) -> Result<Self, Error> {
        let directory = directory().filter(|_| !object.instruments.no_ops);
        let losses = object.instruments.losses.then(|| LossCounting::of(object, resolved, created, tokens));
        Ok(Self {
            losses: losses.transpose()?,
            coverage: (object.instruments.coverage || directory.is_some()).then(|| Covering::of(object, tokens)),
            no_ops: object.instruments.no_ops,
            directory,
        })
    }

    /// Loads a program with the insertions, or with as many of them as the verifier accepts. Returns the program, and
    /// the note for [`note`](Self::note).
    ///
    /// # Errors
    ///
    /// As [`Program::load`], if the program is refused without insertions too.
    pub(crate) fn load(
        &self,
        spec: ProgramSpec,
        linked: Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
        warnings: &mut Warnings,
    ) -> Result<(Program, Option<Note>), Error> {
        if self.no_ops {
            return Ok((Program::load(spec, &with_no_ops(&linked)?, shared, replaced, warnings)?, None));
        }
        let name = spec.name.clone();
        let mut refusal: Option<Refusal> = None;
        let mut refused: Vec<Vec<Instruction>> = Vec::new();
        for attempt in self.attempts(&linked) {
            // Another thread may change the form meanwhile. This refusal is about the form that this attempt has had.
            let form = self.losses.as_ref().map(LossCounting::form);
            let mut loaded = self.load_once(attempt, &spec, &linked, shared, replaced, &mut refused);
            if let (Err(why), Counting::Jump, Some(losses), Some(form)) = (&loaded, attempt.losses, &self.losses, form)
                && losses.changes_form(form, &why.to_string())
            {
                loaded = self.load_once(attempt, &spec, &linked, shared, replaced, &mut refused);
            }
            match loaded {
                Ok(Some((program, unmarked))) => {
                    return Ok((program, Some(Note::new(&name, attempt, linked, unmarked, refusal.as_ref()))));
                }
                // The same program was refused before.
                Ok(None) => {}
                Err(why) => {
                    refusal.get_or_insert(Refusal { attempt, why });
                }
            }
        }
        let program = Program::load(spec, &linked, shared, replaced, warnings)?;
        Ok((program, Some(Note::new(&name, PLAIN, linked, Unmarked::default(), refusal.as_ref()))))
    }

    /// Makes one attempt. Returns the program and its blocks without a mark; `None` if the same instructions are among
    /// those that were refused.
    fn load_once(
        &self,
        attempt: Attempt,
        spec: &ProgramSpec,
        linked: &Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
        refused: &mut Vec<Vec<Instruction>>,
    ) -> Result<Option<(Program, Unmarked)>, Error> {
        let (changed, unmarked) = self.changed(attempt, linked)?;
        if refused.contains(&changed.instructions) {
            return Ok(None);
        }
        match Program::load_once(spec.clone(), &changed, shared, replaced) {
            Ok(program) => Ok(Some((program, unmarked))),
            Err(why) => {
                refused.push(changed.instructions);
                Err(why)
            }
        }
    }

    /// Returns the attempts for a program, in order.
    fn attempts(&self, linked: &Linked) -> impl Iterator<Item = Attempt> + use<> {
        let losses = self.losses.as_ref().is_some_and(|losses| losses.has_sites(linked));
        let coverage = self.coverage.as_ref().is_some_and(Covering::is_possible);
        let possible = move |attempt: &Attempt| {
            (losses || attempt.losses == Counting::None) && (coverage || attempt.coverage == Marking::None)
        };
        ATTEMPTS.into_iter().filter(possible)
    }

    /// Returns the program with the insertions of an attempt, and the blocks that got no mark.
    fn changed(&self, attempt: Attempt, linked: &Linked) -> Result<(Linked, Unmarked), Error> {
        let mut insertions = Insertions::default();
        if let Some(losses) = self.losses.as_ref().filter(|_| attempt.losses != Counting::None) {
            losses.insert(linked, attempt.losses == Counting::Sum, &mut insertions)?;
        }
        let mut unmarked = Unmarked::default();
        if let Some(coverage) = self.coverage.as_ref().filter(|_| attempt.coverage != Marking::None) {
            unmarked = coverage.insert(linked, attempt.coverage == Marking::All, &mut insertions)?;
        }
        Ok((insertions.apply(linked)?, unmarked))
    }

    /// Notes with which insertions a program is loaded.
    pub(crate) fn note(&mut self, note: &Note) {
        if let Some(losses) = &mut self.losses {
            losses.note(&note.functions, note.losses.as_ref().copied().map_err(String::as_str));
        }
        if let Some(coverage) = &mut self.coverage {
            coverage.note(&note.functions, note.coverage.as_ref().map_err(String::as_str));
        }
    }

    /// Ends loading: returns the counts of losses and the marks, if the object asked for them.
    pub(crate) fn finish(self) -> (Option<Losses>, Option<Coverage>) {
        let coverage = self.coverage.map(|coverage| coverage.finish(self.directory));
        (self.losses.map(LossCounting::finish), coverage)
    }
}

/// Returns the program with an instruction without effect before each one.
fn with_no_ops(linked: &Linked) -> Result<Linked, Error> {
    let mut insertions = Insertions::default();
    for (slot, _) in code::by_slot(&linked.instructions) {
        insertions.before(slot, [Instruction::new(code::JUMP, 0, 0, 0, 0)]);
    }
    insertions.apply(linked)
}

#[cfg(test)]
mod tests {
    use cutaway_sys::Errno;

    use super::*;

    fn verifier() -> Error {
        let (sentence, at) = ("too complex".to_owned(), Some("instruction 5".to_owned()));
        Error::Verifier { program: "p".to_owned(), sentence, at, errno: Errno::new(libc::E2BIG), log: String::new() }
    }

    /// The program runs, so the reason must not say that the verifier refuses it as it is.
    #[test]
    fn reason_names_what_was_inserted_and_what_was_not() {
        let [both, _, _, losses, _, coverage, _] = ATTEMPTS;
        let text = |attempt, loaded, missing| Refusal { attempt, why: verifier() }.text("p", loaded, missing);
        let with = |with: &str, without: &str| {
            format!(
                "the verifier refuses `p` with the instructions that {with}: too complex (instruction 5); it was loaded \
                 without {without}"
            )
        };
        assert_eq!(text(losses, PLAIN, COUNT), with("count losses", "them"));
        assert_eq!(text(coverage, PLAIN, MARK), with("mark the code that runs", "them"));
        let all = "count losses and mark the code that runs";
        assert_eq!(text(both, PLAIN, COUNT), with(all, "them"));
        assert_eq!(text(both, losses, MARK), with(all, "those that mark the code that runs"));
        assert_eq!(text(both, coverage, COUNT), with(all, "those that count losses"));
    }
}
