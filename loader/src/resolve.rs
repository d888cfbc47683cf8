//! Resolves an object against a kernel. One pass over the kernel's BTF finds CO-RE types, attach targets, kernel
//! symbols and struct_ops types; then come the kernel's configuration and addresses.
//!
//! The kernel is the running one, or any whose BTF is given. The object is not changed, and no map or program is
//! created.

#[cfg(feature = "aya-obj")]
mod aya;
mod code;
pub mod core_relo;
#[cfg(not(feature = "externs"))]
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
pub(crate) mod struct_ops;
mod targets;

use std::borrow::Cow;

#[cfg(feature = "instrument")]
use cutaway_sys::Instruction;

#[cfg(not(feature = "externs"))]
use self::disabled::{Ksyms, resolve_externs};
#[cfg(feature = "externs")]
use self::ksyms::Ksyms;
pub(crate) use self::targets::Targets;
use self::{
    code::{Code, Relocated},
    core_relo::{Applied, Relocation},
    externs::Externs,
    struct_ops::{StructOps, Tables},
};
use crate::{
    Error,
    btf::{Btf, Ext, visitor::Types},
    elf::Location,
    gate::{READS_STRUCT_OPS, SEARCHES_BTF},
    object::{MapSpec, Object, ProgramSpec},
};
#[cfg(feature = "externs")]
use crate::{
    btf::visitor::Sources,
    object::{Extern, ExternKind},
    resolve::externs::Value,
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

/// Resolves the object against the kernel with these `types`.
pub(crate) fn resolve(object: &Object, types: Types<'_>) -> Result<Resolved, Error> {
    object.check_features()?;
    #[cfg_attr(not(feature = "aya-obj"), expect(unused_mut, reason = "aya-obj adds to it"))]
    let mut resolved = if SEARCHES_BTF { searched(object, types)? } else { Resolved::default() };
    #[cfg(feature = "aya-obj")]
    {
        #[cfg(feature = "core-relo")]
        let types = object.kernel_btf.as_ref().map_or(types, |given| Types::Given(given.bytes()));
        resolved.aya = aya::relocated(object, types, &resolved.relocated)?;
    }
    Ok(resolved)
}

/// Finds it in one pass over the kernel's BTF.
fn searched(object: &Object, types: Types<'_>) -> Result<Resolved, Error> {
    let btf = object.own_btf()?.unwrap_or_else(Btf::none);
    let broken = |why: String| Error::Object { why };
    let ext = match object.core_relo_bytes() {
        Some(bytes) => Some(Ext::parse(bytes, &btf).map_err(|why| broken(why.to_string()))?),
        None => None,
    };
    #[cfg_attr(not(feature = "core-relo"), expect(unused_mut, reason = "there are no types for it alone"))]
    let mut relocations = ext.as_ref().map_or_else(Vec::new, |ext| Relocation::all(&btf, ext));
    let tables = Tables::of(object.maps(), object.programs(), &btf);
    let mut code = Code::of(object.elf(), object.function_table());
    #[cfg_attr(not(feature = "core-relo"), expect(unused_mut, reason = "there are no types for it alone"))]
    let mut applied = Vec::new();
    #[cfg(feature = "core-relo")]
    if let Some(given) = &object.kernel_btf {
        // All else needs the types that the kernel itself has.
        let candidates = core_relo::wanted(&btf, &relocations, &code);
        applied = Types::Given(given.bytes())
            .search(candidates, |candidates, sources| {
                core_relo::apply(&btf, &relocations, sources, candidates, &mut code)
            })
            .map_err(|error| broken(error.to_string()))?;
        relocations.clear();
    }
    let candidates = core_relo::wanted(&btf, &relocations, &code);
    let is_used = |program: &&ProgramSpec| program.section.autoload && !tables.is_unused(program);
    let targets = Targets::of_all(object.programs().iter().filter(is_used));
    let visitors = (candidates, targets, Ksyms::of(object.externs()), tables);
    types.search(visitors, |(candidates, mut targets, ksyms, tables), sources| {
        let struct_ops = match READS_STRUCT_OPS {
            true => tables.settle(object.maps(), object.programs(), &btf, sources.clone())?,
            false => StructOps::default(),
        };
        let mut applied = applied;
        let rest = core_relo::apply(&btf, &relocations, sources.clone(), candidates, &mut code);
        applied.extend(rest.map_err(|error| broken(error.to_string()))?);
        targets.settle(sources.clone())?;
        let externs = resolve_externs(object.externs(), ksyms, &btf, sources, object.kconfig(), types)?;
        Ok(Resolved {
            applied,
            relocated: code.into_relocated()?,
            targets,
            externs,
            struct_ops,
            #[cfg(feature = "aya-obj")]
            aya: None,
        })
    })
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

#[cfg(feature = "externs")]
/// Finds the values of all externs. `ksyms` has visited the kernel's types; `local` are the object's own. `config` is
/// the caller's configuration text, which overrides the kernel's configuration. If `types` are not those of the running
/// kernel, nothing else is read from the running kernel.
fn resolve_externs(
    externs: &[Extern],
    ksyms: Ksyms<'_>,
    local: &Btf<'_>,
    sources: Sources<'_, '_>,
    config: &str,
    types: Types<'_>,
) -> Result<Externs, Error> {
    let mut resolved = Externs::default();
    if externs.is_empty() {
        return Ok(resolved);
    }
    let running = matches!(types, Types::Running);
    let symbols = kallsyms::find(externs, running);
    ksyms.settle(local, sources, &mut resolved)?;
    for known in externs.iter().filter(|known| known.kind == ExternKind::Address) {
        let value = symbols.address(&known.name);
        resolved.set(known, value.map(Value::Address));
    }
    kconfig::fill(externs, config, running, &mut resolved);
    resolved.settle();
    Ok(resolved)
}
