//! The needs of a request to the kernel.

use crate::{
    AttachType, MapType, ProgramType,
    privileges::{self, Capability},
};

/// A request that needs capabilities, and with a token a delegation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// `BPF_MAP_CREATE` of this type.
    Map(MapType),
    /// `BPF_PROG_LOAD` of this type and this `expected_attach_type`.
    Program(ProgramType, AttachType),
}

impl Need {
    /// Returns the capabilities that the request needs.
    #[inline]
    pub(super) fn capabilities(self) -> &'static [Capability] {
        match self {
            Self::Map(map_type) => privileges::to_create(map_type),
            Self::Program(program_type, _) => privileges::to_load(program_type),
        }
    }
}
