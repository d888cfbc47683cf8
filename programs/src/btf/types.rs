//! [`Type`]: a type as C knows it.

/// A type as C knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `void`
    Void,
    /// An integer of 1, 2, 4, 8 or 16 bytes.
    Int {
        /// The name, `unsigned int` for instance.
        name: String,
        /// Its size in bytes.
        bytes: u8,
        /// How its bits are read.
        encoding: Encoding,
    },
    /// A pointer to something.
    Pointer(Box<Type>),
    /// So many of something in a row.
    Array(Box<Type>, u32),
    /// Members one after another.
    Struct(Composite),
    /// Members at the same offset.
    Union(Composite),
    /// Names for numbers.
    Enum {
        /// The name, without `enum`.
        name: String,
        /// Its size in bytes: 1, 2, 4 or 8. Eight bytes need Linux 6.0.
        bytes: u8,
        /// Whether values below 0 are meant.
        signed: bool,
        /// The names and their numbers.
        values: Vec<(String, i64)>,
    },
    /// Another name for a type.
    Typedef(String, Box<Type>),
    /// `const`
    Const(Box<Type>),
}

/// How the bits of an integer are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A number from 0 up.
    Unsigned,
    /// A number in two's complement.
    Signed,
    /// 0 or 1.
    Bool,
}

/// A struct or a union.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Composite {
    /// The name, without `struct`; empty if it has none.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u32,
    /// Its members in order.
    pub members: Vec<Member>,
}

/// A member of a struct or a union.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The name; empty for an anonymous struct or union.
    pub name: String,
    /// Where it begins, in bytes from the beginning of the whole.
    pub offset: u32,
    /// What it is.
    pub kind: Type,
}

impl Type {
    /// An integer.
    pub fn int(name: &str, bytes: u8, encoding: Encoding) -> Self {
        Self::Int { name: name.to_owned(), bytes, encoding }
    }

    /// C's `char`, which tools print as text.
    pub fn char() -> Self {
        Self::int("char", 1, Encoding::Signed)
    }

    /// A pointer to `target`.
    pub fn pointer(target: Type) -> Self {
        Self::Pointer(Box::new(target))
    }

    /// `count` elements in a row.
    pub fn array(element: Type, count: u32) -> Self {
        Self::Array(Box::new(element), count)
    }

    /// A struct; see [`describe!`](crate::describe) for taking it from a Rust one.
    pub fn structure(name: &str, bytes: u32, members: impl IntoIterator<Item = Member>) -> Self {
        Self::Struct(Composite { name: name.to_owned(), bytes, members: members.into_iter().collect() })
    }

    /// Its size in bytes; `None` for what has none, `void`, or one beyond `u32`.
    pub fn bytes(&self) -> Option<u32> {
        match self {
            Self::Void => None,
            Self::Int { bytes, .. } | Self::Enum { bytes, .. } => Some(u32::from(*bytes)),
            Self::Pointer(_) => Some(8),
            Self::Array(element, count) => element.bytes()?.checked_mul(*count),
            Self::Struct(composite) | Self::Union(composite) => Some(composite.bytes),
            Self::Typedef(_, target) | Self::Const(target) => target.bytes(),
        }
    }

    /// The boundary it must be placed at, in bytes.
    pub(crate) fn align(&self) -> u64 {
        match self {
            Self::Void => 1,
            Self::Int { bytes, .. } | Self::Enum { bytes, .. } => u64::from(*bytes).clamp(1, 8),
            Self::Pointer(_) => 8,
            Self::Array(target, _) | Self::Typedef(_, target) | Self::Const(target) => target.align(),
            Self::Struct(composite) | Self::Union(composite) => {
                let members = composite.members.iter();
                members.map(|member| member.kind.align()).max().unwrap_or(1)
            }
        }
    }
}

impl Member {
    /// A member `offset` bytes into its struct. The `r#` of a raw identifier is Rust's affair and left out.
    pub fn new(name: &str, offset: u32, kind: Type) -> Self {
        Self { name: name.strip_prefix("r#").unwrap_or(name).to_owned(), offset, kind }
    }
}
