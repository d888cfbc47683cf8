//! The insertions that the caller requests for the programs of an object.

/// The insertions that the caller asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Instruments {
    pub(crate) losses: bool,
    pub(crate) coverage: bool,
    pub(crate) no_ops: bool,
}
