//! Computes the value of a relocation from its path: an offset, a size, a shift, or an enumerator's value.
//!
//! It is computed twice. The value by the program's own types must be in the instruction already. The value by the
//! kernel's types replaces it.

use super::{
    record::RelocationKind,
    spec::{Spec, Step},
};
use crate::btf::{Btf, Kind};

/// The value for an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) value: u64,
    /// Size and type of a load or store at this offset; `None` if there is no single size.
    pub(super) access: Option<Access>,
    /// Whether the compiler must have written this value. For bit fields it may have chosen another word.
    pub(super) certain: bool,
    /// Whether only the low 32 bits are certain, since old BTF does not say how to extend an enumerator.
    pub(super) low_half: bool,
}

/// The loaded or stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    /// Bytes; for an array, of one element.
    pub(super) size: u32,
    pub(super) type_id: u32,
}

impl Value {
    /// Computes the value of this `kind` at the end of the path `spec`.
    pub(super) fn of(kind: RelocationKind, spec: &Spec<'_>) -> Result<Self, String> {
        use RelocationKind as Is;
        let plain = |value| Self { value, access: None, certain: true, low_half: false };
        match kind {
            Is::FieldExists | Is::TypeExists | Is::TypeMatches | Is::EnumeratorExists => Ok(plain(1)),
            // Type ids change when objects are linked together.
            Is::TypeIdLocal | Is::TypeIdTarget => Ok(Self { certain: false, ..plain(u64::from(spec.root)) }),
            Is::TypeSize => Ok(plain(u64::from(size(spec.btf, spec.root)?))),
            Is::EnumeratorValue => {
                let last = spec.last().ok_or("there is no enumerator")?;
                let ty = spec.btf.ty(last.type_id);
                let value = ty.value(last.index).ok_or("there is no such enumerator")?;
                Ok(Self { low_half: ty.kind() == Kind::Enum, ..plain(value.value) })
            }
            Is::FieldByteOffset | Is::FieldByteSize | Is::FieldSigned | Is::FieldLeftShift | Is::FieldRightShift => {
                let last = spec.last().ok_or("there is no field")?;
                match last.name {
                    Some(_) => of_member(kind, spec, last),
                    None => of_element(kind, spec, last),
                }
            }
        }
    }

    /// Returns the value for a missing type or field; `None` if there is none.
    pub(super) fn absent(kind: RelocationKind) -> Option<u64> {
        use RelocationKind as Is;
        let has_answer = matches!(
            kind,
            Is::FieldExists | Is::TypeIdTarget | Is::TypeExists | Is::TypeSize | Is::TypeMatches | Is::EnumeratorExists
        );
        has_answer.then_some(0)
    }
}

/// Computes the value of a path that ends at an array element.
fn of_element(kind: RelocationKind, spec: &Spec<'_>, last: Step<'_>) -> Result<Value, String> {
    match kind {
        RelocationKind::FieldByteOffset => Ok(Value {
            value: spec.bit_offset / 8,
            access: Some(Access { size: innermost_size(spec.btf, last.type_id)?, type_id: last.type_id }),
            certain: true,
            low_half: false,
        }),
        RelocationKind::FieldByteSize => {
            Ok(Value { value: u64::from(size(spec.btf, last.type_id)?), access: None, certain: true, low_half: false })
        }
        _ => Err("it does not apply to an array element".to_owned()),
    }
}

/// Computes the value of a path that ends at a member.
fn of_member(kind: RelocationKind, spec: &Spec<'_>, last: Step<'_>) -> Result<Value, String> {
    let btf = spec.btf;
    let member = btf.ty(last.type_id).member(last.index).ok_or("there is no such member")?;
    let ty = btf.resolve(member.type_id).ok_or("its typedefs form a circle")?;
    let is_bit_field = member.bits > 0;
    let word = if is_bit_field {
        Word::around(spec.bit_offset, member.bits, size(btf, ty.id())?)?
    } else {
        let size = size(btf, ty.id())?;
        Word { offset: spec.bit_offset / 8, size: u64::from(size), bits: u64::from(size) * 8 }
    };
    let plain = |value| Value { value, access: None, certain: !is_bit_field, low_half: false };
    Ok(match kind {
        RelocationKind::FieldByteOffset if is_bit_field => plain(word.offset),
        RelocationKind::FieldByteOffset => {
            let access = Access { size: innermost_size(btf, ty.id())?, type_id: ty.id() };
            Value { access: Some(access), ..plain(word.offset) }
        }
        RelocationKind::FieldByteSize => plain(word.size),
        RelocationKind::FieldSigned => Value { certain: true, ..plain(u64::from(ty.is_signed())) },
        RelocationKind::FieldLeftShift => plain(word.left_shift(spec.bit_offset)?),
        RelocationKind::FieldRightShift => Value { certain: true, ..plain(word.right_shift()?) },
        _ => return Err("it does not apply to a member".to_owned()),
    })
}

/// The word to load for a field.
struct Word {
    /// Bytes from the structure's start.
    offset: u64,
    /// The size in bytes.
    size: u64,
    /// The size of the field in bits.
    bits: u64,
}

impl Word {
    /// Returns the smallest aligned word, at least as large as the bit field's type, that contains the whole field.
    fn around(bit_offset: u64, bits: u32, type_size: u32) -> Result<Self, String> {
        let bits = u64::from(bits);
        let mut size = u64::from(type_size);
        if size == 0 {
            return Err("it is a bit field of a type without size".to_owned());
        }
        loop {
            let offset = bit_offset / 8 / size * size;
            if bit_offset + bits <= (offset + size) * 8 {
                return Ok(Self { offset, size, bits });
            }
            if size >= 8 {
                return Err("it is a bit field that does not fit into a load of 64 bits".to_owned());
            }
            size *= 2;
        }
    }

    /// Returns the shift left, in bits, that moves the field's highest bit to the highest of the loaded 64.
    fn left_shift(&self, bit_offset: u64) -> Result<u64, String> {
        let above = bit_offset - self.offset * 8;
        let shift = if cfg!(target_endian = "little") {
            64_u64.checked_sub(above + self.bits)
        } else {
            8_u64.checked_sub(self.size).map(|missing| missing * 8 + above)
        };
        shift.ok_or_else(|| "it has more than 64 bits".to_owned())
    }

    /// Returns the shift right, in bits, that then moves the field's lowest bit to bit 0.
    fn right_shift(&self) -> Result<u64, String> {
        64_u64.checked_sub(self.bits).ok_or_else(|| "it has more than 64 bits".to_owned())
    }
}

fn size(btf: &Btf<'_>, id: u32) -> Result<u32, String> {
    btf.size_of(id).ok_or_else(|| format!("{} has no size", btf.ty(id)))
}

/// Returns the size of the innermost elements of nested arrays.
fn innermost_size(btf: &Btf<'_>, id: u32) -> Result<u32, String> {
    let mut ty = btf.resolve(id).ok_or("its typedefs form a circle")?;
    // Bounded like the size of the whole array.
    for _ in 0..256 {
        match ty.array() {
            Some(array) if ty.kind() == Kind::Array => {
                ty = btf.resolve(array.element).ok_or("its typedefs form a circle")?;
            }
            _ => break,
        }
    }
    size(btf, ty.id())
}
