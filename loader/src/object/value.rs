//! Values of global variables as Rust types, and whether a Rust type fits a variable.
//!
//! The object's BTF gives the type of each variable. A Rust number fits a variable of the same width and, if BTF gives
//! a sign, of the same sign. Plain bytes fit every variable of the same length.

use std::borrow::Cow;

use super::pod::{self, ScalarKind, bytes_of};
use crate::btf::{self, Btf, Type};

/// A type that a global variable can be set to: every [`Pod`](crate::Pod) (numbers, booleans, arrays of them,
/// structures and enums that [`pod!`](crate::pod) defines), and bytes.
pub trait ToBytes {
    /// The representation, which is compared with the variable's type; for an array, that of its elements.
    const KIND: ScalarKind;

    /// Returns the value's bytes in memory, in this machine's byte order.
    fn bytes(&self) -> Cow<'_, [u8]>;
}

/// A type that a global variable can be read as: every [`Pod`](crate::Pod).
pub trait FromBytes: ToBytes + Sized {
    /// Converts bytes to a value; `None` if they are no value of this type, or of another length.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl<T: pod::Pod> ToBytes for T {
    const KIND: ScalarKind = <T as pod::Pod>::KIND;

    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(bytes_of(self))
    }
}

impl<T: pod::Pod> FromBytes for T {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        T::read_from(bytes)
    }
}

impl ToBytes for [u8] {
    const KIND: ScalarKind = ScalarKind::Bytes;

    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }
}

/// The type of a variable, or of each element of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An integer.
    Int {
        /// Bytes.
        size: u32,
        /// `None` if the sign does not matter, as for `char`.
        signed: Option<bool>,
    },
    Bool,
    Float {
        size: u32,
    },
    /// An address.
    Pointer {
        size: u32,
    },
    /// A structure or union.
    Composite,
}

impl Kind {
    /// Returns the kind of a variable of this type; `None` for a type that is not checked.
    pub(super) fn of(btf: &Btf<'_>, id: u32) -> Option<Self> {
        let ty = element(btf, id)?;
        Some(match ty.kind() {
            btf::Kind::Int if ty.int()?.bool && ty.size() == 1 => Self::Bool,
            btf::Kind::Int => {
                let is_text = ty.name_bytes() == b"char" || ty.int()?.char;
                let signed = (!is_text).then(|| ty.is_signed());
                Self::Int { size: ty.size(), signed }
            }
            btf::Kind::Enum | btf::Kind::Enum64 => Self::Int { size: ty.size(), signed: None },
            btf::Kind::Float => Self::Float { size: ty.size() },
            btf::Kind::Ptr => Self::Pointer { size: btf.pointer_size() },
            btf::Kind::Struct | btf::Kind::Union => Self::Composite,
            _ => return None,
        })
    }

    /// Returns why a value of this representation does not fit; `None` if it does.
    pub(super) fn objection(self, form: ScalarKind) -> Option<String> {
        let sign = |signed: bool| if signed { "a signed" } else { "an unsigned" };
        let integer = match form {
            ScalarKind::Bytes => return None,
            ScalarKind::Unsigned(size) => Some((size, false)),
            ScalarKind::Signed(size) => Some((size, true)),
            ScalarKind::Bool | ScalarKind::Float(_) => None,
        };
        match (self, form, integer) {
            (Self::Int { signed: Some(theirs), .. }, _, Some((_, ours))) if ours != theirs => {
                Some(format!("it is {} integer, and {} one is given", sign(theirs), sign(ours)))
            }
            (Self::Int { size: theirs, .. } | Self::Pointer { size: theirs }, _, Some((ours, _))) if ours != theirs => {
                Some(format!("its elements have {theirs} bytes each, and those given {ours}"))
            }
            (Self::Float { size: theirs }, ScalarKind::Float(ours), _) if ours != theirs => {
                Some(format!("its elements have {theirs} bytes each, and those given {ours}"))
            }
            (Self::Int { .. } | Self::Pointer { .. }, _, Some(_))
            | (Self::Bool, ScalarKind::Bool, _)
            | (Self::Float { .. }, ScalarKind::Float(_), _) => None,
            (Self::Int { .. }, ..) => Some("it is an integer: give it one of the same size".to_owned()),
            (Self::Bool, ..) => Some("it is a truth value: give it a `bool`".to_owned()),
            (Self::Float { .. }, ..) => Some("it is a floating point number: give it one of the same size".to_owned()),
            (Self::Pointer { .. }, ..) => Some("it is an address: give it an integer of the same size".to_owned()),
            (Self::Composite, ..) => Some("it is a structure or union: give it as bytes".to_owned()),
        }
    }
}

/// Returns the type itself, or the element type of an array, without qualifiers (`const` and the like).
fn element<'b>(btf: &'b Btf<'_>, mut id: u32) -> Option<Type<'b>> {
    const DEEPEST: u32 = 32;
    for _ in 0..DEEPEST {
        let ty = btf.resolve(id)?;
        match ty.array() {
            Some(array) => id = array.element,
            None => return Some(ty),
        }
    }
    None
}

/// Returns a type as C writes it before a name, with an array's lengths after it.
pub(crate) fn c_name(btf: &Btf<'_>, mut id: u32) -> String {
    const DEEPEST: u32 = 32;
    let (mut before, mut behind) = (String::new(), String::new());
    for _ in 0..DEEPEST {
        let ty = btf.ty(id);
        match ty.kind() {
            btf::Kind::Const => before.push_str("const "),
            btf::Kind::Volatile => before.push_str("volatile "),
            btf::Kind::Restrict | btf::Kind::TypeTag => {}
            btf::Kind::Ptr => behind.insert(0, '*'),
            btf::Kind::Array => {
                let length = ty.array().map_or(0, |array| array.len);
                behind.push_str(&format!("[{length}]"));
                id = ty.array().map_or(0, |array| array.element);
                continue;
            }
            btf::Kind::FuncProto => return format!("{before}(function){behind}"),
            _ => {
                let space = if behind.starts_with('*') { " " } else { "" };
                return format!("{before}{ty}{space}{behind}");
            }
        }
        id = ty.referred();
    }
    "(deeply nested)".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_bytes_convert_both_ways() {
        assert_eq!(*0x0102_u16.bytes(), 0x0102_u16.to_ne_bytes());
        assert_eq!(i32::from_bytes(&(-7_i32).bytes()), Some(-7));
        assert_eq!(f64::from_bytes(&1.5_f64.bytes()), Some(1.5));
        assert_eq!(bool::from_bytes(&true.bytes()), Some(true));
        assert_eq!(<[i16; 3]>::from_bytes(&[1_i16, -2, 3].bytes()), Some([1, -2, 3]));
        assert_eq!(<[u8; 2]>::from_bytes(b"ab"), Some(*b"ab"));
        assert_eq!(
            (u32::from_bytes(&[0; 3]), bool::from_bytes(&[2]), <[u16; 2]>::from_bytes(&[0; 5])),
            (None, None, None)
        );
        assert_eq!(
            (<[u16; 2]>::from_bytes(&[0; 6]), <[u16; 2]>::from_bytes(&[]), <[u8; 0]>::from_bytes(&[1])),
            (None, None, None)
        );
    }

    /// GCC marks its `signed char` as text; bindings have `u8` for it. They have an integer for a wide truth value.
    #[test]
    fn text_has_no_sign_and_truth_values_have_one_byte() {
        const INT: u32 = 1 << 24;
        let [signed, char, bool] = [1 << 24, 2 << 24, 4 << 24];
        let types = [[1, INT, 1, signed | char | 8], [1, INT, 4, bool | 32], [1, INT, 1, bool | 8]].concat();
        let size = types.len() as u32 * 4;
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend([24, 0, size, size, 3].into_iter().chain(types).flat_map(u32::to_ne_bytes));
        bytes.extend(*b"\0x\0");
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(Kind::of(&btf, 1), Some(Kind::Int { size: 1, signed: None }));
        assert_eq!(Kind::of(&btf, 2), Some(Kind::Int { size: 4, signed: Some(false) }));
        assert_eq!(Kind::of(&btf, 3), Some(Kind::Bool));
    }

    #[test]
    fn numbers_fit_variables_of_their_width_and_sign() {
        let int = |size, signed| Kind::Int { size, signed };
        for (kind, form, suits) in [
            (int(4, Some(true)), i32::KIND, true),
            (int(4, Some(true)), u32::KIND, false),
            (int(8, Some(false)), u64::KIND, true),
            (int(8, Some(false)), i64::KIND, false),
            (int(1, None), i8::KIND, true),
            (int(1, None), u8::KIND, true),
            (int(8, Some(false)), <[u32; 2]>::KIND, false),
            (int(8, Some(false)), <[u8; 8]>::KIND, true),
            (int(8, Some(false)), <[u8]>::KIND, true),
            (int(8, Some(false)), f64::KIND, false),
            (int(1, Some(false)), bool::KIND, false),
            (Kind::Bool, bool::KIND, true),
            (Kind::Bool, u8::KIND, false),
            (Kind::Bool, <[u8; 1]>::KIND, true),
            (Kind::Float { size: 8 }, f64::KIND, true),
            (Kind::Float { size: 8 }, <[f32; 2]>::KIND, false),
            (Kind::Float { size: 8 }, u64::KIND, false),
            (Kind::Pointer { size: 8 }, u64::KIND, true),
            (Kind::Pointer { size: 8 }, f64::KIND, false),
            (Kind::Composite, u64::KIND, false),
            (Kind::Composite, <[u8; 8]>::KIND, true),
        ] {
            assert_eq!(kind.objection(form).is_none(), suits, "{kind:?}, {form:?}");
        }
    }
}
