//! The Rust types that a module consists of, before they are written.

/// The type of a value in Rust.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ty {
    /// An integer or floating point number, with its size in bytes, which is also its alignment.
    Number(&'static str, u32),
    Bool,
    Array(Box<Ty>, u32),
    /// The index of a [`Def`] among those of the module.
    Def(usize),
    /// A value that Rust has no type for.
    Bytes(u32),
}

/// A type of the object that the module defines.
#[derive(Debug, Clone)]
pub(super) struct Def {
    /// Its name in Rust.
    pub(super) name: String,
    /// Its name in C, e.g. `struct event`.
    pub(super) c_name: String,
    pub(super) size: u32,
    /// The alignment of the Rust type.
    pub(super) align: u32,
    /// The attribute that gives this alignment, if the fields alone do not.
    pub(super) repr: Repr,
    /// Whether the type or one that it contains has `repr(align)`. Rust allows none of them in a packed structure.
    pub(super) is_aligned: bool,
    /// Whether all bytes are values of the type; not for those that contain a `bool`.
    pub(super) is_total: bool,
    /// Whether it contains a floating point number, which has no `Eq`.
    pub(super) has_float: bool,
    /// Whether the standard library's arrays allow to derive `Default`.
    pub(super) derives_default: bool,
    pub(super) shape: Shape,
}

/// The layout attribute of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repr {
    /// As C lays it out.
    C,
    /// `packed(N)`
    Packed(u32),
    /// `align(N)`
    Align(u32),
}

#[derive(Debug, Clone)]
pub(super) enum Shape {
    Struct(Fields),
    /// One field with bytes, and accessors. A union, or (without accessors) a type whose members are unknown.
    Bytes {
        /// The name of the field.
        field: &'static str,
        accessors: Vec<Accessor>,
        notes: Vec<String>,
    },
    Enum(Enum),
}

/// The content of a structure.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) fields: Vec<Field>,
    pub(super) accessors: Vec<Accessor>,
    pub(super) flexible: Option<Flexible>,
    /// Sentences on members that the structure does not have.
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Its identifier in Rust.
    pub(super) name: String,
    pub(super) offset: u32,
    pub(super) ty: Ty,
    pub(super) role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// A member in C, with its type.
    Member {
        /// The name in C.
        c_name: String,
        c_type: String,
    },
    /// Bytes that accessors read: bit fields, unions, and members that Rust cannot place.
    Storage,
    /// Bytes that no member uses.
    Padding,
}

/// A getter and a setter.
#[derive(Debug, Clone)]
pub(super) struct Accessor {
    /// The getter's name, not yet an identifier; the setter's has the prefix `set_`.
    pub(super) name: String,
    pub(super) c_name: String,
    pub(super) c_type: String,
    /// The field of bytes that they access.
    pub(super) storage: String,
    pub(super) ty: Ty,
    pub(super) part: Part,
}

/// The part of the storage that an accessor accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes from the storage's start.
    At(u32),
    /// Bits from the storage's start, their number, and whether the first is the sign.
    Bits { start: u32, width: u32, signed: bool },
}

/// An array without a length at the end of a structure.
#[derive(Debug, Clone)]
pub(super) struct Flexible {
    pub(super) name: String,
    pub(super) c_name: String,
    pub(super) c_type: String,
    pub(super) offset: u32,
    pub(super) element: Ty,
}

#[derive(Debug, Clone)]
pub(super) struct Enum {
    /// The integer that holds it.
    pub(super) integer: &'static str,
    /// Names in C, identifiers, and values as Rust writes them.
    pub(super) values: Vec<(String, String, String)>,
}

/// The definitions of a module.
#[derive(Debug, Default)]
pub(super) struct Defs(pub(super) Vec<Def>);

impl Defs {
    fn def<T>(&self, index: usize, otherwise: T, of: impl FnOnce(&Def) -> T) -> T {
        self.0.get(index).map_or(otherwise, of)
    }

    pub(super) fn size(&self, ty: &Ty) -> u32 {
        match ty {
            Ty::Number(_, size) | Ty::Bytes(size) => *size,
            Ty::Bool => 1,
            Ty::Array(element, len) => self.size(element).saturating_mul(*len),
            Ty::Def(index) => self.def(*index, 0, |def| def.size),
        }
    }

    pub(super) fn align(&self, ty: &Ty) -> u32 {
        match ty {
            Ty::Number(_, size) => *size,
            Ty::Bool | Ty::Bytes(_) => 1,
            Ty::Array(element, _) => self.align(element),
            Ty::Def(index) => self.def(*index, 1, |def| def.align),
        }
    }

    pub(super) fn is_aligned(&self, ty: &Ty) -> bool {
        self.of_leaf(ty, |_| false, |def| def.is_aligned)
    }

    pub(super) fn is_total(&self, ty: &Ty) -> bool {
        self.of_leaf(ty, |ty| *ty != Ty::Bool, |def| def.is_total)
    }

    pub(super) fn has_float(&self, ty: &Ty) -> bool {
        self.of_leaf(ty, |ty| matches!(ty, Ty::Number("f32" | "f64", _)), |def| def.has_float)
    }

    /// Returns whether the standard library gives it a `Default` that is all zeroes: arrays have one up to 32 elements.
    pub(super) fn derives_default(&self, ty: &Ty) -> bool {
        match ty {
            Ty::Array(element, len) => *len <= 32 && self.derives_default(element),
            Ty::Bytes(size) => *size <= 32,
            _ => true,
        }
    }

    /// Asks the type, or the innermost element of an array.
    fn of_leaf(&self, ty: &Ty, scalar: impl FnOnce(&Ty) -> bool, def: impl FnOnce(&Def) -> bool) -> bool {
        match ty {
            Ty::Array(element, _) => self.of_leaf(element, scalar, def),
            Ty::Def(index) => self.def(*index, false, def),
            ty => scalar(ty),
        }
    }

    /// Returns the type as Rust writes it.
    pub(super) fn text(&self, ty: &Ty) -> String {
        match ty {
            Ty::Number(name, _) => (*name).to_owned(),
            Ty::Bool => "bool".to_owned(),
            Ty::Array(element, len) => format!("[{}; {}]", self.text(element), digits(*len)),
            Ty::Def(index) => self.def(*index, String::new(), |def| def.name.clone()),
            Ty::Bytes(size) => format!("[u8; {}]", digits(*size)),
        }
    }

    /// Returns the expression of the value whose bytes are all zero.
    pub(super) fn zero(&self, ty: &Ty) -> String {
        match ty {
            Ty::Number("f32" | "f64", _) => "0.0".to_owned(),
            Ty::Number(..) => "0".to_owned(),
            Ty::Bool => "false".to_owned(),
            Ty::Array(element, len) => format!("[{}; {}]", self.zero(element), digits(*len)),
            Ty::Def(index) => self.def(*index, String::new(), |def| format!("{}::default()", def.name)),
            Ty::Bytes(size) => format!("[0; {}]", digits(*size)),
        }
    }
}

/// Returns a decimal number as clippy wants it: long ones with an underscore before each three digits.
pub(super) fn digits(number: impl Into<i128>) -> String {
    let number = number.into();
    let plain = number.unsigned_abs().to_string();
    let grouped = if plain.len() > 5 { grouped(&plain) } else { plain };
    if number < 0 { format!("-{grouped}") } else { grouped }
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}
