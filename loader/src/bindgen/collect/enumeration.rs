//! Enumerations.

use super::opaque::opaque;
use crate::{
    bindgen::{
        model::{Def, Enum, Repr, Shape, digits},
        naming::{Scope, identifier, plain},
    },
    btf::{Kind, Type},
};

/// Returns whether an enumeration is signed: by its mark or, in BTF without marks (before Linux 6.0), by its values.
pub(super) fn is_signed(ty: Type<'_>) -> bool {
    let negative = |value: u64| ty.kind() == Kind::Enum && value.cast_signed() < 0;
    ty.is_signed() || ty.values().any(|value| negative(value.value))
}

/// Returns the definition of an enumeration.
pub(super) fn def(ty: Type<'_>, name: String, c_name: String) -> Def {
    let is_signed = is_signed(ty);
    let integer = match (ty.size(), is_signed) {
        (1, false) => "u8",
        (2, false) => "u16",
        (4, false) => "u32",
        (8, false) => "u64",
        (1, true) => "i8",
        (2, true) => "i16",
        (4, true) => "i32",
        (8, true) => "i64",
        _ => return opaque(name, c_name, ty.size()),
    };
    let spare = 64_u32.saturating_sub(ty.size() * 8);
    // The names of the constants of the trait `Pod` mean these in generic code; the getter is `name`.
    let mut scope = Scope::default();
    let _ = scope.take("name".to_owned());
    let values = ty.values().map(|value| {
        let text = match is_signed {
            true => digits((value.value << spare).cast_signed() >> spare),
            false => digits(value.value << spare >> spare),
        };
        let c_name = String::from_utf8_lossy(value.name).into_owned();
        let identifier = identifier(&scope.take(plain(&c_name)));
        (c_name, identifier, text)
    });
    let values = values.collect();
    let shape = Shape::Enum(Enum { integer, values });
    let (size, align, repr) = (ty.size(), ty.size(), Repr::C);
    let (is_aligned, is_total, has_float, derives_default) = (false, true, false, true);
    Def { name, c_name, size, align, repr, is_aligned, is_total, has_float, derives_default, shape }
}
