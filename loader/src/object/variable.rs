//! Global variables: described by the object, set before loading (`edit.rs`), read and written while programs run
//! (`../variable.rs`).
//!
//! ```text
//!     const volatile int step = 1;     .rodata     set before loading; then frozen, and a constant to the verifier
//!     int offset;                      .bss        set before loading, or written while programs run
//!     int limit SEC(".data.tuning");   .data.…     the same
//!     int __arena seen;                .addr_space.1   the same, in the object's arena
//!     extern int CONFIG_HZ __kconfig;  .kconfig    a constant that the kernel gives
//! ```
//!
//! A section becomes an array with one element, which holds all its variables. To set one of them by an update of that
//! element would set the others to what they were a moment ago, and so undo what programs have done to them. So the
//! sections that can change are mapped ([`Variable`]), and each variable is written where it is.

use std::fmt;

use super::{
    externs::{self, Extern, KCONFIG},
    value::{self, ScalarKind},
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
    /// Its name in the source; of a static variable in a function, the function's name and a dot stand before it.
    pub name: String,
    /// The section that it lies in, which is also the name of the map; in `.addr_space.1` the map is the object's
    /// arena.
    pub section: String,
    /// Bytes from the section's start.
    pub offset: u32,
    /// How many bytes it has.
    pub size: u32,
    /// Its type as C would write it; `None` if the object does not tell.
    pub type_name: Option<String>,
    /// The id of its type in [`Object::btf`](crate::Object::btf); `None` if the object does not tell.
    pub type_id: Option<u32>,
    /// It lies in a section that is frozen when the object is loaded.
    pub constant: bool,
    /// The location in the file of the section that it lies in.
    pub(crate) location: Location,
    /// What can be held against a value that is to be put there.
    kind: Option<value::Kind>,
}

impl VariableSpec {
    /// What is wrong with putting a value of this form and length there.
    pub(crate) fn objection(&self, form: ScalarKind, length: usize) -> Option<String> {
        if self.size as usize != length {
            return Some(format!("it has {} bytes, and {length} are given", self.size));
        }
        self.kind.and_then(|kind| kind.objection(form))
    }
}

impl fmt::Display for VariableSpec {
    /// As it is spoken of in errors: `` `step` (const unsigned long, in .rodata) ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.type_name {
            Some(type_name) => write!(f, "`{}` ({type_name}, in {})", self.name, self.section),
            None => write!(f, "`{}` ({} bytes in {})", self.name, self.size, self.section),
        }
    }
}

/// All variables of the object, section by section, in the order of the file's symbols.
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

/// The number of a variable's type, by what is listed in its section.
fn type_of(listed: &Sorted<&[u8], Type<'_>>, name: &str) -> Option<u32> {
    listed.get(name.as_bytes()).filter(|ty| ty.kind() == Kind::Var).map(|ty| ty.referred())
}

/// The error for a variable that cannot be set or read so.
pub(crate) fn unfit(what: &str, variable: &VariableSpec, why: impl Into<String>) -> Error {
    Error::Invalid { operation: format!("{what} the variable {variable}"), why: why.into() }
}
