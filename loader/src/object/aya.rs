//! Objects that the crate aya-obj has read.
//!
//! ```text
//!     bytes ──admit.rs──▶ aya_obj::Object::parse ──▶ aya_obj::Object ──adopt.rs──▶ Object
//!             what aya-obj must not be given            section.rs: its kinds of program
//!                                                       mend.rs: what it leaves out or gets wrong
//! ```
//!
//! `read.rs` has these steps, `held.rs` what is kept of aya-obj's value. The [`Object`](super::Object) that comes out
//! has aya-obj's maps, programs, functions and types in the form of this loader's own. Relocation and linking go on with
//! aya-obj's own value, which the object keeps ([`AyaObject`]).
//!
//! aya-obj 0.3.0 panics on many damaged files, and reads some numbers straight into Rust enums, which is undefined
//! behavior if the number is none of theirs. So a file is parsed by this loader's reader first, and `admit.rs` refuses
//! what would go wrong, `effort.rs` what would take too long, `kernel.rs` such BTF of a kernel; a panic is caught and
//! becomes an error (`guard.rs`).
//!
//! An object that has come from a file is never silently another one: after mending, its maps, programs and types are
//! those that this crate's reader finds (`types.rs`, `contents.rs`), its CO-RE relocations give the same instructions
//! (`../resolve/aya.rs`), and its linked programs are compared with this crate's (`../link/object_linker.rs`).

mod admit;
mod adopt;
mod contents;
mod effort;
mod guard;
mod held;
mod kernel;
mod mend;
mod read;
mod section;
mod types;

pub use self::held::ObjectReader;
pub(crate) use self::{
    admit::fault_on,
    adopt::{encoded, instruction},
    contents::is_same_contents,
    guard::{chain, guarded},
    held::AyaObject,
    kernel::admit_kernel,
    read::{REFUSES, unmended},
};
