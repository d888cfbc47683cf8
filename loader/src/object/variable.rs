//! Global variables: described by the object, set before loading (`edit.rs`), read and written while programs run
//! (`../variable.rs`).
//!
//! ```text
//!     const volatile int step = 1;     .rodata     set before loading; then frozen, and a constant to the verifier
//!     int offset;                      .bss        set before loading, or written while programs run
//!     int limit SEC(".data.tuning");   .data.…     the same
//!     int __arena seen;                .addr_space.1   the same, in the object's arena
//!     extern int CONFIG_HZ __kconfig;  .kconfig    a constant from the kernel
//! ```
//!
//! A section becomes an array with one element, which holds all its variables. An update of that element would also
//! reset the other variables to an earlier state, and so undo what programs wrote. So sections that can change are
//! mapped ([`crate::Variable`]), and each variable is written in the mapping.

use std::fmt;

use super::{
    externs::{self, Extern, KCONFIG},
    pod::ScalarKind,
    value,
};
use crate::{
    Error,
    btf::{Btf, Kind, Type},
    elf::{Elf, Location},
    gate::READS_EXTERNS,
    sorted::Sorted,
};

/// A global variable as the object describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VariableSpec {
    /// Its name in the source. The name of a static variable in a function follows the function's name and a dot.
    pub name: String,
    /// Its section, which is also the name of the map; for `.addr_space.1` the map is the object's arena.
    pub section: String,
    /// Bytes from the section's start.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// Its type as C writes it; `None` if the object does not give it.
    pub type_name: Option<String>,
    /// The id of its type in [`Object::btf`](crate::Object::btf); `None` if the object does not give it.
    pub type_id: Option<u32>,
    /// Whether its section is frozen when the object is loaded.
    pub constant: bool,
    /// The location of its section in the file.
    pub(crate) location: Location,
    /// The type that values are checked against; `None` if they are not checked.
    kind: Option<value::Kind>,
}

impl VariableSpec {
    /// Returns why a value of this representation and length does not fit; `None` if it does.
    pub(crate) fn objection(&self, form: ScalarKind, length: usize) -> Option<String> {
        if self.size as usize != length {
            return Some(format!("it has {} bytes, and {length} are given", self.size));
        }
        self.kind.and_then(|kind| kind.objection(form))
    }
}

impl fmt::Display for VariableSpec {
    /// Writes it as error messages name it: `` `step` (const unsigned long, in .rodata) ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.type_name {
            Some(type_name) => write!(f, "`{}` ({type_name}, in {})", self.name, self.section),
            None => write!(f, "`{}` ({} bytes in {})", self.name, self.size, self.section),
        }
    }
}

/// Reads all variables of the object, section by section, in the order of the file's symbols.
pub(crate) fn read(elf: &Elf, btf: Option<&Btf<'_>>, externs: &[Extern]) -> Vec<VariableSpec> {
    let mut variables = Vec::new();
    for (index, section) in elf.sections().filter(|(_, section)| section.has_variables()) {
        let types = btf.map(|btf| btf.listed(&section.name)).unwrap_or_default();
        for symbol in elf.variables().filter(|symbol| symbol.section == Some(index)) {
            let ty = btf.zip(type_of(&types, &symbol.name));
            variables.push(VariableSpec {
                name: symbol.name.clone(),
                section: section.name.clone(),
                offset: symbol.address as u32,
                size: symbol.size as u32,
                type_name: ty.map(|(btf, id)| value::c_name(btf, id)),
                type_id: ty.map(|(_, id)| id),
                constant: section.name.starts_with(".rodata"),
                location: Location::Section(index),
                kind: ty.and_then(|(btf, id)| value::Kind::of(btf, id)),
            });
        }
    }
    let Some(btf) = btf.filter(|_| READS_EXTERNS) else { return variables };
    let types = btf.listed(KCONFIG);
    for known in externs {
        let location = externs::config_location(known).zip(type_of(&types, &known.name));
        variables.extend(location.map(|((offset, size), id)| VariableSpec {
            name: known.name.clone(),
            section: KCONFIG.to_owned(),
            offset,
            size,
            type_name: Some(value::c_name(btf, id)),
            type_id: Some(id),
            constant: true,
            location: Location::Kconfig,
            kind: value::Kind::of(btf, id),
        }));
    }
    variables
}

/// Returns the type id of a variable that its section in BTF lists.
fn type_of(listed: &Sorted<&[u8], Type<'_>>, name: &str) -> Option<u32> {
    listed.get(name.as_bytes()).filter(|ty| ty.kind() == Kind::Var).map(|ty| ty.referred())
}

/// Returns the error for a variable that cannot be set or read in this form.
pub(crate) fn unfit(what: &str, variable: &VariableSpec, why: impl Into<String>) -> Error {
    Error::Invalid { operation: format!("{what} the variable {variable}"), why: why.into() }
}
