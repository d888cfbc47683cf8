//! The kinds of types, and the sizes of their descriptions.

/// The kind of a type (`BTF_KIND_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
#[doc(alias("BTF_KIND_INT", "BTF_KIND_STRUCT", "BTF_KIND_FUNC", "BTF_KIND_DATASEC"))]
pub enum Kind {
    /// `void`: type 0, which is not in the file.
    Void = 0,
    /// An integer, a character or a boolean.
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
    /// A forward declaration: a structure or union of which only the name is known.
    Fwd = 7,
    /// A typedef: another name for a type.
    Typedef = 8,
    /// `volatile`
    Volatile = 9,
    /// `const`
    Const = 10,
    /// `restrict`
    Restrict = 11,
    /// A function. It refers to the [`FuncProto`](Kind::FuncProto) that has its parameters.
    Func = 12,
    /// A function prototype: parameters and return type.
    FuncProto = 13,
    /// A global variable.
    Var = 14,
    /// A data section and its variables.
    Datasec = 15,
    /// A floating point number (Linux 5.13).
    Float = 16,
    /// A tag on a declaration (Linux 5.16).
    DeclTag = 17,
    /// A tag on a type (Linux 5.17).
    TypeTag = 18,
    /// An enumeration whose values have up to 64 bits (Linux 6.0).
    Enum64 = 19,
}

/// The length and meaning of what follows the three words that all types begin with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) kind: Kind,
    /// Bytes that are always present.
    pub(super) fixed: u8,
    /// Bytes for each entry.
    pub(super) entry: u8,
    /// Whether the last of the three words is a type id; a size otherwise.
    pub(super) refers: bool,
}

/// Layouts by the number of the kind, for all numbers that fit into `info`; `None` for unknown kinds.
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
    /// Returns the layout by the word `info`; `None` for an unknown kind.
    pub(super) fn of(info: u32) -> Option<Self> {
        *LAYOUTS.get(number(info) as usize)?
    }

    /// Returns how many bytes follow the first 12.
    pub(super) fn rest(self, info: u32) -> usize {
        usize::from(self.fixed) + usize::from(self.entry) * entries(info) as usize
    }
}

/// Returns the number of the kind: bits 24 to 30 of the word `info`. (To bit 28 before Linux 7.1, which left the others
/// 0.)
pub(super) fn number(info: u32) -> u32 {
    info >> 24 & 0x7f
}

/// Returns the number of entries: bits 0 to 23 of the word `info`. (To bit 15 before Linux 7.1, which left the others
/// 0.)
pub(super) fn entries(info: u32) -> u32 {
    info & 0xff_ffff
}

impl Kind {
    /// Returns whether it is `const`, `volatile`, `restrict`, a type tag or a typedef, which do not change the layout
    /// in memory.
    #[must_use]
    pub fn is_modifier_or_typedef(self) -> bool {
        matches!(self, Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag | Self::Typedef)
    }

    /// Returns whether it is a structure or a union.
    #[must_use]
    pub fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// Returns whether it is an enumeration, of either width.
    #[must_use]
    pub fn is_enum(self) -> bool {
        matches!(self, Self::Enum | Self::Enum64)
    }

    /// Returns C's keyword for such a type, with a trailing space; empty if there is none.
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
    fn layouts_are_indexed_by_kind() {
        for (number, layout) in LAYOUTS.iter().enumerate() {
            assert_eq!(layout.is_some(), (1..20).contains(&number));
            assert!(layout.is_none_or(|layout| layout.kind as usize == number));
        }
    }
}
