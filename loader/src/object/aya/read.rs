//! Reads an object by aya-obj, or converts an object that the caller has parsed by aya-obj.

use super::{
    admit::admit,
    adopt::adopt,
    guard::{chain, guarded},
    held::ObjectReader,
    mend::mend,
};
use crate::{Error, object::Object};

impl Object {
    /// Parses an object file by the chosen reader.
    ///
    /// With [`ObjectReader::AyaObj`] this crate's reader parses the file first, and refuses a file that aya-obj would
    /// misread. Then aya-obj parses it, and its maps, programs, types, CO-RE relocation and linking are used. Attach
    /// targets and the license come from the file: aya-obj does not keep targets, and takes a missing license for the
    /// GPL. Other values that aya-obj omits or gets wrong are corrected and logged at level `warn`, here or, for CO-RE
    /// relocations, while loading. Loading refuses a program that aya-obj links to other instructions than this crate's
    /// linker.
    ///
    /// # Errors
    ///
    /// [`Error::Object`] as for [`Object::parse`]; with [`ObjectReader::AyaObj`] also if aya-obj refuses the file,
    /// panics on it, finds other maps than this crate, or misses programs. A panic can be caught only where panics
    /// unwind (not with `panic = "abort"`).
    pub fn parse_with(reader: ObjectReader, bytes: &[u8]) -> Result<Self, Error> {
        let own = Self::parse(bytes)?;
        if reader == ObjectReader::Cutaway {
            return Ok(own);
        }
        let mut object = unmended(&own, bytes)?;
        for fault in mend(&mut object, Some(&own))? {
            log::warn!("aya-obj {fault}");
        }
        Ok(object)
    }

    /// Converts an object that the caller has parsed by aya-obj, with all changes that the caller has made to it. Makes
    /// no system call.
    ///
    /// aya-obj does not keep section names, so a program has no attach target. The caller sets it by
    /// [`ProgramSpec::set_attach_target`](crate::ProgramSpec::set_attach_target), or gives it while attaching. aya-obj
    /// takes a missing license for the GPL. Without BTF the object has no [`Object::variables`]: the caller sets them
    /// by `aya_obj::Object::patch_map_data` before. Functions that are not programs count as static.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let parsed = cutaway::aya_obj::Object::parse(&std::fs::read("program.o")?)?;
    /// let loaded = cutaway::Object::from_aya(parsed)?.load()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Object`] if the object is for machines of the other byte order, if it has externs, which aya-obj does
    /// not resolve, or if aya-obj cannot complete its BTF.
    pub fn from_aya(parsed: aya_obj::Object) -> Result<Self, Error> {
        let mut object = adopt(parsed, None)?;
        for fault in mend(&mut object, None)? {
            log::warn!("aya-obj {fault}");
        }
        Ok(object)
    }

    /// Returns the reader that has read the object.
    #[must_use]
    pub fn reader(&self) -> ObjectReader {
        match self.aya {
            Some(_) => ObjectReader::AyaObj,
            None => ObjectReader::Cutaway,
        }
    }
}

impl TryFrom<aya_obj::Object> for Object {
    type Error = Error;

    fn try_from(parsed: aya_obj::Object) -> Result<Self, Error> {
        Self::from_aya(parsed)
    }
}

/// The beginning of an error that aya-obj has returned for a file.
pub(crate) const REFUSES: &str = "aya-obj refuses it: ";

/// Parses the file by aya-obj unless [`admit`] refuses it. Corrects nothing. `own` is the object as this crate's reader
/// parses the file.
pub(crate) fn unmended(own: &Object, bytes: &[u8]) -> Result<Object, Error> {
    admit(own)?;
    let parsed = guarded("parse the object", 0, || aya_obj::Object::parse(bytes))?;
    let parsed = parsed.map_err(|error| Error::Object { why: format!("{REFUSES}{}", chain(&error)) })?;
    let (programs, maps) = (parsed.programs.len(), parsed.maps.len());
    log::info!("aya-obj has read the object: {programs} programs, {maps} maps");
    adopt(parsed, Some(own.clone()))
}
