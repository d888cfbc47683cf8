//! The type of a record, and how it is known: the result of `record_type.rs`, which takes it from `type_candidates.rs`.

use cutaway::btf::{Btf, Type, Value};

use crate::decode;

/// A type with which records are decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'b> {
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

    pub(super) fn name(&self) -> String {
        self.btf.ty(self.id).to_string()
    }

    /// Decodes `record`. Returns its value and the bytes behind it.
    pub(super) fn read<'a>(&'a self, record: &'a [u8]) -> (Value<'a>, &'a [u8]) {
        let rest = if self.flexible { &[] } else { record.get(self.size..).unwrap_or_default() };
        (self.btf.value(self.id, record), rest)
    }
}

/// The type of records of one length.
#[derive(Debug, Clone)]
pub(super) enum Choice<'b> {
    Known(Shape<'b>, Basis),
    /// One of these; which one is unknown.
    Several(Vec<String>),
    /// No type of the object fits.
    Unknown,
}

/// How the type of a record is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// By `--type`.
    Told,
    /// The line of source that sends the record names it.
    Named,
    /// A global pointer to it, which authors declare so that the compiler describes the type.
    Declared,
    /// The instructions send the value of a map that has it.
    Sent,
    /// It has the record's size, and no other candidate has.
    Guess,
}

impl Basis {
    /// Returns its word in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Named => "named",
            Self::Declared => "declared",
            Self::Sent => "sent",
            Self::Guess => "guess",
        }
    }

    /// Returns the mark behind the type's name.
    pub(super) fn mark(self) -> &'static str {
        if self == Self::Guess { " (a guess)" } else { "" }
    }
}
