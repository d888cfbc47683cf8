//! The steps of loading that need no object in the kernel, as [`Object::load`] and [`Object::dry_run`] both take them:
//! resolution against a kernel's types, which maps and programs are wanted, and linking.

use std::borrow::Cow;

use crate::{
    Error, MapSpec, Object, ProgramSpec, Skipped,
    btf::visitor::Types,
    elf::Place,
    link::{self, Address, Linked},
    resolve::{Resolved, resolve},
    sorted::Sorted,
};

/// An object, and what a kernel has for it. Neither changes from here on.
pub(crate) struct Plan<'o> {
    object: &'o Object,
    pub(crate) resolved: Resolved,
}

impl<'o> Plan<'o> {
    /// Resolves the object against a kernel's types.
    pub(crate) fn of(object: &'o Object, types: Types<'_>) -> Result<Self, Error> {
        Ok(Self { object, resolved: resolve(object, types)? })
    }

    /// Returns the maps to create, in the object's order: each with its index, and as the kernel is asked for it.
    pub(crate) fn maps(&self) -> impl Iterator<Item = (usize, Cow<'o, MapSpec>)> {
        let wanted = self.object.maps().iter().enumerate().filter(|(_, spec)| spec.autocreate);
        wanted.map(|(index, spec)| (index, self.resolved.completed(index, spec)))
    }

    /// Returns the programs to load, in the object's order.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &'o ProgramSpec> {
        self.object.programs().iter().filter(|program| program.section.autoload && !self.is_unused(program))
    }

    /// Returns what is not loaded whatever the kernel answers, and why.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        let mut skipped = self.object.unknown_programs().to_vec();
        let program = |program: &ProgramSpec, why: &str| Skipped::new(&program.name, &program.section_name, why);
        skipped.extend(self.object.programs().iter().filter(|program| !program.section.autoload).map(|unwanted| {
            let is_optional = unwanted.section_name.starts_with('?');
            program(unwanted, if is_optional { Skipped::OPTIONAL } else { Skipped::UNWANTED })
        }));
        let why = "its section begins with `?`, or `MapSpec::autocreate` is false";
        let maps = self.object.maps().iter().filter(|map| !map.autocreate);
        skipped.extend(maps.map(|map| Skipped::new(&map.name, "", why)));
        if cfg!(feature = "struct-ops") {
            let unused = self.object.programs().iter().filter(|program| self.is_unused(program));
            skipped.extend(unused.map(|unused| program(unused, "no struct_ops map that is created uses it")));
        }
        skipped
    }

    /// Returns whether the program implements a member of no struct_ops map that is created.
    fn is_unused(&self, program: &ProgramSpec) -> bool {
        self.resolved.struct_ops.is_unused(program.entry)
    }

    /// Links a program.
    pub(crate) fn link(&self, maps: &Sorted<Place, Address>, program: &ProgramSpec) -> Result<Linked, Error> {
        link::link(self.object, &self.resolved, maps, program)
    }
}
