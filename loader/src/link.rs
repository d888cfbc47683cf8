//! Links programs: combines a program and the functions that it calls to one sequence of instructions, and inserts the
//! fds of maps.
//!
//! ```text
//!     object_linker.rs   ObjectLinker: links the programs of an object, by the reader that has read it
//!     linker.rs          this crate's linking        aya.rs   linking by aya-obj
//!     linked.rs          Linked: a linked program
//! ```

#[cfg(feature = "aya-obj")]
mod aya;
mod linked;
mod linker;
mod object_linker;

#[cfg(feature = "instrument")]
pub(crate) use self::linked::MAX_INSNS;
pub(crate) use self::{linked::Linked, object_linker::ObjectLinker};
