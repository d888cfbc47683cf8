//! BTF, the kernel's format for types.
//!
//! A [`Type`] is a plain value that is built by hand or taken from a Rust type by [`Describe`]. An object carries the
//! types of its maps' keys and values, of its variables and functions, and of the events it sends, so that any tool can
//! decode what the programs write.
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
