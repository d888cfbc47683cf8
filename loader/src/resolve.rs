//! Resolves an object against a kernel. One pass over the kernel's BTF finds CO-RE types, attach targets, kernel
//! symbols and struct_ops types; then come the kernel's configuration and addresses.
//!
//! The kernel is the running one, or any whose BTF is given. The object is not changed, and no map or program is
//! created.

#[cfg(feature = "aya-obj")]
mod aya;
#[cfg(feature = "core-relo")]
mod code;
pub mod core_relo;
#[cfg(all(
    any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing"),
    not(all(feature = "core-relo", feature = "externs", feature = "struct-ops"))
))]
mod disabled;
pub(crate) mod externs;
#[cfg(feature = "externs")]
mod gzip;
#[cfg(feature = "externs")]
mod kallsyms;
#[cfg(feature = "externs")]
mod kconfig;
#[cfg(feature = "externs")]
mod ksyms;
#[cfg(any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing"))]
mod search;
pub(crate) mod struct_ops;
mod targets;

use std::borrow::Cow;

use cutaway_sys::Instruction;

pub(crate) use self::targets::Targets;
use self::{core_relo::Applied, externs::Externs, struct_ops::StructOps};
use crate::{
    Error,
    btf::visitor::Types,
    elf::Location,
    object::{MapSpec, Object},
};

/// The results of resolving an object against a kernel.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// The CO-RE relocations that were applied, with their results.
    pub(crate) applied: Vec<Applied>,
    /// The instructions that CO-RE relocation changed.
    pub(crate) relocated: Relocated,
    /// The BTF ids of attach targets.
    pub(crate) targets: Targets,
    pub(crate) externs: Externs,
    pub(crate) struct_ops: StructOps,
    /// The object as aya-obj's CO-RE relocation changed it, if aya-obj has read it.
    #[cfg(feature = "aya-obj")]
    pub(crate) aya: Option<Box<aya_obj::Object>>,
}

/// The changed instructions of functions, by the function's index.
#[derive(Debug, Default)]
pub(crate) struct Relocated(Vec<Option<Vec<Instruction>>>);

impl Relocated {
    /// Returns the instructions of a function; `None` if relocation changed none of them.
    pub(crate) fn instructions(&self, function: usize) -> Option<&[Instruction]> {
        self.0.get(function)?.as_deref()
    }
}

/// Resolves the object against the kernel with these `types`.
pub(crate) fn resolve(object: &Object, types: Types<'_>) -> Result<Resolved, Error> {
    object.check_features()?;
    #[cfg(not(any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing")))]
    let resolved = {
        let _ = types;
        Resolved::default()
    };
    #[cfg(any(feature = "core-relo", feature = "externs", feature = "struct-ops", feature = "tracing"))]
    let resolved = search::searched(object, types)?;
    #[cfg(feature = "aya-obj")]
    let resolved = {
        #[cfg(feature = "core-relo")]
        let types = object.kernel_btf.as_ref().map_or(types, |given| Types::Given(given.bytes()));
        let aya = aya::relocated(object, types, &resolved.relocated)?;
        Resolved { aya, ..resolved }
    };
    Ok(resolved)
}

impl Resolved {
    /// Returns the instructions of each function after CO-RE relocation, by the function's index in
    /// [`Object::function_table`]: those that linking takes.
    #[cfg(feature = "instrument")]
    pub(crate) fn code<'a>(&'a self, object: &'a Object) -> Result<Vec<Cow<'a, [Instruction]>>, Error> {
        #[cfg(feature = "aya-obj")]
        if let Some(aya) = &self.aya {
            return aya::code(object, aya);
        }
        let functions = object.function_table().iter().enumerate();
        let code = functions.map(|(index, (_, function))| {
            Cow::Borrowed(self.relocated.instructions(index).unwrap_or(&function.instructions))
        });
        Ok(code.collect())
    }

    /// Returns the result of a relocation that changes one function.
    #[cfg(all(test, feature = "instrument"))]
    pub(crate) fn relocating(object: &Object, function: usize, code: Vec<Instruction>) -> Self {
        let functions = 0..object.function_table().len();
        let relocated = functions.map(|index| (index == function).then(|| code.clone()));
        Self { relocated: Relocated(relocated.collect()), ..Self::default() }
    }

    /// Returns a map's description, completed by the kernel: the size of a struct_ops map, the constants of `.kconfig`.
    pub(crate) fn completed<'s>(&self, index: usize, spec: &'s MapSpec) -> Cow<'s, MapSpec> {
        let mut spec = Cow::Borrowed(spec);
        if let Some(fitted) = self.struct_ops.map(index).filter(|_| cfg!(feature = "struct-ops")) {
            spec.to_mut().value_size = fitted.size();
        }
        if cfg!(feature = "externs") && spec.location == Location::Kconfig {
            spec.to_mut().contents.clone_from(&self.externs.config);
        }
        spec
    }
}
