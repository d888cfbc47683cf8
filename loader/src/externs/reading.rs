//! Which externs an object has, and what they are in a kernel.

use super::{Extern, ExternKind, KCONFIG, KSYMS, Ksyms, Resolved, Value, config, kallsyms};
use crate::{
    Error,
    btf::{
        Btf, Kind, Type,
        search::{Sources, Types},
    },
    elf::Elf,
};

/// All externs of the object, in the order of its symbols.
pub(crate) fn read(elf: &Elf, btf: Option<&Btf<'_>>) -> Result<Vec<Extern>, Error> {
    let Some(btf) = btf else { return Ok(Vec::new()) };
    let [constants, symbols] = [KCONFIG, KSYMS].map(|section| btf.listed(section));
    let mut externs = Vec::new();
    for (symbol, import) in elf.imports() {
        // What is listed nowhere is missed by the program that uses it.
        let (is_config, ty) = match (constants.get(import.name.as_bytes()), symbols.get(import.name.as_bytes())) {
            (Some(ty), _) => (true, *ty),
            (None, Some(ty)) => (false, *ty),
            (None, None) => continue,
        };
        externs.push(one(btf, import.name.clone(), symbol, import.weak, is_config, ty)?);
    }
    config::lay_out(&mut externs)?;
    Ok(externs)
}

fn one(btf: &Btf<'_>, name: String, symbol: usize, weak: bool, is_config: bool, ty: Type<'_>) -> Result<Extern, Error> {
    let broken = |why: &str| Error::Object { why: format!("the extern `{name}` {why}") };
    let behind = btf.resolve(ty.referred()).ok_or_else(|| broken("has a type that leads in a circle"))?;
    let (kind, slot) = match (ty.kind(), is_config) {
        (Kind::Var, true) => {
            let slot = config::Slot::of(btf, behind).ok_or_else(|| {
                broken(
                    "is of a type that no constant of the kernel's has: bool, char, integers, enum libbpf_tristate \
                        and arrays of char are those that can be",
                )
            })?;
            (ExternKind::Config, Some(slot))
        }
        (Kind::Var, false) if behind.kind() == Kind::Void => (ExternKind::Address, None),
        (Kind::Var, false) => (ExternKind::Variable, None),
        (Kind::Func, false) => (ExternKind::Function, None),
        _ => return Err(broken("is neither a variable nor a function of the kernel's")),
    };
    Ok(Extern { name, weak, kind, symbol, type_id: behind.id(), slot })
}

/// Finds the values of all of them: `ksyms` has been through the kernel's types, `local` are the object's own, and `config`
/// is what the user says about the kernel's configuration, which counts before what the kernel says. If the `types` are not
/// those of the running kernel, it is not asked about anything else either.
pub(crate) fn resolve(
    externs: &[Extern],
    ksyms: Ksyms<'_>,
    local: &Btf<'_>,
    sources: Sources<'_, '_>,
    config: &str,
    types: Types<'_>,
) -> Result<Resolved, Error> {
    let mut resolved = Resolved::default();
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
    config::fill(externs, config, running, &mut resolved);
    resolved.settle();
    Ok(resolved)
}
