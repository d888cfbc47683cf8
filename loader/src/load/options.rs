//! Settings of one load that an object cannot contain: the directory for pins, and file descriptors of loaded programs.
//!
//! A program of the type `BPF_PROG_TYPE_EXT` (Linux 5.6) replaces a function of a loaded program. `BPF_PROG_LOAD` gets
//! the fd of the loaded program (`attach_prog_fd`), and the id of the function in that program's BTF (`attach_btf_id`).
//! The verifier checks that the new program and the function have the same parameter and return types. It refuses to
//! replace a static function (`kernel/bpf/verifier.c`, `bpf_check_attach_target`, in older kernels
//! `check_attach_btf_id`). It has verified a static function for each call, with the values of that call, so another
//! function could break the callers.

#[cfg(feature = "tracing")]
use std::os::fd::AsFd;
use std::{
    marker::PhantomData,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use crate::{
    Error, Object, ProgramSpec,
    sys::bpf::BtfTarget,
    token::{Choice, Tokens},
};
#[cfg(feature = "tracing")]
use crate::{
    ProgramType, Target,
    btf::{Btf, Kind},
    sys::btf,
    text::no_such,
};

/// Settings of [`Object::load_with`] and [`Object::load_partial_with`] for one load: the directory of the pins, and the
/// loaded programs in which `freplace` programs replace functions. An [`Object`] cannot hold the loaded programs,
/// because it has no file descriptors.
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
    #[cfg(feature = "tracing")]
    replacements: Vec<Replacement<'p>>,
    token: Choice<'p>,
    lifetime: PhantomData<BorrowedFd<'p>>,
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

    /// Checks for each replacement that the object has the program, and that it is loaded and of the type `EXT`.
    #[cfg_attr(not(feature = "tracing"), expect(clippy::unused_self, reason = "there are no settings"))]
    pub(super) fn check(&self, object: &Object) -> Result<(), Error> {
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
        #[cfg(not(feature = "tracing"))]
        let _ = object;
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
