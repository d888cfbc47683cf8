//! The object file as a plain value: its contents, independent of any kernel.
//!
//! ```text
//!     parse.rs            Object: bytes ─▶ description
//!     edit.rs             changes before loading: variables, types, maps, programs
//!     program_section.rs  SEC("…"): program type, attach type, flags
//!     target.rs           SEC("…/target"): what to attach to
//!     specs.rs            maps and programs            maps.rs      map definitions, in three forms
//!     function.rs         functions                    btf_ext.rs   func_info, line_info
//!     variable.rs         global variables             value.rs     whether Rust values fit them
//!     pod.rs              values with known bytes
//!     externs.rs          symbols of the kernel        kconfig.rs   constants of its configuration
//!     struct_ops.rs       struct_ops maps              btf.rs       .BTF, completed for the kernel
//!     given_btf.rs        the kernel's types from the caller, which kernel_btf.rs holds
//!     license.rs          the license                  warnings.rs  probable mistakes
//!     instruments.rs      what loading is to insert into the programs
//!     introspect.rs       sections and functions, for tools
//!     cargo_features.rs   what a build without some cargo features refuses
//!     aya.rs              objects that the crate aya-obj has read
//! ```
//!
//! [`Object::parse`] makes no system call and gives the same result on every machine. An object holds no file
//! descriptor, and later stages do not change it.

#[cfg(feature = "aya-obj")]
pub(crate) mod aya;
mod btf;
mod btf_ext;
mod cargo_features;
mod edit;
mod externs;
#[cfg(test)]
#[cfg(feature = "advice")]
mod faults;
mod function;
#[cfg(feature = "core-relo")]
mod given_btf;
#[cfg(feature = "instrument")]
mod instruments;
mod introspect;
#[cfg(feature = "externs")]
mod kconfig;
#[cfg(feature = "core-relo")]
mod kernel_btf;
mod license;
mod maps;
mod parse;
mod pod;
mod program_section;
mod specs;
mod struct_ops;
mod target;
mod value;
mod variable;
mod warnings;

#[cfg(feature = "aya-obj")]
pub use self::aya::ObjectReader;
#[cfg(feature = "externs")]
pub(crate) use self::externs::config_size;
#[cfg(feature = "struct-ops")]
pub(crate) use self::specs::Table;
#[cfg(feature = "uprobe")]
pub(crate) use self::target::splits;
#[cfg(feature = "bindgen")]
pub(crate) use self::value::c_name;
pub(crate) use self::{externs::config_location, function::Functions, pod::bytes_of, specs::Contents, variable::unfit};
pub use self::{
    externs::{Extern, ExternKind},
    introspect::{FunctionSpec, Line, Reference, SectionSpec},
    parse::Object,
    pod::{Pod, ScalarKind},
    program_section::Section,
    specs::{MapSpec, Pinning, ProgramSpec, Skipped},
    target::Target,
    value::{FromBytes, ToBytes},
    variable::VariableSpec,
    warnings::Warning,
};
