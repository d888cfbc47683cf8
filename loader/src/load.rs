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
    Errno, Error, Links, Map, MapSpec, Object, Program, ProgramType, Skipped, Variable, VariableSpec, Warning,
    btf::{Btf, sanitize, visitor::Types},
    elf::Place,
    features::{self, Support},
    link,
    program::Shared,
    resolve::{Resolved, resolve},
    sorted::sort,
    sys::{bpf, memlock::charged},
    text::{listed, no_such},
};
#[cfg(feature = "usdt")]
use crate::{Pinning, program::UsdtSpecs};

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
    skipped: Vec<Skipped>,
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
    /// Programs that cannot be loaded ([`Object::set_aside`]) or are not wanted are in [`Loaded::skipped`], with the
    /// reason.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] if a map or program cannot be made, [`Error::Verifier`] if the verifier refuses a program, with
    /// its sentence and its log; [`Error::Object`] if the instructions refer to something that is not there. Nothing is
    /// left behind.
    pub fn load(self) -> Result<Loaded, Error> {
        let loaded = self.load_but(&mut |refused| Err(refused.why))?;
        if !cfg!(feature = "advice") {
            return Ok(loaded);
        }
        for skipped in loaded.skipped().iter().filter(|skipped| !skipped.is_optional()) {
            warn!("skipped {skipped}");
        }
        if loaded.programs.is_empty() && loaded.skipped.iter().any(Skipped::is_optional) {
            warn!(
                "no program of the object is loaded: {}",
                listed(&mut loaded.skipped.iter().map(ToString::to_string))
            );
        }
        Ok(loaded)
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
        self.check_features()?;
        if cfg!(feature = "advice") {
            let now = self.warnings().iter().filter(|warning| !matches!(warning, Warning::License { .. }));
            now.for_each(|warning| warn!("{warning}"));
        }
        let mut skipped = self.not_wanted();
        let btf = self.load_btf();
        let resolved = resolve(&self, Types::Running)?;
        if cfg!(feature = "struct-ops") {
            let unused = self.programs.iter().filter(|program| resolved.struct_ops.is_unused(program.entry));
            let why = "no struct_ops map that is created uses it";
            skipped.extend(unused.map(|program| Skipped::new(&program.name, &program.section_name, why)));
        }
        let maps = self.create_maps(&resolved, btf.as_ref().map(AsFd::as_fd))?;
        let addresses = link::addresses(&self, maps.iter().map(|map| map.as_fd().as_raw_fd()));
        let programs = mem::take(&mut self.programs).into_iter();
        let wanted = programs.filter(|program| program.section.wanted && !resolved.struct_ops.is_unused(program.entry));
        let shared = Shared {
            license: self.license(),
            license_fault: self.license_fault.clone(),
            kernel_version: self.kernel_version,
            resolved: &resolved,
            btf: btf.as_ref().map(AsFd::as_fd),
            #[cfg(feature = "usdt")]
            usdt: self.usdt_specs(&maps)?,
        };
        let (mut programs, mut left_out) = (Vec::new(), Vec::new());
        for spec in wanted {
            let (name, section_name) = (spec.name.clone(), spec.section_name.clone());
            let linked = link::link(&self, &resolved, &addresses, &spec);
            match linked.and_then(|linked| Program::load(spec, &linked, &shared)) {
                Ok(program) => programs.push(program),
                Err(why) => {
                    left_out.push(name.clone());
                    skipped.push(Skipped::new(&name, &section_name, &why.to_string()));
                    refuse(Refused { name, section_name, why })?;
                }
            }
        }
        let of_license = self.warnings().iter().filter(|warning| matches!(warning, Warning::License { .. }));
        for warning in of_license.filter(|_| cfg!(feature = "advice")) {
            // Not beside a refusal that says the same.
            let fault = self.license_fault.as_deref().unwrap_or_default();
            if !skipped.iter().any(|skipped| skipped.why.contains(fault)) {
                warn!("{warning}");
            }
        }
        let made = self.maps.iter().filter(|spec| spec.wanted).zip(maps);
        let made = made.map(|(spec, map)| Made { place: spec.place, data: spec.data(), map });
        let mut maps: Vec<_> = made.collect();
        sort(&mut maps, |one, other| one.map.name().cmp(other.map.name()));
        #[cfg(feature = "struct-ops")]
        complete_tables(&mut maps, &programs, &self.maps, &resolved)?;
        let loaded = Loaded { maps, programs, variables: mem::take(&mut self.variables), skipped };
        loaded.fill(&self.maps, &left_out)?;
        Ok(loaded)
    }

    /// What is not loaded before the kernel has a say.
    fn not_wanted(&self) -> Vec<Skipped> {
        let mut skipped = self.set_aside().to_vec();
        let programs = self.programs.iter().filter(|program| !program.section.wanted);
        skipped.extend(programs.map(|program| {
            let why = if program.section_name.starts_with('?') { Skipped::OPTIONAL } else { Skipped::UNWANTED };
            Skipped::new(&program.name, &program.section_name, why)
        }));
        let why = "its section begins with `?`, or `MapSpec::wanted` is false";
        skipped.extend(self.maps.iter().filter(|map| !map.wanted).map(|map| Skipped::new(&map.name, "", why)));
        skipped
    }

    /// Creates the maps, in the order of their descriptions.
    fn create_maps(&self, resolved: &Resolved, btf: Option<BorrowedFd<'_>>) -> Result<Vec<Map>, Error> {
        let wanted = self.maps.iter().enumerate().filter(|(_, spec)| spec.wanted);
        let create = |(index, spec)| {
            Map::make(&resolved.completed(index, spec), resolved.struct_ops.map(index), &self.pins, btf)
        };
        wanted.map(create).collect()
    }

    /// The maps by which programs on USDT find their arguments, if the object has them.
    #[cfg(feature = "usdt")]
    fn usdt_specs(&self, maps: &[Map]) -> Result<Option<Arc<UsdtSpecs>>, Error> {
        let [specs, addresses] = UsdtSpecs::MAPS.map(|name| maps.iter().find(|map| map.name() == name));
        let Some(specs) = specs else { return Ok(None) };
        let of_usdt = |spec: &&MapSpec| UsdtSpecs::MAPS.contains(&spec.name.as_str());
        let pinned = self.maps.iter().filter(of_usdt).any(|spec| spec.pinning == Pinning::ByName);
        Ok(Some(Arc::new(UsdtSpecs::new(specs.again()?, addresses.map(Map::again).transpose()?, pinned))))
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
            match features::btf() {
                Support::Yes => {
                    let btf = Btf::parse(&bytes).map_err(|error| error.to_string())?;
                    let mut older = bytes.clone();
                    sanitize::rewrite(&mut older, &btf, features::btf_kinds());
                    load_btf(&older)
                }
                answer => Err(format!("BTF is {answer}")),
            }
        });
        loaded.inspect_err(|why| debug!("the object's BTF stays behind: {why}")).ok()
    }
}

/// Why programs are skipped that their author or the caller does not want.
fn load_btf(bytes: &[u8]) -> Result<OwnedFd, String> {
    let why = "loads the object's BTF: types of maps, names of functions, lines of source";
    charged(&mut || bpf::btf_load(bytes, &mut [], why)).map_err(|error| Errno::of(&error).to_string())
}

/// Puts programs into tables of functions.
#[cfg(feature = "struct-ops")]
fn complete_tables(
    maps: &mut [Made],
    programs: &[Program],
    specs: &[MapSpec],
    resolved: &Resolved,
) -> Result<(), Error> {
    for (index, spec) in specs.iter().enumerate() {
        // Maps of other types.
        let Some(fitted) = resolved.struct_ops.map(index) else { continue };
        let made = maps.iter_mut().find(|made| made.place == spec.place);
        let map = &mut made.ok_or_else(|| Error::bug("a map that is described was not created"))?.map;
        let descriptor = |start| {
            let program = programs.iter().find(|program| program.spec().entry == start)?;
            Some(program.as_fd().as_raw_fd())
        };
        map.set_table(fitted.value(descriptor)?, fitted.by_link);
    }
    Ok(())
}

impl Loaded {
    /// Puts into maps of maps and of programs what they hold from the start, but for programs that were left out.
    fn fill(&self, specs: &[MapSpec], left_out: &[String]) -> Result<(), Error> {
        for spec in specs.iter().filter(|spec| spec.wanted) {
            let made = self.maps.iter().find(|made| made.place == spec.place);
            let map = &made.ok_or_else(|| Error::bug("a map that is described was not created"))?.map;
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
    /// [`Error::NoSuchName`], with the names that are there; [`Error::Unfit`], with the reason, if it is in
    /// [`Loaded::skipped`].
    pub fn program(&self, name: &str) -> Result<&Program, Error> {
        if let Some(program) = self.programs.iter().find(|program| program.name() == name) {
            return Ok(program);
        }
        let skipped = self.skipped.iter().find(|skipped| skipped.name == name && !skipped.section_name.is_empty());
        Err(match skipped {
            Some(skipped) => skipped.error("use"),
            None => no_such("program", name, self.programs.iter().map(Program::name)),
        })
    }

    /// Returns what of the object is not loaded, and why: programs that cannot be loaded, that are not wanted, or that
    /// were refused by [`Object::load_what_runs`]; and `struct_ops` maps that are not wanted.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
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

    /// Attaches every program where its section's name says, in the file's order, and then registers every
    /// `struct_ops` map. What is not attached is in [`Links::skipped`], with the reason: programs whose section does
    /// not say where, which are attached by hand, and all of [`Loaded::skipped`].
    ///
    /// # Errors
    ///
    /// The first failure; what was attached before it is detached again. [`Error::Unfit`] if nothing can be attached
    /// though the object has programs.
    pub fn attach(&self) -> Result<Links, Error> {
        let mut links = Links::default();
        for skipped in &self.skipped {
            links.skip(skipped.clone());
        }
        for program in self.programs() {
            let spec = program.spec();
            match program.waits_for_a_hand() {
                // Its map is registered below.
                Some(_) if cfg!(feature = "struct-ops") && spec.section.program_type == ProgramType::STRUCT_OPS => {}
                Some(why) => links.skip(Skipped::new(&spec.name, &spec.section_name, why)),
                None => links.push(program.attach()?),
            }
        }
        #[cfg(feature = "struct-ops")]
        for map in self.maps().filter(|map| map.table().is_some()) {
            links.push(map.attach()?);
        }
        for skipped in links.skipped() {
            debug!("not attached: {skipped}");
        }
        if !links.is_empty() {
            return Ok(links);
        }
        match self.programs.first() {
            Some(program) => links.push(program.attach()?),
            None if links.skipped().is_empty() => {}
            None => {
                let why = listed(&mut links.skipped().iter().map(ToString::to_string));
                return Err(Error::Unfit {
                    attempt: "attach the object's programs".to_owned(),
                    why: format!("none is loaded: {why}"),
                });
            }
        }
        Ok(links)
    }
}
