//! Loads the programs of an object: each is linked, and passed to the verifier.
//!
//! The queue gives the programs out in the order of the file. Linking is part of giving out, so at most one linked
//! program for each thread is in memory. Loading a program changes nothing that another one needs: notes and warnings
//! are part of the [`Outcome`], and the caller passes them on in the order of the file.

use super::{options::LoadOptions, plan::Plan};
#[cfg(feature = "struct-ops")]
use crate::elf::Start;
#[cfg(feature = "instrument")]
use crate::instrument::{Instrumentation, Note};
use crate::{
    Error, Program, ProgramSpec,
    link::{Linked, ObjectLinker},
    program::{Shared, Warnings, choose_attach_method},
    sys::bpf::BtfTarget,
};

/// The data for loading any program of the object.
pub(super) struct Common<'a> {
    pub(super) shared: Shared<'a>,
    #[cfg(feature = "instrument")]
    pub(super) instrumentation: Instrumentation,
}

/// The programs that are to be loaded, and the outcomes of those that other threads have loaded.
pub(super) struct Queue<'a> {
    /// The programs that are not given out yet, in the order of the file, with those that are not loaded.
    specs: std::vec::IntoIter<ProgramSpec>,
    plan: &'a Plan,
    linker: ObjectLinker<'a>,
    options: &'a LoadOptions<'a>,
    /// True to give out no program after one that failed.
    #[cfg(feature = "parallel")]
    stops: bool,
    /// The number of programs that were given out.
    #[cfg(feature = "parallel")]
    taken: usize,
    /// The last one first.
    #[cfg(feature = "parallel")]
    done: Vec<Outcome>,
}

/// A program to load.
pub(super) struct Job<'a> {
    /// The program's position in the queue.
    #[cfg(feature = "parallel")]
    index: usize,
    spec: ProgramSpec,
    /// The program, and the function that it replaces; or why it cannot be linked.
    linked: Result<(Linked, Option<BtfTarget<'a>>), Error>,
}

/// The outcome of loading one program.
pub(super) struct Outcome {
    /// The program's position in the queue.
    #[cfg(feature = "parallel")]
    index: usize,
    /// The function's name in the source.
    pub(super) name: String,
    pub(super) section_name: String,
    #[cfg(feature = "struct-ops")]
    pub(super) entry: Start,
    #[cfg(feature = "parallel")]
    warnings: Warnings,
    loaded: Result<Accepted, Error>,
}

/// A program that is loaded, and the note about its instructions.
#[cfg(feature = "instrument")]
type Accepted = (Program, Option<Note>);
#[cfg(not(feature = "instrument"))]
type Accepted = Program;

impl<'a> Queue<'a> {
    /// Returns a queue of those of these programs that the plan loads.
    pub(super) fn new(
        specs: Vec<ProgramSpec>,
        plan: &'a Plan,
        linker: ObjectLinker<'a>,
        options: &'a LoadOptions<'a>,
    ) -> Self {
        Self {
            specs: specs.into_iter(),
            plan,
            linker,
            options,
            #[cfg(feature = "parallel")]
            stops: false,
            #[cfg(feature = "parallel")]
            taken: 0,
            #[cfg(feature = "parallel")]
            done: Vec::new(),
        }
    }

    /// Links the next program and gives it out.
    pub(super) fn next(&mut self) -> Option<Job<'a>> {
        let plan = self.plan;
        let mut spec = self.specs.find(|program| plan.has(program))?;
        choose_attach_method(&mut spec);
        let linked = self.options.target(&mut spec).and_then(|replaced| Ok((self.linker.link(&spec)?, replaced)));
        #[cfg(feature = "parallel")]
        {
            self.taken += 1;
        }
        Some(Job {
            #[cfg(feature = "parallel")]
            index: self.taken,
            spec,
            linked,
        })
    }

    /// Returns the next outcome in the order of the file: of a program that is loaded already, or else of the next one,
    /// which this call loads.
    pub(super) fn outcome(&mut self, common: &Common<'_>) -> Option<Outcome> {
        #[cfg(feature = "parallel")]
        if let Some(done) = self.done.pop() {
            return Some(done);
        }
        self.next().map(|job| job.load(common))
    }
}

#[cfg(feature = "parallel")]
impl<'a> Queue<'a> {
    /// Makes the queue end at the first program that fails.
    pub(super) fn stop_at_errors(&mut self) {
        self.stops = true;
    }

    /// Returns the programs that are not given out yet.
    pub(super) fn left(&self) -> impl Iterator<Item = &ProgramSpec> {
        self.specs.as_slice().iter().filter(|program| self.plan.has(program))
    }

    /// Takes the outcome of a program that was given out.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        if self.stops && outcome.loaded.is_err() {
            self.stop();
        }
        let at = self.done.partition_point(|known| known.index > outcome.index);
        self.done.insert(at, outcome);
    }

    /// Gives out no further program.
    pub(super) fn stop(&mut self) {
        self.specs = Vec::new().into_iter();
    }
}

impl Job<'_> {
    /// Loads the program.
    pub(super) fn load(self, common: &Common<'_>) -> Outcome {
        let spec = self.spec;
        let (name, section_name) = (spec.name.clone(), spec.section_name.clone());
        #[cfg(feature = "struct-ops")]
        let entry = spec.entry;
        let mut warnings = Warnings::default();
        let loaded = self.linked.and_then(|(linked, replaced)| {
            #[cfg(feature = "instrument")]
            return common.instrumentation.load(spec, linked, &common.shared, replaced, &mut warnings);
            #[cfg(not(feature = "instrument"))]
            Program::load(spec, &linked, &common.shared, replaced, &mut warnings)
        });
        Outcome {
            #[cfg(feature = "parallel")]
            index: self.index,
            name,
            section_name,
            #[cfg(feature = "struct-ops")]
            entry,
            #[cfg(feature = "parallel")]
            warnings,
            loaded,
        }
    }
}

impl Outcome {
    /// Logs the warnings, notes the insertions, and returns the program. Call it in the order of the file.
    pub(super) fn settle(self, common: &mut Common<'_>) -> Result<Program, Error> {
        #[cfg(feature = "parallel")]
        self.warnings.log();
        #[cfg(feature = "instrument")]
        return self.loaded.map(|(program, note)| {
            note.iter().for_each(|note| common.instrumentation.note(note));
            program
        });
        #[cfg(not(feature = "instrument"))]
        {
            let _ = common;
            self.loaded
        }
    }
}
