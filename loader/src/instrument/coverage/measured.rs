//! Reads the marks of blocks, and keeps which blocks have none.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
};

use log::warn;

use super::{
    super::{insertions::Insertions, map::CounterMap},
    directory::leave,
    inference::inferred,
    marks::{FunctionMarks, Marks, Unmarked},
    report::{CoverageReport, FunctionRun},
};
use crate::{Error, FunctionSpec, Object, link::Linked, sorted::Sorted};

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
    /// The indices of the functions.
    indices: Sorted<crate::elf::Start, usize>,
}

impl Covering {
    /// Finds the blocks of all functions and creates the map for their marks.
    pub(in crate::instrument) fn of(object: &Object) -> Self {
        let marks = Marks::of(object);
        let map = CounterMap::create(NAME, marks.len().max(1)).map_err(|error| error.to_string());
        let indices = object.function_table().iter().enumerate().map(|(index, (start, _))| (*start, index));
        Self {
            marks,
            map,
            functions: object.functions().collect(),
            loaded: BTreeMap::new(),
            unmarked: BTreeSet::new(),
            indices: Sorted::of(indices),
        }
    }

    /// Returns whether blocks can be marked.
    pub(in crate::instrument) fn is_possible(&self) -> bool {
        self.map.is_ok()
    }

    /// Inserts the marks into a program. Returns the blocks that get none.
    pub(in crate::instrument) fn insert(&self, linked: &Linked, into: &mut Insertions) -> Result<Unmarked, Error> {
        match &self.map {
            Ok(map) => self.marks.insert(linked, map.fd(), into),
            Err(_) => Ok(Unmarked::default()),
        }
    }

    /// Notes that a program is loaded with marks, or without them for a reason.
    pub(in crate::instrument) fn note(&mut self, linked: &Linked, marked: Result<&Unmarked, &str>) {
        let why = match (marked, &self.map) {
            (Ok(unmarked), _) => {
                self.unmarked.extend(unmarked.iter().copied());
                None
            }
            (Err(_), Err(why)) => Some(why.clone()),
            (Err(why), _) => Some(why.to_owned()),
        };
        for (function, _) in &linked.functions {
            let Some(&index) = self.indices.get(function) else { continue };
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
/// [`Object::cover`]. When this value is dropped, it then writes its report there, to a new file `cutaway-PID-N.info` in
/// lcov's format. Drop the links before, so that the report is complete. A process that has more privileges than its
/// caller (`AT_SECURE`) ignores the variable.
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

/// A function that runs without marks: an element of [`Coverage::not_measured`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotMeasured {
    /// The function's name.
    pub function: String,
    /// The reason, for example the verifier's.
    pub why: String,
}

impl Coverage {
    /// Returns the source lines of the loaded programs, with those that have run until now.
    ///
    /// Programs may run meanwhile: the report has the marks of the moment of the call. A mark is never taken back.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the marks cannot be mapped.
    pub fn report(&self) -> Result<CoverageReport, Error> {
        let covering = &self.covering;
        let bytes = covering.map.as_ref().map(|map| map.read_all(covering.marks.len())).ok().transpose()?;
        let mut functions = Vec::new();
        for (&index, uncovered) in &covering.loaded {
            let Some(spec) = covering.functions.get(index) else { continue };
            functions.push((spec, self.blocks(index, uncovered.is_some(), bytes.as_deref().unwrap_or_default())));
        }
        Ok(CoverageReport::of(functions.iter().map(|(spec, blocks)| FunctionRun {
            name: &spec.name,
            lines: &spec.lines,
            instructions: &spec.instructions,
            blocks,
        })))
    }

    /// Returns the blocks of a function, and for each whether it ran; `None` if that is unknown.
    fn blocks(&self, function: usize, is_partial: bool, bytes: &[u8]) -> Vec<(Range<usize>, Option<bool>)> {
        let covering = &self.covering;
        let Some(FunctionMarks { blocks: Ok(blocks), first, .. }) = covering.marks.functions().nth(function) else {
            return Vec::new();
        };
        let ran = blocks.iter().enumerate().map(|(index, _)| match bytes.get(first + index).copied() {
            Some(0) if is_partial || covering.unmarked.contains(&(function, index)) => None,
            Some(mark) => Some(mark != 0),
            None => None,
        });
        let ran = inferred(blocks, &ran.collect::<Vec<_>>());
        blocks.iter().map(|block| block.start..block.end).zip(ran).collect()
    }

    /// Returns the functions that run without marks in at least one program, with the reason. The lines of these
    /// functions are not measured, unless a mark in another program shows that they have run.
    #[must_use]
    pub fn not_measured(&self) -> Vec<NotMeasured> {
        let covering = &self.covering;
        let loaded = covering.loaded.iter().filter_map(|(index, why)| {
            let marks = covering.marks.functions().nth(*index)?;
            let why = why.as_ref().or_else(|| marks.blocks.as_ref().err())?;
            let function = covering.functions.get(*index)?.name.clone();
            Some(NotMeasured { function, why: why.clone() })
        });
        loaded.collect()
    }
}
