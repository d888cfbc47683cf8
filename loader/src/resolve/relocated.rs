//! The instructions that CO-RE relocation changed.

use cutaway_sys::Instruction;

/// The changed instructions of functions, by the function's index.
#[derive(Debug, Default)]
pub(crate) struct Relocated(pub(super) Vec<Option<Vec<Instruction>>>);

impl Relocated {
    /// Returns the instructions of a function; `None` if relocation changed none of them.
    pub(crate) fn instructions(&self, function: usize) -> Option<&[Instruction]> {
        self.0.get(function)?.as_deref()
    }
}
