//! Compares types of the program with types of the kernel, by three rules:
//!
//! - **Fields**: a field of one type can be read as the other. Any two integers are compatible, any two structures, and
//!   any two pointers: the program decides what it reads.
//! - **Types** (`bpf_core_type_exists`): both have the same structure, whatever their names are below the top level.
//! - **Matches** (`bpf_core_type_matches`): the kernel's type has all members that the program's has, by name.
//!
//! The rules are libbpf's (`tools/lib/bpf/relo_core.c`), since programs rely on them.

use super::{
    flavor::same,
    steps::{Steps, Stop},
};
use crate::btf::{Btf, Kind, Type};

/// Returns whether a type of the kernel is compatible with one of the program, by the rules of `bpf_core_type_exists`.
/// `steps` limits all such comparisons for an object together.
pub(crate) fn is_same_shape(
    local: (&Btf<'_>, u32),
    target: (&Btf<'_>, u32),
    steps: &mut Steps,
) -> Result<bool, String> {
    steps.add();
    let mut compatible = Compatible { local: local.0, target: target.0, steps };
    compatible.types(local.1, target.1).map_err(|stop| stop.to_string())
}

/// The depth of nested types that no real type reaches.
const DEEPEST: u32 = 32;

/// Returns whether the kinds are equal; enumerations of both widths count as one kind.
pub(super) fn kinds_are_compatible(local: Kind, target: Kind) -> bool {
    local == target || local.is_enum() && target.is_enum()
}

/// Returns whether a field of the type `target_id` is compatible with one of `local_id`.
pub(super) fn fields_are_compatible(
    local: &Btf<'_>,
    mut local_id: u32,
    target: &Btf<'_>,
    mut target_id: u32,
) -> Result<bool, Stop> {
    for _ in 0..DEEPEST {
        let ours = local.resolve(local_id).ok_or(Stop::Circle)?;
        let theirs = target.resolve(target_id).ok_or(Stop::Circle)?;
        if ours.kind().is_composite() && theirs.kind().is_composite() {
            return Ok(true);
        }
        if !kinds_are_compatible(ours.kind(), theirs.kind()) {
            return Ok(false);
        }
        match ours.kind() {
            Kind::Ptr | Kind::Float => return Ok(true),
            Kind::Fwd | Kind::Enum | Kind::Enum64 => {
                let (ours, theirs) = (ours.name_bytes(), theirs.name_bytes());
                return Ok(ours.is_empty() || theirs.is_empty() || same(ours, theirs));
            }
            Kind::Int => return Ok(is_whole(ours) && is_whole(theirs)),
            Kind::Array => {
                (local_id, target_id) = (element(ours), element(theirs));
            }
            _ => return Ok(false),
        }
    }
    Err(Stop::Circle)
}

/// Returns whether an integer is not a bit field as compilers described them before Linux 5.0.
fn is_whole(ty: Type<'_>) -> bool {
    ty.int().is_some_and(|int| int.offset == 0)
}

fn element(array: Type<'_>) -> u32 {
    array.array().map_or(0, |array| array.element)
}

/// The program's types, the kernel's types, and the remaining allowance of steps.
pub(super) struct Compatible<'a, 'l, 't> {
    pub(super) local: &'a Btf<'l>,
    pub(super) target: &'a Btf<'t>,
    pub(super) steps: &'a mut Steps,
}

impl Compatible<'_, '_, '_> {
    /// Returns whether the types have the same structure. The caller has compared their names.
    pub(super) fn types(&mut self, local: u32, target: u32) -> Result<bool, Stop> {
        if !kinds_are_compatible(self.local.ty(local).kind(), self.target.ty(target).kind()) {
            return Ok(false);
        }
        self.types_within(local, target, DEEPEST)
    }

    fn types_within(&mut self, mut local: u32, mut target: u32, level: u32) -> Result<bool, Stop> {
        for _ in 0..DEEPEST {
            self.steps.take()?;
            let ours = self.local.resolve(local).ok_or(Stop::Circle)?;
            let theirs = self.target.resolve(target).ok_or(Stop::Circle)?;
            if !kinds_are_compatible(ours.kind(), theirs.kind()) {
                return Ok(false);
            }
            match ours.kind() {
                Kind::Void | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd => return Ok(true),
                Kind::Int => return Ok(is_whole(ours) && is_whole(theirs)),
                Kind::Ptr => (local, target) = (ours.referred(), theirs.referred()),
                Kind::Array => (local, target) = (element(ours), element(theirs)),
                Kind::FuncProto => {
                    if ours.len() != theirs.len() {
                        return Ok(false);
                    }
                    let level = level.checked_sub(1).ok_or(Stop::Circle)?;
                    for (ours, theirs) in ours.params().zip(theirs.params()) {
                        if !self.types_within(ours.type_id, theirs.type_id, level)? {
                            return Ok(false);
                        }
                    }
                    (local, target) = (ours.referred(), theirs.referred());
                }
                _ => return Ok(false),
            }
        }
        Err(Stop::Circle)
    }

    /// Returns whether the kernel's type has all members of the program's.
    pub(super) fn matches(&mut self, local: u32, target: u32) -> Result<bool, Stop> {
        self.matches_within(local, target, false, DEEPEST)
    }

    fn matches_within(
        &mut self,
        mut local: u32,
        mut target: u32,
        mut behind_pointer: bool,
        level: u32,
    ) -> Result<bool, Stop> {
        let level = level.checked_sub(1).ok_or(Stop::Circle)?;
        for _ in 0..DEEPEST {
            self.steps.take()?;
            let ours = self.local.resolve(local).ok_or(Stop::Circle)?;
            let theirs = self.target.resolve(target).ok_or(Stop::Circle)?;
            if !same_names(ours.name_bytes(), theirs.name_bytes()) {
                return Ok(false);
            }
            let (kind, their_kind) = (ours.kind(), theirs.kind());
            match kind {
                Kind::Void => return Ok(their_kind == Kind::Void),
                Kind::Enum | Kind::Enum64 => return self.enums_match(ours, theirs),
                Kind::Fwd => return Ok(forward_matches(ours, theirs, behind_pointer)),
                Kind::Struct | Kind::Union if behind_pointer => {
                    let declared = their_kind == Kind::Fwd && theirs.is_forward_union() == (kind == Kind::Union);
                    return Ok(kind == their_kind || declared);
                }
                _ if kind != their_kind => return Ok(false),
                Kind::Struct | Kind::Union => return self.members_match(ours, theirs, level),
                Kind::Int => return Ok(ours.size() == theirs.size() && ours.is_signed() == theirs.is_signed()),
                Kind::Ptr => {
                    behind_pointer = true;
                    (local, target) = (ours.referred(), theirs.referred());
                }
                Kind::Array => {
                    if ours.array().map(|array| array.len) != theirs.array().map(|array| array.len) {
                        return Ok(false);
                    }
                    (local, target) = (element(ours), element(theirs));
                }
                Kind::FuncProto => {
                    if ours.len() != theirs.len() {
                        return Ok(false);
                    }
                    for (ours, theirs) in ours.params().zip(theirs.params()) {
                        if !self.matches_within(ours.type_id, theirs.type_id, behind_pointer, level)? {
                            return Ok(false);
                        }
                    }
                    (local, target) = (ours.referred(), theirs.referred());
                }
                _ => return Ok(false),
            }
        }
        Err(Stop::Circle)
    }

    fn enums_match(&mut self, ours: Type<'_>, theirs: Type<'_>) -> Result<bool, Stop> {
        if !theirs.kind().is_enum() || ours.size() != theirs.size() || ours.len() > theirs.len() {
            return Ok(false);
        }
        for our in ours.values() {
            let mut found = false;
            for their in theirs.values() {
                self.steps.take_for(our.name.len() + their.name.len())?;
                found = same_names(our.name, their.name);
                if found {
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn members_match(&mut self, ours: Type<'_>, theirs: Type<'_>, level: u32) -> Result<bool, Stop> {
        if ours.len() > theirs.len() {
            return Ok(false);
        }
        for our in ours.members() {
            let mut found = false;
            for their in theirs.members() {
                self.steps.take_for(our.name.len() + their.name.len())?;
                found = same_names(our.name, their.name)
                    && self.matches_within(our.type_id, their.type_id, false, level)?;
                if found {
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns whether the program's forward declaration matches a type of the kernel. Behind a pointer the kernel may have
/// the full type.
fn forward_matches(ours: Type<'_>, theirs: Type<'_>, behind_pointer: bool) -> bool {
    let union = ours.is_forward_union();
    match theirs.kind() {
        Kind::Fwd => union == theirs.is_forward_union(),
        Kind::Struct => behind_pointer && !union,
        Kind::Union => behind_pointer && union,
        _ => false,
    }
}

/// Returns whether the names are equal apart from flavors. An empty name equals only an empty name.
fn same_names(ours: &[u8], theirs: &[u8]) -> bool {
    ours.is_empty() == theirs.is_empty() && same(ours, theirs)
}
