//! One type, and what its kind adds to it.

use std::borrow::Cow;

use super::{
    bytes::{record, records, word},
    kind::{Kind, entries},
    names::{Names, shown},
};

/// What a type needs of the BTF that it is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) names: Names<'a>,
    /// Some enumeration is marked as signed, so those that are not marked are unsigned.
    pub(super) tells_signs: bool,
}

/// A type: a few words copied out, and a view of the rest.
///
/// What a kind does not have is empty, 0 or `None`: asking an integer for its members is no error.
#[doc(alias = "btf_type")]
#[derive(Debug, Clone, Copy)]
pub struct Type<'b> {
    pub(super) context: &'b Context<'b>,
    pub(super) id: u32,
    pub(super) kind: Kind,
    pub(super) name: u32,
    pub(super) info: u32,
    pub(super) size_or_type: u32,
    /// What its kind adds behind the first 12 bytes.
    pub(super) added: &'b [u8],
}

/// A member of a structure or union.
#[doc(alias = "btf_member")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member<'b> {
    /// Empty for an unnamed structure or union, whose members count as those of the one around it.
    pub name: &'b [u8],
    /// The id of its type.
    pub type_id: u32,
    /// Bits from the start of the structure.
    pub bit_offset: u32,
    /// Bits of a bit field; 0 for any other member.
    pub bits: u32,
}

/// An enumerator.
#[doc(alias("btf_enum", "btf_enum64"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnumValue<'b> {
    /// Its name.
    pub name: &'b [u8],
    /// Its value; one of 32 bits extended by its sign if the enumeration is signed ([`Type::is_signed`]), by 0 if not.
    /// BTF tells signs since Linux 6.0: where no enumeration is said to be signed, all are taken for it.
    pub value: u64,
}

/// A parameter of a function.
#[doc(alias = "btf_param")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Param<'b> {
    /// Empty if the prototype does not name it.
    pub name: &'b [u8],
    /// The id of its type; 0 for the last parameter stands for `...`.
    pub type_id: u32,
}

/// A variable in a section of data.
#[doc(alias = "btf_var_secinfo")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionVar {
    /// The id of the [`Kind::Var`], or of the [`Kind::Func`] among externs.
    pub type_id: u32,
    /// Bytes from the section's start; compilers leave 0 here and mean the symbol's.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// An array of one dimension.
#[doc(alias = "btf_array")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Array {
    /// The number of its elements' type.
    pub element: u32,
    /// The number of its index's type.
    pub index: u32,
    /// How many elements; 0 for a flexible array, and for one that is empty
    /// ([`Btf::ends_flexibly`](super::Btf::ends_flexibly)).
    pub len: u32,
}

/// How an integer is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Int {
    /// Negative values are possible.
    pub signed: bool,
    /// It is a character.
    pub char: bool,
    /// It is a truth value.
    pub bool: bool,
    /// Bits before its value, in bit fields as compilers described them before Linux 5.0; 0 today.
    pub offset: u32,
    /// Bits of its value.
    pub bits: u32,
}

impl<'b> Type<'b> {
    pub(super) fn void(context: &'b Context<'b>) -> Self {
        Self { context, id: 0, kind: Kind::Void, name: 0, info: 0, size_or_type: 0, added: &[] }
    }

    /// Its number.
    #[must_use]
    pub fn id(self) -> u32 {
        self.id
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// Its name, fit to be shown; empty if it has none.
    #[must_use]
    pub fn name(self) -> Cow<'b, str> {
        shown(self.name_bytes())
    }

    /// Where its name is among the strings.
    pub(crate) fn name_at(self) -> u32 {
        self.name
    }

    /// Its name, as it is written.
    #[must_use]
    pub fn name_bytes(self) -> &'b [u8] {
        self.context.names.at(self.name)
    }

    /// Bytes of an integer, floating point number, structure, union, enumeration or section; 0 for anything else
    /// ([`Btf::size_of`](super::Btf::size_of) knows those of pointers, arrays and typedefs).
    #[must_use]
    pub fn size(self) -> u32 {
        match self.kind {
            Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Datasec | Kind::Float => {
                self.size_or_type
            }
            _ => 0,
        }
    }

    /// Returns the id of the type that it refers to: what a pointer points to, a typedef names, a variable is of, a
    /// function has for its prototype, a prototype returns. 0 (`void`) for a kind that refers to nothing.
    #[must_use]
    pub fn referred(self) -> u32 {
        match self.kind {
            Kind::Ptr
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::FuncProto
            | Kind::Var
            | Kind::DeclTag
            | Kind::TypeTag => self.size_or_type,
            _ => 0,
        }
    }

    /// `kind_flag`: members may be bit fields, an enumeration is signed, a forward declaration is of a union.
    fn flag(self) -> bool {
        self.info >> 31 == 1
    }

    /// Whether it is an integer or enumeration that can be negative.
    #[must_use]
    pub fn is_signed(self) -> bool {
        match self.kind {
            Kind::Int => self.int().is_some_and(|int| int.signed),
            Kind::Enum | Kind::Enum64 => self.flag(),
            _ => false,
        }
    }

    /// Whether a forward declaration is of a union, not of a structure.
    #[must_use]
    pub fn is_forward_union(self) -> bool {
        self.kind == Kind::Fwd && self.flag()
    }

    /// How an integer is to be read.
    #[must_use]
    pub fn int(self) -> Option<Int> {
        let word = word(self.added, 0);
        let encoding = word >> 24 & 0xf;
        (self.kind == Kind::Int).then_some(Int {
            signed: encoding & 1 != 0,
            char: encoding & 2 != 0,
            bool: encoding & 4 != 0,
            offset: word >> 16 & 0xff,
            bits: word & 0xff,
        })
    }

    /// What an array is of, and how long.
    #[must_use]
    pub fn array(self) -> Option<Array> {
        let [element, index, len] = record(self.added, 0)?;
        (self.kind == Kind::Array).then_some(Array { element, index, len })
    }

    /// How many members, enumerators, parameters or variables it has.
    #[must_use]
    pub fn len(self) -> u32 {
        match self.kind {
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::FuncProto | Kind::Datasec => {
                entries(self.info)
            }
            _ => 0,
        }
    }

    /// Whether it has no members, enumerators, parameters or variables.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The members of a structure or union, in the order of the source.
    pub fn members(self) -> impl ExactSizeIterator<Item = Member<'b>> {
        let added = if self.kind.is_composite() { self.added } else { &[] };
        records(added).map(move |record| self.read_member(record))
    }

    /// The member of this index, counted from 0.
    #[must_use]
    pub fn member(self, index: u32) -> Option<Member<'b>> {
        let record = record(self.added, index).filter(|_| self.kind.is_composite())?;
        Some(self.read_member(record))
    }

    fn read_member(self, [name, type_id, offset]: [u32; 3]) -> Member<'b> {
        let (bit_offset, bits) = if self.flag() { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
        Member { name: self.context.names.at(name), type_id, bit_offset, bits }
    }

    /// The enumerators of an enumeration of either width.
    pub fn values(self) -> impl Iterator<Item = EnumValue<'b>> {
        (0..if self.kind.is_enum() { self.len() } else { 0 }).filter_map(move |index| self.value(index))
    }

    /// The enumerator of this index, counted from 0.
    #[must_use]
    pub fn value(self, index: u32) -> Option<EnumValue<'b>> {
        let (name, value) = match self.kind {
            Kind::Enum => {
                let [name, value] = record(self.added, index)?;
                let signed = self.flag() || !self.context.tells_signs;
                (name, if signed { i64::from(value as i32) as u64 } else { u64::from(value) })
            }
            Kind::Enum64 => {
                let [name, low, high] = record(self.added, index)?;
                (name, u64::from(high) << 32 | u64::from(low))
            }
            _ => return None,
        };
        Some(EnumValue { name: self.context.names.at(name), value })
    }

    /// The parameters of a prototype.
    pub fn params(self) -> impl ExactSizeIterator<Item = Param<'b>> {
        let added = if self.kind == Kind::FuncProto { self.added } else { &[] };
        records(added).map(move |[name, type_id]| Param { name: self.context.names.at(name), type_id })
    }

    /// The variables of a section of data.
    pub fn section_vars(self) -> impl ExactSizeIterator<Item = SectionVar> + 'b {
        let added = if self.kind == Kind::Datasec { self.added } else { &[] };
        records(added).map(|[type_id, offset, size]| SectionVar { type_id, offset, size })
    }

    /// A function's or variable's linkage: 0 static, 1 global, 2 extern. Others are nonsense, and possible.
    #[doc(alias("btf_var", "btf_func_linkage"))]
    #[must_use]
    pub fn linkage(self) -> u32 {
        match self.kind {
            Kind::Func => entries(self.info),
            Kind::Var => word(self.added, 0),
            _ => 0,
        }
    }

    /// What a declaration tag is on: the index of a member or parameter, or `None` for the declaration as a whole.
    #[doc(alias("btf_decl_tag", "component_idx"))]
    #[must_use]
    pub fn component(self) -> Option<u32> {
        let component = word(self.added, 0);
        (self.kind == Kind::DeclTag && component != u32::MAX).then_some(component)
    }
}

impl std::fmt::Display for Type<'_> {
    /// As C would write it, e.g. `struct task_struct`; `struct (unnamed)`, `void`, `(pointer)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.name();
        match (self.kind, name.is_empty()) {
            (Kind::Void, _) => f.write_str("void"),
            (Kind::Fwd, _) => write!(f, "{}{name}", if self.flag() { "union " } else { "struct " }),
            (Kind::Ptr, _) => f.write_str("(pointer)"),
            (Kind::Array, _) => f.write_str("(array)"),
            (kind, true) => write!(f, "{}(unnamed)", kind.keyword()),
            (kind, false) => write!(f, "{}{name}", kind.keyword()),
        }
    }
}
