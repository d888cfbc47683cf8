//! Follows the same path in the kernel's types: for each named step a member of that name, for each element an element.

use super::{
    compatible::{Compatible, fields_are_compatible},
    flavor,
    record::{RelocationKind, Subject},
    spec::{LONGEST, Spec, Step},
    steps::{Steps, Stop},
};
use crate::btf::{Btf, Kind, Type};

/// Follows the path of `local` from the candidate `root`; `None` if a step does not exist there.
pub(super) fn follow<'b>(
    local: &Spec<'_>,
    kind: RelocationKind,
    target: &'b Btf<'b>,
    root: u32,
    steps: &mut Steps,
) -> Result<Option<Spec<'b>>, Stop> {
    let mut spec = Spec::start(target, root, local.subject);
    let found = match local.subject {
        Subject::Type => {
            let mut compatible = Compatible { local: local.btf, target, steps };
            if kind == RelocationKind::TypeMatches {
                compatible.matches(local.root, root)?
            } else {
                compatible.types(local.root, root)?
            }
        }
        Subject::Enumerator => follow_enumerator(local, &mut spec, steps)?,
        Subject::Field => follow_field(local, &mut spec, steps)?,
    };
    Ok(found.then_some(spec))
}

fn follow_enumerator<'b>(local: &Spec<'_>, spec: &mut Spec<'b>, steps: &mut Steps) -> Result<bool, Stop> {
    let wanted = local.last().and_then(|step| step.name).ok_or_else(|| bug("an enumerator has no name"))?;
    let ty = spec.btf.resolve(spec.root).ok_or(Stop::Circle)?;
    for (index, value) in (0..).zip(ty.values()) {
        steps.take_for(wanted.len() + value.name.len())?;
        if flavor::same(wanted, value.name) {
            spec.steps.push(Step { type_id: ty.id(), index, name: Some(value.name) });
            return Ok(true);
        }
    }
    Ok(false)
}

fn follow_field<'b>(local: &Spec<'_>, spec: &mut Spec<'b>, steps: &mut Steps) -> Result<bool, Stop> {
    let mut id = spec.root;
    for (index, step) in local.steps.iter().enumerate() {
        let ty = spec.btf.resolve(id).ok_or(Stop::Circle)?;
        if let Some(name) = step.name {
            let ours = local.btf.ty(step.type_id).member(step.index);
            let type_id = ours.ok_or_else(|| bug("a step leads to no member"))?.type_id;
            let wanted = Wanted { name, type_id };
            match member(local.btf, wanted, spec, ty, 0, steps)? {
                Some(next) => id = next,
                None => return Ok(false),
            }
        } else {
            // The first step is element 0 of the structure itself, which is already there.
            if index > 0 {
                match spec.element_of(ty, step.index) {
                    Some(element) if ty.kind() == Kind::Array => id = element,
                    _ => return Ok(false),
                }
            } else {
                id = ty.id();
            }
            if spec.btf.size_of(id).is_none() {
                return Ok(false); // only declared: it has no fields
            }
            spec.push_element(id, step.index).map_err(Stop::Nonsense)?;
        }
    }
    Ok(true)
}

fn bug(what: &'static str) -> Stop {
    Stop::Nonsense(crate::Error::bug(what).to_string())
}

/// The member of a step.
#[derive(Clone, Copy)]
struct Wanted<'l> {
    name: &'l [u8],
    type_id: u32,
}

/// Finds a member in `ty` and in the unnamed structures in it; `depth` is the number of unnamed structures around it.
/// Adds the step, and returns the member's type.
fn member<'b>(
    local: &Btf<'_>,
    wanted: Wanted<'_>,
    spec: &mut Spec<'b>,
    ty: Type<'b>,
    depth: usize,
    steps: &mut Steps,
) -> Result<Option<u32>, Stop> {
    if depth + spec.steps.len() >= LONGEST {
        return Err(Stop::Nonsense(format!("structures are nested more than {LONGEST} deep")));
    }
    for (index, member) in (0..).zip(ty.members()) {
        steps.take_for(member.name.len())?;
        let before = spec.bit_offset;
        if member.name.is_empty() {
            spec.advance(u64::from(member.bit_offset)).map_err(Stop::Nonsense)?;
            let inner = spec.btf.resolve(member.type_id).ok_or(Stop::Circle)?;
            if let Some(found) = self::member(local, wanted, spec, inner, depth + 1, steps)? {
                return Ok(Some(found));
            }
            spec.bit_offset = before;
        } else if member.name == wanted.name {
            if !fields_are_compatible(local, wanted.type_id, spec.btf, member.type_id)? {
                return Ok(None);
            }
            spec.advance(u64::from(member.bit_offset)).map_err(Stop::Nonsense)?;
            spec.steps.push(Step { type_id: ty.id(), index, name: Some(member.name) });
            return Ok(Some(member.type_id));
        }
    }
    Ok(None)
}
