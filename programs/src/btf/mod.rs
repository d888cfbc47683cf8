//! BTF, the kernel's format for types.
//!
//! A [`Type`] is a plain value, built by hand or derived from a Rust type by [`Describe`]. An object carries the types
//! of its maps' keys and values, its variables and functions, and the events it sends. So any tool can decode the
//! programs' output.
//!
//! Kernel: `Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`.

mod describe;
mod encode;
pub(crate) mod ext;
mod signature;
mod types;

pub use describe::{Describe, Initial, of_field, of_text};
pub(crate) use encode::{BtfWriter, Linkage, is_identifier};
pub use signature::Signature;
pub use types::{Composite, Encoding, Member, Type};
