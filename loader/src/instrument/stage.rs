//! The insertions for the programs of one object, and the fallbacks if the verifier refuses them.
//!
//! The verifier may refuse a program with the insertions and accept it without: more instructions have more states,
//! and a saved register takes stack. So each program is tried with all insertions, then with those for losses, then
//! with those for coverage, and at last as it is. The reason of the first refusal is kept: the losses of the program
//! are then unknown, or its lines not measured.

use std::path::PathBuf;

use cutaway_sys::Instruction;

use super::{
    code,
    coverage::{Covering, Unmarked, directory},
    insertions::Insertions,
    losses::LossCounting,
};
use crate::{
    Coverage, Error, Losses, Map, Object, Program, link::Linked, object::ProgramSpec, program::Shared,
    resolve::Resolved, sys::bpf::BtfTarget,
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
    losses: bool,
    coverage: bool,
}

impl Instrumentation {
    /// Prepares the insertions that the object asks for. `created` returns a map by its index in the object.
    ///
    /// If the kernel refuses a map for the counts, the reason is kept, and the programs are loaded as they are.
    pub(crate) fn of<'m>(
        object: &Object,
        resolved: &Resolved,
        created: &dyn Fn(usize) -> Option<&'m Map>,
    ) -> Result<Self, Error> {
        let directory = directory().filter(|_| !object.instruments.no_ops);
        let losses = object.instruments.losses.then(|| LossCounting::of(object, resolved, created));
        Ok(Self {
            losses: losses.transpose()?,
            coverage: (object.instruments.coverage || directory.is_some()).then(|| Covering::of(object)),
            no_ops: object.instruments.no_ops,
            directory,
        })
    }

    /// Loads a program with the insertions, or with as many of them as the verifier accepts.
    ///
    /// # Errors
    ///
    /// As [`Program::load`], if the program is refused without insertions too.
    pub(crate) fn load(
        &mut self,
        spec: ProgramSpec,
        linked: &Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
    ) -> Result<Program, Error> {
        if self.no_ops {
            return Program::load(spec, &with_no_ops(linked)?, shared, replaced);
        }
        let mut refusal = None;
        for attempt in self.attempts(linked) {
            let load = |this: &Self| {
                let (changed, unmarked) = this.changed(attempt, linked)?;
                Ok((Program::load_once(spec.clone(), &changed, shared, replaced)?, unmarked))
            };
            let mut loaded: Result<_, Error> = load(self);
            if let (Err(why), true, Some(losses)) = (&loaded, attempt.losses, &mut self.losses)
                && losses.changes_form(&why.to_string())
            {
                loaded = load(self);
            }
            match loaded {
                Ok((program, unmarked)) => {
                    self.note(attempt, linked, &unmarked, refusal.as_deref());
                    return Ok(program);
                }
                Err(why) => {
                    refusal.get_or_insert(why.to_string());
                }
            }
        }
        let program = Program::load(spec, linked, shared, replaced)?;
        self.note(Attempt { losses: false, coverage: false }, linked, &Unmarked::default(), refusal.as_deref());
        Ok(program)
    }

    /// Returns the combinations of insertions to try, in order.
    fn attempts(&self, linked: &Linked) -> impl Iterator<Item = Attempt> + use<> {
        let losses = self.losses.as_ref().is_some_and(|losses| losses.has_sites(linked));
        let coverage = self.coverage.as_ref().is_some_and(Covering::is_possible);
        let all = [(true, true), (true, false), (false, true)];
        let all = all.map(|(losses, coverage)| Attempt { losses, coverage });
        let possible = move |attempt: &Attempt| (attempt.losses <= losses) && (attempt.coverage <= coverage);
        all.into_iter().filter(possible)
    }

    /// Returns the program with the insertions of an attempt, and the blocks that got no mark.
    fn changed(&self, attempt: Attempt, linked: &Linked) -> Result<(Linked, Unmarked), Error> {
        let mut insertions = Insertions::default();
        if let Some(losses) = self.losses.as_ref().filter(|_| attempt.losses) {
            losses.insert(linked, &mut insertions)?;
        }
        let mut unmarked = Unmarked::default();
        if let Some(coverage) = self.coverage.as_ref().filter(|_| attempt.coverage) {
            unmarked = coverage.insert(linked, &mut insertions)?;
        }
        Ok((insertions.apply(linked)?, unmarked))
    }

    /// Notes with which insertions a program is loaded.
    fn note(&mut self, attempt: Attempt, linked: &Linked, unmarked: &Unmarked, refusal: Option<&str>) {
        let refusal = refusal.unwrap_or_default();
        if let Some(losses) = &mut self.losses {
            losses.note(linked, if attempt.losses { Ok(()) } else { Err(refusal) });
        }
        if let Some(coverage) = &mut self.coverage {
            coverage.note(linked, if attempt.coverage { Ok(unmarked) } else { Err(refusal) });
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
