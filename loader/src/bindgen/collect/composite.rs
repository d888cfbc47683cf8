//! Structures and unions.

use super::{Collector, enumeration, opaque::opaque};
use crate::{
    Error,
    bindgen::{
        layout::{self, Layout, Place, Span, SpanKind},
        model::{Accessor, Def, Field, Fields, Flexible, Part, Repr, Role, Shape, Ty},
        naming::{Scope, identifier, plain, shown},
    },
    btf::{Kind, Member, Type},
    object::c_name,
};

/// The highest number of members that one definition has, those of unnamed structures and unions included.
const MOST: usize = 4096;

/// The members of a structure or union, with those of the unnamed structures and unions in it.
#[derive(Default)]
struct Leaves {
    leaves: Vec<Leaf>,
    /// Unions without a name, as bytes from the start to the end.
    unions: Vec<Span>,
    flexible: Option<Flexible>,
    notes: Vec<String>,
}

/// A member that has a value.
struct Leaf {
    c_name: String,
    c_type: String,
    ty: Ty,
    /// From the start of the definition.
    at: Position,
    /// Whether it is in an unnamed union.
    in_union: bool,
}

/// The bits of a member.
#[derive(Clone, Copy)]
enum Position {
    Byte(u32),
    Bits { start: u32, width: u32, signed: bool },
}

/// Where [`Collector::leaves`] is.
#[derive(Clone, Copy)]
struct Scan<'s> {
    /// The size of the definition, and the byte at which the part begins.
    size: u32,
    base: u32,
    in_union: bool,
    /// The name for types without one.
    hint: &'s str,
    depth: u32,
}

impl<'b> Collector<'b> {
    /// Returns the definition of a structure or union.
    pub(super) fn composite(
        &mut self,
        ty: Type<'b>,
        name: String,
        c_name: String,
        hint: &str,
        depth: u32,
    ) -> Result<Def, Error> {
        let (size, is_union) = (ty.size(), ty.kind() == Kind::Union);
        let mut found = Leaves::default();
        self.leaves(ty, Scan { size, base: 0, in_union: is_union, hint, depth }, &mut found)?;
        if is_union {
            return Ok(self.union(size, found, name, c_name));
        }
        if found.leaves.is_empty() && found.unions.is_empty() && found.flexible.is_none() {
            let layout = layout::of(size, Vec::new());
            let def = opaque(name, c_name, size);
            let repr = if layout.needs_align { Repr::Align(layout.align) } else { Repr::C };
            let shape = match (size, def.shape) {
                (0, _) => Shape::Struct(Fields { notes: found.notes, ..Fields::default() }),
                (_, Shape::Bytes { field, accessors, .. }) => Shape::Bytes { field, accessors, notes: found.notes },
                (_, shape) => shape,
            };
            return Ok(Def { repr, align: layout.align, is_aligned: layout.needs_align, shape, ..def });
        }
        let spans = found.leaves.iter().enumerate().filter(|(_, leaf)| !leaf.in_union);
        let spans = spans.map(|(index, leaf)| self.span(index, leaf)).chain(found.unions.iter().copied()).collect();
        let layout = layout::of(size, spans);
        let repr = match (layout.packed, layout.needs_align) {
            (Some(align), _) => Repr::Packed(align),
            (None, true) => Repr::Align(layout.align),
            (None, false) => Repr::C,
        };
        let align = layout.align;
        let fields = self.fields(found, &layout);
        let types = || fields.fields.iter().map(|field| &field.ty);
        Ok(Def {
            name,
            c_name,
            size,
            align,
            repr,
            is_aligned: layout.needs_align || types().any(|ty| self.defs.is_aligned(ty)),
            is_total: types().all(|ty| self.defs.is_total(ty)),
            has_float: types().any(|ty| self.defs.has_float(ty)),
            derives_default: types().all(|ty| self.defs.derives_default(ty)),
            shape: Shape::Struct(fields),
        })
    }

    /// Adds the members of a structure or union that begins at `scan.base`.
    fn leaves(&mut self, ty: Type<'b>, scan: Scan<'_>, found: &mut Leaves) -> Result<(), Error> {
        self.count(ty.len() as usize)?;
        let last = (ty.len() as usize).saturating_sub(1);
        for (index, member) in ty.members().enumerate() {
            if found.leaves.len() >= MOST {
                found.notes.push(format!("It has more than {MOST} members: the others are not here."));
                return Ok(());
            }
            let is_last = index == last && scan.base.saturating_add(ty.size()) == scan.size && !scan.in_union;
            self.leaf(member, is_last, scan, found)?;
        }
        Ok(())
    }

    fn leaf(&mut self, member: Member<'b>, is_last: bool, scan: Scan<'_>, found: &mut Leaves) -> Result<(), Error> {
        let btf = self.btf;
        let name = String::from_utf8_lossy(member.name).into_owned();
        let resolved = btf.resolve(member.type_id);
        let bit = u64::from(scan.base) * 8 + u64::from(member.bit_offset);
        let beyond = |bits: u64| bit + bits > u64::from(scan.size) * 8;
        let c_type = c_name(btf, member.type_id);
        let mut skip = |why: &str| {
            let (name, c_type) = (shown(&name), shown(&c_type));
            found.notes.push(format!("The member `{name}` (`{c_type}`) is not here: {why}."));
        };
        let (Some(resolved), Some(size)) = (resolved, btf.size_of(member.type_id)) else {
            skip("its type has no size");
            return Ok(());
        };
        let (byte, in_byte) = ((bit / 8) as u32, bit % 8 == 0);
        if beyond(if member.bits == 0 { u64::from(size) * 8 } else { u64::from(member.bits) }) {
            skip("it ends after the type that contains it");
            return Ok(());
        }
        if member.name.is_empty() && resolved.kind().is_composite() && member.bits == 0 {
            if scan.depth > super::DEEPEST || !in_byte {
                skip("it is nested too deeply");
                return Ok(());
            }
            let is_union = resolved.kind() == Kind::Union;
            if is_union && !scan.in_union && size > 0 {
                let align = self.align_of_members(resolved, scan.depth)?;
                found.unions.push(Span { start: byte, end: byte + size, align, kind: SpanKind::Union });
            }
            let in_union = scan.in_union || is_union;
            return self.leaves(resolved, Scan { base: byte, in_union, depth: scan.depth + 1, ..scan }, found);
        }
        let hint = format!("{}_{name}", scan.hint);
        if let Some(array) = resolved.array().filter(|array| array.len == 0 && is_last && in_byte) {
            let element = self.ty_at(array.element, &hint, scan.depth + 1)?;
            if let Some(element) = element.filter(|ty| self.defs.size(ty) > 0) {
                found.flexible = Some(Flexible { name: plain(&name), c_name: name, c_type, offset: byte, element });
                return Ok(());
            }
        }
        let Some(ty) = self.ty_at(member.type_id, &hint, scan.depth + 1)? else {
            skip("it has no bytes");
            return Ok(());
        };
        if size == 0 {
            skip("it has no bytes");
            return Ok(());
        }
        let Some(at) = position(member, resolved, bit, self.defs.size(&ty)) else {
            skip("Rust has no type for its bits");
            return Ok(());
        };
        // An old compiler's type of odd bits: the value has the integer's size.
        let ty = match (&ty, at) {
            (Ty::Bytes(_), Position::Bits { .. }) => match integer(resolved.is_signed(), size) {
                Some(ty) => ty,
                None => {
                    skip("Rust has no type for its bits");
                    return Ok(());
                }
            },
            _ => ty,
        };
        found.leaves.push(Leaf { c_name: name, c_type, ty, at, in_union: scan.in_union });
        Ok(())
    }

    /// Returns the highest alignment of the members of an unnamed union. It only looks at scalars: a pass that makes
    /// definitions would give them other names than the members do.
    fn align_of_members(&mut self, ty: Type<'b>, depth: u32) -> Result<u32, Error> {
        let mut highest = 1;
        let mut stack = vec![(ty, depth)];
        while let Some((ty, depth)) = stack.pop() {
            self.count(ty.len() as usize)?;
            for member in ty.members() {
                let Some(ty) = self.innermost(member.type_id) else { continue };
                match ty.kind() {
                    Kind::Struct | Kind::Union if depth < super::DEEPEST => stack.push((ty, depth + 1)),
                    Kind::Ptr => highest = highest.max(self.btf.pointer_size()),
                    Kind::Int | Kind::Float | Kind::Enum | Kind::Enum64 if ty.size().is_power_of_two() => {
                        highest = highest.max(ty.size().min(16));
                    }
                    _ => {}
                }
            }
        }
        Ok(highest)
    }

    /// Returns the type of an array's innermost elements, or the type itself.
    fn innermost(&self, id: u32) -> Option<Type<'b>> {
        let mut ty = self.btf.resolve(id)?;
        for _ in 0..super::DEEPEST {
            match ty.array() {
                Some(array) => ty = self.btf.resolve(array.element)?,
                None => return Some(ty),
            }
        }
        None
    }

    fn span(&self, index: usize, leaf: &Leaf) -> Span {
        let (size, align) = (self.defs.size(&leaf.ty), self.defs.align(&leaf.ty));
        match leaf.at {
            Position::Byte(start) => {
                let kind = SpanKind::Member { index, is_aligned: self.defs.is_aligned(&leaf.ty) };
                Span { start, end: start + size, align, kind }
            }
            Position::Bits { start, width, .. } => {
                Span { start: start / 8, end: (start + width).div_ceil(8), align, kind: SpanKind::Bits }
            }
        }
    }

    fn union(&self, size: u32, found: Leaves, name: String, c_name: String) -> Def {
        let aligns = found.leaves.iter().map(|leaf| self.defs.align(&leaf.ty));
        let mut align = aligns.max().unwrap_or(1);
        while align > 1 && !size.is_multiple_of(align) {
            align /= 2;
        }
        let mut scope = Scope::of_methods();
        let storage = Storage { field: "bytes".to_owned(), start: 0 };
        let accessors = found.leaves.into_iter().map(|leaf| leaf.accessor(&storage, &mut scope)).collect();
        let repr = if align > 1 { Repr::Align(align) } else { Repr::C };
        let shape = Shape::Bytes { field: "bytes", accessors, notes: found.notes };
        Def { repr, align, is_aligned: align > 1, shape, ..opaque(name, c_name, size) }
    }

    /// Makes the fields that the layout asks for, and the accessors of the other members.
    fn fields(&self, found: Leaves, layout: &Layout) -> Fields {
        let mut scope = Scope::default();
        // Members have precedence over fields that only exist here.
        let names: Vec<String> = found.leaves.iter().map(|leaf| plain(&leaf.c_name)).collect();
        let mut fields = Fields { notes: found.notes, ..Fields::default() };
        let mut storages = Vec::new();
        let mut direct = vec![None; names.len()];
        for place in &layout.places {
            if let Place::Member(index) = *place
                && let (Some(name), Some(slot)) = (names.get(index), direct.get_mut(index))
            {
                *slot = Some(identifier(&scope.take(name.clone())));
            }
        }
        for place in &layout.places {
            let field = match *place {
                Place::Member(index) => {
                    let name = direct.get_mut(index).and_then(|name| name.clone());
                    let Some((leaf, name)) = found.leaves.get(index).zip(name) else { continue };
                    let role = Role::Member { c_name: leaf.c_name.clone(), c_type: leaf.c_type.clone() };
                    Field { name, offset: leaf.start(), ty: leaf.ty.clone(), role }
                }
                Place::Storage { start, end, bits } => {
                    let name = scope.take(format!("{}_{start}", if bits { "bits" } else { "bytes" }));
                    storages.push(Storage { field: name.clone(), start });
                    Field { name, offset: start, ty: Ty::Bytes(end - start), role: Role::Storage }
                }
                Place::Padding { start, end } => {
                    let name = scope.take(format!("padding_{start}"));
                    Field { name, offset: start, ty: Ty::Bytes(end - start), role: Role::Padding }
                }
            };
            fields.fields.push(field);
        }
        let mut methods = Scope::of_methods();
        let _ = methods.take("from_record".to_owned());
        for (leaf, direct) in found.leaves.into_iter().zip(direct) {
            let storage = storages.iter().rev().find(|storage| storage.start <= leaf.start());
            if let (Some(storage), None) = (storage, direct) {
                fields.accessors.push(leaf.accessor(storage, &mut methods));
            }
        }
        fields.flexible = found.flexible.map(|flexible| Flexible { name: methods.take(flexible.name), ..flexible });
        fields
    }
}

/// A field of bytes, and the byte of the structure at which it begins.
struct Storage {
    field: String,
    start: u32,
}

impl Leaf {
    /// Returns its first byte.
    fn start(&self) -> u32 {
        match self.at {
            Position::Byte(start) => start,
            Position::Bits { start, .. } => start / 8,
        }
    }

    fn accessor(self, storage: &Storage, scope: &mut Scope) -> Accessor {
        let both = |name: &str| vec![name.to_owned(), format!("set_{name}")];
        let name = scope.take_all(plain(&self.c_name), both);
        let part = match self.at {
            Position::Byte(start) => Part::At(start - storage.start),
            Position::Bits { start, width, signed } => Part::Bits { start: start - storage.start * 8, width, signed },
        };
        let storage = storage.field.clone();
        Accessor { name, c_name: self.c_name, c_type: self.c_type, storage, ty: self.ty, part }
    }
}

/// Returns where a member is; `None` if its bits are more than its type or Rust has.
fn position(member: Member<'_>, ty: Type<'_>, bit: u64, size: u32) -> Option<Position> {
    let (mut start, mut width) = (bit, u32::from(member.bits != 0) * member.bits);
    if let Some(int) =
        ty.int().filter(|int| width == 0 && !int.bool && (int.offset != 0 || int.bits != ty.size().saturating_mul(8)))
    {
        (start, width) = (bit + u64::from(int.offset), int.bits);
    }
    if width == 0 {
        return bit.is_multiple_of(8).then_some(Position::Byte((bit / 8) as u32));
    }
    let signed = match ty.kind() {
        Kind::Int => ty.is_signed(),
        Kind::Enum | Kind::Enum64 => enumeration::is_signed(ty),
        _ => return None,
    };
    let fits = width <= size.saturating_mul(8).min(128);
    fits.then_some(Position::Bits { start: u32::try_from(start).ok()?, width, signed })
}

fn integer(signed: bool, size: u32) -> Option<Ty> {
    Some(match (size, signed) {
        (1, false) => Ty::Number("u8", 1),
        (2, false) => Ty::Number("u16", 2),
        (4, false) => Ty::Number("u32", 4),
        (8, false) => Ty::Number("u64", 8),
        (16, false) => Ty::Number("u128", 16),
        (1, true) => Ty::Number("i8", 1),
        (2, true) => Ty::Number("i16", 2),
        (4, true) => Ty::Number("i32", 4),
        (8, true) => Ty::Number("i64", 8),
        (16, true) => Ty::Number("i128", 16),
        _ => return None,
    })
}
