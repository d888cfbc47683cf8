//! The records of `.BTF.ext` that say which instruction depends on what.

use std::fmt;

use crate::btf::{Btf, Ext};

/// `enum bpf_core_relo_kind`: what a program wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("bpf_core_relo_kind", "BPF_CORE_FIELD_BYTE_OFFSET"))]
pub enum RelocationKind {
    /// Bytes from the start of the structure to the field; for a bit field, to the word to load.
    FieldByteOffset,
    /// Bytes of the field; for a bit field, of the word to load.
    FieldByteSize,
    /// 1 if there is such a field, else 0.
    FieldExists,
    /// 1 if the field is signed, else 0.
    FieldSigned,
    /// By how much to shift the loaded 64 bits left, to be rid of what is above the field.
    FieldLeftShift,
    /// By how much to shift them right then, to have the field's value.
    FieldRightShift,
    /// The type's number in the program's own BTF.
    TypeIdLocal,
    /// The type's number in the kernel's BTF.
    TypeIdTarget,
    /// 1 if there is such a type, else 0.
    TypeExists,
    /// Bytes of the type.
    TypeSize,
    /// 1 if there is such an enumerator, else 0.
    EnumeratorExists,
    /// The enumerator's value.
    EnumeratorValue,
    /// 1 if there is such a type, and it has what the program's has, else 0.
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

    /// What it is about decides how the access string is read.
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
    /// e.g. `the byte offset of`, to be followed by the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldByteOffset => "byte offset of",
            Self::FieldByteSize => "byte size of",
            Self::FieldExists => "existence of field",
            Self::FieldSigned => "signedness of",
            Self::FieldLeftShift => "left shift for",
            Self::FieldRightShift => "right shift for",
            Self::TypeIdLocal => "own type number of",
            Self::TypeIdTarget => "kernel's type number of",
            Self::TypeExists => "existence of",
            Self::TypeSize => "size of",
            Self::EnumeratorExists => "existence of enumerator",
            Self::EnumeratorValue => "value of enumerator",
            Self::TypeMatches => "match of",
        })
    }
}

/// What a relocation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Field,
    Type,
    Enumerator,
}

/// One relocation as the compiler recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "bpf_core_relo")]
pub struct Relocation<'a> {
    /// The name of the section of code; empty if it is not UTF-8.
    pub section: &'a str,
    /// Bytes from the section's start to the instruction.
    pub offset: u32,
    /// The number in the object's own BTF of the type that it starts from.
    pub type_id: u32,
    /// The way from there, e.g. `0:1:2`, as an offset in the strings of that BTF.
    pub access: u32,
    /// What the program wants to know, as a number: only [`relocate`](super::relocate) minds if it knows none such.
    pub kind: u32,
}

impl<'a> Relocation<'a> {
    /// All relocations of an object, in its order.
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

    /// What the program wants to know; `None` if this was unknown when this was written.
    #[must_use]
    pub fn kind(&self) -> Option<RelocationKind> {
        RelocationKind::new(self.kind)
    }
}
