//! Reads BTF, the compact debug information that describes the types of programs and of the kernel.
//!
//! ```text
//!     header ── offsets of the two parts
//!     types     type 1 │ type 2 │ type 3 │ …      12 bytes each, then what the kind adds:
//!               name, info, size or type           a member: name, type, offset     a parameter: name, type   …
//!     strings   \0 int \0 task_struct \0 pid \0 …  a name is an offset into them
//! ```
//!
//! Types have ids. Id 0, `void`, is not in the file. [`Btf`] is a view: it borrows the bytes and owns an index of the
//! types' offsets. [`Btf::parse`] checks every length, every name offset and every type id once, so that later reads
//! cannot fail or panic. It accepts types that contain themselves and structures whose members lie outside: every walk
//! from type to type is bounded.
//!
//! The BTF of modules is *split*: its types and strings continue those of the kernel ([`Btf::parse_split`]).
//!
//! `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` in the kernel describe the format.
//!
//! ```text
//!     bytes.rs, header.rs   words, the header         kernel.rs     the running kernel's BTF and its modules'
//!     kind.rs               kinds of types            visitor.rs    one pass over it for all that an object needs
//!     names.rs              strings                   sanitize.rs   BTF rewritten for old kernels
//!     ty.rs                 one type                  value.rs      a value
//!     walk.rs               the pass over all types   decode.rs     bytes ─▶ value
//!     positions.rs          where each type is        ext.rs        .BTF.ext
//!     view.rs               Btf: ids ─▶ types         file.rs       raw BTF, or the section of an ELF file
//! ```

mod bytes;
mod decode;
mod error;
mod ext;
mod file;
mod header;
pub mod kernel;
mod kind;
mod names;
mod positions;
pub(crate) mod sanitize;
mod ty;
mod value;
mod view;
pub(crate) mod visitor;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    error::Broken,
    ext::{Ext, Records},
    kind::Kind,
    ty::{Array, EnumValue, Int, Member, Param, SectionVar, Type},
    value::Value,
    view::Btf,
};
pub(crate) use self::{
    names::{Names, shown},
    walk::TypeHeader,
};
