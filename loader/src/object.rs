//! The object file as a plain value: what it describes, before any kernel has seen it.
//!
//! ```text
//!     parse.rs        Object: bytes ─▶ description, and what the caller can change in it
//!     section.rs      SEC("…"): program type, attach type, flags        target.rs   its suffix: what to attach to
//!     specs.rs        maps and programs                                 maps.rs     map definitions, in three forms
//!     function.rs     functions                                         btf_ext.rs  func_info, line_info
//!     variable.rs     global variables                                  value.rs    Rust values for them
//!     externs.rs      what the kernel has to provide                    kconfig.rs  constants of its configuration
//!     struct_ops.rs   struct_ops maps                                   btf.rs      .BTF, completed for the kernel
//!     introspect.rs   sections and functions, for tools                 warnings.rs what its author cannot have meant
//!     features.rs     what a build without some cargo features refuses
//! ```
//!
//! [`Object::parse`] makes no system call and gives the same result on every machine. No file descriptor is in it, and no
//! later stage changes it.

mod btf;
mod btf_ext;
mod edit;
mod externs;
#[cfg(test)]
#[cfg(feature = "advice")]
mod faults;
mod features;
mod function;
mod introspect;
#[cfg(feature = "externs")]
mod kconfig;
mod license;
mod maps;
mod parse;
mod section;
mod specs;
mod struct_ops;
mod target;
mod value;
mod variable;
mod warnings;

#[cfg(feature = "externs")]
pub(crate) use self::externs::config_size;
#[cfg(feature = "uprobe")]
pub(crate) use self::target::splits;
pub(crate) use self::{
    externs::config_place,
    function::Functions,
    specs::{Contents, Table},
    variable::unfit,
};
pub use self::{
    externs::{Extern, ExternKind},
    introspect::{FunctionSpec, Line, Reference, SectionSpec},
    parse::Object,
    section::Section,
    specs::{MapSpec, Pinning, ProgramSpec, Skipped},
    target::Target,
    value::{FromBytes, ScalarKind, ToBytes},
    variable::VariableSpec,
    warnings::Warning,
};
