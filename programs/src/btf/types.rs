//! [`Type`]: a C type.

/// A C type.
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
        /// The interpretation of its bits.
        encoding: Encoding,
    },
    /// A pointer to another type.
    Pointer(Box<Type>),
    /// An array: the element type and the number of elements.
    Array(Box<Type>, u32),
    /// A struct: members one after another.
    Struct(Composite),
    /// A union: members at the same offset.
    Union(Composite),
    /// An enum: names for numbers.
    Enum {
        /// The name, without `enum`.
        name: String,
        /// Its size in bytes: 1, 2, 4 or 8. Eight bytes need Linux 6.0.
        bytes: u8,
        /// Whether its values are signed.
        signed: bool,
        /// The names and their values.
        values: Vec<(String, i64)>,
    },
    /// A typedef: another name for a type.
    Typedef(String, Box<Type>),
    /// `const`
    Const(Box<Type>),
}

/// The interpretation of an integer's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// An unsigned number.
    Unsigned,
    /// A signed number in two's complement.
    Signed,
    /// 0 or 1.
    Bool,
}

/// A struct or a union.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Composite {
    /// The name, without `struct` or `union`; empty for an anonymous one.
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
    /// The offset in bytes from the start of the struct or union.
    pub offset: u32,
    /// The member's type.
    pub kind: Type,
}

impl Type {
    /// Creates an integer type.
    pub fn int(name: &str, bytes: u8, encoding: Encoding) -> Self {
        Self::Int { name: name.to_owned(), bytes, encoding }
    }

    /// Creates C's `char`, which tools print as text.
    pub fn char() -> Self {
        Self::int("char", 1, Encoding::Signed)
    }

    /// Creates a pointer to `target`.
    pub fn pointer(target: Type) -> Self {
        Self::Pointer(Box::new(target))
    }

    /// Creates an array of `count` elements.
    pub fn array(element: Type, count: u32) -> Self {
        Self::Array(Box::new(element), count)
    }

    /// Creates a struct. [`describe!`](crate::describe) derives one from a Rust struct.
    pub fn structure(name: &str, bytes: u32, members: impl IntoIterator<Item = Member>) -> Self {
        Self::Struct(Composite { name: name.to_owned(), bytes, members: members.into_iter().collect() })
    }

    /// Returns the size in bytes. `None` for a type without a size (`void`), or if the size does not fit `u32`.
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

    /// Returns the alignment in bytes.
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
    /// Creates a member `offset` bytes into its struct. The `r#` of a raw Rust identifier is removed.
    pub fn new(name: &str, offset: u32, kind: Type) -> Self {
        Self { name: name.strip_prefix("r#").unwrap_or(name).to_owned(), offset, kind }
    }
}
