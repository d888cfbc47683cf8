//! The assembler: verbs that append one instruction each, and labels.
//!
//! ```
//! use cutaway_programs::prelude::*;
//!
//! // How many bytes until the first zero? At most 16.
//! let mut asm = Assembler::new();
//! let (next, done) = (asm.label("next"), asm.label("done"));
//! asm.mov(R0, 0);
//! asm.bind(next);
//! asm.load(B, R2, R1, 0);
//! asm.jump_if(Eq, R2, 0, done);
//! asm.add(R1, 1);
//! asm.add(R0, 1);
//! asm.jump_if(Lt, R0, 16, next);
//! asm.bind(done);
//! asm.exit();
//!
//! let code = asm.finish()?;
//! assert_eq!(code.texts().nth(2).unwrap().to_string(), "if r2 == 0 goto +3");
//! # Ok::<(), cutaway_programs::Error>(())
//! ```
//!
//! The destination comes first, as in LLVM's text, and what an instruction cannot express does not compile: writing
//! [`R10`](crate::R10), mixing a whole register with half of one, sign-extending eight bytes. What can only be known at the
//! end, such as where a label is, is checked by [`Assembler::finish`]. Every verb notes the Rust line that called it: errors
//! name it, and so does the kernel's verifier when it explains a rejected program.
//!
//! The verbs have a file for each family: arithmetic, jumps, memory, atomics.

mod arithmetic;
mod atomic;
mod code;
mod jump;
mod memory;

use std::panic::Location;

pub use code::Code;
pub(crate) use code::Statement;
pub use jump::Condition;

use cutaway_sys::Instruction;

use crate::{
    error::{At, Error},
    handle::{FunctionRef, Label, MapRef, Owner, VariableRef},
};

/// Builds one function, instruction by instruction. See the [module's documentation](self).
#[derive(Debug)]
#[must_use = "an assembler that is not given to an object, nor finished, does nothing"]
pub struct Assembler {
    owner: Owner,
    statements: Vec<Statement>,
    labels: Vec<LabelState>,
    /// The first thing that went wrong, kept until the end.
    fault: Option<Error>,
}

/// A label as the assembler keeps it.
#[derive(Debug)]
struct LabelState {
    name: &'static str,
    created: At,
    /// Where it is: in front of which statement, and the Rust line that said so.
    bound: Option<(usize, At)>,
}

/// What an instruction refers to and can only be filled in when that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A jump whose distance is the 16-bit offset.
    Jump(Label),
    /// A jump whose distance is the 32-bit immediate.
    LongJump(Label),
    /// The map itself.
    Map(MapRef),
    /// The address of a variable.
    Variable(VariableRef),
    /// A call of a function.
    Call(FunctionRef),
    /// The address of a function.
    Function(FunctionRef),
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}

impl Assembler {
    /// An assembler of an empty function.
    pub fn new() -> Self {
        Self { owner: Owner::new(), statements: Vec::new(), labels: Vec::new(), fault: None }
    }

    /// Makes a label. Its name is for listings and errors; it need not be unique.
    #[track_caller]
    pub fn label(&mut self, name: &'static str) -> Label {
        self.labels.push(LabelState { name, created: Location::caller(), bound: None });
        Label { owner: self.owner, index: self.labels.len() - 1, name }
    }

    /// Says that `label` is here: in front of the next instruction.
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
    fn push(&mut self, instruction: Instruction) {
        self.push_reference(instruction, None);
    }

    #[track_caller]
    fn push_reference(&mut self, instruction: Instruction, reference: Option<Reference>) {
        self.statements.push(Statement { instruction, second: None, reference, at: Location::caller() });
    }
}
