//! One instruction as the assembler keeps it until its references are resolved.

use cutaway_sys::{Instruction, instruction::Text};

use crate::{
    error::At,
    handle::{FunctionRef, Label, MapRef, VariableRef},
};

/// An instruction, its reference, and the Rust line that appended it.
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

/// The symbol or label that an instruction refers to; its value is filled in later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A jump whose distance is in the 16-bit offset.
    Jump(Label),
    /// A jump whose distance is in the 32-bit immediate.
    LongJump(Label),
    /// The address of a map.
    Map(MapRef),
    /// The address of a variable.
    Variable(VariableRef),
    /// A call of a function.
    Call(FunctionRef),
    /// The address of a function.
    Function(FunctionRef),
}
