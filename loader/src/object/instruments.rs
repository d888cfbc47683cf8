//! What the caller asks to be inserted into the programs when they are loaded.

/// The insertions that the caller asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Instruments {
    pub(crate) losses: bool,
    pub(crate) coverage: bool,
    pub(crate) no_ops: bool,
}
