//! Finds a part of a variable by its path: `cfg.level`, `table[1][2]`.

use cutaway::btf::{Btf, Kind, Member, Type};

use crate::error::listed;

/// A part of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The id of its type.
    pub(super) type_id: u32,
    /// Bytes from the start of the variable. For a bit field, those of the structure that contains it.
    pub(super) offset: usize,
    /// For a bit field: its first bit in the structure, and its width in bits.
    pub(super) bits: Option<(u32, u32)>,
}

/// Splits `NAME` into the name of a variable and the path of a part. A name may contain dots itself, so the longest
/// name that exists is taken.
pub(super) fn split(name: &str, exists: impl Fn(&str) -> bool) -> (&str, &str) {
    let ends = name.char_indices().filter(|&(_, character)| matches!(character, '.' | '[')).map(|(at, _)| at);
    let mut splits = ends.filter_map(|at| name.split_at_checked(at)).collect::<Vec<_>>();
    splits.push((name, ""));
    let found = splits.iter().rev().find(|(variable, _)| exists(variable));
    // Without such a variable, the error names the text before the path.
    found.or(splits.first()).copied().unwrap_or((name, ""))
}

/// Finds the part of a variable of this type.
pub(super) fn find(btf: &Btf<'_>, type_id: u32, path: &str) -> Result<Part, String> {
    let mut part = Part { type_id, offset: 0, bits: None };
    let mut rest = path;
    while !rest.is_empty() {
        let ty = btf.resolve(part.type_id).ok_or("its type cannot be read")?;
        if part.bits.is_some() {
            return Err(format!("a bit field has no parts: remove `{rest}`"));
        }
        let bad = || format!("`{rest}` is no path: write .member or [index]");
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            part = member(btf, ty, name, part.offset)?;
            rest = after;
        } else {
            let (index, after) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(bad)?;
            part = element(btf, ty, index.trim(), part.offset)?;
            rest = after;
        }
    }
    Ok(part)
}

fn element(btf: &Btf<'_>, ty: Type<'_>, index: &str, offset: usize) -> Result<Part, String> {
    let Some(array) = ty.array() else { return Err(format!("{} is no array: it has no [{index}]", describe(ty))) };
    let number: u32 = index.parse().map_err(|_| format!("[{index}]: an index is a number from 0"))?;
    if number >= array.len {
        return Err(format!("[{index}] is beyond the end: the array has {} elements", array.len));
    }
    let size = btf.size_of(array.element).ok_or("the type of its elements has no size")? as usize;
    let start = size.checked_mul(number as usize).and_then(|start| start.checked_add(offset));
    let offset = start.ok_or("the array is too large")?;
    Ok(Part { type_id: array.element, offset, bits: None })
}

fn member(btf: &Btf<'_>, ty: Type<'_>, name: &str, offset: usize) -> Result<Part, String> {
    if !ty.kind().is_composite() {
        return Err(format!("{} is no structure: it has no member `{name}`", describe(ty)));
    }
    let (mut names, mut left) = (Vec::new(), MOST);
    let (bit, member) = search(btf, ty, name, 0, &mut left, &mut names)
        .ok_or_else(|| format!("{} has no member `{name}`; its members are {}", describe(ty), listed(&names)))?;
    if member.bits != 0 {
        return Ok(Part { type_id: member.type_id, offset, bits: Some((bit, member.bits)) });
    }
    let offset = offset.checked_add(bit as usize / 8).ok_or("the structure is too large")?;
    Ok(Part { type_id: member.type_id, offset, bits: None })
}

/// Number of members that a search visits. Types may contain themselves.
const MOST: u32 = 1 << 12;

/// Finds a member, also in unnamed structures. Returns its first bit, counted from the outermost structure. Collects
/// the names of the visited members.
fn search<'b>(
    btf: &'b Btf<'_>,
    ty: Type<'b>,
    name: &str,
    start: u32,
    left: &mut u32,
    names: &mut Vec<String>,
) -> Option<(u32, Member<'b>)> {
    for member in ty.members() {
        *left = left.checked_sub(1)?;
        let bit = start.checked_add(member.bit_offset)?;
        if member.name.is_empty() {
            let inner = btf.resolve(member.type_id).filter(|inner| inner.kind().is_composite());
            // The depth is bounded by what is left.
            if let Some(found) = inner.and_then(|inner| search(btf, inner, name, bit, left, names)) {
                return Some(found);
            }
        } else if member.name == name.as_bytes() {
            return Some((bit, member));
        } else {
            names.push(String::from_utf8_lossy(member.name).into_owned());
        }
    }
    None
}

fn describe(ty: Type<'_>) -> String {
    let text = ty.to_string();
    match (text.trim(), ty.kind()) {
        ("" | "struct" | "union", Kind::Struct | Kind::Union) => "the structure".to_owned(),
        ("", _) => "it".to_owned(),
        (text, _) => text.to_owned(),
    }
}
