//! An object's maps and programs in the kernel.

use std::os::fd::{AsFd, AsRawFd};

#[cfg(feature = "instrument")]
use crate::{Coverage, Losses};
use crate::{Error, Map, MapSpec, Program, Skipped, Variable, VariableSpec, elf::Location, text::no_such};

/// An object's maps and programs in the kernel.
///
/// Dropping a `Loaded` closes the file descriptors of its maps and programs. A program stays loaded while a
/// [`Link`](crate::Link), a pin, a slot of a `PROG_ARRAY` (the map for tail calls) or another file descriptor refers to
/// it. A map stays while a loaded program, a reader, a pin or another file descriptor refers to it. So the caller may
/// drop a `Loaded` while its links, rings and perf buffers are in use.
///
/// There is one exception. When the last file descriptor and the last pin of a map are gone, the kernel empties the map
/// if it is a `PROG_ARRAY`, and cancels the timers and work queues in the map (`bpf_map_put_uref` in
/// `kernel/bpf/syscall.c`). So keep the `Loaded`, or pin the map, while a program uses tail calls, `bpf_timer` or
/// `bpf_wq`.
///
/// `Send` and `Sync`.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let loaded = cutaway::Object::parse(&std::fs::read("probes.o")?)?.load()?;
/// for skipped in loaded.skipped() {
///     eprintln!("not loaded: {skipped}");
/// }
/// let _links = loaded.attach()?;
/// println!("total: {}", loaded.variable("total")?.read::<u64>()?); // u64 total;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[doc(alias("bpf_object", "Collection", "Ebpf"))]
pub struct Loaded {
    /// Sorted by name. Two maps may have the same name, because an object can have two sections `.data`. A program's
    /// relocation selects one of them.
    pub(super) maps: Vec<CreatedMap>,
    /// In the file's order.
    pub(super) programs: Vec<Program>,
    pub(super) variables: Vec<VariableSpec>,
    pub(super) skipped: Vec<Skipped>,
    #[cfg(feature = "instrument")]
    pub(super) losses: Option<Losses>,
    #[cfg(feature = "instrument")]
    pub(super) coverage: Option<Coverage>,
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
    /// Writes the initial entries of map-in-map and `PROG_ARRAY` maps. The maps must still be in the order of their
    /// descriptions. The entries of programs in `failed_names` stay empty.
    pub(super) fn fill(&self, specs: &[MapSpec], failed_names: &[String]) -> Result<(), Error> {
        for (spec, created) in specs.iter().filter(|spec| spec.autocreate).zip(&self.maps) {
            for (key, name) in
                spec.initial_entries.iter().filter(|(_, name)| spec.inner.is_some() || !failed_names.contains(name))
            {
                let fd = match spec.inner {
                    Some(_) => self.map(name)?.as_fd(),
                    None => self.program(name)?.as_fd(),
                };
                created.map.update(&key.to_ne_bytes(), &fd.as_raw_fd().to_ne_bytes())?;
            }
        }
        Ok(())
    }

    /// Returns a map by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the existing names. Maps in [`Loaded::skipped`] are not among them.
    #[doc(alias("bpf_object__find_map_by_name", "bpf_object__find_map_fd_by_name"))]
    pub fn map(&self, name: &str) -> Result<&Map, Error> {
        self.maps().find(|map| map.name() == name).ok_or_else(|| no_such("map", name, self.maps().map(Map::name)))
    }

    /// Returns a program by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the existing names. [`Error::Invalid`], with the reason, if the program is in
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

    /// Returns the programs and maps that are not loaded, each with the reason:
    ///
    /// - programs of [`Object::unknown_programs`](crate::Object::unknown_programs);
    /// - programs whose [`Section::autoload`](crate::Section::autoload) is false;
    /// - maps whose [`MapSpec::autocreate`] is false;
    /// - struct_ops programs that no created map uses;
    /// - programs whose load failed in [`Object::load_partial`](crate::Object::load_partial).
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Returns a global variable by its name in the object, to read and write it while programs run.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the existing names: if the object has no such variable, or if the variable's map was
    /// not created.
    pub fn variable(&self, name: &str) -> Result<Variable<'_>, Error> {
        let Some(spec) = self.variables.iter().find(|known| known.name == name) else {
            return Err(no_such("variable", name, self.variables.iter().map(|known| known.name.as_str())));
        };
        let map = self.holder(spec).ok_or_else(|| no_such("map", &spec.section, self.maps().map(Map::name)))?;
        Ok(Variable::new(spec, map))
    }

    /// Returns the map that contains a variable.
    fn holder(&self, spec: &VariableSpec) -> Option<&Map> {
        self.maps.iter().find(|created| created.data == spec.location).map(|created| &created.map)
    }

    /// Returns all global variables, section by section, except those whose map was not created.
    #[doc(alias = "CollectionSpec.Variables")]
    pub fn variables(&self) -> impl Iterator<Item = Variable<'_>> {
        self.variables.iter().filter_map(|spec| Some(Variable::new(spec, self.holder(spec)?)))
    }

    /// Returns all maps, sorted by name.
    #[doc(alias("bpf_object__next_map", "bpf_object__for_each_map"))]
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.iter().map(|created| &created.map)
    }

    /// Removes the pins at which maps were pinned or found by this load ([`Map::pin_path`]), and returns how many were
    /// there. The maps exist as long as something else refers to them.
    ///
    /// # Errors
    ///
    /// As [`Map::unpin`]. The other pins are removed nevertheless; the first error is returned.
    ///
    /// Needs this crate's feature `maps`.
    #[cfg(feature = "maps")]
    #[doc(alias("bpf_object__unpin_maps", "bpf_object__unpin"))]
    pub fn unpin_maps(&self) -> Result<usize, Error> {
        let (mut removed, mut first) = (0, None);
        for (map, path) in self.maps().filter_map(|map| Some((map, map.pin_path()?))) {
            match map.unpin(path) {
                Ok(there) => removed += usize::from(there),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(removed), Err)
    }

    /// Returns all programs, in the file's order.
    #[doc(alias("bpf_object__next_program", "bpf_object__for_each_program"))]
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.iter()
    }

    /// Returns the counts of the records that the programs could not send; `None` without a call of
    /// [`Object::count_losses`](crate::Object::count_losses).
    #[cfg(feature = "instrument")]
    #[must_use]
    pub fn losses(&self) -> Option<&Losses> {
        self.losses.as_ref()
    }

    /// Returns the lines that have run; `None` without a call of [`Object::cover`](crate::Object::cover).
    #[cfg(feature = "instrument")]
    #[must_use]
    pub fn coverage(&self) -> Option<&Coverage> {
        self.coverage.as_ref()
    }
}
