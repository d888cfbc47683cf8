//! The CO-RE relocation records of `.BTF.ext`.

use std::fmt;

use crate::btf::{Btf, Ext};

/// The kind of value that a relocation asks for (`enum bpf_core_relo_kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("bpf_core_relo_kind", "BPF_CORE_FIELD_BYTE_OFFSET"))]
pub enum RelocationKind {
    /// The offset of the field in bytes from the structure's start; for a bit field, of the word to load.
    FieldByteOffset,
    /// The size of the field in bytes; for a bit field, of the word to load.
    FieldByteSize,
    /// 1 if the field exists, 0 otherwise.
    FieldExists,
    /// 1 if the field is signed, 0 otherwise.
    FieldSigned,
    /// The number of bits to shift the loaded 64 bits left, which removes the bits above the field.
    FieldLeftShift,
    /// The number of bits to shift right afterwards, which leaves the field's value.
    FieldRightShift,
    /// The type's id in the program's own BTF.
    TypeIdLocal,
    /// The type's id in the kernel's BTF.
    TypeIdTarget,
    /// 1 if the type exists, 0 otherwise.
    TypeExists,
    /// The size of the type in bytes.
    TypeSize,
    /// 1 if the enumerator exists, 0 otherwise.
    EnumeratorExists,
    /// The enumerator's value.
    EnumeratorValue,
    /// 1 if the type exists and has all members of the program's, 0 otherwise.
    TypeMatches,
}

impl RelocationKind {
    fn new(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::FieldByteOffset,
            1 => Self::FieldByteSize,
            2 => Self::FieldExists,
            3 => Self::FieldSigned,
            4 => Self::FieldLeftShift,
            5 => Self::FieldRightShift,
            6 => Self::TypeIdLocal,
            7 => Self::TypeIdTarget,
            8 => Self::TypeExists,
            9 => Self::TypeSize,
            10 => Self::EnumeratorExists,
            11 => Self::EnumeratorValue,
            12 => Self::TypeMatches,
            _ => return None,
        })
    }

    /// Returns the subject, which determines how the access string is read.
    pub(super) fn subject(self) -> Subject {
        match self {
            Self::FieldByteOffset
            | Self::FieldByteSize
            | Self::FieldExists
            | Self::FieldSigned
            | Self::FieldLeftShift
            | Self::FieldRightShift => Subject::Field,
            Self::TypeIdLocal | Self::TypeIdTarget | Self::TypeExists | Self::TypeSize | Self::TypeMatches => {
                Subject::Type
            }
            Self::EnumeratorExists | Self::EnumeratorValue => Subject::Enumerator,
        }
    }
}

impl fmt::Display for RelocationKind {
    /// Writes e.g. `byte offset of`, to be followed by the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldByteOffset => "byte offset of",
            Self::FieldByteSize => "byte size of",
            Self::FieldExists => "existence of field",
            Self::FieldSigned => "signedness of",
            Self::FieldLeftShift => "left shift for",
            Self::FieldRightShift => "right shift for",
            Self::TypeIdLocal => "local type id of",
            Self::TypeIdTarget => "kernel type id of",
            Self::TypeExists => "existence of",
            Self::TypeSize => "size of",
            Self::EnumeratorExists => "existence of enumerator",
            Self::EnumeratorValue => "value of enumerator",
            Self::TypeMatches => "match of",
        })
    }
}

/// The subject of a relocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Field,
    Type,
    Enumerator,
}

/// A relocation as the compiler recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "bpf_core_relo")]
pub struct Relocation<'a> {
    /// The name of the code section; empty if it is not UTF-8.
    pub section: &'a str,
    /// Bytes from the section's start to the instruction.
    pub offset: u32,
    /// The id of the root type in the object's own BTF.
    pub type_id: u32,
    /// The access string, e.g. `0:1:2`, as an offset in the strings of that BTF.
    pub access: u32,
    /// The kind as a number. Only [`relocate`](super::relocate()) refuses an unknown one.
    pub kind: u32,
}

impl<'a> Relocation<'a> {
    /// Returns all relocations of an object, in its order.
    #[must_use]
    pub fn all(local: &Btf<'a>, ext: &Ext<'_>) -> Vec<Self> {
        let mut all = Vec::new();
        for records in ext.core_relo() {
            let section = std::str::from_utf8(local.string(records.section)).unwrap_or_default();
            all.extend(records.words().map(|[offset, type_id, access, kind]| Self {
                section,
                offset,
                type_id,
                access,
                kind,
            }));
        }
        all
    }

    /// Returns the kind; `None` if it is unknown to this crate.
    #[must_use]
    pub fn kind(&self) -> Option<RelocationKind> {
        RelocationKind::new(self.kind)
    }
}
