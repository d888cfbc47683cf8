//! Settings of one load that an object cannot contain: the directory for pins, file descriptors of maps and of loaded
//! programs, and whether the verifier's log is kept.
//!
//! A program of the type `BPF_PROG_TYPE_EXT` (Linux 5.6) replaces a function of a loaded program. `BPF_PROG_LOAD` gets
//! the fd of the loaded program (`attach_prog_fd`), and the id of the function in that program's BTF (`attach_btf_id`).
//! The verifier checks that the new program and the function have the same parameter and return types. It refuses to
//! replace a static function (`kernel/bpf/verifier.c`, `bpf_check_attach_target`, in older kernels
//! `check_attach_btf_id`). It has verified a static function for each call, with the values of that call, so another
//! function could break the callers.

#[cfg(any(feature = "load-options", feature = "tracing", feature = "maps"))]
use std::os::fd::AsFd;
use std::{
    marker::PhantomData,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

#[cfg(feature = "load-options")]
use crate::LogLevel;
#[cfg(any(feature = "tracing", feature = "maps"))]
use crate::text::no_such;
use crate::{
    Error, Object, ProgramSpec,
    sys::bpf::BtfTarget,
    token::{Choice, Tokens},
};
#[cfg(feature = "maps")]
use crate::{Map, MapSpec};
#[cfg(feature = "parallel")]
use crate::{MapType, sys::bpf};
#[cfg(feature = "tracing")]
use crate::{
    ProgramType, Target,
    btf::{Btf, Kind},
    sys::btf,
};

/// Settings of [`Object::load_with`] and [`Object::load_partial_with`] for one load: the directory of the pins,
/// existing maps to use, the loaded programs in which `freplace` programs replace functions, maps that belong to the
/// programs, and the level of the verifier's log. An [`Object`] cannot hold the maps and programs, because it has no
/// file descriptors.
///
/// `Send` and `Sync`. Borrows the file descriptors that are passed to it.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cutaway::{LoadOptions, Object};
/// let mut options = LoadOptions::new();
/// options.pin_root("/sys/fs/bpf/my_tool"); // the directory must exist
/// let loaded = Object::parse(&std::fs::read("probes.o")?)?.load_with(&options)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct LoadOptions<'p> {
    pin_root: Option<PathBuf>,
    #[cfg(feature = "maps")]
    maps: Vec<MapReplacement<'p>>,
    #[cfg(feature = "parallel")]
    threads: Option<usize>,
    #[cfg(feature = "parallel")]
    at_once: bool,
    #[cfg(feature = "tracing")]
    replacements: Vec<Replacement<'p>>,
    token: Choice<'p>,
    #[cfg(feature = "load-options")]
    log: Option<LogLevel>,
    #[cfg(feature = "load-options")]
    bound: Vec<BorrowedFd<'p>>,
    lifetime: PhantomData<BorrowedFd<'p>>,
}

/// The name of a map in the object, and the map that replaces it.
#[cfg(feature = "maps")]
#[derive(Debug, Clone)]
struct MapReplacement<'p> {
    name: String,
    map: BorrowedFd<'p>,
}

/// A program of the object, and the function that it replaces.
#[cfg(feature = "tracing")]
#[derive(Debug, Clone)]
struct Replacement<'p> {
    name: String,
    program: BorrowedFd<'p>,
    /// `None` for the function in the section's name.
    function: Option<String>,
}

impl<'p> LoadOptions<'p> {
    /// Returns empty options. With them, [`Object::load_with`] does the same as [`Object::load`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the directory for maps that are pinned by name ([`Pinning::ByName`](crate::Pinning::ByName)). It overrides
    /// the directory that [`Object::set_pin_root`] sets, and has the same requirements and errors.
    #[doc(alias("pin_root_path", "MapOptions.PinPath", "default_map_pin_directory"))]
    pub fn pin_root(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.pin_root = Some(directory.as_ref().to_owned());
        self
    }

    /// Returns the directory for maps that are pinned by name; `otherwise` if these options do not set it.
    pub(super) fn pins<'s>(&'s self, otherwise: &'s Path) -> &'s Path {
        self.pin_root.as_deref().unwrap_or(otherwise)
    }

    /// Loads with this token. By default, [`Object::load`] creates a token itself if it needs one: see
    /// [`BpfToken`](crate::BpfToken). The token is not used later: attached programs stay attached after it is dropped.
    /// Linux 6.9.
    ///
    /// # Errors
    ///
    /// This method has none. [`Object::load_with`] returns [`Error::Syscall`] with EPERM for what neither the token nor
    /// the process's capabilities allow; the text names the missing mount option.
    #[cfg(feature = "token")]
    #[doc(alias("bpf_token_path", "BPF_F_TOKEN_FD", "prog_token_fd", "map_token_fd", "btf_token_fd"))]
    pub fn token(&mut self, token: &'p crate::BpfToken) -> &mut Self {
        self.token = Choice::Given(token);
        self
    }

    /// Loads without a token, even in a user namespace that has one.
    #[cfg(feature = "token")]
    pub fn no_token(&mut self) -> &mut Self {
        self.token = Choice::Off;
        self
    }

    /// Returns the token of one load.
    pub(super) fn tokens(&self) -> Tokens<'p> {
        Tokens::new(self.token)
    }

    /// Keeps `map` in the kernel as long as each program of the object, although no instruction refers to it. `map` is
    /// a [`Map`](crate::Map), or the fd of a map. Linux 5.10.
    ///
    /// Since Linux 6.14 the kernel gets these maps together with the program (`fd_array_cnt` of `BPF_PROG_LOAD`), so
    /// they are bound before it is verified; on older kernels they are bound afterwards, as by
    /// [`Program::bind_map`](crate::Program::bind_map).
    ///
    /// # Errors
    ///
    /// This method has none. [`Object::load_with`] returns [`Error::Syscall`] if the kernel refuses: EINVAL if an fd is
    /// not that of a map, or before Linux 5.10.
    ///
    /// Needs this crate's feature `load-options`.
    #[cfg(feature = "load-options")]
    #[doc(alias("fd_array_cnt", "BPF_PROG_BIND_MAP", "bpf_prog_bind_map"))]
    pub fn bind_map(&mut self, map: &'p impl AsFd) -> &mut Self {
        self.bound.push(map.as_fd());
        self
    }

    /// Returns the maps that belong to each program.
    /// Returns whether maps of these types may be among the bound ones.
    #[cfg(feature = "parallel")]
    pub(super) fn may_bind(&self, types: &[MapType]) -> bool {
        #[cfg(feature = "load-options")]
        let bound = self.bound.as_slice();
        #[cfg(not(feature = "load-options"))]
        let bound: &[BorrowedFd<'_>] = &[];
        bound.iter().any(|map| {
            let info = bpf::map_info(*map, "reads the type of a map that is bound to the programs");
            info.map_or(true, |info| types.contains(&info.map_type))
        })
    }

    #[cfg(feature = "load-options")]
    pub(super) fn bound(&self) -> &[BorrowedFd<'p>] {
        &self.bound
    }

    /// Keeps the verifier's log of each program that it accepts, for
    /// [`Program::verifier_log`](crate::Program::verifier_log) and
    /// [`Program::verifier_stats`](crate::Program::verifier_stats). Without this, only the error of a refused
    /// program has a log.
    ///
    /// [`LogLevel::Stats`] costs nothing. [`LogLevel::Instructions`] makes the verifier print each step, which takes
    /// several times as long as verifying, and up to 16 MiB for each program.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cutaway::{LoadOptions, LogLevel, Object};
    /// let mut options = LoadOptions::new();
    /// options.verifier_log(LogLevel::Stats);
    /// let loaded = Object::parse(&std::fs::read("probes.o")?)?.load_with(&options)?;
    /// for program in loaded.programs() {
    ///     let stats = program.verifier_stats().unwrap_or_default();
    ///     println!("{}: {:?} instructions processed", program.name(), stats.processed_insns);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Needs this crate's feature `load-options`.
    #[cfg(feature = "load-options")]
    #[doc(alias(
        "log_level",
        "kernel_log_level",
        "bpf_program__set_log_level",
        "VerifierLogLevel",
        "ProgramOptions.LogLevel"
    ))]
    pub fn verifier_log(&mut self, level: LogLevel) -> &mut Self {
        self.log = Some(level);
        self
    }

    #[cfg(feature = "load-options")]
    pub(super) fn log(&self) -> Option<LogLevel> {
        self.log
    }

    /// Uses `map` in place of the object's map `name`, which is then not created. `map` is a [`Map`], or the fd of a
    /// map that another process has created. A later call with the same `name` replaces an earlier one.
    ///
    /// The type and the sizes of key and value must be the same, and the flags that change what programs see or may do
    /// (`RDONLY_PROG`, `WRONLY_PROG`, `STACK_BUILD_ID`, `CLONE`, `RB_OVERWRITE`, and bits without a name here). The
    /// number of elements, `map_extra` and the other flags may differ: the verifier uses those of the map. For a map of
    /// maps, the kernel compares the inner maps when they are inserted.
    ///
    /// The map keeps its contents: the object's initial values of a data section are not written, and a constant
    /// section (`.rodata`) is frozen only if the map is. Initial entries of maps of maps and of a `PROG_ARRAY` are
    /// written. The map is not pinned, whatever its description says.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cutaway::{LoadOptions, Map, Object};
    /// let shared = Map::from_pin("/sys/fs/bpf/flows")?;
    /// let mut options = LoadOptions::new();
    /// options.map("flows", &shared);
    /// let loaded = Object::parse(&std::fs::read("probes.o")?)?.load_with(&options)?;
    /// assert_eq!(loaded.map("flows")?.id(), shared.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// This method has none. [`Object::load_with`] returns:
    ///
    /// - [`Error::NoSuchName`] if the object has no map `name`;
    /// - [`Error::Invalid`] if `map` is not a map, or differs from the description;
    /// - [`Error::Invalid`] for a struct_ops map, and for an arena with global variables: their contents are laid out
    ///   when they are created.
    ///
    /// Needs this crate's feature `maps`.
    #[cfg(feature = "maps")]
    #[doc(alias("bpf_map__reuse_fd", "MapReplacements", "reuse_fd"))]
    pub fn map(&mut self, name: &str, map: &'p impl AsFd) -> &mut Self {
        self.maps.retain(|known| known.name != name);
        self.maps.push(MapReplacement { name: name.to_owned(), map: map.as_fd() });
        self
    }

    /// Returns the map to use in place of the one that `spec` describes.
    #[cfg(feature = "maps")]
    pub(super) fn replaced(&self, spec: &MapSpec) -> Option<Result<Map, Error>> {
        let known = self.maps.iter().find(|known| known.name == spec.name)?;
        Some(Map::in_place_of(spec, known.map))
    }

    /// Sets the highest number of threads that pass programs to the verifier at the same time. The calling thread is
    /// one of them: with 1, or 0, it loads all programs. Default: the number of CPUs that the calling thread may use,
    /// by its affinity mask and the CPU quota of its cgroup ([`std::thread::available_parallelism`]). Higher values
    /// have no effect.
    ///
    /// The kernel verifies the programs of a privileged process at the same time, each on one CPU. Loading starts
    /// threads only if they save time: the programs must be large, or those loaded so far must have taken some
    /// milliseconds. Most objects are loaded on the calling thread alone. All threads have ended when loading returns.
    ///
    /// The result is the same as that of one thread. Programs, failed programs and messages are in the order of the
    /// file, and the error is that of the first failed program in the file. After an error no further program is
    /// passed to the kernel. The threads have the credentials, namespaces and seccomp filter of the calling thread,
    /// and block all signals except those of faults, so handlers run on the caller's threads.
    ///
    /// The calling thread loads all programs in these cases:
    ///
    /// - The crate `log` records system calls (target `syscall`, level `trace`), so that the record shows the calls
    ///   of each program together.
    /// - The object has a `PROG_ARRAY`, `DEVMAP` or `CPUMAP` map, or one is bound to its programs, and the programs
    ///   have several types. The first program that uses such a map determines which other programs may use it.
    /// - The object has a cgroup storage map, which restricts other programs in the same manner.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cutaway::{LoadOptions, Object};
    /// let object = Object::parse(&std::fs::read("probes.o")?)?;
    /// let loaded = object.load_with(LoadOptions::new().threads(2))?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "parallel")]
    pub fn threads(&mut self, most: usize) -> &mut Self {
        self.threads = Some(most);
        self
    }

    /// Returns the highest number of threads that the caller allows; `None` if it has set none.
    /// Starts the helpers before the first program is loaded, however small the object is. Tests use it: the result is
    /// the same as that of one thread.
    #[cfg(feature = "parallel")]
    #[doc(hidden)]
    pub fn start_threads_at_once(&mut self) -> &mut Self {
        self.at_once = true;
        self
    }

    #[cfg(feature = "parallel")]
    pub(super) fn starts_at_once(&self) -> bool {
        self.at_once
    }

    #[cfg(feature = "parallel")]
    pub(super) fn most_threads(&self) -> Option<usize> {
        self.threads
    }

    /// Returns whether another map is used in place of the object's map `name`.
    #[cfg(all(feature = "maps", feature = "usdt"))]
    pub(super) fn replaces(&self, name: &str) -> bool {
        self.maps.iter().any(|known| known.name == name)
    }

    /// Makes the object's `freplace` program `name` replace `function` of another program, which is loaded. `program`
    /// is a [`Program`](crate::Program), or the fd of a program that another process has loaded. If `function` is
    /// `None`, the section's name gives the function (`freplace/FUNCTION`). A later call with the same `name` replaces
    /// an earlier one. Linux 5.6.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cutaway::{LoadOptions, Object};
    /// let other = Object::parse(&std::fs::read("filter.o")?)?.load()?;
    /// let mut options = LoadOptions::new();
    /// options.replace("allow_all", other.program("filter")?, Some("is_allowed")); // SEC("freplace")
    /// let loaded = Object::parse(&std::fs::read("allow.o")?)?.load_with(&options)?;
    /// let links = loaded.attach()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// This method has none. [`Object::load_with`] returns:
    ///
    /// - [`Error::NoSuchName`] if the object has no program `name`;
    /// - [`Error::Invalid`] if the program `name` is not of the type `EXT`, or its `section.autoload` is false;
    /// - [`Error::Invalid`] if `program` has no BTF or no such function, or if no function is given;
    /// - [`Error::Syscall`] if the BTF of `program` cannot be read.
    #[cfg(feature = "tracing")]
    #[doc(alias("bpf_program__set_attach_target", "BPF_PROG_TYPE_EXT", "freplace"))]
    pub fn replace(&mut self, name: &str, program: &'p impl AsFd, function: Option<&str>) -> &mut Self {
        self.replacements.retain(|known| known.name != name);
        let function = function.map(str::to_owned);
        self.replacements.push(Replacement { name: name.to_owned(), program: program.as_fd(), function });
        self
    }

    /// Checks for each replacement that the object has the map, or has the program, and that the program is loaded and
    /// of the type `EXT`.
    #[cfg_attr(
        not(any(feature = "tracing", feature = "maps")),
        expect(clippy::unused_self, clippy::unnecessary_wraps, unused_variables, reason = "there are no settings")
    )]
    pub(super) fn check(&self, object: &Object) -> Result<(), Error> {
        #[cfg(feature = "maps")]
        {
            let names = || object.maps().iter().map(|map| map.name.as_str());
            if let Some(unknown) = self.maps.iter().find(|known| names().all(|name| name != known.name)) {
                return Err(no_such("map", &unknown.name, names()));
            }
        }
        #[cfg(feature = "tracing")]
        for replacement in &self.replacements {
            let Some(program) = object.programs().iter().find(|program| program.name == replacement.name) else {
                let names = object.programs().iter().map(|program| program.name.as_str());
                return Err(no_such("program", &replacement.name, names));
            };
            let unfit = |why: String| {
                Err(Error::Invalid { operation: format!("replace a function by the program `{}`", program.name), why })
            };
            let (program_type, autoload) = (program.section.program_type, program.section.autoload);
            if program_type != ProgramType::EXT {
                return unfit(format!("it is a program of the type {program_type}; EXT is needed"));
            }
            if !autoload {
                return unfit("it is not loaded: set its `section.autoload` to true".to_owned());
            }
        }
        Ok(())
    }

    /// Finds the function that a program replaces, and sets it as the program's target. Returns `None` if the program
    /// replaces no function.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(
            clippy::unused_self,
            clippy::unnecessary_wraps,
            clippy::needless_pass_by_ref_mut,
            reason = "there are no settings"
        )
    )]
    pub(super) fn target(&self, spec: &mut ProgramSpec) -> Result<Option<BtfTarget<'p>>, Error> {
        #[cfg(feature = "tracing")]
        if let Some(replacement) = self.replacements.iter().find(|replacement| replacement.name == spec.name) {
            return replacement.target(spec).map(Some);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = spec;
        Ok(None)
    }
}

#[cfg(feature = "tracing")]
impl<'p> Replacement<'p> {
    fn target(&self, spec: &mut ProgramSpec) -> Result<BtfTarget<'p>, Error> {
        let named = match &spec.section.target {
            Some(Target::Btf { name }) => Some(name.as_str()),
            _ => None,
        };
        let name = self.function.as_deref().or(named).unwrap_or_default().to_owned();
        let attempt = format!("replace the function `{name}` by the program `{}`", spec.name);
        let unfit = |why: String| Error::Invalid { operation: attempt.clone(), why };
        if name.is_empty() {
            return Err(unfit(format!(
                "neither its section `{}` nor `LoadOptions::replace` names a function",
                spec.section_name
            )));
        }
        let bytes = btf::of_program(self.program).map_err(|error| Error::kernel(attempt.clone(), &error))?;
        let bytes =
            bytes.ok_or_else(|| unfit("the other program was loaded without BTF, which describes functions".into()))?;
        let types = Btf::parse(&bytes).map_err(|error| unfit(error.to_string()))?;
        let id = types.find(Kind::Func, &name).map(|function| function.id());
        let id = id.ok_or_else(|| unfit("the other program has no such function".to_owned()))?;
        spec.section.target = Some(Target::Btf { name });
        Ok(BtfTarget { id, of: Some(self.program) })
    }
}
