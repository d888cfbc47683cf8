//! The built-in programs, assembled and read by either reader.

use cutaway::{Object, aya_obj};
use cutaway_programs::getaddrinfo::{Filter, Transport};
use log::info;

use crate::{error::CliError, object_reader::Reader};

/// Assembles the programs of a transport for this filter, and reads the object.
///
/// aya-obj gets the object without the checks of [`Object::parse_with`], because the object is known to be valid.
/// aya-obj does not keep section names, so no program has an attach target; `trace` gives each target when it
/// attaches.
pub(super) fn read(transport: Transport, filter: &Filter, reader: Reader) -> Result<Object, CliError> {
    let bytes = transport
        .object_with(filter)
        .map_err(|error| CliError::new(format!("cannot assemble the programs: {error}")))?;
    match reader {
        Reader::Cutaway => Ok(Object::parse(&bytes)?),
        Reader::AyaObj => {
            let parsed = aya_obj::Object::parse(&bytes).map_err(|error| {
                CliError::new(format!("cannot read the built-in programs by aya-obj: {error}"))
                    .advise("read them with --reader cutaway")
            })?;
            let (programs, maps) = (parsed.programs.len(), parsed.maps.len());
            info!("aya-obj has read the object: {programs} programs, {maps} maps");
            Ok(Object::from_aya(parsed)?)
        }
    }
}
