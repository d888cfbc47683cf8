//! CO-RE relocation ("compile once, run everywhere"): adapts instructions to the kernel's structures.
//!
//! A program reads `task->pid`. Its compiler took the offset of `pid` from some kernel's header; this kernel's BTF has
//! the offset in *this* kernel. For each instruction that depends on such a value, the compiler writes a record: the
//! instruction, the type, the access string (`0:17`: member 17), and the kind of value: offset, size, or whether the
//! field exists.
//!
//! ```text
//!     record ─▶ path through the program's types ─▶ names on the path        spec
//!                                                     │
//!     kernel's BTF ─▶ types of the same name ─▶ the same path there          candidates, matching, compatible
//!                                                     │
//!     the compiler's value ─────────┐            ┌── the kernel's value       value
//!                                   ▼            ▼
//!                      instruction: old value ─▶ new value                   patch
//! ```
//!
//! A kernel may have several types of one name, because it is compiled file by file. All candidates on which the access
//! exists must give the same value, or the relocation fails. If no candidate matches: an existence relocation yields 0;
//! any other kind *poisons* the instruction, so that the verifier rejects the program only if it can reach it
//! ([`unresolved`] then says why).
//!
//! The input is types and instructions, the output instructions and a report. [`relocate_for_kernel`] reads the running
//! kernel's BTF, and its modules' BTF if a type is missing.

#[cfg(feature = "core-relo")]
mod apply;
#[cfg(feature = "core-relo")]
mod candidates;
#[cfg(any(feature = "core-relo", feature = "externs"))]
mod compatible;
#[cfg(any(feature = "core-relo", feature = "externs"))]
pub(crate) mod flavor;
#[cfg(feature = "core-relo")]
mod matching;
#[cfg(any(feature = "core-relo", feature = "aya-obj"))]
mod patch;
mod record;
#[cfg(feature = "core-relo")]
mod relocate;
mod report;
#[cfg(feature = "core-relo")]
mod spec;
#[cfg(any(feature = "core-relo", feature = "externs"))]
mod steps;
#[cfg(feature = "core-relo")]
mod value;

#[cfg(feature = "core-relo")]
#[cfg(test)]
mod tests;

#[cfg(feature = "aya-obj")]
pub(crate) use self::patch::is_poison;
#[cfg(feature = "core-relo")]
pub use self::relocate::{Code, relocate, relocate_for_kernel};
#[cfg(feature = "core-relo")]
pub(super) use self::{
    candidates::Candidates,
    relocate::{apply, wanted},
};
#[cfg(feature = "externs")]
pub(crate) use self::{compatible::is_same_shape, steps::Steps};
pub use self::{
    record::{Relocation, RelocationKind},
    report::{Applied, Error, Found, Outcome, unresolved},
};
