//! Reads the marks of blocks, and keeps which blocks have none.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
};

use log::warn;

use super::{
    super::{insertions::Insertions, map::CounterMap},
    blocks::Block,
    directory::leave,
    inference::inferred,
    marks::{FunctionMarks, Marks, Unmarked},
    report::{CoverageReport, FunctionRun, NotMeasured},
};
use crate::{Error, FunctionSpec, Object, elf::Start, link::Linked, token::Tokens};

/// Name of the map with the marks.
pub(in crate::instrument) const NAME: &str = "cutaway_cover";

/// The marking of blocks while an object is loaded.
#[derive(Debug)]
pub(in crate::instrument) struct Covering {
    marks: Marks,
    /// The map with one byte for each block, or the reason why there is none.
    map: Result<CounterMap, String>,
    /// The functions in the order of the object's table, with their source lines.
    functions: Vec<FunctionSpec>,
    /// The functions of the loaded programs, by their indices. Each has the reason why a program that contains it has
    /// no marks.
    loaded: BTreeMap<usize, Option<String>>,
    /// The blocks that a loaded program does not mark: function and block.
    unmarked: BTreeSet<(usize, usize)>,
}

impl Covering {
    /// Finds the blocks of all functions and creates the map for their marks.
    pub(in crate::instrument) fn of(object: &Object, tokens: &Tokens<'_>) -> Self {
        let marks = Marks::of(object);
        let map = CounterMap::create(NAME, marks.len().max(1), tokens).map_err(|error| error.to_string());
        Self { marks, map, functions: object.functions().collect(), loaded: BTreeMap::new(), unmarked: BTreeSet::new() }
    }

    /// Returns whether blocks can be marked.
    pub(in crate::instrument) fn is_possible(&self) -> bool {
        self.map.is_ok()
    }

    /// Inserts the marks into a program. Returns the blocks that get none.
    pub(in crate::instrument) fn insert(
        &self,
        linked: &Linked,
        saving: bool,
        into: &mut Insertions,
    ) -> Result<Unmarked, Error> {
        match &self.map {
            Ok(map) => self.marks.insert(linked, map.fd(), saving, into),
            Err(_) => Ok(Unmarked::default()),
        }
    }

    /// Notes that a program with these functions is loaded with marks, or without them for a reason.
    pub(in crate::instrument) fn note(&mut self, functions: &[(Start, usize)], marked: Result<&Unmarked, &str>) {
        let why = match (marked, &self.map) {
            (Ok(unmarked), _) => {
                self.unmarked.extend(unmarked.iter().copied());
                None
            }
            (Err(_), Err(why)) => Some(why.clone()),
            (Err(why), _) => Some(why.to_owned()),
        };
        for (function, _) in functions {
            let Some(index) = self.marks.position(*function) else { continue };
            let known = self.loaded.entry(index).or_default();
            *known = known.take().or_else(|| why.clone());
        }
    }

    /// Ends loading. A report is left in `directory`, if any, when the result is dropped.
    pub(in crate::instrument) fn finish(self, directory: Option<PathBuf>) -> Coverage {
        Coverage { covering: self, directory }
    }
}

/// The marks of the blocks that have run, of the programs of a [`Loaded`](crate::Loaded): see
/// [`Object::cover`].
///
/// A function that several programs contain has one set of marks: a line has run if it has run in one of them.
///
/// If the environment variable `CUTAWAY_COVERAGE` names a directory, every object is loaded as after
/// [`Object::cover`]. When this value is dropped, it then writes its report there, to a new file
/// `cutaway-PID-TIME-N.info` in lcov's format. Drop the links before, so that the report is complete. A process that
/// has more privileges than its caller (`AT_SECURE`) ignores the variable.
///
/// `Send` and `Sync`.
#[derive(Debug)]
pub struct Coverage {
    covering: Covering,
    /// Where to leave a report.
    directory: Option<PathBuf>,
}

impl Drop for Coverage {
    fn drop(&mut self) {
        let Some(directory) = &self.directory else { return };
        match self.report() {
            Ok(report) => leave(&report, directory),
            Err(why) => warn!("cannot read the coverage: {why}"),
        }
    }
}

/// Two reads of all marks, one after the other. A read takes time: it can have the mark of a block, and miss that of
/// an earlier block which was read before.
struct TwoReads {
    first: Vec<u8>,
    second: Vec<u8>,
}

impl TwoReads {
    /// Returns for each block of a function whether it ran; `None` if that is unknown. `offset` is that of the first
    /// block's mark.
    fn inferred(&self, blocks: &[Block], offset: usize, is_marked: impl Fn(usize) -> bool) -> Vec<Option<bool>> {
        let is_set = |read: &[u8], block: usize| read.get(offset + block).map(|mark| *mark != 0);
        // The second read has the marks of all blocks that ran before one with a mark in the first.
        let known = (0..blocks.len()).map(|block| match (is_set(&self.first, block)?, is_set(&self.second, block)?) {
            (true, _) => Some(true),
            (false, false) if is_marked(block) => Some(false),
            _ => None,
        });
        let inferred = inferred(blocks, &known.collect::<Vec<_>>());
        let ran = |block| is_set(&self.second, block).filter(|ran| *ran);
        (0..).zip(inferred).map(|(block, inferred)| ran(block).or(inferred)).collect()
    }
}

impl Coverage {
    /// Returns the source lines of the loaded programs, with those that have run until now.
    ///
    /// Programs may run meanwhile: the report has the marks of the moment of the call. A mark is never taken back. If
    /// a program is running, for example because it sleeps, the code that it will reach for certain counts as run.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the marks cannot be mapped.
    pub fn report(&self) -> Result<CoverageReport, Error> {
        let covering = &self.covering;
        let read = || covering.map.as_ref().map(|map| map.read_all(covering.marks.len())).ok().transpose();
        let marks = TwoReads { first: read()?.unwrap_or_default(), second: read()?.unwrap_or_default() };
        let mut functions = Vec::new();
        for (&index, uncovered) in &covering.loaded {
            let Some(spec) = covering.functions.get(index) else { continue };
            functions.push((spec, self.blocks(index, uncovered.is_some(), &marks)));
        }
        let mut report = CoverageReport::of(functions.iter().map(|(spec, blocks)| FunctionRun {
            name: &spec.name,
            lines: &spec.lines,
            instructions: &spec.instructions,
            blocks,
        }));
        report.add_not_measured(self.not_measured());
        Ok(report)
    }

    /// Returns the blocks of a function, and for each whether it ran; `None` if that is unknown.
    fn blocks(&self, function: usize, is_partial: bool, marks: &TwoReads) -> Vec<(Range<usize>, Option<bool>)> {
        let covering = &self.covering;
        let Some(FunctionMarks { blocks: Ok(blocks), first, .. }) = covering.marks.function(function) else {
            return Vec::new();
        };
        let is_marked = |block: usize| !is_partial && !covering.unmarked.contains(&(function, block));
        let ran = marks.inferred(blocks, *first, is_marked);
        blocks.iter().map(|block| block.start..block.end).zip(ran).collect()
    }

    /// Returns the functions that run without marks in at least one program, with the reason. The lines of these
    /// functions are not measured, unless a mark in another program shows that they have run.
    #[must_use]
    pub fn not_measured(&self) -> Vec<NotMeasured> {
        let covering = &self.covering;
        let loaded = covering.loaded.iter().filter_map(|(index, why)| {
            let marks = covering.marks.function(*index)?;
            let why = why.as_ref().or_else(|| marks.blocks.as_ref().err())?;
            let function = covering.functions.get(*index)?.name.clone();
            Some(NotMeasured::new(function, why.clone()))
        });
        loaded.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first block leads to one of two, and these to the last.
    #[test]
    fn marks_that_are_set_between_the_reads_prove_nothing_about_others() {
        let successors: [&[usize]; 4] = [&[1, 2], &[3], &[3], &[]];
        let block = |successors: &[usize]| Block {
            start: 0,
            end: 1,
            successors: successors.to_vec(),
            leaves: successors.is_empty(),
        };
        let blocks = successors.map(block);
        let inferred = |first: [u8; 4], second: [u8; 4]| {
            let reads = TwoReads { first: [&[9], &first[..]].concat(), second: [&[9], &second[..]].concat() };
            // Block 1 has no mark.
            reads.inferred(&blocks, 1, |block| block != 1)
        };
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(inferred([1, 0, 0, 1], [1, 0, 0, 1]), [yes, yes, no, yes]);
        // Block 2 ran after its mark was read, and before that of 3 was.
        assert_eq!(inferred([1, 0, 0, 1], [1, 0, 1, 1]), [yes, None, yes, yes]);
        // The same in the second read, in which the mark of 2 is missing.
        assert_eq!(inferred([1, 0, 0, 0], [1, 0, 0, 1]), [yes, None, no, yes]);
        assert_eq!(inferred([0; 4], [0; 4]), [no, no, no, no]);
        let unread = TwoReads { first: Vec::new(), second: Vec::new() };
        assert_eq!(unread.inferred(&blocks, 1, |_| true), [None; 4]);
    }
}
