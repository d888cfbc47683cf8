//! Attaches all programs of an object.

use log::debug;

use crate::{Error, Links, Loaded, ProgramType, Skipped, text::listed};

impl Loaded {
    /// Attaches every program where its section's name says, in the file's order, and then registers every
    /// `struct_ops` map. What is not attached is in [`Links::skipped`], with the reason: programs whose section does
    /// not say where, which are attached by hand, and all of [`Loaded::skipped`].
    ///
    /// # Errors
    ///
    /// The first failure; what was attached before it is detached again. [`Error::Invalid`] if nothing can be attached
    /// though the object has programs.
    #[doc(alias = "bpf_object__attach_skeleton")]
    pub fn attach(&self) -> Result<Links, Error> {
        let mut links = Links::default();
        for skipped in self.skipped() {
            links.skip(skipped.clone());
        }
        for program in self.programs() {
            let spec = program.spec();
            match program.waits_for_a_hand() {
                // Its map is registered below.
                Some(_) if cfg!(feature = "struct-ops") && spec.section.program_type == ProgramType::STRUCT_OPS => {}
                Some(why) => links.skip(Skipped::new(&spec.name, &spec.section_name, why)),
                None => links.push(program.attach()?),
            }
        }
        #[cfg(feature = "struct-ops")]
        for map in self.maps().filter(|map| map.table().is_some()) {
            links.push(map.attach()?);
        }
        for skipped in links.skipped() {
            debug!("not attached: {skipped}");
        }
        if !links.is_empty() {
            return Ok(links);
        }
        match self.programs().next() {
            Some(program) => links.push(program.attach()?),
            None if links.skipped().is_empty() => {}
            None => {
                let why = listed(&mut links.skipped().iter().map(ToString::to_string));
                return Err(Error::Invalid {
                    operation: "attach the object's programs".to_owned(),
                    why: format!("none is loaded: {why}"),
                });
            }
        }
        Ok(links)
    }
}
