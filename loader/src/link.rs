//! Links programs: a program and the functions that it calls become one sequence of instructions, with the fds of maps in
//! place.
//!
//! ```text
//!     object_linker.rs   ObjectLinker: programs of one object, by the reader that has read it
//!     linker.rs          this crate's linking        aya.rs   aya-obj's
//!     linked.rs          Linked: what comes out
//! ```

#[cfg(feature = "aya-obj")]
mod aya;
mod linked;
mod linker;
mod object_linker;

pub(crate) use self::{linked::Linked, object_linker::ObjectLinker};
