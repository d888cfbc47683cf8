//! Loading: an object meets the kernel.
//!
//! The order matters, and is: the object's BTF, since maps and programs name its types; one look at the kernel's BTF, if the
//! object asks for anything there, for CO-RE relocation, for what programs hang on, and for externs; the maps, since
//! instructions hold their descriptors; then each program, linked and handed to the verifier. If any of it fails, all that
//! was made before is closed again.

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use log::{debug, warn};

use crate::{
    Errno, Error, Links, Map, MapSpec, Object, Program, Variable, VariableSpec,
    btf::{Btf, older, search::Types},
    object::{Met, link::Place, no_such},
    probe::{self, Support, charged},
    program::Shared,
    sorted::sort,
    sys::bpf,
};
#[cfg(feature = "usdt")]
use crate::{Pinning, attach::Specs};

/// A program that the kernel did not take, while the rest of its object is loaded: see [`Object::load_what_runs`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Refused {
    /// The function's name in the source.
    pub name: String,
    /// The section's name.
    pub section_name: String,
    /// Why it is not there.
    pub why: Error,
}

/// An object's maps and programs in the kernel. Dropping it closes them; what somebody else holds (a link, a pin) stays.
#[derive(Debug)]
pub struct Loaded {
    /// By name. Two may have the same: an object can have two sections `.data`, and a program knows which it means.
    maps: Vec<Made>,
    /// In the file's order.
    programs: Vec<Program>,
    variables: Vec<VariableSpec>,
}

/// A map that was made, and where in the file it is described and its contents lie.
#[derive(Debug)]
struct Made {
    place: Place,
    data: Place,
    map: Map,
}

impl Object {
    /// Makes the maps, links the instructions and has the verifier check every program. Nothing is attached yet.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] if a map or program cannot be made, [`Error::Verifier`] if the verifier refuses a program, with
    /// its sentence and its log; [`Error::Object`] if the instructions refer to something that is not there. Nothing is
    /// left behind.
    pub fn load(self) -> Result<Loaded, Error> {
        self.load_but(&mut |refused| Err(refused.why))
    }

    /// As [`Object::load`], but a program that cannot be loaded is left out while the rest goes on, for whoever wants to see
    /// what runs here. Tail calls of it go nowhere: its places in a `PROG_ARRAY` stay empty.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], for all that is no single program's: maps, BTF, what all programs share, and a feature of this
    /// crate that was left out.
    pub fn load_what_runs(self) -> Result<(Loaded, Vec<Refused>), Error> {
        let mut refused = Vec::new();
        let loaded = self.load_but(&mut |program| {
            refused.push(program);
            Ok(())
        })?;
        Ok((loaded, refused))
    }

    /// Loads; what becomes of a program that cannot be loaded is for `refuse` to say.
    fn load_but(mut self, refuse: &mut dyn FnMut(Refused) -> Result<(), Error>) -> Result<Loaded, Error> {
        self.needs_no_more()?;
        for program in self.set_aside() {
            warn!("the program `{}` stays behind: {}", program.name, program.why);
        }
        let btf = self.load_btf();
        let Met { relocated, targets, externs } = self.meet(Types::Running)?;
        self.take_config(&externs);
        let maps = self.create_maps(btf.as_ref().map(AsFd::as_fd))?;
        let places = self.places(maps.iter().map(|map| map.as_fd().as_raw_fd()));
        let wanted = mem::take(&mut self.programs).into_iter().filter(|program| program.section.wanted);
        let shared = Shared {
            license: self.license(),
            license_fault: None,
            kernel_version: self.kernel_version,
            relocated: &relocated,
            btf: btf.as_ref().map(AsFd::as_fd),
            targets: &targets,
            #[cfg(feature = "usdt")]
            usdt: self.usdt_specs(&maps)?,
            externs: &externs,
        };
        let (mut programs, mut left_out) = (Vec::new(), Vec::new());
        for spec in wanted {
            let (name, section_name) = (spec.name.clone(), spec.section_name.clone());
            let linked = self.link(&spec, &places, &externs);
            match linked.and_then(|linked| Program::load(spec, &linked, &shared)) {
                Ok(program) => programs.push(program),
                Err(why) => {
                    left_out.push(name.clone());
                    refuse(Refused { name, section_name, why })?;
                }
            }
        }
        let made = self.maps.iter().zip(maps).map(|(spec, map)| Made { place: spec.place, data: spec.data(), map });
        let mut maps: Vec<_> = made.collect();
        sort(&mut maps, |one, other| one.map.name().cmp(other.map.name()));
        #[cfg(feature = "struct-ops")]
        complete_tables(&mut maps, &programs, &self.maps);
        let loaded = Loaded { maps, programs, variables: mem::take(&mut self.variables) };
        loaded.fill(&self.maps, &left_out)?;
        Ok(loaded)
    }

    /// Makes the maps, in the order of their descriptions.
    fn create_maps(&self, btf: Option<BorrowedFd<'_>>) -> Result<Vec<Map>, Error> {
        self.maps.iter().map(|spec| Map::make(spec, &self.pins, btf)).collect()
    }

    /// The maps by which programs on USDT find their arguments, if the object has them.
    #[cfg(feature = "usdt")]
    fn usdt_specs(&self, maps: &[Map]) -> Result<Option<Arc<Specs>>, Error> {
        let [specs, addresses] = Specs::MAPS.map(|name| maps.iter().find(|map| map.name() == name));
        let Some(specs) = specs else { return Ok(None) };
        let of_usdt = |spec: &&MapSpec| Specs::MAPS.contains(&spec.name.as_str());
        let pinned = self.maps.iter().filter(of_usdt).any(|spec| spec.pinning == Pinning::ByName);
        Ok(Some(Arc::new(Specs::new(specs.again()?, addresses.map(Map::again).transpose()?, pinned))))
    }

    /// Loads the object's BTF. It serves readers of maps and of verifier logs; programs of the kinds that this loader
    /// knows run without it, so its failure is no error.
    ///
    /// A new kernel takes everything. An old one refuses all of it for one kind that it does not know; only then is it
    /// asked about each kind, and given what it takes.
    fn load_btf(&self) -> Option<OwnedFd> {
        let bytes = self.btf()?;
        let loaded = load_btf(&bytes).or_else(|why| {
            debug!("the kernel does not take the object's BTF as it is: {why}");
            match probe::btf() {
                Support::Yes => {
                    let btf = Btf::parse(&bytes).map_err(|error| error.to_string())?;
                    let mut older = bytes.clone();
                    older::rewrite(&mut older, &btf, probe::btf_kinds());
                    load_btf(&older)
                }
                answer => Err(format!("BTF is {answer}")),
            }
        });
        loaded.inspect_err(|why| debug!("the object's BTF stays behind: {why}")).ok()
    }
}

fn load_btf(bytes: &[u8]) -> Result<OwnedFd, String> {
    let why = "loads the object's BTF: types of maps, names of functions, lines of source";
    charged(&mut || bpf::btf_load(bytes, &mut [], why)).map_err(|error| Errno::of(&error).to_string())
}

/// Puts programs into tables of functions.
#[cfg(feature = "struct-ops")]
fn complete_tables(maps: &mut [Made], programs: &[Program], specs: &[MapSpec]) {
    for spec in specs {
        let made = maps.iter_mut().find(|made| made.place == spec.place);
        let (Some(fitted), Some(Made { map, .. })) = (&spec.fitted, made) else { continue };
        let descriptor = |start| {
            let program = programs.iter().find(|program| program.spec().entry == start)?;
            Some(program.as_fd().as_raw_fd())
        };
        map.set_table(fitted.value(descriptor), fitted.by_link);
    }
}

impl Loaded {
    /// Puts into maps of maps and of programs what they hold from the start, but for programs that were left out.
    fn fill(&self, specs: &[MapSpec], left_out: &[String]) -> Result<(), Error> {
        for spec in specs {
            let Some(map) = self.maps.iter().find(|made| made.place == spec.place).map(|made| &made.map) else {
                continue;
            };
            for (key, name) in spec.values.iter().filter(|(_, name)| spec.inner.is_some() || !left_out.contains(name)) {
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
        self.maps().find(|map| map.name() == name).ok_or_else(|| no_such("map", name, self.maps().map(Map::name)))
    }

    /// A program by its name in the object.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the names that are there.
    pub fn program(&self, name: &str) -> Result<&Program, Error> {
        let found = self.programs.iter().find(|program| program.name() == name);
        found.ok_or_else(|| no_such("program", name, self.programs.iter().map(Program::name)))
    }

    /// A global variable by its name in the object, to be read and written while programs run.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`], with the names that are there.
    pub fn variable(&self, name: &str) -> Result<Variable<'_>, Error> {
        let Some(spec) = self.variables.iter().find(|known| known.name == name) else {
            return Err(no_such("variable", name, self.variables.iter().map(|known| known.name.as_str())));
        };
        let map = self.holder(spec).ok_or_else(|| no_such("map", &spec.section, self.maps().map(Map::name)))?;
        Ok(Variable::new(spec, map))
    }

    /// The map that a variable lies in.
    fn holder(&self, spec: &VariableSpec) -> Option<&Map> {
        self.maps.iter().find(|made| made.data == spec.place).map(|made| &made.map)
    }

    /// All global variables, section by section.
    pub fn variables(&self) -> impl Iterator<Item = Variable<'_>> {
        self.variables.iter().filter_map(|spec| Some(Variable::new(spec, self.holder(spec)?)))
    }

    /// All maps, by name.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.maps.iter().map(|made| &made.map)
    }

    /// All programs, in the file's order.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.iter()
    }

    /// Attaches every program where its section's name says, in the file's order, and then gives the kernel every table of
    /// functions. A program whose section does not say where is left alone, unless there is no other: it is attached by hand.
    ///
    /// # Errors
    ///
    /// The first failure; what was attached before it is detached again.
    pub fn attach(&self) -> Result<Links, Error> {
        let mut links = Links::default();
        for program in self.programs() {
            match program.waits_for_a_hand() {
                Some(why) => debug!("`{}` is not attached: {why}", program.name()),
                None => links.push(program.attach()?),
            }
        }
        #[cfg(feature = "struct-ops")]
        for map in self.maps().filter(|map| map.table().is_some()) {
            links.push(map.attach()?);
        }
        match self.programs.first() {
            Some(program) if links.is_empty() => links.push(program.attach()?),
            _ => {}
        }
        Ok(links)
    }
}
