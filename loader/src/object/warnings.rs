//! Warnings about objects that load but do not do what their author expects.

use std::{ffi::CStr, fmt};

use super::license::{fault_of, has_pointer};
use crate::{
    elf::{Elf, Symbol},
    sorted::sort,
    text::listed,
};

/// A probable mistake in an object that loads. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Variables hold addresses (of strings, of other variables, of functions), which no loader fills in. Programs read
    /// 0 there, or an offset in the section that the address is in.
    Addresses {
        /// The section, e.g. `.rodata`.
        section: String,
        /// The variables' names; `+OFFSET`, in bytes from the section's start, for an address in no known variable.
        variables: Vec<String>,
    },
    /// The kernel does not take the license for GPL-compatible, so programs cannot call GPL-only helpers. Loading does
    /// not log this warning if a program is refused for the same reason, since the error says it.
    License {
        /// The fault of the license, and how to write it.
        why: String,
    },
    /// The object asks for a kind of pinning that only other loaders know; the map is not pinned.
    Pinning {
        /// The map's name.
        map: String,
        /// The number in the object.
        value: u32,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { section, variables } => {
                let names = listed(&mut variables.iter().map(|name| format!("`{name}`")));
                write!(
                    f,
                    "addresses in section `{section}` cannot be filled in, programs read 0 or an offset there: {names}; use \
                     arrays (`char name[8]`) instead of pointers"
                )
            }
            Self::License { why } => write!(f, "{why}; programs cannot call GPL-only helpers"),
            Self::Pinning { map, value } => {
                write!(f, "the map `{map}` asks for pinning {value}, which this loader does not know: it is not pinned")
            }
        }
    }
}

/// Finds all warnings except those about maps ([`super::maps`]).
pub(super) fn of(elf: &Elf, license: &CStr) -> Vec<Warning> {
    if !cfg!(feature = "advice") {
        return Vec::new();
    }
    let mut warnings = addresses(elf);
    // A non-GPL license is the author's choice, until a program is refused because of it.
    let license_is_meant =
        !has_pointer(elf) && !license.to_bytes().to_ascii_lowercase().windows(3).any(|part| part == b"gpl");
    if !license_is_meant && let Some(why) = fault_of(elf, license) {
        warnings.push(Warning::License { why });
    }
    warnings
}

/// Finds the variables that hold addresses.
fn addresses(elf: &Elf) -> Vec<Warning> {
    let location = |symbol: &Symbol| (symbol.section, symbol.address);
    let mut known: Vec<_> = elf.variables().collect();
    sort(&mut known, |one, other| location(one).cmp(&location(other)));
    // Both are sorted, so one pass finds the variable of each address.
    let mut known = known.into_iter().peekable();
    let mut warnings: Vec<Warning> = Vec::new();
    let mut last = None;
    for &(index, offset) in elf.addresses() {
        let section = elf.section(index);
        if !section.has_variables() {
            continue; // the license
        }
        let ends = |symbol: &Symbol| (symbol.section, symbol.address + symbol.size);
        while known.peek().is_some_and(|symbol| ends(symbol) <= (Some(index), offset)) {
            known.next();
        }
        let name = match known.peek().filter(|symbol| location(symbol) <= (Some(index), offset)) {
            Some(symbol) => symbol.name.clone(),
            None => format!("+{offset}"),
        };
        match warnings.last_mut() {
            Some(Warning::Addresses { variables, .. }) if last == Some(index) => {
                if variables.last() != Some(&name) {
                    variables.push(name);
                }
            }
            _ => warnings.push(Warning::Addresses { section: section.name.clone(), variables: vec![name] }),
        }
        last = Some(index);
    }
    warnings
}
