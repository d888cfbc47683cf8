//! The instructions of one function, with the symbols and lines of source that belong to them.

use cutaway::{FunctionSpec, Instruction};

/// The code of a function of an object, or of a loaded program.
#[derive(Debug)]
pub(crate) struct Code {
    /// Its instruction slots of 8 bytes.
    pub(crate) instructions: Vec<Instruction>,
    /// The slots that load the address of a map or of data, and its name.
    pub(crate) symbols: Vec<(usize, String)>,
    /// The first slot of each line of source, in ascending order, and the line's text.
    pub(crate) lines: Vec<(usize, String)>,
}

impl From<&FunctionSpec> for Code {
    fn from(function: &FunctionSpec) -> Self {
        Self {
            instructions: function.instructions.clone(),
            symbols: function.references.iter().map(|symbol| (symbol.slot, symbol.name.clone())).collect(),
            lines: function.lines.iter().map(|line| (line.slot, line.text.to_string())).collect(),
        }
    }
}
