//! Loads one program of an object after it was linked.
//!
//! Loading a program changes nothing that another one needs, so it may be done on any thread. The warnings and the note
//! about the inserted instructions are results. The caller passes them on in the order of the file.

#[cfg(feature = "instrument")]
use crate::instrument::{Instrumentation, Note};
use crate::{
    Error, Program, ProgramSpec,
    link::Linked,
    program::{Shared, Warnings},
    sys::bpf::BtfTarget,
};

/// The data for loading any program of the object.
pub(super) struct Common<'a> {
    pub(super) shared: Shared<'a>,
    #[cfg(feature = "instrument")]
    pub(super) instrumentation: Instrumentation,
}

/// A program that is loaded, and the note about its instructions.
#[cfg(feature = "instrument")]
pub(super) type Accepted = (Program, Option<Note>);
#[cfg(not(feature = "instrument"))]
pub(super) type Accepted = Program;

impl Common<'_> {
    /// Loads a linked program. `replaced` is the function of another program that it replaces, if any.
    pub(super) fn load(
        &self,
        spec: ProgramSpec,
        linked: Linked,
        replaced: Option<BtfTarget<'_>>,
        warnings: &mut Warnings,
    ) -> Result<Accepted, Error> {
        #[cfg(feature = "instrument")]
        return self.instrumentation.load(spec, linked, &self.shared, replaced, warnings);
        #[cfg(not(feature = "instrument"))]
        Program::load(spec, &linked, &self.shared, replaced, warnings)
    }

    /// Notes the insertions, and returns the program. Call it in the order of the file.
    #[cfg(feature = "instrument")]
    pub(super) fn settle(&mut self, (program, note): Accepted) -> Program {
        note.iter().for_each(|note| self.instrumentation.note(note));
        program
    }
}
