//! Types without members.

use crate::bindgen::model::{Def, Repr, Shape};

/// Returns the definition of a type of which only the size is known.
pub(super) fn opaque(name: String, c_name: String, size: u32) -> Def {
    let bytes = Shape::Bytes { field: "opaque", accessors: Vec::new(), notes: Vec::new() };
    let derives_default = size <= 32;
    let (repr, align) = (Repr::C, 1);
    let (is_aligned, is_total, has_float) = (false, true, false);
    Def { name, c_name, size, align, repr, is_aligned, is_total, has_float, derives_default, shape: bytes }
}
