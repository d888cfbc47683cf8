//! Links the programs of one object, by the reader that has read it.

#[cfg(feature = "aya-obj")]
use super::aya::{AyaLinker, compare};
use super::{
    linked::Linked,
    linker::{MapRef, link, map_refs},
};
use crate::{
    Error,
    elf::Location,
    object::{MapSpec, Object, ProgramSpec},
    resolve::Resolved,
    sorted::Sorted,
};

/// Links the programs of an object.
pub(crate) struct ObjectLinker<'a> {
    object: &'a Object,
    resolved: &'a Resolved,
    map_refs: Sorted<Location, MapRef>,
    #[cfg(feature = "aya-obj")]
    fds: Vec<(&'a str, i32)>,
    /// aya-obj's linker if aya-obj has read the object. It is made when the first program is linked.
    #[cfg(feature = "aya-obj")]
    aya: Option<AyaLinker>,
}

impl<'a> ObjectLinker<'a> {
    /// Prepares linking with these maps, each with its fd.
    pub(crate) fn new(
        object: &'a Object,
        resolved: &'a Resolved,
        maps: impl Iterator<Item = (&'a MapSpec, i32)> + Clone,
    ) -> Self {
        Self {
            object,
            resolved,
            #[cfg(feature = "aya-obj")]
            fds: maps.clone().map(|(spec, fd)| (spec.name.as_str(), fd)).collect(),
            #[cfg(feature = "aya-obj")]
            aya: None,
            map_refs: map_refs(maps),
        }
    }

    /// Links a program: returns its instructions for the kernel, with those of the functions that it calls.
    ///
    /// A program of a file that aya-obj has read is linked by this crate too; other instructions are an error.
    pub(crate) fn link(&mut self, program: &ProgramSpec) -> Result<Linked, Error> {
        #[cfg(feature = "aya-obj")]
        if let (Some(aya), Some(relocated)) = (&self.object.aya, &self.resolved.aya) {
            let linker = match &mut self.aya {
                Some(linker) => linker,
                none => none.insert(AyaLinker::new((**relocated).clone(), aya, self.object, &self.fds)?),
            };
            let linked = linker.link(self.object, program)?;
            if aya.is_compared {
                let own = link(self.object, self.resolved, &self.map_refs, program)?;
                compare(&linked, &own, program)?;
            }
            return Ok(linked);
        }
        link(self.object, self.resolved, &self.map_refs, program)
    }
}
