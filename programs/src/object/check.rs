//! Checks an object before it is written.

use std::collections::HashSet;

use cutaway_sys::{MapType, instruction::opcode::*};

use super::{Function, Global, Named, ObjectBuilder};
use crate::{
    asm::{Code, Reference},
    btf::is_identifier,
    error::{At, Error},
    handle::Owner,
    map::{MapDef, Part},
};

impl ObjectBuilder {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.license.contains('\0') {
            let problem = format!("the license {:?} contains a NUL", self.license);
            return Err(Error::Format { problem });
        }
        self.check_names()?;
        self.check_maps()?;
        for variable in &self.variables {
            check_variable(variable)?;
        }
        for function in &self.functions {
            check_section(function)?;
            let code = function.item.code.as_ref().map_err(Clone::clone)?;
            check_end(code, &function.name, function.at)?;
            for (_, statement) in code.statements() {
                if let Some(reference) = statement.reference {
                    self.check_reference(reference, statement.at)?;
                }
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Error> {
        let mut taken = HashSet::new();
        let maps = self.maps.iter().map(|map| (&map.name, map.at));
        let variables = self.variables.iter().map(|item| (&item.name, item.at));
        let functions = self.functions.iter().map(|item| (&item.name, item.at));
        for (name, at) in maps.chain(variables).chain(functions) {
            if !is_identifier(name) {
                let name = name.clone();
                return Err(Error::BadName { name, at });
            }
            if !taken.insert(name) {
                let name = name.clone();
                return Err(Error::NameTaken { name, at });
            }
        }
        Ok(())
    }

    fn check_maps(&self) -> Result<(), Error> {
        for map in &self.maps {
            let holds_maps = matches!(map.item.kind, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
            let problem = match &map.item.inner {
                None if holds_maps => "the definition of its inner maps is missing: set it with `holding`",
                Some(_) if !holds_maps => "only a map of maps can hold maps",
                Some(inner) if inner.inner.is_some() => "a map of maps cannot hold maps of maps",
                Some(inner) if inner.pinned_by_name => "an inner map has no name, so it cannot be pinned by name",
                Some(inner) if is_sizeless(inner) => "the keys or values of its inner maps have no size",
                _ if is_sizeless(&map.item) => "its keys or values have a type without a size",
                _ => continue,
            };
            return Err(Error::BadMap { map: map.name.clone(), problem, at: map.at });
        }
        Ok(())
    }

    fn check_reference(&self, reference: Reference, at: At) -> Result<(), Error> {
        let (kind, owner): (_, Owner) = match reference {
            Reference::Map(map) => ("map", map.owner),
            Reference::Variable(variable) => ("variable", variable.owner),
            Reference::Call(function) | Reference::Function(function) => ("function", function.owner),
            Reference::Jump(_) | Reference::LongJump(_) => return Ok(()),
        };
        if owner == self.owner { Ok(()) } else { Err(Error::ForeignReference { kind, at }) }
    }
}

/// Returns true if a key or a value is given by a type that has no size.
fn is_sizeless(map: &MapDef) -> bool {
    let is_sizeless = |part: &Option<Part>| matches!(part, Some(Part::Type(kind)) if kind.bytes().is_none());
    is_sizeless(&map.key) || is_sizeless(&map.value)
}

/// Checks that a variable has a size, and a section that loaders turn into a map.
fn check_variable(variable: &Named<Global>) -> Result<(), Error> {
    let Global { section, variable: initial } = &variable.item;
    if initial.kind.bytes().is_none() {
        return Err(Error::BadVariable { variable: variable.name.clone(), at: variable.at });
    }
    let within = |family| {
        let rest = section.strip_prefix(family);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let expected = if section.contains(|c: char| !is_word(c) && c != '.') {
        "letters, digits, `_` and `.` only"
    } else if within(".bss") && !initial.is_zero() {
        "`.data` or `.rodata` for a variable that does not start as zero"
    } else if [".bss", ".data", ".rodata"].into_iter().any(within) {
        return Ok(());
    } else {
        "`.data`, `.rodata`, `.bss`, or one of these with a suffix"
    };
    Err(Error::BadSection { section: section.clone(), expected, at: variable.at })
}

/// Checks that a program's section is not one that loaders interpret differently.
fn check_section(function: &Named<Function>) -> Result<(), Error> {
    let Some(section) = &function.item.program else {
        return Ok(());
    };
    let taken = |prefix| section.starts_with(prefix);
    let reserved = [".", "license", "version", "maps"].into_iter().any(taken);
    if !section.is_empty() && !reserved && !section.contains('\0') {
        return Ok(());
    }
    let expected = "the attach target, for instance `uprobe/libc.so.6:malloc`";
    Err(Error::BadSection { section: section.clone(), expected, at: function.at })
}

/// Checks the last instruction: the verifier requires an exit or an unconditional jump.
fn check_end(code: &Code, function: &str, at: At) -> Result<(), Error> {
    let function = function.to_owned();
    let Some((_, last)) = code.statements().last() else {
        return Err(Error::EmptyFunction { function, at });
    };
    if let Some(at) = code.open_end {
        return Err(Error::RunsOffTheEnd { function, at });
    }
    match last.instruction.code {
        code if code == JMP | EXIT || code == JMP | JA || code == JMP32 | JA => Ok(()),
        _ => Err(Error::RunsOffTheEnd { function, at: last.at }),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
