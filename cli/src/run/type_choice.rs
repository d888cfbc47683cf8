//! The type of a record, and how it is known. `type_candidates.rs` chooses it for `record_type.rs`.

use cutaway::btf::{Btf, Type, Value};

use crate::decode;

/// A BTF type that records are decoded as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'b> {
    pub(super) btf: &'b Btf<'b>,
    pub(super) id: u32,
    /// Size in bytes, without a flexible array at its end.
    pub(super) size: usize,
    pub(super) flexible: bool,
}

impl<'b> Shape<'b> {
    pub(super) fn new(btf: &'b Btf<'b>, ty: Type<'b>) -> Option<Self> {
        let size = btf.size_of(ty.id())? as usize;
        Some(Self { btf, id: ty.id(), size, flexible: decode::ends_flexibly(btf, ty.id()) })
    }

    pub(crate) fn name(&self) -> String {
        self.btf.ty(self.id).to_string()
    }

    /// Decodes `record`. Returns its value, and the bytes after the end of the type.
    pub(crate) fn read<'a>(&'a self, record: &'a [u8]) -> (Value<'a>, &'a [u8]) {
        let rest = if self.flexible { &[] } else { record.get(self.size..).unwrap_or_default() };
        (self.btf.value(self.id, record), rest)
    }
}

/// The type of records of one length.
#[derive(Debug, Clone)]
pub(crate) enum Choice<'b> {
    Known(Shape<'b>, Basis),
    /// One of these types; which one is unknown.
    Several(Vec<String>),
    /// No type in the object's BTF fits.
    Unknown,
}

/// How the type of a record is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// `--type` gives the type.
    Given,
    /// The line of source of the submitting call names the type.
    Named,
    /// A global variable is a pointer to the type. Authors declare it to have the type in BTF.
    Declared,
    /// The program submits the value of a map, which has the type.
    Sent,
    /// The type is the only candidate of the record's size.
    Guess,
}

impl Basis {
    /// Returns the value of `type_is` in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Named => "named",
            Self::Declared => "declared",
            Self::Sent => "sent",
            Self::Guess => "guess",
        }
    }

    /// Returns the text that follows the type's name in a table.
    pub(crate) fn mark(self) -> &'static str {
        if self == Self::Guess { " (a guess)" } else { "" }
    }
}
