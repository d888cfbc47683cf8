//! Decoded values, and how they are printed.

use std::{borrow::Cow, fmt, net::IpAddr};

/// A value decoded by its BTF type.
///
/// `Display` writes it on one line, in the form of a Rust literal. Text comes from the bytes: control characters in it
/// are escaped, so that it can be shown on a terminal; it is otherwise unchanged.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// An unsigned integer, or an unsigned bit field.
    Unsigned(u128),
    /// A signed integer.
    Signed(i128),
    /// A boolean: every value but 0 is true.
    Bool(bool),
    /// A floating point number of 4 or 8 bytes.
    Float(f64),
    /// A pointer: its address.
    Pointer(u64),
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
    /// The name of an enumerator, and its value.
    Enum(Cow<'a, str>, i128),
    /// The names of several enumerators that are single bits, and the bits without a name.
    Flags(Vec<Cow<'a, str>>, u128),
    /// An array of `char`, or one `char`, up to its first NUL.
    Text(&'a [u8]),
    /// An array of bytes that are not characters, or bytes of a type that cannot be decoded.
    Bytes(&'a [u8]),
    /// An array of any other type.
    Array(Vec<Value<'a>>),
    /// The members of a structure or union, with their names. Members of unnamed structures are members of the
    /// containing one.
    Struct(Vec<(Cow<'a, str>, Value<'a>)>),
    /// The bytes end before the value.
    Missing,
    /// Not decoded: the value has too many parts (see [`Btf::value`](super::Btf::value)). At the end of a
    /// [`Struct`](Self::Struct), with the name `…`, and at the end of an [`Array`](Self::Array), it represents all
    /// members or elements that follow.
    Omitted,
}

/// The name of the member that represents the omitted ones.
pub(super) const OMITTED: &str = "…";

impl Value<'_> {
    /// Returns whether it, or a part of it, was omitted.
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
            Self::Address(address) => write!(f, "{address}"),
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
