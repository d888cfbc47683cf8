//! A value of a type that BTF describes, as its bytes were decoded, and how it is printed.

use std::{borrow::Cow, fmt};

/// Bytes read as a value.
///
/// `Display` writes it on one line, in the manner of a Rust literal. Text in it comes from the bytes: a caller that
/// shows it on a terminal must expect control characters to be escaped here already, and nothing else to be changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// An integer that cannot be negative, or a bit field.
    Unsigned(u128),
    /// An integer that can.
    Signed(i128),
    /// A truth value: anything but 0 is true.
    Bool(bool),
    /// A floating point number of 4 or 8 bytes.
    Float(f64),
    /// An address.
    Pointer(u64),
    /// An enumerator, by name.
    Enum(Cow<'a, str>, i128),
    /// Several enumerators that are bits, by name, and the bits that have none.
    Flags(Vec<Cow<'a, str>>, u128),
    /// An array of `char`, or one `char`, up to its first NUL.
    Text(&'a [u8]),
    /// An array of bytes that are no characters, or bytes of a type that cannot be read.
    Bytes(&'a [u8]),
    /// An array of anything else.
    Array(Vec<Value<'a>>),
    /// A structure, or all readings of a union. Members of unnamed structures stand among those of the one around.
    Struct(Vec<(Cow<'a, str>, Value<'a>)>),
    /// The bytes end before it.
    Missing,
    /// Not read: the value has too many parts (see [`Btf::value`](super::Btf::value)). At the end of a
    /// [`Struct`](Self::Struct), under the name `…`, and at the end of an [`Array`](Self::Array), it stands for all
    /// members or elements that follow.
    Omitted,
}

/// The name of the member that stands for those that are omitted.
pub(super) const OMITTED: &str = "…";

impl Value<'_> {
    /// Whether a part of it was omitted, or the whole.
    #[must_use]
    pub fn has_omitted(&self) -> bool {
        match self {
            Self::Omitted => true,
            Self::Array(values) => values.iter().any(Self::has_omitted),
            Self::Struct(fields) => fields.iter().any(|(_, value)| value.has_omitted()),
            _ => false,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Pointer(0) => f.write_str("null"),
            Self::Pointer(address) => write!(f, "{address:#x}"),
            Self::Enum(name, _) => f.write_str(name),
            Self::Flags(names, rest) => {
                for (index, name) in names.iter().enumerate() {
                    write!(f, "{}{name}", if index == 0 { "" } else { "|" })?;
                }
                if *rest == 0 { Ok(()) } else { write!(f, "|{rest:#x}") }
            }
            Self::Text(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Array(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Struct(fields) => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    match value {
                        Self::Omitted if name == OMITTED => write!(f, "{comma}{OMITTED}")?,
                        _ => write!(f, "{comma}{name}: {value}")?,
                    }
                }
                f.write_str("}")
            }
            Self::Missing => f.write_str("?"),
            Self::Omitted => f.write_str(OMITTED),
        }
    }
}
