//! Objects that the crate aya-obj has read.
//!
//! ```text
//!     bytes ──admit.rs──▶ aya_obj::Object::parse ──▶ aya_obj::Object ──adopt.rs──▶ Object
//!             refuses what aya-obj misreads             section.rs: its kinds of program
//!                                                       mend.rs: corrections of its faults
//! ```
//!
//! `read.rs` has these steps; `held.rs` has the type that keeps aya-obj's value. The resulting
//! [`Object`](super::Object) has aya-obj's maps, programs, functions and types in this loader's form. Relocation and
//! linking use aya-obj's own value, which the object keeps ([`AyaObject`]).
//!
//! aya-obj 0.3.0 panics on many damaged files. It also reads some numbers straight into Rust enums, which is undefined
//! behavior if the enum has no such value. So this loader's reader parses a file first. `admit.rs` then refuses files
//! that aya-obj would misread, `effort.rs` files that would take too long, and `kernel.rs` such BTF of a kernel.
//! `guard.rs` catches panics and makes them errors.
//!
//! aya-obj never silently changes an object that comes from a file. After mending, the maps, programs and types are
//! those that this crate's reader finds (`types.rs`, `contents.rs`); a function with other instructions is an error.
//! CO-RE relocations give the same instructions (`../resolve/aya.rs`). Linked programs are compared with this crate's;
//! a difference is an error (`../link/object_linker.rs`).

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
    adopt::{encoded, instruction, is_data},
    contents::is_same_contents,
    guard::{chain, guarded},
    held::AyaObject,
    kernel::admit_kernel,
    read::{REFUSES, unmended},
};
