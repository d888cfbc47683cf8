//! Compares an object's BTF as aya-obj completes it with the BTF that this crate completes.

use crate::btf::{Btf, Kind, Type};

/// Returns the first difference that the kernel or a reader of maps would see, as the predicate of a sentence about
/// aya-obj; `None` if both are the same. aya-obj names unnamed parameters and removes the names of pointers; these
/// differences do not count.
pub(super) fn difference(own: &Btf<'_>, aya: &Btf<'_>) -> Option<String> {
    if own.end() != aya.end() {
        return Some(format!("completes the BTF to {} types instead of {}", aya.end(), own.end()));
    }
    let (own, aya) = (own.types(), aya.types());
    own.zip(aya)
        .find_map(|(own, aya)| property(own, aya).map(|what| format!("leaves {what} of `{}` wrong", own.name())))
}

/// Returns the property that differs between two types.
fn property(own: Type<'_>, aya: Type<'_>) -> Option<&'static str> {
    let is_named = own.kind() != Kind::Ptr;
    if own.kind() != aya.kind() || (is_named && own.name_bytes() != aya.name_bytes()) {
        return Some("the kind or the name");
    }
    // aya-obj makes the compiler's own functions static on purpose: the verifier then follows calls of them with the
    // state of their arguments.
    let is_builtin = matches!(own.name_bytes(), b"memset" | b"memcpy" | b"memmove" | b"memcmp");
    let is_static = own.kind() == Kind::Func && aya.linkage() == 0;
    if own.linkage() != aya.linkage() && !(is_builtin && is_static) {
        return Some("the linkage");
    }
    if (own.size(), own.referred(), own.len()) != (aya.size(), aya.referred(), aya.len()) {
        return Some("the size or the type");
    }
    let is_same = own.array() == aya.array()
        && own.int() == aya.int()
        && own.component() == aya.component()
        && own.members().eq(aya.members())
        && own.values().eq(aya.values())
        && own.params().map(|param| param.type_id).eq(aya.params().map(|param| param.type_id));
    if !is_same {
        return Some("the members");
    }
    (!own.section_vars().eq(aya.section_vars())).then_some("the offsets of variables")
}
