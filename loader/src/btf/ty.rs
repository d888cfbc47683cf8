//! One type, and the data that its kind adds.

use std::borrow::Cow;

use super::{
    bytes::{record, records, word},
    kind::{Kind, entries},
    names::{Names, shown},
};

/// The data that a type shares with all types of its BTF.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) names: Names<'a>,
    /// Whether any enumeration is marked as signed. Then those without the mark are unsigned.
    pub(super) tells_signs: bool,
}

/// A type: its first words copied, and a view of the rest.
///
/// Properties that a kind does not have are empty, 0 or `None`: asking an integer for its members is no error.
#[doc(alias = "btf_type")]
#[derive(Debug, Clone, Copy)]
pub struct Type<'b> {
    pub(super) context: &'b Context<'b>,
    pub(super) id: u32,
    pub(super) kind: Kind,
    pub(super) name: u32,
    pub(super) info: u32,
    pub(super) size_or_type: u32,
    /// The bytes after the first 12, which depend on the kind.
    pub(super) added: &'b [u8],
}

/// A member of a structure or union.
#[doc(alias = "btf_member")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member<'b> {
    /// Empty for an unnamed structure or union, whose members count as members of the containing one.
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
    /// Its value in 64 bits. 32-bit values are sign-extended if the enumeration is signed ([`Type::is_signed`]),
    /// zero-extended otherwise. BTF has signs since Linux 6.0: if no enumeration is marked as signed, all are treated
    /// as signed.
    pub value: u64,
}

/// A parameter of a function.
#[doc(alias = "btf_param")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Param<'b> {
    /// Empty if the prototype does not name it.
    pub name: &'b [u8],
    /// The id of its type; 0 (`void`) for the last parameter means `...`.
    pub type_id: u32,
}

/// A variable in a data section.
#[doc(alias = "btf_var_secinfo")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionVar {
    /// The id of the [`Kind::Var`], or of the [`Kind::Func`] among externs.
    pub type_id: u32,
    /// Bytes from the section's start. Compilers leave 0 here; the variable's symbol has the offset.
    pub offset: u32,
    /// The size in bytes.
    pub size: u32,
}

/// An array of one dimension.
#[doc(alias = "btf_array")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Array {
    /// The id of its elements' type.
    pub element: u32,
    /// The id of its index's type.
    pub index: u32,
    /// The number of elements; 0 for a flexible array and for an empty one
    /// ([`Btf::ends_flexibly`](super::Btf::ends_flexibly)).
    pub len: u32,
}

/// The encoding of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Int {
    /// Whether it is signed.
    pub signed: bool,
    /// Whether it is a character.
    pub char: bool,
    /// Whether it is a boolean.
    pub bool: bool,
    /// The offset of its value in bits, in bit fields as compilers described them before Linux 5.0; 0 today.
    pub offset: u32,
    /// The width of its value in bits.
    pub bits: u32,
}

impl<'b> Type<'b> {
    pub(super) fn void(context: &'b Context<'b>) -> Self {
        Self { context, id: 0, kind: Kind::Void, name: 0, info: 0, size_or_type: 0, added: &[] }
    }

    /// Returns its id.
    #[must_use]
    pub fn id(self) -> u32 {
        self.id
    }

    /// Returns its kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// Returns its name in printable form; empty if it has none.
    #[must_use]
    pub fn name(self) -> Cow<'b, str> {
        shown(self.name_bytes())
    }

    /// Returns the offset of its name in the strings.
    pub(crate) fn name_at(self) -> u32 {
        self.name
    }

    /// Returns its name as in the file.
    #[must_use]
    pub fn name_bytes(self) -> &'b [u8] {
        self.context.names.at(self.name)
    }

    /// Returns the size in bytes of an integer, floating point number, structure, union, enumeration or section; 0 for
    /// any other kind ([`Btf::size_of`](super::Btf::size_of) also knows pointers, arrays and typedefs).
    #[must_use]
    pub fn size(self) -> u32 {
        match self.kind {
            Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Datasec | Kind::Float => {
                self.size_or_type
            }
            _ => 0,
        }
    }

    /// Returns the id of the type that it refers to: the target of a pointer, typedef or modifier, the type of a
    /// variable, the prototype of a function, the return type of a prototype. 0 (`void`) for a kind that refers to no
    /// type.
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

    /// Returns `kind_flag`: members may be bit fields, an enumeration is signed, a forward declaration is of a union.
    fn flag(self) -> bool {
        self.info >> 31 == 1
    }

    /// Returns whether it is a signed integer or enumeration.
    #[must_use]
    pub fn is_signed(self) -> bool {
        match self.kind {
            Kind::Int => self.int().is_some_and(|int| int.signed),
            Kind::Enum | Kind::Enum64 => self.flag(),
            _ => false,
        }
    }

    /// Returns whether it is a forward declaration of a union, not of a structure.
    #[must_use]
    pub fn is_forward_union(self) -> bool {
        self.kind == Kind::Fwd && self.flag()
    }

    /// Returns the encoding of an integer; `None` for any other kind.
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

    /// Returns the element type, index type and length of an array; `None` for any other kind.
    #[must_use]
    pub fn array(self) -> Option<Array> {
        let [element, index, len] = record(self.added, 0)?;
        (self.kind == Kind::Array).then_some(Array { element, index, len })
    }

    /// Returns the number of members, enumerators, parameters or variables.
    #[must_use]
    pub fn len(self) -> u32 {
        match self.kind {
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::FuncProto | Kind::Datasec => {
                entries(self.info)
            }
            _ => 0,
        }
    }

    /// Returns whether it has no members, enumerators, parameters or variables.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the members of a structure or union, in the order of the source.
    pub fn members(self) -> impl ExactSizeIterator<Item = Member<'b>> {
        let added = if self.kind.is_composite() { self.added } else { &[] };
        records(added).map(move |record| self.read_member(record))
    }

    /// Returns the member with this index, from 0.
    #[must_use]
    pub fn member(self, index: u32) -> Option<Member<'b>> {
        let record = record(self.added, index).filter(|_| self.kind.is_composite())?;
        Some(self.read_member(record))
    }

    fn read_member(self, [name, type_id, offset]: [u32; 3]) -> Member<'b> {
        let (bit_offset, bits) = if self.flag() { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
        Member { name: self.context.names.at(name), type_id, bit_offset, bits }
    }

    /// Returns the enumerators of an enumeration of either width.
    pub fn values(self) -> impl Iterator<Item = EnumValue<'b>> {
        (0..if self.kind.is_enum() { self.len() } else { 0 }).filter_map(move |index| self.value(index))
    }

    /// Returns the enumerator with this index, from 0.
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

    /// Returns the parameters of a prototype.
    pub fn params(self) -> impl ExactSizeIterator<Item = Param<'b>> {
        let added = if self.kind == Kind::FuncProto { self.added } else { &[] };
        records(added).map(move |[name, type_id]| Param { name: self.context.names.at(name), type_id })
    }

    /// Returns the variables of a data section.
    pub fn section_vars(self) -> impl ExactSizeIterator<Item = SectionVar> + 'b {
        let added = if self.kind == Kind::Datasec { self.added } else { &[] };
        records(added).map(|[type_id, offset, size]| SectionVar { type_id, offset, size })
    }

    /// Returns the linkage of a function or variable: 0 static, 1 global, 2 extern. Other values are invalid, and not
    /// refused.
    #[doc(alias("btf_var", "btf_func_linkage"))]
    #[must_use]
    pub fn linkage(self) -> u32 {
        match self.kind {
            Kind::Func => entries(self.info),
            Kind::Var => word(self.added, 0),
            _ => 0,
        }
    }

    /// Returns the index of the member or parameter that a declaration tag is on; `None` if it is on the whole
    /// declaration.
    #[doc(alias("btf_decl_tag", "component_idx"))]
    #[must_use]
    pub fn component(self) -> Option<u32> {
        let component = word(self.added, 0);
        (self.kind == Kind::DeclTag && component != u32::MAX).then_some(component)
    }
}

impl std::fmt::Display for Type<'_> {
    /// Writes it as C does, e.g. `struct task_struct`; `struct (unnamed)`, `void`, `(pointer)`.
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
