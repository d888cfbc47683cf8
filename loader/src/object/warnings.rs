//! What in an object is not as its author can have meant it, and does not keep it from being loaded.

use std::{ffi::CStr, fmt};

use super::Object;
use crate::{
    btf::shown,
    elf::{Elf, Symbol},
    sorted::sort,
    text::listed,
};

/// Something in an object that loads and will not do what its author expects. Its display is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Variables hold addresses (of strings, of other variables, of functions), which nothing fills in: programs read
    /// 0 there, or bytes from the start of the section that is meant.
    Addresses {
        /// The section, e.g. `.rodata`.
        section: String,
        /// The variables' names; `+OFFSET` in bytes from the section's start where no variable is known.
        variables: Vec<String>,
    },
    /// The kernel does not take the license for one that goes with GPL: programs cannot call GPL-only helpers. Loading
    /// logs it unless a program is refused for it, as the error says the same.
    License {
        /// What is wrong with it, and how to write it.
        why: String,
    },
    /// The object asks for a map to be pinned in a way that only another loader knows; the map is not pinned.
    Pinning {
        /// The map's name.
        map: String,
        /// The number that the object gives.
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
                     arrays (`char name[8]`) in the place of pointers"
                )
            }
            Self::License { why } => write!(f, "{why}; programs cannot call GPL-only helpers"),
            Self::Pinning { map, value } => {
                write!(f, "the map `{map}` asks for pinning {value}, which this loader does not know: it is not pinned")
            }
        }
    }
}

impl Object {
    /// Returns what in the object is not as its author can have meant it. [`Object::load`] logs each at level `warn`. Without this
    /// crate's feature `advice` nothing is looked for.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// All warnings but those of maps.
pub(super) fn of(elf: &Elf, license: &CStr) -> Vec<Warning> {
    if !cfg!(feature = "advice") {
        return Vec::new();
    }
    let mut warnings = addresses(elf);
    // Another license than GPL is its author's choice, until a program is refused for it.
    let license_is_meant =
        !has_pointer(elf) && !license.to_bytes().to_ascii_lowercase().windows(3).any(|part| part == b"gpl");
    if !license_is_meant && let Some(why) = license_fault(elf, license) {
        warnings.push(Warning::License { why });
    }
    warnings
}

/// Which variables hold addresses.
fn addresses(elf: &Elf) -> Vec<Warning> {
    let place = |symbol: &Symbol| (symbol.section, symbol.address);
    let mut known: Vec<_> = elf.variables().collect();
    sort(&mut known, |one, other| place(one).cmp(&place(other)));
    // Both ascend, so that one pass finds the variable of each address.
    let mut known = known.into_iter().peekable();
    let mut warnings: Vec<Warning> = Vec::new();
    let mut last = None;
    for &(index, offset) in elf.addresses() {
        let Some(section) = elf.section(index).filter(|section| section.has_variables()) else { continue };
        let ends = |symbol: &Symbol| (symbol.section, symbol.address + symbol.size);
        while known.peek().is_some_and(|symbol| ends(symbol) <= (Some(index), offset)) {
            known.next();
        }
        let name = match known.peek().filter(|symbol| place(symbol) <= (Some(index), offset)) {
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

/// Whether the section of the license holds an address.
pub(super) fn has_pointer(elf: &Elf) -> bool {
    cfg!(feature = "advice")
        && elf
            .position(b"license")
            .is_some_and(|license| elf.addresses().iter().any(|(section, _)| *section == license))
}

/// Why the kernel does not take the license for GPL; `None` if it does.
pub(super) fn license_fault(elf: &Elf, license: &CStr) -> Option<String> {
    if !cfg!(feature = "advice") {
        return None;
    }
    fault(elf.position(b"license").is_some(), has_pointer(elf), license)
}

/// Why the kernel does not take the license for GPL (`include/linux/license.h`).
fn fault(is_there: bool, is_pointer: bool, license: &CStr) -> Option<String> {
    const TAKEN: [&str; 6] =
        ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
    let bytes = license.to_bytes();
    if TAKEN.iter().any(|taken| taken.as_bytes() == bytes) {
        return None;
    }
    Some(if !is_there {
        "the object has no section `license`: add `char LICENSE[] SEC(\"license\") = \"GPL\";`".to_owned()
    } else if is_pointer {
        "the license is a pointer, not text: declare it as `char LICENSE[]`".to_owned()
    } else if bytes.is_empty() {
        "the section `license` is empty: write `GPL` there".to_owned()
    } else {
        // One of them is enough to go on, and keeps the refusal on one line of a terminal or two.
        format!("the kernel does not take the license `{}` for GPL: write `GPL`", shown(bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn license_is_judged_as_the_kernel_does() {
        for taken in
            [c"GPL", c"GPL v2", c"GPL and additional rights", c"Dual BSD/GPL", c"Dual MIT/GPL", c"Dual MPL/GPL"]
        {
            assert_eq!(fault(true, false, taken), None, "{taken:?}");
        }
        for (is_there, is_pointer, license, part) in [
            (false, false, c"", "no section `license`"),
            (true, true, c"", "is a pointer"),
            (true, false, c"", "is empty"),
            (true, false, c"GPLv2", "does not take the license `GPLv2`"),
            (true, false, c"gpl", "does not take the license `gpl`"),
            (true, false, c"GPL-2.0", "does not take the license `GPL-2.0`"),
            (true, false, c"Proprietary", "does not take the license `Proprietary`"),
        ] {
            let why = fault(is_there, is_pointer, license).unwrap();
            assert!(why.contains(part), "{why}");
        }
    }
}
