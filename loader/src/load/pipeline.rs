//! Loads an object, in the order that [`super`] lists.

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use log::{debug, warn};

use super::{
    loaded::{CreatedMap, Loaded},
    options::LoadOptions,
    plan::Plan,
    programs::Common,
};
#[cfg(feature = "parallel")]
use super::{queue::Queue, threads};
#[cfg(feature = "instrument")]
use crate::instrument::Instrumentation;
#[cfg(not(feature = "parallel"))]
use crate::program::{Warnings, choose_attach_method};
use crate::{
    Error, Map, Object, Program, Skipped, Warning, btf::visitor::Types, elf::Start, features, link::ObjectLinker,
    map::NewPins, program::Shared, sorted::sort, text::listed, token::Tokens,
};
#[cfg(feature = "usdt")]
use crate::{
    MapSpec, Pinning,
    btf::Btf,
    program::{Order, UsdtLayout, UsdtSpecs},
};

/// A program whose load failed while the rest of its object was loaded: see [`Object::load_partial`].
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
    /// Creates the maps, links the instructions, and passes the programs to the kernel, whose verifier checks them.
    /// Attaches nothing.
    ///
    /// [`Loaded::skipped`] lists the programs and maps that are not loaded, each with the reason. With the feature
    /// `advice`, this call logs [`Object::warnings`], and the skipped programs that are not optional
    /// ([`Skipped::is_optional`]), at level `warn`.
    ///
    /// The call returns after the verifier has checked the last program, which can take seconds for large programs.
    /// With the feature `parallel`, several large programs are verified at a time (`LoadOptions::threads`).
    ///
    /// # Errors
    ///
    /// - [`Error::Verifier`], with the reason and the log, if the verifier refuses a program.
    /// - [`Error::Syscall`] if the kernel refuses a map, or if it refuses a program and the verifier gives no reason.
    ///   The errno is EPERM if privileges are missing.
    /// - [`Error::Object`] if the object does not have this machine's byte order, or if an instruction refers to a
    ///   symbol that does not exist.
    /// - [`Error::Invalid`] if the object needs a disabled cargo feature.
    /// - [`Error::Invalid`] if the object needs an extern or an attach target that the kernel does not have.
    /// - [`Error::Invalid`] if a pinned map differs from the object's description of the map.
    ///
    /// After an error, everything created so far is closed, and the pins that this call created are removed.
    #[doc(alias("bpf_object__load", "BPF_PROG_LOAD", "BPF_MAP_CREATE", "NewCollection"))]
    pub fn load(self) -> Result<Loaded, Error> {
        self.load_with(&LoadOptions::new())
    }

    /// Loads as [`Object::load`] does, with `options`.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], and the errors that `LoadOptions::replace` lists.
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

    /// Loads as [`Object::load`] does, but skips each program whose load fails. Returns the skipped programs with their
    /// errors. The slots of a skipped program in a `PROG_ARRAY` stay empty, so tail calls to the program fail.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], if the failure belongs to no single program: a map cannot be created, the BTF is malformed,
    /// the maps for USDT arguments cannot be used, or a cargo feature is disabled.
    pub fn load_partial(self) -> Result<(Loaded, Vec<FailedProgram>), Error> {
        self.load_partial_with(&LoadOptions::new())
    }

    /// Loads as [`Object::load_partial`] does, with `options`.
    ///
    /// # Errors
    ///
    /// As [`Object::load_partial`]. Also [`Error::NoSuchName`] if `LoadOptions::replace` names a program that the
    /// object does not have, and [`Error::Invalid`] if the program is not of the type `EXT` or its `autoload` is false.
    pub fn load_partial_with(self, options: &LoadOptions<'_>) -> Result<(Loaded, Vec<FailedProgram>), Error> {
        let mut failed = Vec::new();
        let loaded = self.load_inner(options, Some(&mut failed))?;
        Ok((loaded, failed))
    }

    /// Loads the object. If the load of a program fails, adds the program to `failed`, or returns its error if `failed`
    /// is `None`.
    fn load_inner(
        mut self,
        options: &LoadOptions<'_>,
        mut failed: Option<&mut Vec<FailedProgram>>,
    ) -> Result<Loaded, Error> {
        self.check_features()?;
        options.check(&self)?;
        self.warn(&|warning| !matches!(warning, Warning::License { .. }));
        let tokens = options.tokens();
        let btf = self.load_btf(&tokens)?;
        let plan = Plan::of(&self, Types::Running)?;
        let mut skipped = plan.skipped(&self);
        #[cfg(feature = "struct-ops")]
        let mut planned: Vec<_> = plan.programs(&self).map(|program| program.entry).collect();
        let specs = mem::take(&mut self.programs);
        let mut new_pins = NewPins::default();
        #[cfg_attr(not(feature = "struct-ops"), expect(unused_mut, reason = "struct_ops maps get their value later"))]
        let mut maps = self.create_maps(&plan, options, btf.as_ref().map(AsFd::as_fd), &tokens, &mut new_pins)?;
        let described = self.maps.iter().filter(|spec| spec.autocreate);
        let fds = maps.iter().map(|created| created.map.as_fd().as_raw_fd());
        #[cfg_attr(feature = "parallel", expect(unused_mut, reason = "the queue takes it"))]
        let mut linker = ObjectLinker::new(&self, &plan.resolved, described.zip(fds));
        #[cfg_attr(not(feature = "instrument"), expect(unused_mut, reason = "nothing is noted"))]
        let mut common = Common {
            shared: Shared {
                license: self.license(),
                license_fault: self.license_fault.as_deref(),
                kernel_version: self.kernel_version,
                resolved: &plan.resolved,
                btf: btf.as_ref().map(AsFd::as_fd),
                tokens: &tokens,
                #[cfg(feature = "load-options")]
                bound: options.bound(),
                #[cfg(feature = "load-options")]
                log: options.log(),
                #[cfg(feature = "usdt")]
                usdt: self.usdt_specs(&maps, options)?,
            },
            #[cfg(feature = "instrument")]
            instrumentation: {
                let created = |index| maps.iter().find(|created| created.index == index).map(|created| &created.map);
                Instrumentation::of(&self, &plan.resolved, &created, &tokens)?
            },
        };
        #[cfg(feature = "parallel")]
        let mut queue = {
            let queue = Queue::new(specs, &plan, linker, options, &tokens);
            threads::load(queue, &common, options, &self, failed.is_none())
        };
        let (mut programs, mut failed_names) = (Vec::new(), Vec::new());
        let mut record = |name: String, section_name: String, entry: Start, loaded: Result<Program, Error>| {
            let why = match loaded {
                Ok(program) => {
                    programs.push(program);
                    return Ok(());
                }
                Err(why) => why,
            };
            #[cfg(feature = "struct-ops")]
            planned.retain(|planned| *planned != entry);
            #[cfg(not(feature = "struct-ops"))]
            let _ = entry;
            let Some(failed) = &mut failed else { return Err(why) };
            failed_names.push(name.clone());
            skipped.push(Skipped::new(&name, &section_name, &why.to_string()));
            failed.push(FailedProgram { name, section_name, why });
            Ok(())
        };
        #[cfg(feature = "parallel")]
        while let Some(outcome) = queue.outcome(&common) {
            outcome.log();
            let loaded = outcome.loaded;
            #[cfg(feature = "instrument")]
            let loaded = loaded.map(|accepted| common.settle(accepted));
            record(outcome.name, outcome.section_name, outcome.entry, loaded)?;
        }
        #[cfg(not(feature = "parallel"))]
        for mut spec in specs.into_iter().filter(|program| plan.has(program)) {
            let (name, section_name, entry) = (spec.name.clone(), spec.section_name.clone(), spec.entry);
            choose_attach_method(&mut spec, &tokens);
            let loaded = options.target(&mut spec).and_then(|replaced| {
                let linked = linker.link(&spec)?;
                common.load(spec, linked, replaced, &mut Warnings::default())
            });
            #[cfg(feature = "instrument")]
            let loaded = loaded.map(|accepted| common.settle(accepted));
            record(name, section_name, entry, loaded)?;
        }
        if cfg!(feature = "advice") {
            // Do not log the license warning if it is the reason of a skipped program.
            let fault = self.license_fault.as_deref().unwrap_or_default();
            if !skipped.iter().any(|skipped| skipped.why.contains(fault)) {
                self.warn(&|warning| matches!(warning, Warning::License { .. }));
            }
        }
        #[cfg(feature = "struct-ops")]
        fill_struct_ops(&mut maps, &plan, &planned, &programs)?;
        #[cfg(feature = "instrument")]
        let (losses, coverage) = common.instrumentation.finish();
        let mut loaded = Loaded {
            maps,
            programs,
            variables: self.variables,
            skipped,
            #[cfg(feature = "instrument")]
            losses,
            #[cfg(feature = "instrument")]
            coverage,
        };
        loaded.fill(&self.maps, &failed_names)?;
        sort(&mut loaded.maps, |one, other| one.map.name().cmp(other.map.name()));
        new_pins.keep();
        Ok(loaded)
    }

    /// Logs the warnings for which `which` returns true.
    fn warn(&self, which: &dyn Fn(&Warning) -> bool) {
        if cfg!(feature = "advice") {
            self.warnings().iter().filter(|warning| which(warning)).for_each(|warning| warn!("{warning}"));
        }
    }

    /// Creates the maps, or opens those that replace them, in the order of their descriptions.
    fn create_maps(
        &self,
        plan: &Plan,
        options: &LoadOptions<'_>,
        btf: Option<BorrowedFd<'_>>,
        tokens: &Tokens<'_>,
        new_pins: &mut NewPins,
    ) -> Result<Vec<CreatedMap>, Error> {
        let (mut maps, pins) = (Vec::new(), options.pins(&self.pins));
        for (index, spec) in plan.maps(self) {
            #[cfg(feature = "maps")]
            let replaced = options.replaced(&spec);
            #[cfg(not(feature = "maps"))]
            let replaced: Option<Result<Map, Error>> = None;
            let map = match replaced {
                Some(replaced) => replaced?,
                None => Map::make(&spec, plan.resolved.struct_ops.map(index), pins, btf, tokens, new_pins)?,
            };
            maps.push(CreatedMap { index, data: spec.data(), map });
        }
        Ok(maps)
    }

    /// Loads the object's BTF. The kernel uses it to describe maps to observers, and to show source lines in verifier
    /// logs. Most objects load without BTF, so it is not an error if the kernel refuses the BTF. This crate then logs
    /// the reason at level `debug`. If the BTF is missing, the kernel later refuses the maps that need it: maps with
    /// local storage, and maps with a `bpf_spin_lock` or `bpf_timer`.
    fn load_btf(&self, tokens: &Tokens<'_>) -> Result<Option<OwnedFd>, Error> {
        let Some(bytes) = self.completed_btf()? else { return Ok(None) };
        let why = "loads the object's BTF: map types, function names, source lines";
        let loaded = features::load_btf(&bytes, tokens, why)?;
        Ok(loaded.inspect_err(|why| debug!("the object's BTF is not loaded: {why}")).ok())
    }

    /// Returns the maps in which USDT programs find the locations of their arguments. `None` if the object has no such
    /// maps.
    #[cfg(feature = "usdt")]
    fn usdt_specs(&self, maps: &[CreatedMap], options: &LoadOptions<'_>) -> Result<Option<Arc<UsdtSpecs>>, Error> {
        let [specs, addresses] = UsdtSpecs::MAPS.map(|name| maps.iter().find(|created| created.map.name() == name));
        let Some(specs) = specs else { return Ok(None) };
        let bytes = self.completed_btf()?;
        let types = bytes.as_deref().map(Btf::parse).transpose();
        let types = types.map_err(|_| Error::bug("completed BTF cannot be parsed"))?;
        let type_id = self.maps.get(specs.index).and_then(MapSpec::value_type);
        let layout = UsdtLayout::of(specs.map.value_size(), types.as_ref().zip(type_id), Order::NATIVE);
        let mut used = [Some(specs), addresses].into_iter().flatten();
        let shared = used.find_map(|created| Self::shared(self.maps.get(created.index)?, options));
        let addresses = addresses.map(|created| created.map.duplicate()).transpose()?;
        Ok(Some(Arc::new(UsdtSpecs::new(specs.map.duplicate()?, layout, addresses, shared))))
    }

    /// Returns why other processes or objects may use the entries of a map: each would overwrite those of the others.
    #[cfg(feature = "usdt")]
    fn shared(spec: &MapSpec, options: &LoadOptions<'_>) -> Option<String> {
        let name = &spec.name;
        #[cfg(feature = "maps")]
        if options.replaces(name) {
            return Some(format!(
                "its map `{name}` is one that was passed to `LoadOptions::map`, and others that have it may use the same \
                 entries for their probes: let this object create the map"
            ));
        }
        #[cfg(not(feature = "maps"))]
        let _ = options;
        #[cfg(feature = "maps")]
        let pinned_at = spec.pin_path.as_ref().map(|path| format!("at {} (`MapSpec::pin_path`)", path.display()));
        #[cfg(not(feature = "maps"))]
        let pinned_at = None;
        let by_name = || (spec.pinning == Pinning::ByName).then(|| "by name (`MapSpec::pinning`)".to_owned());
        let how = pinned_at.or_else(by_name)?;
        Some(format!(
            "its map `{name}` is pinned {how}, and another process that has it may use the same entries for its probes: \
             leave this map unpinned, and pin the links"
        ))
    }
}

/// Writes the file descriptors of programs into the values of struct_ops maps.
#[cfg(feature = "struct-ops")]
fn fill_struct_ops(maps: &mut [CreatedMap], plan: &Plan, planned: &[Start], programs: &[Program]) -> Result<(), Error> {
    let fd = |start| {
        if let Some(program) = programs.iter().find(|program| program.spec().entry == start) {
            return Ok(Some(program.as_fd().as_raw_fd()));
        }
        // `planned` contains the programs to load, except those whose load failed. For any other program, the member of
        // the struct_ops value stays 0.
        if planned.contains(&start) {
            return Err(Error::bug("a program of a struct_ops map was not loaded"));
        }
        Ok(None)
    };
    for created in maps {
        // Maps of other types have no layout.
        let Some(layout) = plan.resolved.struct_ops.map(created.index) else { continue };
        created.map.set_struct_ops_value(layout.value(fd)?, layout.has_link_flag);
    }
    Ok(())
}
