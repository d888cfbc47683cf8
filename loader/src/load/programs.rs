//! Loads the programs of an object: each is linked, and passed to the verifier.
//!
//! The queue gives the programs out in the order of the file. Linking is part of giving out, so at most one linked
//! program for each thread is in memory. Loading a program changes nothing that another one needs: notes and warnings
//! are part of the [`Outcome`], and the caller passes them on in the order of the file.

use log::warn;

use super::options::LoadOptions;
#[cfg(feature = "struct-ops")]
use crate::elf::Start;
#[cfg(feature = "instrument")]
use crate::instrument::{Instrumentation, Note};
use crate::{
    Error, Program, ProgramSpec,
    link::{Linked, ObjectLinker},
    program::Shared,
    sys::bpf::BtfTarget,
};

/// The data for loading any program of the object.
pub(super) struct Common<'a> {
    pub(super) shared: Shared<'a>,
    #[cfg(feature = "instrument")]
    pub(super) instrumentation: Instrumentation,
}

/// The programs that are to be loaded, and the outcomes of those that were.
pub(super) struct Queue<'a> {
    /// The programs that are not given out yet, in the order of the file.
    specs: std::vec::IntoIter<ProgramSpec>,
    linker: ObjectLinker<'a>,
    options: &'a LoadOptions<'a>,
    /// True to give out no program after one that failed.
    stops: bool,
    /// The number of programs that were given out.
    taken: usize,
    done: Vec<Outcome>,
}

/// A program to load.
pub(super) struct Job<'a> {
    index: usize,
    spec: ProgramSpec,
    /// The program, and the function that it replaces; or why it cannot be linked.
    linked: Result<(Linked, Option<BtfTarget<'a>>), Error>,
}

/// The outcome of loading one program.
pub(super) struct Outcome {
    /// The program's position in the queue.
    index: usize,
    /// The function's name in the source.
    pub(super) name: String,
    pub(super) section_name: String,
    #[cfg(feature = "struct-ops")]
    pub(super) entry: Start,
    /// The messages for the log.
    warnings: Vec<String>,
    loaded: Result<Accepted, Error>,
}

/// A program that is loaded, and the note about its instructions.
#[cfg(feature = "instrument")]
type Accepted = (Program, Option<Note>);
#[cfg(not(feature = "instrument"))]
type Accepted = Program;

impl<'a> Queue<'a> {
    /// Returns a queue of these programs. With `stops`, it ends at the first program that fails.
    pub(super) fn new(
        specs: Vec<ProgramSpec>,
        linker: ObjectLinker<'a>,
        options: &'a LoadOptions<'a>,
        stops: bool,
    ) -> Self {
        Self { specs: specs.into_iter(), linker, options, stops, taken: 0, done: Vec::new() }
    }

    /// Returns the number of programs that are not given out yet.
    #[cfg(feature = "parallel")]
    pub(super) fn left(&self) -> usize {
        self.specs.len()
    }

    /// Links the next program and gives it out.
    pub(super) fn next(&mut self) -> Option<Job<'a>> {
        let mut spec = self.specs.next()?;
        let index = self.taken;
        self.taken += 1;
        let linked = self.options.target(&mut spec).and_then(|replaced| Ok((self.linker.link(&spec)?, replaced)));
        Some(Job { index, spec, linked })
    }

    /// Takes the outcome of a program that was given out.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        if self.stops && outcome.loaded.is_err() {
            self.stop();
        }
        // On one thread, the outcomes come in the order of the file.
        let at = match cfg!(feature = "parallel") {
            true => self.done.partition_point(|known| known.index < outcome.index),
            false => self.done.len(),
        };
        self.done.insert(at, outcome);
    }

    /// Gives out no further program.
    pub(super) fn stop(&mut self) {
        self.specs = Vec::new().into_iter();
    }

    /// Returns the outcomes in the order of the file. If the queue was stopped, all programs before the first failed one
    /// are among them.
    pub(super) fn into_outcomes(self) -> Vec<Outcome> {
        self.done
    }

    /// Loads all programs on this thread.
    pub(super) fn load(mut self, common: &Common<'_>) -> Vec<Outcome> {
        while let Some(job) = self.next() {
            let outcome = job.load(common);
            self.finish(outcome);
        }
        self.into_outcomes()
    }
}

impl Job<'_> {
    /// Loads the program.
    pub(super) fn load(self, common: &Common<'_>) -> Outcome {
        let Self { index, spec, linked } = self;
        let (name, section_name) = (spec.name.clone(), spec.section_name.clone());
        #[cfg(feature = "struct-ops")]
        let entry = spec.entry;
        let mut warnings = Vec::new();
        let loaded = linked.and_then(|(linked, replaced)| {
            #[cfg(feature = "instrument")]
            return common.instrumentation.load(spec, linked, &common.shared, replaced, &mut warnings);
            #[cfg(not(feature = "instrument"))]
            Program::load(spec, &linked, &common.shared, replaced, &mut warnings)
        });
        Outcome {
            index,
            name,
            section_name,
            #[cfg(feature = "struct-ops")]
            entry,
            warnings,
            loaded,
        }
    }
}

impl Outcome {
    /// Logs the warnings, notes the insertions, and returns the program. Call it in the order of the file.
    pub(super) fn settle(self, common: &mut Common<'_>) -> Result<Program, Error> {
        for warning in self.warnings {
            warn!("{warning}");
        }
        #[cfg(feature = "instrument")]
        return self.loaded.map(|(program, note)| {
            note.iter().for_each(|note| common.instrumentation.note(note));
            program
        });
        #[cfg(not(feature = "instrument"))]
        self.loaded
    }
}
