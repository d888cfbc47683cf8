//! The steps of loading that create nothing in the kernel, shared by [`Object::load`] and [`Object::dry_run`]:
//! resolution against a kernel's types, the choice of maps and programs to load, and linking.

use std::borrow::Cow;

use crate::{
    Error, MapSpec, Object, ProgramSpec, Skipped,
    btf::visitor::Types,
    resolve::{Resolved, resolve},
};

/// The resolution of an object against a kernel, and the maps and programs to load there.
pub(crate) struct Plan {
    pub(crate) resolved: Resolved,
}

impl Plan {
    /// Resolves the object against a kernel's types.
    pub(crate) fn of(object: &Object, types: Types<'_>) -> Result<Self, Error> {
        Ok(Self { resolved: resolve(object, types)? })
    }

    /// Returns the maps to create, in the object's order: each with its index and its completed description.
    pub(crate) fn maps<'o>(&self, object: &'o Object) -> impl Iterator<Item = (usize, Cow<'o, MapSpec>)> {
        let wanted = object.maps().iter().enumerate().filter(|(_, spec)| spec.autocreate);
        wanted.map(|(index, spec)| (index, self.resolved.completed(index, spec)))
    }

    /// Returns the programs to load, in the object's order.
    pub(crate) fn programs<'o>(&self, object: &'o Object) -> impl Iterator<Item = &'o ProgramSpec> {
        object.programs().iter().filter(|program| self.has(program))
    }

    /// Returns true if the program is to be loaded.
    pub(crate) fn has(&self, program: &ProgramSpec) -> bool {
        program.section.autoload && !self.is_unused(program)
    }

    /// Returns the programs and maps that are skipped on every kernel, with the reason.
    pub(crate) fn skipped(&self, object: &Object) -> Vec<Skipped> {
        let mut skipped = object.unknown_programs().to_vec();
        let program = |program: &ProgramSpec, why: &str| Skipped::new(&program.name, &program.section_name, why);
        skipped.extend(object.programs().iter().filter(|program| !program.section.autoload).map(|unwanted| {
            let is_optional = unwanted.section_name.starts_with('?');
            program(unwanted, if is_optional { Skipped::OPTIONAL } else { Skipped::UNWANTED })
        }));
        let why = "its section begins with `?`, or `MapSpec::autocreate` is false";
        let maps = object.maps().iter().filter(|map| !map.autocreate);
        skipped.extend(maps.map(|map| Skipped::new(&map.name, "", why)));
        if cfg!(feature = "struct-ops") {
            let unused = object.programs().iter().filter(|program| self.is_unused(program));
            skipped.extend(unused.map(|unused| program(unused, "no struct_ops map that is created uses it")));
        }
        skipped
    }

    /// Returns true if the program is for struct_ops, but no struct_ops map that is created uses it.
    fn is_unused(&self, program: &ProgramSpec) -> bool {
        self.resolved.struct_ops.is_unused(program.entry)
    }
}
