//! An object's maps and programs in the kernel.

use std::os::fd::{AsFd, AsRawFd};

use crate::{Error, Map, MapSpec, Program, Skipped, Variable, VariableSpec, elf::Location, text::no_such};

/// An object's maps and programs in the kernel. Dropping it closes them; what a link or a pin refers to stays.
#[derive(Debug)]
#[doc(alias("bpf_object", "Collection", "Ebpf"))]
pub struct Loaded {
    /// By name. Two may have the same: an object can have two sections `.data`, and a program knows which it means.
    pub(super) maps: Vec<Made>,
    /// In the file's order.
    pub(super) programs: Vec<Program>,
    pub(super) variables: Vec<VariableSpec>,
    pub(super) skipped: Vec<Skipped>,
}

/// A map in the kernel.
#[derive(Debug)]
pub(super) struct Made {
    /// The index of its description in the object.
    pub(super) index: usize,
    /// Where in the file its contents lie.
    pub(super) data: Location,
    pub(super) map: Map,
}

impl Loaded {
    /// Writes the initial entries of maps of maps and of programs, while the maps are in the order of their
    /// descriptions; entries of programs that were skipped stay empty.
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

    /// A map by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the names that are there.
    #[doc(alias("bpf_object__find_map_by_name", "bpf_object__find_map_fd_by_name"))]
    pub fn map(&self, name: &str) -> Result<&Map, Error> {
        self.maps().find(|map| map.name() == name).ok_or_else(|| no_such("map", name, self.maps().map(Map::name)))
    }

    /// A program by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the names that are there; [`Error::Invalid`], with the reason, if it is in
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

    /// Returns what of the object is not loaded, and why: programs that cannot be loaded, whose `autoload` is false, or
    /// that [`Object::load_partial`](crate::Object::load_partial) could not load; and `struct_ops` maps whose
    /// `autocreate` is false.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// A global variable by its name in the object, to be read and written while programs run.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the names that are there.
    pub fn variable(&self, name: &str) -> Result<Variable<'_>, Error> {
        let Some(spec) = self.variables.iter().find(|known| known.name == name) else {
            return Err(no_such("variable", name, self.variables.iter().map(|known| known.name.as_str())));
        };
        let map = self.holder(spec).ok_or_else(|| no_such("map", &spec.section, self.maps().map(Map::name)))?;
        Ok(Variable::new(spec, map))
    }

    /// The map that a variable lies in.
    fn holder(&self, spec: &VariableSpec) -> Option<&Map> {
        self.maps.iter().find(|made| made.data == spec.location).map(|made| &made.map)
    }

    /// All global variables, section by section.
    #[doc(alias = "CollectionSpec.Variables")]
    pub fn variables(&self) -> impl Iterator<Item = Variable<'_>> {
        self.variables.iter().filter_map(|spec| Some(Variable::new(spec, self.holder(spec)?)))
    }

    /// All maps, by name.
    #[doc(alias("bpf_object__next_map", "bpf_object__for_each_map"))]
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.iter().map(|made| &made.map)
    }

    /// All programs, in the file's order.
    #[doc(alias("bpf_object__next_program", "bpf_object__for_each_program"))]
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.iter()
    }
}
