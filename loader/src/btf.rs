//! BTF, the compact debug information by which programs, loaders and the kernel speak of types.
//!
//! ```text
//!     header ── where the two parts are
//!     types     type 1 │ type 2 │ type 3 │ …      12 bytes each, and behind them what the kind adds:
//!               name, info, size or type           a member: name, type, offset     a parameter: name, type   …
//!     strings   \0 int \0 task_struct \0 pid \0 …  a name is an offset into them
//! ```
//!
//! A type is known by its number, and type 0, `void`, is nowhere. [`Btf`] is a view: it borrows the bytes, and owns
//! nothing but an index of where each type begins. [`Btf::parse`] checks once all that reading relies on (every length,
//! every name, every type number), so nothing behind it can fail or panic. What it does not rule out is nonsense: types
//! that contain themselves, or structures whose members lie outside. Whatever walks from type to type is bounded.
//!
//! Modules' BTF is *split*: its types and strings continue those of the kernel ([`Btf::parse_split`]).
//!
//! `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` in the kernel describe the format.

use std::{borrow::Cow, fmt};

mod bytes;
mod ext;
pub mod kernel;
mod kind;
pub(crate) mod sanitize;
mod ty;
mod value;
pub(crate) mod visitor;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

use self::{
    bytes::word,
    kind::Layout,
    walk::{Walked, walk},
};
pub use self::{
    ext::{Ext, Records},
    kind::Kind,
    ty::{Array, EnumValue, Int, Member, Param, SectionVar, Type},
    value::Value,
};
use crate::{sorted::Sorted, text::MAX_NAME};

/// The first two bytes of `.BTF` and of `.BTF.ext`.
const MAGIC: u16 = 0xeb9f;

/// Typedefs and modifiers in a row, and arrays in arrays, beyond which no compiler goes: more is a circle.
const DEEPEST: u32 = 256;

/// What is wrong with a piece of BTF. Whoever knows where it came from says so in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub(crate) String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// A view of BTF, checked.
///
/// ```
/// # use cutaway::btf::{Broken, Btf, Kind};
/// fn sizes(section: &[u8]) -> Result<(), Broken> {
///     let btf = Btf::parse(section)?;
///     for ty in btf.types().filter(|ty| ty.kind() == Kind::Struct) {
///         println!("struct {} has {} bytes", ty.name(), ty.size());
///     }
///     Ok(())
/// }
/// # assert!(sizes(b"").is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`.
    offsets: Vec<u32>,
    /// What this continues, if it is split.
    base: Option<&'a Btf<'a>>,
    /// Bytes of a pointer.
    pointer_size: u32,
    /// Some enumeration says that it is signed, so those that do not are not.
    tells_signs: bool,
}

/// A type as the walk over all of them sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    /// Offset of its name.
    pub(crate) name: u32,
    size: u32,
    /// `kind_flag`
    flag: bool,
}

impl<'a> Btf<'a> {
    /// BTF without types.
    pub(crate) fn none() -> Self {
        Self { types: &[], strings: &[], offsets: Vec::new(), base: None, pointer_size: 8, tells_signs: false }
    }

    /// Checks the contents of a section `.BTF` and finds its types.
    ///
    /// # Errors
    ///
    /// [`Broken`] if it is cut off, of another byte order than this machine's, or refers to what it does not have.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Broken> {
        Self::parse_upon(bytes, None)
    }

    /// Checks BTF that continues `base`, as that of a kernel module continues the kernel's.
    ///
    /// # Errors
    ///
    /// As for [`parse`](Self::parse).
    pub fn parse_split(bytes: &'a [u8], base: &'a Btf<'a>) -> Result<Self, Broken> {
        Self::parse_upon(bytes, Some(base))
    }

    fn parse_upon(bytes: &'a [u8], base: Option<&'a Btf<'a>>) -> Result<Self, Broken> {
        Self::parse_watching(bytes, base, |_, _| {})
    }

    /// Parses, and shows each type to `see` in the same walk, with the strings (without those of the base).
    pub(crate) fn parse_watching(
        bytes: &'a [u8],
        base: Option<&'a Btf<'a>>,
        mut see: impl FnMut(Names<'a>, Seen),
    ) -> Result<Self, Broken> {
        const HEADER: usize = 24;
        let header = Header::read(bytes, HEADER)?;
        let types = header.part(8)?;
        let strings = header.part(16)?;
        // The strings of a split one continue others, which begin with the empty one.
        let begun = base.is_some() || strings.first() == Some(&0);
        if !begun || strings.last().is_some_and(|&last| last != 0) {
            return Err(Broken("its strings do not begin and end with a NUL".to_owned()));
        }
        let names = Names { base: base.map_or(&[], |base| base.strings), own: strings };
        let strings_end = u32::try_from(names.base.len() + strings.len())
            .map_err(|_| Broken("its strings take more than 4 GiB".to_owned()))?;
        let first = base.map_or(1, Btf::end);
        let (mut long, mut tells_signs) = (None, false);
        let Walked { offsets } = walk(types, first, strings_end, |seen| {
            if seen.kind == Kind::Int && long.is_none() && is_long(names.at(seen.name)) {
                long = Some(seen.size);
            }
            tells_signs |= seen.flag && matches!(seen.kind, Kind::Enum | Kind::Enum64);
            see(names, seen);
        })?;
        let pointer_size = match (base, long) {
            (Some(base), _) => base.pointer_size,
            (None, Some(size @ (4 | 8))) => size,
            (None, _) => 8,
        };
        let tells_signs = tells_signs || base.is_some_and(|base| base.tells_signs);
        Ok(Self { types, strings, offsets, base, pointer_size, tells_signs })
    }

    /// Shows each type to `see` as [`parse_watching`](Self::parse_watching) does.
    pub(crate) fn watch(&self, mut see: impl FnMut(Names<'_>, Seen)) {
        let names = Names { base: self.base.map_or(&[], |base| base.strings), own: self.strings };
        for ty in self.types() {
            let Type { id, kind, name, info, size_or_type, .. } = ty;
            see(names, Seen { id, kind, name, size: size_or_type, flag: info >> 31 == 1 });
        }
    }

    /// One above the highest number of a type.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.first() + self.offsets.len() as u32
    }

    /// The lowest number of a type that is not the base's.
    fn first(&self) -> u32 {
        self.base.map_or(1, Btf::end)
    }

    /// Where the type of this number begins, in bytes from the first one's start; 0 if there is none.
    pub(crate) fn position(&self, id: u32) -> usize {
        let index = id.wrapping_sub(self.first()) as usize;
        self.offsets.get(index).map_or(0, |&offset| offset as usize)
    }

    /// All types in the order of their numbers, without `void` and without those of the base.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> {
        (self.first()..self.end()).map(|id| self.ty(id))
    }

    /// The type of this number; `void` for 0, and for a number that is too high.
    #[must_use]
    pub fn ty(&self, id: u32) -> Type<'_> {
        let first = self.first();
        if let (Some(base), true) = (self.base, id < first) {
            return base.ty(id);
        }
        let index = id.wrapping_sub(first) as usize;
        let found = self.offsets.get(index).and_then(|&at| self.types.get(at as usize..));
        let Some(bytes) = found else { return Type::void(self) };
        let info = word(bytes, 4);
        let Some(layout) = Layout::of(info) else { return Type::void(self) };
        Type {
            btf: self,
            id,
            kind: layout.kind,
            name: word(bytes, 0),
            info,
            size_or_type: word(bytes, 8),
            added: bytes.get(12..12 + layout.rest(info)).unwrap_or_default(),
        }
    }

    /// The string at this offset, up to its NUL or 4096 bytes; empty if there is none. Compilers write UTF-8, but nobody vouches for it.
    #[must_use]
    pub fn string(&self, offset: u32) -> &'a [u8] {
        Names { base: self.base.map_or(&[], |base| base.strings), own: self.strings }.at(offset)
    }

    /// How many bytes of strings there are, those of the base included.
    fn strings_len(&self) -> u32 {
        (self.base.map_or(0, |base| base.strings.len()) + self.strings.len()) as u32
    }

    /// Bytes of a pointer: as many as an integer called `long` has, 8 if there is none.
    #[must_use]
    pub fn pointer_size(&self) -> u32 {
        self.pointer_size
    }

    /// Goes through typedefs, `const` and their like to the type behind them; `None` if they lead in a circle.
    #[must_use]
    pub fn resolve(&self, id: u32) -> Option<Type<'_>> {
        let mut ty = self.ty(id);
        for _ in 0..DEEPEST {
            if !ty.kind.is_modifier_or_typedef() {
                return Some(ty);
            }
            ty = self.ty(ty.size_or_type);
        }
        None
    }

    /// Bytes that a value of this type takes; `None` for what has no size (`void`, a function), for a circle, and for
    /// 4 GiB or more.
    #[must_use]
    pub fn size_of(&self, id: u32) -> Option<u32> {
        let mut ty = self.ty(id);
        let mut count = 1_u32;
        for _ in 0..DEEPEST {
            ty = match ty.kind {
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Datasec | Kind::Float => {
                    return count.checked_mul(ty.size_or_type);
                }
                Kind::Ptr => return count.checked_mul(self.pointer_size),
                Kind::Array => {
                    let array = ty.array()?;
                    count = count.checked_mul(array.len)?;
                    self.ty(array.element)
                }
                kind if kind.is_modifier_or_typedef() => self.ty(ty.size_or_type),
                Kind::Var | Kind::DeclTag => self.ty(ty.size_or_type),
                _ => return None,
            };
        }
        None
    }

    /// The first type of this kind and name. It looks at all types: for many names, look once and keep what you find.
    #[must_use]
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'_>> {
        self.types().find(|ty| ty.kind == kind && ty.name_bytes() == name.as_bytes())
    }

    /// What the section of this name is said to hold, by name: variables, and the kernel's functions.
    pub(crate) fn listed(&self, section: &str) -> Sorted<&[u8], Type<'_>> {
        let sections = self.types().filter(|ty| ty.kind == Kind::Datasec && ty.name_bytes() == section.as_bytes());
        let listed = sections.flat_map(Type::section_vars).map(|variable| self.ty(variable.type_id));
        Sorted::of(listed.map(|ty| (ty.name_bytes(), ty)))
    }
}

/// The strings of a split BTF continue those of its base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    base: &'a [u8],
    own: &'a [u8],
}

impl<'a> Names<'a> {
    /// The string at `offset`, to its NUL.
    pub(crate) fn at(self, offset: u32) -> &'a [u8] {
        let from = self.from(offset);
        let from = from.get(..MAX_NAME).unwrap_or(from);
        let end = from.iter().position(|&byte| byte == 0).unwrap_or(from.len());
        from.get(..end).unwrap_or_default()
    }

    /// Whether the string at `offset` is this one.
    pub(crate) fn is(self, offset: u32, name: &[u8]) -> bool {
        self.from(offset).strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The string at `offset`, and all behind it.
    pub(crate) fn from(self, offset: u32) -> &'a [u8] {
        let offset = offset as usize;
        let from = match offset.checked_sub(self.base.len()) {
            Some(offset) => self.own.get(offset..),
            None => self.base.get(offset..),
        };
        from.unwrap_or_default()
    }
}

/// A name fit to be shown: in one line, and without what a terminal would obey.
pub(crate) fn shown(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    if text.contains(char::is_control) { Cow::Owned(text.replace(char::is_control, "\u{fffd}")) } else { text }
}

/// `long`, in one of the orders in which compilers write its words.
fn is_long(name: &[u8]) -> bool {
    let words = || name.split(|&byte| byte == b' ');
    words().filter(|&word| word == b"long").count() == 1
        && words().all(|word| matches!(word, b"long" | b"int" | b"unsigned"))
}

/// The header of `.BTF` or `.BTF.ext`: magic, version, flags, its own length, and pairs of offset and length.
struct Header<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Header<'a> {
    /// Reads a header of at least `least` bytes.
    fn read(bytes: &'a [u8], least: usize) -> Result<Self, Broken> {
        let magic = bytes.first_chunk().copied().map(u16::from_ne_bytes);
        if magic != Some(MAGIC) {
            return Err(Broken("it does not begin as BTF of this machine's byte order does".to_owned()));
        }
        let len = word(bytes, 4) as usize;
        if len < least || len > bytes.len() {
            return Err(Broken(format!("its header claims {len} bytes")));
        }
        Ok(Self { bytes, len })
    }

    /// The part whose offset, counted from the header's end, and length are at byte `at` of the header.
    fn part(&self, at: usize) -> Result<&'a [u8], Broken> {
        let (offset, length) = (word(self.bytes, at) as usize, word(self.bytes, at + 4) as usize);
        self.len
            .checked_add(offset)
            .and_then(|start| self.bytes.get(start..start.checked_add(length)?))
            .ok_or_else(|| Broken(format!("a part of {length} bytes at {offset} reaches beyond its end")))
    }
}
