//! What a type can be, and how many bytes its description takes.

/// `BTF_KIND_…`: what a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
#[doc(alias("BTF_KIND_INT", "BTF_KIND_STRUCT", "BTF_KIND_FUNC", "BTF_KIND_DATASEC"))]
pub enum Kind {
    /// Type 0, which is never written down: `void`.
    Void = 0,
    /// An integer, a character or a truth value.
    Int = 1,
    /// A pointer.
    Ptr = 2,
    /// An array of one dimension.
    Array = 3,
    /// A structure.
    Struct = 4,
    /// A union.
    Union = 5,
    /// An enumeration whose values have at most 32 bits.
    Enum = 6,
    /// A structure or union of which only the name is known.
    Fwd = 7,
    /// Another name for a type.
    Typedef = 8,
    /// `volatile`
    Volatile = 9,
    /// `const`
    Const = 10,
    /// `restrict`
    Restrict = 11,
    /// A function; its parameters are those of the [`FuncProto`](Kind::FuncProto) that it refers to.
    Func = 12,
    /// A function's parameters and result.
    FuncProto = 13,
    /// A global variable.
    Var = 14,
    /// A section of data and the variables in it.
    Datasec = 15,
    /// A floating point number (5.13).
    Float = 16,
    /// A note on a declaration (5.16).
    DeclTag = 17,
    /// A note on a type (5.17).
    TypeTag = 18,
    /// An enumeration whose values have up to 64 bits (6.0).
    Enum64 = 19,
}

/// What follows the 12 bytes that all types begin with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) kind: Kind,
    /// Bytes that are always there.
    pub(super) fixed: u8,
    /// Bytes for each entry.
    pub(super) entry: u8,
    /// The last of the 12 bytes' three words is the id of a type, not a size.
    pub(super) refers: bool,
}

/// By the number of the kind, as many as there can be; `None` for those that nobody knew when this was written.
const LAYOUTS: [Option<Layout>; 128] = {
    use Kind::*;
    let known = [
        None,
        layout(Int, 4, 0, false),
        layout(Ptr, 0, 0, true),
        layout(Array, 12, 0, false),
        layout(Struct, 0, 12, false),
        layout(Union, 0, 12, false),
        layout(Enum, 0, 8, false),
        layout(Fwd, 0, 0, false),
        layout(Typedef, 0, 0, true),
        layout(Volatile, 0, 0, true),
        layout(Const, 0, 0, true),
        layout(Restrict, 0, 0, true),
        layout(Func, 0, 0, true),
        layout(FuncProto, 0, 8, true),
        layout(Var, 4, 0, true),
        layout(Datasec, 0, 12, false),
        layout(Float, 0, 0, false),
        layout(DeclTag, 4, 0, true),
        layout(TypeTag, 0, 0, true),
        layout(Enum64, 0, 12, false),
    ];
    let mut all = [None; 128];
    let (start, _) = all.split_at_mut(known.len());
    start.copy_from_slice(&known);
    all
};

const fn layout(kind: Kind, fixed: u8, entry: u8, refers: bool) -> Option<Layout> {
    Some(Layout { kind, fixed, entry, refers })
}

impl Layout {
    /// The layout that the word `info` announces; `None` for a kind that nobody knew when this was written.
    pub(super) fn of(info: u32) -> Option<Self> {
        *LAYOUTS.get(number(info) as usize)?
    }

    /// How many bytes follow the first 12.
    pub(super) fn rest(self, info: u32) -> usize {
        usize::from(self.fixed) + usize::from(self.entry) * entries(info) as usize
    }
}

/// The number of the kind: bits 24 to 30 of the word `info` (to 28 before Linux 7.1, the others being 0).
pub(super) fn number(info: u32) -> u32 {
    info >> 24 & 0x7f
}

/// How many entries follow: bits 0 to 23 (to 15 before Linux 7.1, the others being 0).
pub(super) fn entries(info: u32) -> u32 {
    info & 0xff_ffff
}

impl Kind {
    /// `const`, `volatile`, `restrict`, a type tag or a typedef: it says nothing about the bytes in memory.
    #[must_use]
    pub fn is_modifier_or_typedef(self) -> bool {
        matches!(self, Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag | Self::Typedef)
    }

    /// A structure or a union.
    #[must_use]
    pub fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// An enumeration of either width.
    #[must_use]
    pub fn is_enum(self) -> bool {
        matches!(self, Self::Enum | Self::Enum64)
    }

    /// The word that C writes in front of such a type's name, with a space behind it; empty if there is none.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Struct => "struct ",
            Self::Union => "union ",
            Self::Enum | Self::Enum64 => "enum ",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_stands_at_its_kinds_number() {
        for (number, layout) in LAYOUTS.iter().enumerate() {
            assert_eq!(layout.is_some(), (1..20).contains(&number));
            assert!(layout.is_none_or(|layout| layout.kind as usize == number));
        }
    }
}
