//! Finds the types of records.
//!
//! A ring has no types of its own: the kernel refuses them. Most programs that write into it were loaded with BTF,
//! which describes their structures and which the kernel keeps. A name is looked up in the file from `--btf`, or else
//! in the BTF of those programs, and then in the kernel's. Without a name, the type of a record is found in the BTF of
//! those programs as `cutaway run` finds it (`loaded.rs`).

use std::path::Path;

use cutaway::{
    btf::{Btf, Value, kernel},
    system::{self, ProgramEntry},
};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    args::Arguments,
    loaded, payload,
    programs::{is_out_of_fds, programs},
};
use crate::{
    decode,
    error::{CliError, listed_by},
    object_arg::read_whole,
    run::{Basis, Choice, Records},
};

/// How the payloads of records are decoded.
pub(crate) enum Types {
    /// As the type of `--type`.
    Given(GivenType),
    /// As the type that is found for each length of a record.
    Found(FoundTypes),
}

/// A decoded payload. Its JSON has these fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decoded {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Json>,
    /// Name of the type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// How the type is known, as in the JSON of `cutaway run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) type_is: Option<String>,
}

impl Decoded {
    /// Formats the value, with the name of a type that was found; `None` if there is no value.
    pub(crate) fn text(&self) -> Option<String> {
        let value = self.value.as_ref()?;
        let guess = if self.type_is.as_deref() == Some(Basis::Guess.word()) { Basis::Guess.mark() } else { "" };
        Some(self.name.as_ref().map_or_else(|| value.to_string(), |name| format!("{name}{guess} {value}")))
    }
}

impl Types {
    /// Finds the type that the arguments name; else the types of the records that programs send to `maps`. Returns
    /// `None` if no program has types.
    pub(crate) fn of(arguments: &Arguments, maps: &[u32], is_padded: bool) -> Result<Option<Self>, CliError> {
        if let Some(name) = &arguments.decode_as {
            let map = maps.first().copied().filter(|_| !is_padded);
            return GivenType::find(name, arguments.btf.as_deref(), map).map(|given| Some(Self::Given(given)));
        }
        let records = loaded::records(maps, is_padded)?;
        Ok((!records.is_empty()).then_some(Self::Found(FoundTypes { records })))
    }

    /// Formats a payload on one line.
    pub(crate) fn text(&self, payload: &[u8]) -> String {
        match self {
            Self::Given(given) => given.text(payload),
            Self::Found(found) => found.text(payload),
        }
    }

    /// Formats a payload that may be followed by up to 7 bytes of padding.
    pub(crate) fn padded(&self, payload: &[u8]) -> String {
        match self {
            Self::Given(given) => given.padded(payload),
            Self::Found(found) => found.text(payload),
        }
    }

    /// Decodes a payload.
    pub(crate) fn decode(&self, payload: &[u8]) -> Decoded {
        match self {
            Self::Given(given) => Decoded { value: Some(given.json(payload)), ..Decoded::default() },
            Self::Found(found) => found.decode(payload),
        }
    }
}

/// The types that `cutaway run` would find for the records of loaded programs.
pub(crate) struct FoundTypes {
    /// For each map, and for each BTF of its programs.
    records: Vec<Records<'static>>,
}

impl FoundTypes {
    /// Returns the type of a record of this length, and its size without padding. If the programs have several BTFs,
    /// each of them may have sent the record: then the type is known only if all that have one of this length agree.
    fn of(&self, length: usize) -> (Choice<'static>, usize) {
        let mut chosen = (Choice::Unknown, length);
        for (choice, size) in self.records.iter().map(|records| records.of(length)) {
            chosen.0 = match (chosen.0, choice) {
                (Choice::Unknown, choice) => {
                    chosen.1 = size;
                    choice
                }
                (known, Choice::Unknown) => known,
                (Choice::Known(one, basis), Choice::Known(other, _)) if one.name() == other.name() => {
                    Choice::Known(one, basis)
                }
                (one, other) => {
                    chosen.1 = length;
                    let mut all = names(one);
                    all.extend(names(other));
                    all.sort_unstable();
                    all.dedup();
                    Choice::Several(all)
                }
            };
        }
        chosen
    }

    /// Formats a payload with the name of its type. Without a known type, formats its bytes.
    fn text(&self, whole: &[u8]) -> String {
        let (choice, size) = self.of(whole.len());
        match choice {
            Choice::Known(shape, basis) => {
                let (value, rest) = shape.read(whole.get(..size).unwrap_or(whole));
                let more = if rest.is_empty() { String::new() } else { format!(" and {} bytes more", rest.len()) };
                format!("{}{} {value}{more}", shape.name(), basis.mark())
            }
            Choice::Several(names) => format!("{} ({}?)", payload::text(whole), listed_by(&names, " or ")),
            Choice::Unknown => payload::text(whole),
        }
    }

    fn decode(&self, whole: &[u8]) -> Decoded {
        let (Choice::Known(shape, basis), size) = self.of(whole.len()) else { return Decoded::default() };
        let (value, _) = shape.read(whole.get(..size).unwrap_or(whole));
        Decoded { value: Some(decode::json(&value)), name: Some(shape.name()), type_is: Some(basis.word().to_owned()) }
    }
}

/// Returns the names of the types that a record can have.
fn names(choice: Choice<'_>) -> Vec<String> {
    match choice {
        Choice::Known(shape, _) => vec![shape.name()],
        Choice::Several(names) => names,
        Choice::Unknown => Vec::new(),
    }
}

/// BTF, and the id of a type in it.
pub(crate) struct GivenType {
    section: Vec<u8>,
    id: u32,
    size: Option<u32>,
}

impl GivenType {
    /// Finds the type `name` for the records of the ring with the id `map`, or of any ring.
    pub(crate) fn find(name: &str, file: Option<&Path>, map: Option<u32>) -> Result<Self, CliError> {
        let name = name.trim();
        if let Some(file) = file {
            let section = of_file(file)?;
            let known = Btf::parse(&section)
                .map_err(|broken| CliError::new(format!("cannot read the BTF in {}: {broken}", file.display())))?;
            let known = decode::structures(&known);
            return Self::of(section, name)
                .map_err(|_| CliError::new(format!("{} has no type `{name}`{known}", file.display())));
        }
        let mut looked = Vec::new();
        let programs = programs()?;
        let are_known = programs.is_some();
        let uses = |program: &ProgramEntry| map.is_none_or(|map| program.maps.contains(&map));
        for program in programs.into_iter().flatten().filter(uses) {
            let section = match program.btf.map(system::btf_by_id) {
                Some(Ok(section)) => section,
                Some(Err(error)) if is_out_of_fds(&error) => return Err(error.into()),
                // It was unloaded, or loaded without BTF.
                Some(Err(_)) | None => continue,
            };
            match Self::of(section, name) {
                Ok(types) => return Ok(types),
                Err(section) => looked.push((program.id, section)),
            }
        }
        if let Some(types) = kernel::Bytes::vmlinux().ok().and_then(|bytes| Self::of(bytes.to_vec(), name).ok()) {
            return Ok(types);
        }
        let known = match looked.first() {
            Some((_, section)) => Btf::parse(section).map_or_else(|_| String::new(), |btf| decode::structures(&btf)),
            None if !are_known => "; the programs that use the ring cannot be inspected (CAP_SYS_ADMIN)".to_owned(),
            None => "; no program that uses the ring was loaded with types".to_owned(),
        };
        Err(CliError::new(format!("neither the ring's programs nor the kernel have a type `{name}`{known}"))
            .advise("name an object or BTF file that has it: --btf FILE"))
    }

    /// Looks `name` up. Returns the section as the error if it has no such type.
    fn of(section: Vec<u8>, name: &str) -> Result<Self, Vec<u8>> {
        let found = Btf::parse(&section).ok().and_then(|btf| {
            let ty = decode::find(&btf, name)?;
            Some((ty.id(), btf.size_of(ty.id())))
        });
        match found {
            Some((id, size)) => Ok(Self { section, id, size }),
            None => Err(section),
        }
    }

    /// Formats a payload on one line. Bytes beyond its type are counted.
    fn text(&self, payload: &[u8]) -> String {
        self.with(payload, |value| {
            let more = self.size.map_or(0, |size| payload.len().saturating_sub(size as usize));
            let flexible = self.ends_flexibly();
            if more > 0 && !flexible { format!("{value} and {more} bytes more") } else { value.to_string() }
        })
    }

    /// Formats a payload that may be followed by up to 7 bytes of padding.
    fn padded(&self, payload: &[u8]) -> String {
        let size = self.size.map_or(0, |size| size as usize);
        let padded = payload.len().checked_sub(size).is_some_and(|more| more < 8) && !self.ends_flexibly();
        self.text(payload.get(..size).filter(|_| padded).unwrap_or(payload))
    }

    fn json(&self, payload: &[u8]) -> serde_json::Value {
        self.with(payload, decode::json)
    }

    fn with<T>(&self, payload: &[u8], use_it: impl FnOnce(&Value<'_>) -> T) -> T {
        match Btf::parse(&self.section) {
            Ok(btf) => use_it(&btf.value(self.id, payload)),
            // It was parsed before.
            Err(_) => use_it(&Value::Missing),
        }
    }

    /// Returns whether its last member is a flexible array.
    fn ends_flexibly(&self) -> bool {
        Btf::parse(&self.section).is_ok_and(|btf| decode::ends_flexibly(&btf, self.id))
    }
}

/// Returns the BTF of an object file, or of a file of raw BTF.
fn of_file(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = read_whole(path, &format!("read the types in {}", path.display()))?;
    let unread = |why| CliError::new(format!("cannot read the BTF in {}: {why}", path.display()));
    Btf::in_file(&bytes).map(<[u8]>::to_vec).map_err(unread)
}
