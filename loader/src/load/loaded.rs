//! An object's maps and programs in the kernel.

use std::os::fd::{AsFd, AsRawFd};

use crate::{Error, Map, MapSpec, Program, Skipped, Variable, VariableSpec, elf::Location, text::no_such};

/// An object's maps and programs in the kernel. Dropping it closes them; those that a link or a pin refers to stay
/// loaded.
///
/// `Send` and `Sync`.
#[derive(Debug)]
#[doc(alias("bpf_object", "Collection", "Ebpf"))]
pub struct Loaded {
    /// Ordered by name. Two maps may have the same name: an object can have two sections `.data`, and a program's
    /// relocation selects one.
    pub(super) maps: Vec<CreatedMap>,
    /// In the file's order.
    pub(super) programs: Vec<Program>,
    pub(super) variables: Vec<VariableSpec>,
    pub(super) skipped: Vec<Skipped>,
}

/// A map in the kernel.
#[derive(Debug)]
pub(super) struct CreatedMap {
    /// The index of its description in the object.
    pub(super) index: usize,
    /// The location of its contents in the file.
    pub(super) data: Location,
    pub(super) map: Map,
}

impl Loaded {
    /// Writes the initial entries of maps of maps and of programs. The maps must still be in the order of their
    /// descriptions. Entries of skipped programs stay empty.
    pub(super) fn fill(&self, specs: &[MapSpec], skipped: &[String]) -> Result<(), Error> {
        for (spec, made) in specs.iter().filter(|spec| spec.autocreate).zip(&self.maps) {
            for (key, name) in
                spec.initial_entries.iter().filter(|(_, name)| spec.inner.is_some() || !skipped.contains(name))
            {
                let held = match spec.inner {
                    Some(_) => self.map(name)?.as_fd(),
                    None => self.program(name)?.as_fd(),
                };
                made.map.update(&key.to_ne_bytes(), &held.as_raw_fd().to_ne_bytes())?;
            }
        }
        Ok(())
    }

    /// Returns a map by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the existing names.
    #[doc(alias("bpf_object__find_map_by_name", "bpf_object__find_map_fd_by_name"))]
    pub fn map(&self, name: &str) -> Result<&Map, Error> {
        self.maps().find(|map| map.name() == name).ok_or_else(|| no_such("map", name, self.maps().map(Map::name)))
    }

    /// Returns a program by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the existing names; [`Error::Invalid`], with the reason, if it is in
    /// [`Loaded::skipped`].
    #[doc(alias = "bpf_object__find_program_by_name")]
    pub fn program(&self, name: &str) -> Result<&Program, Error> {
        if let Some(program) = self.programs.iter().find(|program| program.name() == name) {
            return Ok(program);
        }
        let skipped = self.skipped.iter().find(|skipped| skipped.name == name && !skipped.section_name.is_empty());
        Err(match skipped {
            Some(skipped) => skipped.error("use"),
            None => no_such("program", name, self.programs.iter().map(Program::name)),
        })
    }

    /// Returns the programs and maps that are not loaded, each with the reason: programs that cannot be loaded, whose
    /// `autoload` is false, or that [`Object::load_partial`](crate::Object::load_partial) could not load; and
    /// `struct_ops` maps whose `autocreate` is false.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Returns a global variable by its name in the object, to read and write it while programs run.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the existing names.
    pub fn variable(&self, name: &str) -> Result<Variable<'_>, Error> {
        let Some(spec) = self.variables.iter().find(|known| known.name == name) else {
            return Err(no_such("variable", name, self.variables.iter().map(|known| known.name.as_str())));
        };
        let map = self.holder(spec).ok_or_else(|| no_such("map", &spec.section, self.maps().map(Map::name)))?;
        Ok(Variable::new(spec, map))
    }

    /// Returns the map that contains a variable.
    fn holder(&self, spec: &VariableSpec) -> Option<&Map> {
        self.maps.iter().find(|made| made.data == spec.location).map(|made| &made.map)
    }

    /// Returns all global variables, section by section.
    #[doc(alias = "CollectionSpec.Variables")]
    pub fn variables(&self) -> impl Iterator<Item = Variable<'_>> {
        self.variables.iter().filter_map(|spec| Some(Variable::new(spec, self.holder(spec)?)))
    }

    /// Returns all maps, by name.
    #[doc(alias("bpf_object__next_map", "bpf_object__for_each_map"))]
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.iter().map(|made| &made.map)
    }

    /// Returns all programs, in the file's order.
    #[doc(alias("bpf_object__next_program", "bpf_object__for_each_program"))]
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.iter()
    }
}
