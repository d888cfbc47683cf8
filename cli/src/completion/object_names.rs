//! Names in the object that the command line names. An object that cannot be read has none.

use std::{fs, path::Path};

use cutaway::{MapType, Object, btf::Btf};

use super::candidate::Candidate;
use crate::object_arg;

/// The largest file that is read for a completion: the user waits for it.
const MOST_BYTES: u64 = 64 << 20;

/// An object, and the BTF of its file.
#[derive(Default)]
pub(super) struct Names {
    object: Option<Object>,
    btf: Option<Vec<u8>>,
}

/// Reads the object of a command line: a file, or a built-in object.
pub(super) fn named(file: Option<&str>, built_in: Option<&str>) -> Names {
    let Some(built_in) = built_in else { return of_file(file.map(Path::new)) };
    let object = object_arg::built_in(built_in).and_then(|bytes| Object::parse_any_endian(&bytes).ok());
    let btf = object.as_ref().and_then(Object::btf);
    Names { object, btf }
}

/// Reads a regular file that has an object or BTF.
pub(super) fn of_file(path: Option<&Path>) -> Names {
    // A FIFO would wait for its writer, and a device may never end.
    let is_short = |path: &&Path| fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= MOST_BYTES);
    let Some(bytes) = path.filter(is_short).and_then(|path| fs::read(path).ok()) else { return Names::default() };
    let object = Object::parse_any_endian(&bytes).ok();
    let btf = object.as_ref().and_then(Object::btf).or_else(|| Some(Btf::in_file(&bytes).ok()?.to_vec()));
    Names { object, btf }
}

impl Names {
    pub(super) fn programs(&self) -> Vec<Candidate> {
        let programs = self.object.iter().flat_map(Object::programs);
        programs.map(|program| Candidate::new(&program.name, &program.section_name)).collect()
    }

    /// Returns all functions: `--section` makes a program of one.
    pub(super) fn functions(&self) -> Vec<Candidate> {
        let functions = self.object.iter().flat_map(Object::functions);
        functions.map(|function| Candidate::new(function.name, "")).collect()
    }

    /// Returns the maps that the object declares, without those of its variables.
    pub(super) fn maps(&self) -> Vec<Candidate> {
        self.maps_that(|_| true)
    }

    /// Returns the rings and perf event arrays.
    pub(super) fn buffers(&self) -> Vec<Candidate> {
        self.maps_that(|map_type| matches!(map_type, MapType::RINGBUF | MapType::PERF_EVENT_ARRAY))
    }

    fn maps_that(&self, fits: impl Fn(MapType) -> bool) -> Vec<Candidate> {
        let maps = self.object.iter().flat_map(Object::maps);
        let declared = maps.filter(|map| !map.name.starts_with('.') && fits(map.map_type));
        declared.map(|map| Candidate::new(&map.name, map.map_type.to_string())).collect()
    }

    pub(super) fn variables(&self) -> Vec<Candidate> {
        let variables = self.object.iter().flat_map(Object::variables);
        let described = variables.map(|variable| {
            let meaning = variable.type_name.as_deref().unwrap_or_default();
            Candidate::new(&variable.name, meaning)
        });
        described.collect()
    }

    /// Returns the names of structures, unions, enumerations and typedefs.
    pub(super) fn types(&self) -> Vec<Candidate> {
        let Some(btf) = self.btf.as_deref().and_then(|bytes| Btf::parse(bytes).ok()) else { return Vec::new() };
        let is_named = |ty: &cutaway::btf::Type<'_>| {
            let kind = ty.kind();
            let is_type = kind.is_composite() || kind.is_enum() || kind == cutaway::btf::Kind::Typedef;
            is_type && !ty.name_bytes().is_empty()
        };
        let named = btf.types().filter(is_named);
        named.map(|ty| Candidate::new(ty.name(), ty.kind().keyword())).collect()
    }
}
