//! The input of a report: the code, the lines and the blocks of a function.

use std::ops::Range;

use crate::{Instruction, Line};

/// The blocks of one function, each with the result of the measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FunctionRun<'a> {
    pub(crate) name: &'a str,
    /// The source lines of its instructions, in ascending order of their slots.
    pub(crate) lines: &'a [Line],
    pub(crate) instructions: &'a [Instruction],
    /// The slots of each block, and whether it ran. `None` if it was not measured. Slots in no block are not measured.
    pub(crate) blocks: &'a [(Range<usize>, Option<bool>)],
}

/// Returns whether it is a line of the source. Line 0 is code that the compiler made.
pub(super) fn is_source(line: &Line) -> bool {
    line.line > 0 && !line.file.is_empty()
}
