//! Checks whether aya-obj accepts the object, and whether both object readers agree.

use cutaway::{Object, ReaderComparison, compare_readers, compare_readers_on_host};
use serde::Serialize;

use crate::object_reader::AYA_OBJ;

/// The result of comparing both object readers, for aya users. At most one reason is set; no reason if they agree.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct AyaObj {
    /// `true` for the same maps, programs and instructions; `false` if aya-obj refuses the object, must not be
    /// given it or reads it differently; `null` if unknown.
    pub(super) agrees: Option<bool>,
    /// Why aya-obj refuses the object.
    pub(super) refused: Option<String>,
    /// The fault of aya-obj that would cause no error, so aya-obj does not receive the object. It is the predicate of
    /// a sentence about aya-obj.
    pub(super) withheld: Option<String>,
    /// The first difference.
    pub(super) difference: Option<String>,
    /// Why it is unknown whether they agree.
    pub(super) unknown: Option<String>,
}

impl AyaObj {
    /// Compares both object readers. `types` is the BTF of the kernel that CO-RE relocations are applied for. Without
    /// it, the running kernel's BTF is read if the object has CO-RE relocations.
    pub(super) fn compare(bytes: &[u8], object: &Object, types: Option<&[u8]>) -> Self {
        if object.is_foreign_endian() {
            let why = "its byte order is not this machine's, so the object readers are not compared";
            return Self { unknown: Some(why.to_owned()), ..Self::default() };
        }
        let compared = match types {
            None => compare_readers_on_host(bytes),
            Some(types) => compare_readers(bytes, types),
        };
        match compared {
            Ok(compared) => compared.into(),
            Err(why) => Self { unknown: Some(why.to_string()), ..Self::default() },
        }
    }

    /// Returns the result as the predicate of a sentence about aya-obj.
    pub(super) fn sentence(&self) -> String {
        let reasons = [
            ("aya would refuse this: ", &self.refused),
            ("must not be given this: it ", &self.withheld),
            ("reads it differently: ", &self.difference),
            ("unknown: ", &self.unknown),
        ];
        let found = reasons.into_iter().find_map(|(what, why)| Some(format!("{what}{}", why.as_ref()?)));
        match (found, self.agrees) {
            (Some(found), _) => found,
            (None, Some(true)) => "reads it the same: maps, programs, instructions".to_owned(),
            (None, _) => "unknown: the object readers are not compared".to_owned(),
        }
    }

    /// Returns the text before the sentence.
    pub(super) fn label() -> String {
        format!("{AYA_OBJ}  ")
    }
}

impl From<ReaderComparison> for AyaObj {
    fn from(compared: ReaderComparison) -> Self {
        use ReaderComparison as C;
        match compared {
            C::Same => Self { agrees: Some(true), ..Self::default() },
            C::Refused { why } => Self { agrees: Some(false), refused: Some(why), ..Self::default() },
            C::Withheld { why } => Self { agrees: Some(false), withheld: Some(why), ..Self::default() },
            C::Different { what } => Self { agrees: Some(false), difference: Some(what), ..Self::default() },
            C::Unlinked { why } => {
                let why = format!("maps and programs are the same, not all instructions are compared: {why}");
                Self { unknown: Some(why), ..Self::default() }
            }
            _ => Self { unknown: Some("the comparison has an unknown result".to_owned()), ..Self::default() },
        }
    }
}
