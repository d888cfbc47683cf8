//! Turns types of the object's BTF into definitions: the pass from type ids to [`Defs`].
//!
//! A definition is made for each structure, union and enumeration that is reached through values: members, elements of
//! arrays, typedefs. A pointer becomes an integer, and is not followed, so types may refer to themselves by pointers.
//!
//! Hostile BTF costs no more than real BTF: depth, the size of a value and the number of members are limited.

mod composite;
mod enumeration;
mod opaque;

use std::collections::{HashMap, HashSet};

use super::{
    model::{Defs, Ty},
    naming::{Scope, camel},
};
use crate::{
    Error,
    btf::{Btf, Kind, Type},
};

/// The largest type that gets a definition, in bytes: values are returned from functions, and have to fit on the stack
/// of a thread.
pub(super) const LARGEST: u32 = 1 << 20;

/// The highest number of structures and arrays that contain each other.
const DEEPEST: u32 = 64;

/// The highest number of members that all definitions have together.
const MOST_MEMBERS: usize = 1 << 18;

/// The state of a pass.
pub(super) struct Collector<'b> {
    pub(super) btf: &'b Btf<'b>,
    pub(super) defs: Defs,
    /// The index of each type's definition; `None` while it is being made, and for a type that contains itself.
    known: HashMap<u32, Option<usize>>,
    /// Other names of definitions: the typedef's name in Rust, its name in C, and the index.
    pub(super) aliases: Vec<(String, String, usize)>,
    known_aliases: HashSet<u32>,
    scope: Scope,
    members: usize,
}

impl<'b> Collector<'b> {
    /// Begins a pass. `scope` has the names that are not for types.
    pub(super) fn new(btf: &'b Btf<'b>, scope: Scope) -> Self {
        Self {
            btf,
            defs: Defs::default(),
            known: HashMap::new(),
            aliases: Vec::new(),
            known_aliases: HashSet::new(),
            scope,
            members: 0,
        }
    }

    /// Returns the Rust type of a value of this type, and makes the definitions that it needs. A type without a name
    /// gets the name `hint`, in C's form. Returns `None` for a type without a size (`void`, a function), a larger one
    /// than [`LARGEST`], and an array without elements.
    pub(super) fn ty(&mut self, id: u32, hint: &str) -> Result<Option<Ty>, Error> {
        self.ty_at(id, hint, 0)
    }

    fn ty_at(&mut self, id: u32, hint: &str, depth: u32) -> Result<Option<Ty>, Error> {
        let btf = self.btf;
        let Some(size) = btf.size_of(id).filter(|size| *size <= LARGEST) else { return Ok(None) };
        let Some(ty) = btf.resolve(id) else { return Ok(None) };
        if depth > DEEPEST {
            return Ok(Some(Ty::Bytes(size)));
        }
        Ok(Some(match ty.kind() {
            Kind::Int | Kind::Float => number(ty),
            Kind::Ptr => Ty::Number(if size == 4 { "u32" } else { "u64" }, size),
            Kind::Array => {
                let Some(array) = ty.array().filter(|array| array.len > 0) else { return Ok(None) };
                match self.ty_at(array.element, hint, depth + 1)? {
                    Some(element) => Ty::Array(Box::new(element), array.len),
                    None => return Ok(None),
                }
            }
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => match self.def(id, ty, hint, depth)? {
                Some(index) => Ty::Def(index),
                None => Ty::Bytes(size),
            },
            _ => return Ok(None),
        }))
    }

    /// Returns the definition of a structure, union or enumeration; `None` if the type contains itself, which only
    /// hostile BTF does.
    fn def(&mut self, id: u32, ty: Type<'b>, hint: &str, depth: u32) -> Result<Option<usize>, Error> {
        if let Some(known) = self.known.get(&ty.id()).copied() {
            if let Some(index) = known {
                self.alias(id, index);
            }
            return Ok(known);
        }
        self.known.insert(ty.id(), None);
        let typedef = self.typedef(id).map(|typedef| typedef.name().into_owned());
        let (c_name, plain) = match (ty.name_bytes(), typedef) {
            (b"", Some(typedef)) => (typedef.clone(), typedef),
            (b"", None) => (format!("{}(unnamed)", ty.kind().keyword()), hint.to_owned()),
            _ => (ty.to_string(), ty.name().into_owned()),
        };
        let name = self.scope.take(camel(&plain));
        let def = match ty.kind() {
            Kind::Enum | Kind::Enum64 => enumeration::def(ty, name, c_name),
            _ => self.composite(ty, name, c_name, &plain, depth)?,
        };
        let index = self.defs.0.len();
        self.defs.0.push(def);
        self.known.insert(ty.id(), Some(index));
        self.alias(id, index);
        Ok(Some(index))
    }

    /// Adds the name of the typedef through which a named type is used.
    fn alias(&mut self, id: u32, index: usize) {
        let Some(typedef) = self.typedef(id) else { return };
        if !self.known_aliases.insert(typedef.id()) {
            return;
        }
        let (c_name, name) = (typedef.name().into_owned(), camel(&typedef.name()));
        if self.defs.0.get(index).is_some_and(|def| def.name != name) {
            let name = self.scope.take(name);
            self.aliases.push((name, c_name, index));
        }
    }

    /// Returns the first typedef on the way from a type to the type that it resolves to.
    fn typedef(&self, id: u32) -> Option<Type<'b>> {
        const MOST: u32 = 256;
        let mut ty = self.btf.ty(id);
        for _ in 0..MOST {
            match ty.kind() {
                Kind::Typedef => return Some(ty),
                kind if kind.is_modifier_or_typedef() => ty = self.btf.ty(ty.referred()),
                _ => return None,
            }
        }
        None
    }

    /// Counts members, of which there may be [`MOST_MEMBERS`].
    fn count(&mut self, members: usize) -> Result<(), Error> {
        self.members = self.members.saturating_add(members);
        if self.members > MOST_MEMBERS {
            return Err(Error::Object { why: format!("its types have more than {MOST_MEMBERS} members") });
        }
        Ok(())
    }
}

/// Returns the Rust type of an integer or floating point number.
fn number(ty: Type<'_>) -> Ty {
    let size = ty.size();
    if ty.kind() == Kind::Float {
        return match size {
            4 => Ty::Number("f32", size),
            8 => Ty::Number("f64", size),
            _ => Ty::Bytes(size),
        };
    }
    let Some(int) = ty.int().filter(|int| int.offset == 0 && int.bits == size.saturating_mul(8)) else {
        return if is_bool(ty) { Ty::Bool } else { Ty::Bytes(size) };
    };
    // Text is bytes, whatever the sign of the compiler's `char`.
    let is_char = size == 1 && (int.char || ty.name_bytes() == b"char");
    if is_bool(ty) {
        return Ty::Bool;
    }
    match (size, int.signed && !is_char) {
        (1, false) => Ty::Number("u8", size),
        (2, false) => Ty::Number("u16", size),
        (4, false) => Ty::Number("u32", size),
        (8, false) => Ty::Number("u64", size),
        (16, false) => Ty::Number("u128", size),
        (1, true) => Ty::Number("i8", size),
        (2, true) => Ty::Number("i16", size),
        (4, true) => Ty::Number("i32", size),
        (8, true) => Ty::Number("i64", size),
        (16, true) => Ty::Number("i128", size),
        _ => Ty::Bytes(size),
    }
}

/// Returns whether it is a boolean of one byte. GCC gives `bool` 1 bit, clang 8.
fn is_bool(ty: Type<'_>) -> bool {
    ty.size() == 1 && ty.int().is_some_and(|int| int.bool)
}
