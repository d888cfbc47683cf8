//! Loads an object: the steps in the order that [`super`] lists.

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use log::{debug, warn};

use super::{
    loaded::{CreatedMap, Loaded},
    options::LoadOptions,
    plan::Plan,
};
#[cfg(feature = "struct-ops")]
use crate::elf::Start;
use crate::{
    Errno, Error, Map, Object, Program, Skipped, Warning,
    btf::{Btf, sanitize, visitor::Types},
    features::{self, Support},
    link::ObjectLinker,
    map::NewPins,
    program::Shared,
    sorted::sort,
    sys::{bpf, memlock::charged},
    text::listed,
};
#[cfg(feature = "usdt")]
use crate::{Pinning, program::UsdtSpecs};

/// A program that was refused while the rest of its object was loaded: see [`Object::load_partial`].
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedProgram {
    /// The function's name in the source.
    pub name: String,
    /// The section's name.
    pub section_name: String,
    /// The error.
    pub why: Error,
}

impl Object {
    /// Creates the maps, links the instructions and has the verifier check every program. Attaches nothing.
    /// [`Loaded::skipped`] lists programs that cannot be loaded ([`Object::unknown_programs`]) or are not to be loaded
    /// (`autoload`), with the reason.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if a map or program cannot be created; [`Error::Verifier`], with the reason and the log, if
    /// the verifier refuses a program; [`Error::Object`] if the instructions refer to something that does not exist. In
    /// all these cases everything created so far is closed, and the pins that this call created are removed.
    #[doc(alias("bpf_object__load", "BPF_PROG_LOAD", "BPF_MAP_CREATE", "NewCollection"))]
    pub fn load(self) -> Result<Loaded, Error> {
        self.load_with(&LoadOptions::new())
    }

    /// Loads as [`Object::load`] does, with `options`.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], and those of the options.
    #[doc(alias("bpf_object__load", "NewCollectionWithOptions"))]
    pub fn load_with(self, options: &LoadOptions<'_>) -> Result<Loaded, Error> {
        let loaded = self.load_inner(options, None)?;
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

    /// Loads as [`Object::load`] does, but skips programs that cannot be loaded. Their slots in a `PROG_ARRAY` stay
    /// empty, so tail calls of them fail.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], for everything that concerns more than one program: maps, BTF, data that all programs
    /// share, and a disabled cargo feature.
    pub fn load_partial(self) -> Result<(Loaded, Vec<FailedProgram>), Error> {
        self.load_partial_with(&LoadOptions::new())
    }

    /// Loads as [`Object::load_partial`] does, with `options`.
    ///
    /// # Errors
    ///
    /// As [`Object::load_partial`], and [`Error::NoSuchName`] if the options name a program that the object does not
    /// have.
    pub fn load_partial_with(self, options: &LoadOptions<'_>) -> Result<(Loaded, Vec<FailedProgram>), Error> {
        let mut failed = Vec::new();
        let loaded = self.load_inner(options, Some(&mut failed))?;
        Ok((loaded, failed))
    }

    /// Loads the object. Adds a program that cannot be loaded to `failed`; without `failed` its error ends the load.
    fn load_inner(
        mut self,
        options: &LoadOptions<'_>,
        mut failed: Option<&mut Vec<FailedProgram>>,
    ) -> Result<Loaded, Error> {
        self.check_features()?;
        options.check(&self)?;
        self.warn(&|warning| !matches!(warning, Warning::License { .. }));
        let btf = self.load_btf()?;
        let plan = Plan::of(&self, Types::Running)?;
        let mut skipped = plan.skipped(&self);
        #[cfg(feature = "struct-ops")]
        let mut planned: Vec<_> = plan.programs(&self).map(|program| program.entry).collect();
        let specs = mem::take(&mut self.programs);
        let mut new_pins = NewPins::default();
        #[cfg_attr(not(feature = "struct-ops"), expect(unused_mut, reason = "struct_ops maps get their value later"))]
        let mut maps =
            self.create_maps(&plan, options.pins(&self.pins), btf.as_ref().map(AsFd::as_fd), &mut new_pins)?;
        let described = self.maps.iter().filter(|spec| spec.autocreate);
        let fds = maps.iter().map(|made| made.map.as_fd().as_raw_fd());
        let mut linker = ObjectLinker::new(&self, &plan.resolved, described.zip(fds));
        let shared = Shared {
            license: self.license(),
            license_fault: self.license_fault.as_deref(),
            kernel_version: self.kernel_version,
            resolved: &plan.resolved,
            btf: btf.as_ref().map(AsFd::as_fd),
            #[cfg(feature = "usdt")]
            usdt: self.usdt_specs(&maps)?,
        };
        let (mut programs, mut left_out) = (Vec::new(), Vec::new());
        for mut spec in specs.into_iter().filter(|program| plan.has(program)) {
            let (name, section_name) = (spec.name.clone(), spec.section_name.clone());
            #[cfg(feature = "struct-ops")]
            let entry = spec.entry;
            let loaded = options.target(&mut spec).and_then(|replaced| {
                let linked = linker.link(&spec)?;
                Program::load(spec, &linked, &shared, replaced)
            });
            match loaded {
                Ok(program) => programs.push(program),
                Err(why) => {
                    #[cfg(feature = "struct-ops")]
                    planned.retain(|planned| *planned != entry);
                    let Some(failed) = &mut failed else { return Err(why) };
                    left_out.push(name.clone());
                    skipped.push(Skipped::new(&name, &section_name, &why.to_string()));
                    failed.push(FailedProgram { name, section_name, why });
                }
            }
        }
        if cfg!(feature = "advice") {
            // Do not repeat the reason of a refusal.
            let fault = self.license_fault.as_deref().unwrap_or_default();
            if !skipped.iter().any(|skipped| skipped.why.contains(fault)) {
                self.warn(&|warning| matches!(warning, Warning::License { .. }));
            }
        }
        #[cfg(feature = "struct-ops")]
        fill_struct_ops(&mut maps, &plan, &planned, &programs)?;
        let mut loaded = Loaded { maps, programs, variables: self.variables, skipped };
        loaded.fill(&self.maps, &left_out)?;
        sort(&mut loaded.maps, |one, other| one.map.name().cmp(other.map.name()));
        new_pins.keep();
        Ok(loaded)
    }

    /// Logs the warnings that `which` chooses.
    fn warn(&self, which: &dyn Fn(&Warning) -> bool) {
        if cfg!(feature = "advice") {
            self.warnings().iter().filter(|warning| which(warning)).for_each(|warning| warn!("{warning}"));
        }
    }

    /// Creates the maps, in the order of their descriptions.
    fn create_maps(
        &self,
        plan: &Plan,
        pins: &Path,
        btf: Option<BorrowedFd<'_>>,
        new_pins: &mut NewPins,
    ) -> Result<Vec<CreatedMap>, Error> {
        let mut maps = Vec::new();
        for (index, spec) in plan.maps(self) {
            let map = Map::make(&spec, plan.resolved.struct_ops.map(index), pins, btf, new_pins)?;
            maps.push(CreatedMap { index, data: spec.data(), map });
        }
        Ok(maps)
    }

    /// Loads the object's BTF. Observers of maps and readers of verifier logs use it. Programs run without it, so a
    /// failure is not an error.
    ///
    /// A new kernel accepts the BTF unchanged. An old kernel refuses all of it because of one kind that it does not
    /// know. Only then is the kernel asked about each kind, and the BTF rewritten to those that it accepts.
    fn load_btf(&self) -> Result<Option<OwnedFd>, Error> {
        let Some(bytes) = self.completed_btf()? else { return Ok(None) };
        let why = match load_btf(&bytes) {
            Ok(btf) => return Ok(Some(btf)),
            Err(why) => why,
        };
        debug!("the kernel refuses the object's BTF: {why}");
        let loaded = match features::btf() {
            Support::Yes => {
                let mut older = bytes.clone();
                let btf = Btf::parse(&bytes).map_err(|_| Error::bug("completed BTF cannot be parsed"))?;
                sanitize::rewrite(&mut older, &btf, features::btf_kinds())?;
                load_btf(&older)
            }
            answer => Err(format!("BTF is {answer}")),
        };
        Ok(loaded.inspect_err(|why| debug!("the object's BTF is not loaded: {why}")).ok())
    }

    /// Returns the maps by which USDT programs find their arguments, if the object has them.
    #[cfg(feature = "usdt")]
    fn usdt_specs(&self, maps: &[CreatedMap]) -> Result<Option<Arc<UsdtSpecs>>, Error> {
        let [specs, addresses] = UsdtSpecs::MAPS.map(|name| maps.iter().find(|made| made.map.name() == name));
        let Some(specs) = specs else { return Ok(None) };
        let mut of_usdt = self.maps.iter().filter(|spec| UsdtSpecs::MAPS.contains(&spec.name.as_str()));
        let pinned = of_usdt.any(|spec| spec.pinning == Pinning::ByName);
        let addresses = addresses.map(|made| made.map.duplicate()).transpose()?;
        Ok(Some(Arc::new(UsdtSpecs::new(specs.map.duplicate()?, addresses, pinned))))
    }
}

fn load_btf(bytes: &[u8]) -> Result<OwnedFd, String> {
    let why = "loads the object's BTF: map types, function names, source lines";
    charged(&mut || bpf::btf_load(bytes, &mut [], why)).map_err(|error| Errno::of(&error).to_string())
}

/// Writes the file descriptors of programs into the values of struct_ops maps.
#[cfg(feature = "struct-ops")]
fn fill_struct_ops(maps: &mut [CreatedMap], plan: &Plan, planned: &[Start], programs: &[Program]) -> Result<(), Error> {
    let fd = |start| {
        if let Some(program) = programs.iter().find(|program| program.spec().entry == start) {
            return Ok(Some(program.as_fd().as_raw_fd()));
        }
        // `planned` contains the programs to load, without those that were reported as refused. Other programs stay
        // unset.
        if planned.contains(&start) {
            return Err(Error::bug("a program of a struct_ops map was not loaded"));
        }
        Ok(None)
    };
    for made in maps {
        // Skips maps of other types.
        let Some(fitted) = plan.resolved.struct_ops.map(made.index) else { continue };
        made.map.set_table(fitted.value(fd)?, fitted.by_link);
    }
    Ok(())
}
