//! Finds the types of records.
//!
//! A ring has no types of its own: the kernel refuses them. Most programs that write into it were loaded with BTF,
//! which describes their structures and which the kernel keeps. A name is looked up in the file from `--btf`, or else
//! in the BTF of those programs, and then in the kernel's.

use std::path::Path;

use cutaway::{
    btf::{Btf, Value, kernel},
    system::{self, ProgramEntry},
};

use super::programs::{is_out_of_fds, programs};
use crate::{decode, error::CliError, object_arg::read_whole};

/// BTF, and the id of a type in it.
pub(crate) struct Types {
    section: Vec<u8>,
    id: u32,
    size: Option<u32>,
}

impl Types {
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
    pub(crate) fn text(&self, payload: &[u8]) -> String {
        self.with(payload, |value| {
            let more = self.size.map_or(0, |size| payload.len().saturating_sub(size as usize));
            let flexible = self.ends_flexibly();
            if more > 0 && !flexible { format!("{value} and {more} bytes more") } else { value.to_string() }
        })
    }

    /// Formats a payload that may be followed by up to 7 bytes of padding.
    pub(crate) fn padded(&self, payload: &[u8]) -> String {
        let size = self.size.map_or(0, |size| size as usize);
        let padded = payload.len().checked_sub(size).is_some_and(|more| more < 8) && !self.ends_flexibly();
        self.text(payload.get(..size).filter(|_| padded).unwrap_or(payload))
    }

    pub(crate) fn json(&self, payload: &[u8]) -> serde_json::Value {
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
