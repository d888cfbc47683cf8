//! One pass over the kernel's BTF for everything that an object needs.

#[cfg(feature = "core-relo")]
use super::code::Relocating;
#[cfg(not(feature = "core-relo"))]
use super::disabled::Relocating;
#[cfg(not(feature = "struct-ops"))]
use super::disabled::Tables;
#[cfg(not(feature = "externs"))]
use super::disabled::{Ksyms, resolve_externs};
#[cfg(feature = "struct-ops")]
use super::struct_ops::tables::Tables;
#[cfg(feature = "externs")]
use super::{
    externs::{Externs, Value},
    kallsyms, kconfig,
    ksyms::Ksyms,
};
use super::{resolved::Resolved, targets::Targets};
use crate::{
    Error,
    btf::{Btf, visitor::Types},
    object::{Object, ProgramSpec},
};
#[cfg(feature = "externs")]
use crate::{
    btf::visitor::Sources,
    object::{Extern, ExternKind},
};

/// Resolves what depends on the kernel's types.
pub(super) fn searched(object: &Object, types: Types<'_>) -> Result<Resolved, Error> {
    let btf = object.own_btf()?.unwrap_or_else(Btf::none);
    let relocating = Relocating::of(object, &btf)?;
    let tables = Tables::of(object.maps(), object.programs(), &btf);
    let is_used = |program: &&ProgramSpec| program.section.autoload && !tables.is_unused(program);
    let targets = Targets::of_all(object.programs().iter().filter(is_used));
    let visitors = (relocating.wanted(), targets, Ksyms::of(object.externs()), tables);
    types.search(visitors, |(candidates, mut targets, ksyms, tables), sources| {
        let struct_ops = tables.settle(object.maps(), object.programs(), &btf, sources.clone())?;
        let (applied, relocated) = relocating.apply(candidates, sources.clone())?;
        targets.settle(sources.clone())?;
        let externs = resolve_externs(object.externs(), ksyms, &btf, sources, object.kconfig(), types)?;
        Ok(Resolved {
            applied,
            relocated,
            targets,
            externs,
            struct_ops,
            #[cfg(feature = "aya-obj")]
            aya: None,
        })
    })
}

/// Finds the values of all externs. `ksyms` has visited the kernel's types; `local` are the object's own. `config` is
/// the caller's configuration text, which overrides the kernel's configuration. If `types` are not those of the running
/// kernel, nothing else is read from the running kernel.
#[cfg(feature = "externs")]
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
