//! An object meets a kernel: what it wants of that kernel's types is found in one look, and its instructions and maps are made
//! to fit.
//!
//! The kernel may be the running one, or any other whose types are given; no map and no program is made here.

use super::{
    Object, ProgramSpec, broken, btf, function,
    link::{self, Address, Linked},
};
use crate::{
    Error,
    btf::{Btf, Ext, search::Types},
    core_relo::{self, Applied, Relocation},
    elf::Place,
    externs::{self, Ksyms, Resolved},
    gate::{READS_STRUCT_OPS, SEARCHES_BTF},
    program::Targets,
    sorted::Sorted,
    struct_ops::Tables,
};

/// What an object has found in the kernel.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// What CO-RE has made of the instructions.
    pub(crate) relocated: Vec<Applied>,
    pub(crate) targets: Targets,
    pub(crate) externs: Resolved,
}

impl Object {
    /// Finds in `types` all that the object wants to know of the kernel, in one look: what CO-RE adapts the instructions
    /// to, what programs hang on, where externs are, and how tables of functions are laid out.
    pub(crate) fn meet(&mut self, types: Types<'_>) -> Result<Met, Error> {
        self.check_features()?;
        self.maps.retain(|map| map.wanted);
        if !SEARCHES_BTF {
            return Ok(Met::default());
        }
        let nothing = Btf::none();
        let btf = match self.elf.contents(".BTF") {
            [] => nothing,
            bytes => btf::read(bytes)?,
        };
        let ext = match (self.core, self.elf.contents(".BTF.ext")) {
            (true, bytes) => Some(Ext::parse(bytes, &btf).map_err(|why| broken(why.to_string()))?),
            (false, _) => None,
        };
        let relocations = ext.as_ref().map_or_else(Vec::new, |ext| Relocation::all(&btf, ext));
        let tables = Tables::of(&self.maps, &mut self.programs, &btf);
        let mut code = function::Code::of(&self.elf, &mut self.functions);
        let candidates = core_relo::wanted(&btf, &relocations, &code);
        let targets = Targets::of_all(self.programs.iter().filter(|program| program.section.wanted));
        let seekers = (candidates, targets, Ksyms::of(&self.externs), tables);
        types.search(seekers, |(candidates, mut targets, ksyms, tables), sources| {
            if READS_STRUCT_OPS {
                tables.settle(&mut self.maps, &mut self.programs, &btf, sources.clone())?;
            }
            let relocated = core_relo::apply(&btf, &relocations, sources.clone(), candidates, &mut code)
                .map_err(|error| broken(error.to_string()))?;
            targets.settle(sources.clone());
            let externs = externs::resolve(&self.externs, ksyms, &btf, sources, &self.kconfig, types)?;
            Ok(Met { relocated, targets, externs })
        })
    }

    /// Puts the constants of the kernel's configuration into their map.
    pub(crate) fn take_config(&mut self, externs: &Resolved) {
        if let Some(map) = self.maps.iter_mut().find(|map| map.place == Place::Kconfig) {
            map.contents.clone_from(&externs.config);
        }
    }

    /// Where in the file maps and their contents lie, with these descriptors of them.
    pub(crate) fn places(&self, descriptors: impl Iterator<Item = i32>) -> Sorted<Place, Address> {
        let mut places = Vec::new();
        for (spec, fd) in self.maps.iter().zip(descriptors) {
            places.push((spec.place, Address { fd, base: 0 }));
            if spec.globals.is_some() {
                places.push((spec.data(), Address { fd, base: spec.base() }));
            }
        }
        Sorted::of(places)
    }

    /// One program's instructions with the maps' descriptors in them.
    pub(crate) fn link(
        &self,
        program: &ProgramSpec,
        maps: &Sorted<Place, Address>,
        externs: &Resolved,
    ) -> Result<Linked, Error> {
        link::link(&self.elf, &self.functions, maps, externs, program.entry, &program.name)
    }
}
