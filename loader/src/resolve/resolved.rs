//! The results of resolving an object, which loading and linking take.

use std::borrow::Cow;

#[cfg(feature = "instrument")]
use cutaway_sys::Instruction;

#[cfg(all(feature = "aya-obj", feature = "instrument"))]
use super::aya;
use super::{core_relo::Applied, externs::Externs, relocated::Relocated, struct_ops::StructOps, targets::Targets};
#[cfg(feature = "instrument")]
use crate::{Error, object::Object};
use crate::{elf::Location, object::MapSpec};

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
