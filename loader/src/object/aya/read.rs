//! Reads an object by aya-obj, or converts an object that the caller has parsed by aya-obj.

use super::{
    admit::admit,
    adopt::adopt,
    guard::{chain, guarded},
    held::{AyaObject, ObjectReader},
    mend::mend,
};
use crate::{Error, instruction::opcode, object::Object};

impl Object {
    /// Parses an object file by the chosen reader.
    ///
    /// With [`ObjectReader::AyaObj`] this crate's reader parses the file first, and refuses a file that aya-obj would
    /// misread. Then aya-obj parses the file. The object has the maps, programs and types that aya-obj found, and
    /// aya-obj does CO-RE relocation and linking. Attach targets and the license come from the file: aya-obj does not
    /// keep targets, and takes a missing license for the GPL. This crate corrects other values that aya-obj omits or
    /// gets wrong, and logs each correction at level `warn`. `load` corrects the CO-RE relocations. This call corrects
    /// all other values. Loading refuses a program if aya-obj and this crate link it to different instructions.
    ///
    /// # Errors
    ///
    /// [`Error::Object`] as for [`Object::parse`]. With [`ObjectReader::AyaObj`] also:
    ///
    /// - if aya-obj refuses the file or panics on it. A panic can be caught only where panics unwind (not with
    ///   `panic = "abort"`);
    /// - if its maps, or its instructions of a function, differ from this crate's;
    /// - if it misses a program, or a function that a program calls.
    pub fn parse_with(reader: ObjectReader, bytes: &[u8]) -> Result<Self, Error> {
        let own = Self::parse(bytes)?;
        if reader == ObjectReader::Cutaway {
            return Ok(own);
        }
        let mut object = unmended(&own, bytes)?;
        if let Some(AyaObject { object, maps, .. }) = object.aya.as_deref() {
            let (programs, maps) = (counted(object.programs.len(), "program"), counted(maps.len(), "map"));
            log::info!("aya-obj has read the object: {programs}, {maps}");
        }
        for fault in mend(&mut object, Some(&own))? {
            log::warn!("aya-obj {fault}");
        }
        Ok(object)
    }

    /// Converts an object that the caller has parsed by aya-obj. Keeps all changes that the caller has made to it. The
    /// caller must not call `relocate_btf`, `relocate_maps` or `relocate_calls` before, because loading calls them.
    /// Makes no system call.
    ///
    /// aya-obj does not keep section names, so a program has no attach target. The caller sets it by
    /// [`ProgramSpec::set_attach_target`](crate::ProgramSpec::set_attach_target), or gives it while attaching. aya-obj
    /// takes a missing license for the GPL. Without BTF, [`Object::variables`] is empty. To set variables, call
    /// `aya_obj::Object::patch_map_data` before this conversion. Functions that are not programs count as static.
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
    /// not resolve, if aya-obj cannot complete its BTF, if a name contains a control character, or if the object's
    /// references to maps or functions are already resolved.
    pub fn from_aya(parsed: aya_obj::Object) -> Result<Self, Error> {
        names(&parsed)?;
        unresolved(&parsed)?;
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

/// Returns a number of things: `1 map`, `2 maps`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Checks names. They must be printable, since errors that show them are one line.
fn names(parsed: &aya_obj::Object) -> Result<(), Error> {
    let maps = parsed.maps.keys().map(|name| ("map", name));
    let programs = parsed.programs.keys().map(|name| ("program", name));
    let functions = parsed.functions.values().map(|function| ("function", &function.name));
    match maps.chain(programs).chain(functions).find(|(_, name)| name.contains(char::is_control)) {
        Some((whose, _)) => Err(Error::Object { why: format!("the name of a {whose} contains a control character") }),
        None => Ok(()),
    }
}

/// Checks that no reference is resolved. aya-obj would resolve it again, to another location.
fn unresolved(parsed: &aya_obj::Object) -> Result<(), Error> {
    let refused = |name: &str, call: &str| {
        Err(Error::Object {
            why: format!("the function `{name}` is already relocated: convert the object before calling `{call}`"),
        })
    };
    for function in parsed.functions.values() {
        let mut loads = function.instructions.iter().filter(|insn| insn.code == opcode::LD_IMM64);
        let source = loads.find_map(|insn| match insn.src_reg() {
            opcode::PSEUDO_MAP_FD | opcode::PSEUDO_MAP_VALUE => Some("relocate_maps"),
            opcode::PSEUDO_FUNC => Some("relocate_calls"),
            _ => None,
        });
        if let Some(call) = source {
            return refused(&function.name, call);
        }
    }
    // `relocate_calls` appends a function with its type. Before, a program has its own at its first instruction.
    let programs = parsed.programs.values().filter_map(|program| parsed.functions.get(&program.function_key()));
    let mut linked = programs.filter(|function| function.func_info.func_info.iter().any(|info| info.insn_off != 0));
    match linked.next() {
        Some(function) => refused(&function.name, "relocate_calls"),
        None => Ok(()),
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
    adopt(parsed, Some(own.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "map")), ["0 maps", "1 map", "2 maps"]);
    }
}
