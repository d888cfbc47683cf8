//! [`Assembler`]: the list of instructions, and labels.

use std::panic::Location;

use cutaway_sys::Instruction;

use super::statement::{Reference, Statement};
use crate::{
    error::{At, Error},
    handle::{Label, Owner},
};

/// Builds one function, instruction by instruction. See the [module's documentation](super).
#[derive(Debug)]
#[must_use = "an assembler does nothing unless it is added to an object or finished"]
pub struct Assembler {
    pub(super) owner: Owner,
    pub(super) statements: Vec<Statement>,
    pub(super) labels: Vec<LabelState>,
    /// The first error, kept until [`Assembler::finish`] returns it.
    pub(super) fault: Option<Error>,
}

/// The assembler's record of a label.
#[derive(Debug)]
pub(super) struct LabelState {
    pub(super) name: &'static str,
    pub(super) created: At,
    /// The index of the statement that the label precedes, and the Rust line that bound it.
    pub(super) bound: Option<(usize, At)>,
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}

impl Assembler {
    /// Creates an assembler of an empty function.
    pub fn new() -> Self {
        Self { owner: Owner::new(), statements: Vec::new(), labels: Vec::new(), fault: None }
    }

    /// Creates a label. Its name is for listings and errors; it need not be unique.
    #[track_caller]
    pub fn label(&mut self, name: &'static str) -> Label {
        self.labels.push(LabelState { name, created: Location::caller(), bound: None });
        Label { owner: self.owner, index: self.labels.len() - 1, name }
    }

    /// Binds `label` to the next instruction.
    #[track_caller]
    pub fn bind(&mut self, label: Label) {
        let at = Location::caller();
        let here = self.statements.len();
        let own = label.owner == self.owner;
        let fault = match self.labels.get_mut(label.index).filter(|_| own) {
            None => Error::ForeignLabel { label: label.name, at },
            Some(state) => match state.bound {
                None => return state.bound = Some((here, at)),
                Some((_, first)) => Error::LabelBoundTwice { label: state.name, first, second: at },
            },
        };
        self.fault.get_or_insert(fault);
    }

    #[track_caller]
    pub(super) fn push(&mut self, instruction: Instruction) {
        self.push_reference(instruction, None);
    }

    #[track_caller]
    pub(super) fn push_reference(&mut self, instruction: Instruction, reference: Option<Reference>) {
        self.statements.push(Statement { instruction, second: None, reference, at: Location::caller() });
    }
}
