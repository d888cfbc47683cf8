//! Loading: an object meets the kernel.
//!
//! The order matters, and is: the object's BTF, since maps and programs name its types; the maps, since instructions hold their descriptors; then each program,
//! linked and handed to the verifier. If any of it fails, all that was made before is closed again.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use log::{debug, warn};

use crate::{
    Errno, Error, Link, Map, MapSpec, Object, Program,
    object::no_such,
    probe::{self, Support, charged},
    program::Shared,
    sys::bpf,
};

/// An object's maps and programs in the kernel. Dropping it closes them; what somebody else holds (a link, a pin) stays.
#[derive(Debug)]
pub struct Loaded {
    maps: BTreeMap<String, Map>,
    programs: BTreeMap<String, Program>,
}

impl Object {
    /// Makes the maps, links the instructions and has the verifier check every program. Nothing is attached yet.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] if a map or program cannot be made, [`Error::Verifier`] if the verifier refuses a program, with
    /// its sentence and its log; [`Error::Object`] if the instructions refer to something that is not there. Nothing is
    /// left behind.
    pub fn load(mut self) -> Result<Loaded, Error> {
        for program in self.set_aside() {
            warn!("the program `{}` stays behind: {}", program.name, program.why);
        }
        let btf = self.load_btf();
        if self.wants_core_relocation() {
            let why =
                "it wants CO-RE relocation against the kernel's BTF, which this loader does not do yet".to_owned();
            return Err(Error::Object { why });
        }
        let maps = self.create_maps(btf.as_ref().map(AsFd::as_fd))?;
        let places = self.maps.iter().filter_map(|spec| Some((spec.place, maps.get(&spec.name)?.as_fd().as_raw_fd())));
        let places: HashMap<_, _> = places.collect();
        let shared = Shared {
            license: &self.parsed.license,
            kernel_version: self.parsed.kernel_version.unwrap_or(0),
            btf: btf.as_ref().map(AsFd::as_fd),
        };
        let mut programs = BTreeMap::new();
        for spec in self.programs.iter().filter(|program| program.section.wanted) {
            let linked = self.link(spec, &places)?;
            programs.insert(spec.name.clone(), Program::load(spec.clone(), &linked, &shared)?);
        }
        let loaded = Loaded { maps, programs };
        loaded.fill(&self.maps)?;
        Ok(loaded)
    }

    /// Makes the maps; those that hold others last.
    fn create_maps(&self, btf: Option<BorrowedFd<'_>>) -> Result<BTreeMap<String, Map>, Error> {
        let (outer, plain): (Vec<_>, Vec<_>) = self.maps.iter().partition(|map| map.inner.is_some());
        let mut maps = BTreeMap::new();
        for spec in plain.into_iter().chain(outer) {
            maps.insert(spec.name.clone(), Map::make(spec, &self.pins, btf)?);
        }
        Ok(maps)
    }

    /// Loads the object's BTF. It serves readers of maps and of verifier logs; programs of the kinds that this loader
    /// knows run without it, so its failure is no error.
    ///
    /// A new kernel takes everything. An old one refuses all of it for one kind that it does not know; only then is it
    /// asked about each kind, and given what it takes.
    fn load_btf(&mut self) -> Option<OwnedFd> {
        let bytes = self.btf()?;
        let loaded = load_btf(&bytes).or_else(|why| {
            debug!("the kernel does not take the object's BTF as it is: {why}");
            match probe::btf() {
                Support::Yes => load_btf(&self.sanitized(&bytes)?),
                answer => Err(format!("BTF is {answer}")),
            }
        });
        loaded.inspect_err(|why| debug!("the object's BTF stays behind: {why}")).ok()
    }

    /// The BTF rewritten to what this kernel takes.
    fn sanitized(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let btf = aya_obj::btf::Btf::parse(bytes, self.parsed.endianness).map_err(|error| error.to_string())?;
        self.parsed.btf = Some(btf);
        match self.parsed.fixup_and_sanitize_btf(probe::btf_features()) {
            Ok(Some(btf)) => Ok(btf.to_bytes()),
            Ok(None) => Err("it is empty".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn load_btf(bytes: &[u8]) -> Result<OwnedFd, String> {
    let why = "loads the object's BTF: types of maps, names of functions, lines of source";
    charged(|| bpf::btf_load(bytes, &mut [], why)).map_err(|error| Errno::of(&error).to_string())
}

impl Loaded {
    /// Puts into maps of maps and of programs what they hold from the start.
    fn fill(&self, specs: &[MapSpec]) -> Result<(), Error> {
        for spec in specs {
            for (key, name) in &spec.values {
                let map = self.map(&spec.name)?;
                let held = match spec.inner {
                    Some(_) => self.map(name)?.as_fd(),
                    None => self.program(name)?.as_fd(),
                };
                map.update(&key.to_ne_bytes(), &held.as_raw_fd().to_ne_bytes())?;
            }
        }
        Ok(())
    }

    /// A map by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the names that are there.
    pub fn map(&self, name: &str) -> Result<&Map, Error> {
        self.maps.get(name).ok_or_else(|| no_such("map", name, self.maps.keys().map(String::as_str)))
    }

    /// A program by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the names that are there.
    pub fn program(&self, name: &str) -> Result<&Program, Error> {
        self.programs.get(name).ok_or_else(|| no_such("program", name, self.programs.keys().map(String::as_str)))
    }

    /// All maps, by name.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.values()
    }

    /// All programs, by name.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.values()
    }

    /// Attaches every program where its section's name says, in the order of their names.
    ///
    /// # Errors
    ///
    /// The first failure; what was attached before it is detached again.
    pub fn attach(&self) -> Result<Vec<Link>, Error> {
        self.programs().map(Program::attach).collect()
    }
}
