//! One instruction as the assembler keeps it until its references are known.

use cutaway_sys::{Instruction, instruction::Text};

use crate::{
    error::At,
    handle::{FunctionRef, Label, MapRef, VariableRef},
};

/// An instruction, what it refers to, and the Rust line it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    pub(crate) instruction: Instruction,
    /// The second slot, with the upper half of a 64-bit immediate.
    pub(crate) second: Option<Instruction>,
    pub(crate) reference: Option<Reference>,
    pub(crate) at: At,
}

impl Statement {
    pub(crate) fn slots(&self) -> usize {
        self.instruction.slots()
    }

    pub(crate) fn text(&self) -> Text {
        self.instruction.text(self.second)
    }
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
