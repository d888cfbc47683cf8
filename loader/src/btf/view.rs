//! The view of a whole BTF section: ids to types.

use super::{
    bytes::word,
    error::Broken,
    header::Header,
    kind::{Kind, Layout},
    names::Names,
    positions::Positions,
    ty::{Context, Member, Type},
    walk::{TypeHeader, walk},
};
use crate::sorted::Sorted;

/// The highest number of consecutive typedefs and modifiers, and of nested arrays. No compiler exceeds it: beyond it,
/// types form a circle.
const DEEPEST: u32 = 256;

/// The size of the header in bytes.
const HEADER: usize = 24;

/// A checked view of BTF. `Send` and `Sync`.
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
#[doc(alias("btf__new", "btf__parse"))]
pub struct Btf<'a> {
    types: &'a [u8],
    /// The position of each type in `types`.
    positions: Positions,
    /// The data that all types share.
    context: Context<'a>,
    /// The BTF that this one continues, if it is split.
    base: Option<&'a Btf<'a>>,
    /// Bytes of a pointer.
    pointer_size: u32,
}

impl<'a> Btf<'a> {
    /// Returns BTF without types.
    pub(crate) fn none() -> Self {
        let names = Names { base: &[], own: &[] };
        let context = Context { names, tells_signs: false };
        Self { types: &[], positions: Positions::default(), context, base: None, pointer_size: 8 }
    }

    /// Checks the contents of a section `.BTF` and finds its types.
    ///
    /// # Errors
    ///
    /// [`Broken`] if it is truncated, of another byte order than this machine's, or has references to types or names
    /// outside.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Broken> {
        Self::parse_upon(bytes, None)
    }

    /// Checks BTF that continues `base`, as that of a kernel module continues the kernel's.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    #[doc(alias = "btf__new_split")]
    pub fn parse_split(bytes: &'a [u8], base: &'a Btf<'a>) -> Result<Self, Broken> {
        Self::parse_upon(bytes, Some(base))
    }

    /// Returns whether the BTF continues another one: its strings do not begin with the empty string.
    pub(crate) fn is_split(bytes: &[u8]) -> bool {
        let strings = Header::read(bytes, HEADER).and_then(|header| header.part(16));
        strings.is_ok_and(|strings| strings.first() != Some(&0))
    }

    fn parse_upon(bytes: &'a [u8], base: Option<&'a Btf<'a>>) -> Result<Self, Broken> {
        Self::parse_watching(bytes, base, |_, _| {})
    }

    /// Parses, and passes each type with the strings to `visit` in the same pass.
    pub(crate) fn parse_watching(
        bytes: &'a [u8],
        base: Option<&'a Btf<'a>>,
        mut visit: impl FnMut(Names<'a>, TypeHeader),
    ) -> Result<Self, Broken> {
        let header = Header::read(bytes, HEADER)?;
        let types = header.part(8)?;
        let strings = header.part(16)?;
        // The strings of split BTF continue those of its base, which begin with the empty string.
        let begun = base.is_some() || strings.first() == Some(&0);
        if !begun || strings.last().is_some_and(|&last| last != 0) {
            return Err(Broken("its strings do not begin and end with a NUL".to_owned()));
        }
        let names = Names { base: base.map_or(&[], |base| base.context.names.own), own: strings };
        let strings_end =
            u32::try_from(names.len()).map_err(|_| Broken("its strings take more than 4 GiB".to_owned()))?;
        let first = base.map_or(1, Btf::end);
        let (mut long, mut tells_signs) = (None, false);
        let positions = walk(types, first, strings_end, |ty| {
            if ty.kind == Kind::Int && long.is_none() && is_long(names.at(ty.name)) {
                long = Some(ty.size);
            }
            tells_signs |= ty.flag && matches!(ty.kind, Kind::Enum | Kind::Enum64);
            visit(names, ty);
        })?;
        let pointer_size = match (base, long) {
            (Some(base), _) => base.pointer_size,
            (None, Some(size @ (4 | 8))) => size,
            (None, _) => 8,
        };
        let tells_signs = tells_signs || base.is_some_and(|base| base.context.tells_signs);
        Ok(Self { types, positions, context: Context { names, tells_signs }, base, pointer_size })
    }

    /// Passes each type to `visit`, as [`parse_watching`](Self::parse_watching) does.
    pub(crate) fn watch(&self, mut visit: impl FnMut(Names<'_>, TypeHeader)) {
        for ty in self.types() {
            let Type { id, kind, name, info, size_or_type, .. } = ty;
            visit(self.context.names, TypeHeader { id, kind, name, size: size_or_type, flag: info >> 31 == 1 });
        }
    }

    /// Returns the highest type id plus 1.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.first() + self.positions.count()
    }

    /// Returns the lowest type id that is not of the base.
    fn first(&self) -> u32 {
        self.base.map_or(1, Btf::end)
    }

    /// Returns the offset in bytes of the type with this id from the first type; `None` if it is `void`, a type of the
    /// base, or no type.
    pub(crate) fn position(&self, id: u32) -> Option<usize> {
        self.positions.get(id.wrapping_sub(self.first()), self.types)
    }

    /// Iterates over all types in the order of their ids, without `void` and without those of the base.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> {
        let mut rest = self.types;
        (self.first()..self.end()).map(move |id| {
            let ty = self.read(id, rest);
            rest = rest.get(12 + ty.added.len()..).unwrap_or_default();
            ty
        })
    }

    /// Returns the type with this id; `void` for 0 and for an id that is too high.
    #[must_use]
    #[doc(alias = "btf__type_by_id")]
    pub fn ty(&self, id: u32) -> Type<'_> {
        let first = self.first();
        if let (Some(base), true) = (self.base, id < first) {
            return base.ty(id);
        }
        let found = self.positions.get(id.wrapping_sub(first), self.types).and_then(|at| self.types.get(at..));
        found.map_or_else(|| Type::void(&self.context), |bytes| self.read(id, bytes))
    }

    /// Returns the type with this id, which `bytes` begin with.
    fn read(&self, id: u32, bytes: &'a [u8]) -> Type<'_> {
        let info = word(bytes, 4);
        let Some(layout) = Layout::of(info) else { return Type::void(&self.context) };
        Type {
            context: &self.context,
            id,
            kind: layout.kind,
            name: word(bytes, 0),
            info,
            size_or_type: word(bytes, 8),
            added: bytes.get(12..12 + layout.rest(info)).unwrap_or_default(),
        }
    }

    /// Returns the string at this offset, up to its NUL or 4096 bytes; empty if there is none. Compilers write UTF-8,
    /// but this is not checked.
    #[must_use]
    #[doc(alias = "btf__name_by_offset")]
    pub fn string(&self, offset: u32) -> &'a [u8] {
        self.context.names.at(offset)
    }

    /// Returns its own strings, one behind the other, each up to a NUL.
    #[cfg(feature = "aya-obj")]
    pub(crate) fn strings(&self) -> &'a [u8] {
        self.context.names.own
    }

    /// Returns the length of the strings in bytes, those of the base included.
    pub(super) fn strings_len(&self) -> u32 {
        self.context.names.len() as u32
    }

    /// Returns the size of a pointer in bytes: the size of the integer `long`, or 8 if there is none.
    #[must_use]
    pub fn pointer_size(&self) -> u32 {
        self.pointer_size
    }

    /// Follows typedefs and modifiers (`const`, `volatile` …) to the underlying type; `None` if they form a circle.
    #[must_use]
    #[doc(alias("btf__resolve_type", "skip_mods_and_typedefs"))]
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

    /// Returns the size of a value of this type in bytes; `None` for a type without a size (`void`, a function), for a
    /// circle, and for 4 GiB or more.
    #[must_use]
    #[doc(alias = "btf__resolve_size")]
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

    /// Returns the extent of a member's value: its offset from the start of the structure, and its width, both in bits.
    /// `None` for a member whose type has no size.
    pub(crate) fn bits_of(&self, member: Member<'_>) -> Option<(u32, u32)> {
        match (member.bits, self.resolve(member.type_id)?.int()) {
            // Before Linux 5.0 the integer type held the offset and width of a bit field.
            (0, Some(int)) => Some((member.bit_offset.checked_add(int.offset)?, int.bits)),
            (0, None) => Some((member.bit_offset, self.size_of(member.type_id)?.checked_mul(8)?)),
            (bits, _) => Some((member.bit_offset, bits)),
        }
    }

    /// Finds the first type of this kind and name, by a walk over all types. For many names, iterate over
    /// [`types`](Self::types) once.
    #[must_use]
    #[doc(alias = "btf__find_by_name_kind")]
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'_>> {
        self.types().find(|ty| ty.kind == kind && ty.name_bytes() == name.as_bytes())
    }

    /// Returns the entries of the `DATASEC` with this name, by name: variables, and functions of the kernel.
    pub(crate) fn listed(&self, section: &str) -> Sorted<&[u8], Type<'_>> {
        let sections = self.types().filter(|ty| ty.kind == Kind::Datasec && ty.name_bytes() == section.as_bytes());
        let listed = sections.flat_map(Type::section_vars).map(|variable| self.ty(variable.type_id));
        Sorted::of(listed.map(|ty| (ty.name_bytes(), ty)))
    }
}

/// Returns whether the name is `long`, in one of the word orders that compilers write.
fn is_long(name: &[u8]) -> bool {
    let words = || name.split(|&byte| byte == b' ');
    words().filter(|&word| word == b"long").count() == 1
        && words().all(|word| matches!(word, b"long" | b"int" | b"unsigned"))
}
