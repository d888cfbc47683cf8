//! Attaches all programs of an object.

use log::debug;

use crate::{Error, Links, Loaded, ProgramType, Skipped, text::listed};

impl Loaded {
    /// Attaches every program to its section's target, in the file's order. Then registers every struct_ops map.
    ///
    /// [`Links::skipped`] lists the programs and maps that are not attached, each with the reason:
    ///
    /// - programs whose section names no target; the caller can attach them, for example by
    ///   [`Program::attach_with`](crate::Program::attach_with);
    /// - the programs and maps in [`Loaded::skipped`].
    ///
    /// # Errors
    ///
    /// The first error of [`Program::attach`](crate::Program::attach) or of a struct_ops map, after detaching the
    /// programs that were attached before it. [`Error::Invalid`] if the object has programs and none of them can be
    /// attached.
    #[doc(alias = "bpf_object__attach_skeleton")]
    pub fn attach(&self) -> Result<Links, Error> {
        let mut links = Links::default();
        for skipped in self.skipped() {
            links.skip(skipped.clone());
        }
        for program in self.programs() {
            let spec = program.spec();
            match program.manual_attach_reason() {
                // The program's map is registered below.
                Some(_) if cfg!(feature = "struct-ops") && spec.section.program_type == ProgramType::STRUCT_OPS => {}
                Some(why) => links.skip(Skipped::new(&spec.name, &spec.section_name, why)),
                None => links.push(program.attach()?),
            }
        }
        #[cfg(feature = "struct-ops")]
        for map in self.maps().filter(|map| map.struct_ops_value().is_some()) {
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
