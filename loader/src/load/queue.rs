//! The programs of an object as a queue for several threads.
//!
//! The queue gives the programs out in the order of the file. Linking is part of giving out, so at most one linked
//! program for each thread is in memory.

use super::{
    helpers::Jobs,
    options::LoadOptions,
    plan::Plan,
    programs::{Accepted, Common},
};
use crate::{
    Error, ProgramSpec,
    elf::Start,
    link::{Linked, ObjectLinker},
    program::{Warnings, choose_attach_method},
    sorted::sort,
    sys::bpf::BtfTarget,
    token::Tokens,
};

/// The programs that are to be loaded, and the outcomes of those that other threads have loaded.
pub(super) struct Queue<'a> {
    /// The programs that are not given out yet, in the order of the file, with those that are not loaded.
    specs: std::vec::IntoIter<ProgramSpec>,
    plan: &'a Plan,
    linker: ObjectLinker<'a>,
    options: &'a LoadOptions<'a>,
    tokens: &'a Tokens<'a>,
    /// True to give out no program after one that failed.
    stops: bool,
    /// The number of programs that were given out.
    taken: usize,
    /// After [`sort`](Self::sort) the last one first.
    done: Vec<Outcome>,
}

/// A program to load.
pub(super) struct Job<'a> {
    /// The program's position in the queue.
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
    pub(super) entry: Start,
    warnings: Warnings,
    pub(super) loaded: Result<Accepted, Error>,
}

impl<'a> Queue<'a> {
    /// Returns a queue of those of these programs that the plan loads.
    pub(super) fn new(
        specs: Vec<ProgramSpec>,
        plan: &'a Plan,
        linker: ObjectLinker<'a>,
        options: &'a LoadOptions<'a>,
        tokens: &'a Tokens<'a>,
    ) -> Self {
        Self { specs: specs.into_iter(), plan, linker, options, tokens, stops: false, taken: 0, done: Vec::new() }
    }

    /// Returns the next outcome in the order of the file: of a program that is loaded already, or else of the next one,
    /// which this call loads.
    pub(super) fn outcome(&mut self, common: &Common<'_>) -> Option<Outcome> {
        if let Some(done) = self.done.pop() {
            return Some(done);
        }
        self.next().map(|job| job.load(common))
    }

    /// Makes the queue end at the first program that fails.
    pub(super) fn stop_at_errors(&mut self) {
        self.stops = true;
    }

    /// Returns the programs that are not given out yet.
    pub(super) fn programs(&self) -> impl Iterator<Item = &ProgramSpec> {
        self.specs.as_slice().iter().filter(|program| self.plan.has(program))
    }

    /// Brings the outcomes into the order of the file, after the last of them.
    pub(super) fn sort(&mut self) {
        sort(&mut self.done, |one, other| other.index.cmp(&one.index));
    }
}

impl<'a> Jobs for Queue<'a> {
    type Job = Job<'a>;
    type Outcome = Outcome;

    /// Links the next program and gives it out.
    fn next(&mut self) -> Option<Job<'a>> {
        let plan = self.plan;
        let mut spec = self.specs.find(|program| plan.has(program))?;
        choose_attach_method(&mut spec, self.tokens);
        let linked = self.options.target(&mut spec).and_then(|replaced| Ok((self.linker.link(&spec)?, replaced)));
        self.taken += 1;
        Some(Job { index: self.taken, spec, linked })
    }

    fn finish(&mut self, outcome: Outcome) {
        if self.stops && outcome.loaded.is_err() {
            self.stop();
        }
        self.done.push(outcome);
    }

    fn stop(&mut self) {
        self.specs = Vec::new().into_iter();
    }

    fn left(&self) -> usize {
        self.programs().count()
    }
}

impl Job<'_> {
    /// Loads the program.
    pub(super) fn load(self, common: &Common<'_>) -> Outcome {
        let spec = self.spec;
        let (name, section_name) = (spec.name.clone(), spec.section_name.clone());
        let entry = spec.entry;
        let mut warnings = Warnings::default();
        let loaded = self.linked.and_then(|(linked, replaced)| common.load(spec, linked, replaced, &mut warnings));
        Outcome { index: self.index, name, section_name, entry, warnings, loaded }
    }
}

impl Outcome {
    /// Logs the warnings. Call it in the order of the file.
    pub(super) fn log(&self) {
        self.warnings.log();
    }
}
