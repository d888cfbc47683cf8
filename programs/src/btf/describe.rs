//! Derives BTF from Rust types.
//!
//! Integers get their C names, so that a header made from an object's BTF compiles.

use super::{Encoding, Type};
use crate::instruction::ByteOrder;

/// A Rust type that BTF can describe, laid out as C lays it out. Integers, `bool`, pointers and arrays implement it;
/// [`describe!`](crate::describe) implements it for a `#[repr(C)]` struct.
pub trait Describe {
    /// Returns the type's description.
    fn describe() -> Type;
}

/// An initial value of a variable: its bytes in the target's byte order.
pub trait Initial: Describe {
    /// Appends the value's bytes, as many as its description says.
    fn encode(&self, order: ByteOrder, bytes: &mut Vec<u8>);
}

macro_rules! integers {
    ($($type:ident $name:literal $encoding:ident;)*) => { $(
        impl Describe for $type {
            fn describe() -> Type {
                Type::int($name, size_of::<$type>() as u8, Encoding::$encoding)
            }
        }
        impl Initial for $type {
            fn encode(&self, order: ByteOrder, bytes: &mut Vec<u8>) {
                bytes.extend(match order {
                    ByteOrder::Little => self.to_le_bytes(),
                    ByteOrder::Big => self.to_be_bytes(),
                });
            }
        }
    )* };
}

integers! {
    u8 "unsigned char" Unsigned;
    u16 "unsigned short" Unsigned;
    u32 "unsigned int" Unsigned;
    u64 "unsigned long long" Unsigned;
    i8 "signed char" Signed;
    i16 "short" Signed;
    i32 "int" Signed;
    i64 "long long" Signed;
}

impl Describe for bool {
    fn describe() -> Type {
        Type::int("_Bool", 1, Encoding::Bool)
    }
}

impl Initial for bool {
    fn encode(&self, _: ByteOrder, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }
}

impl<T: Describe, const N: usize> Describe for [T; N] {
    fn describe() -> Type {
        const { assert!(N <= u32::MAX as usize, "an array in BTF has at most 2^32 - 1 elements") };
        Type::array(T::describe(), N as u32)
    }
}

impl<T: Initial, const N: usize> Initial for [T; N] {
    fn encode(&self, order: ByteOrder, bytes: &mut Vec<u8>) {
        for element in self {
            element.encode(order, bytes);
        }
    }
}

/// Pointers are described as `void *`. Their target is not followed, so a type that contains a pointer to itself ends
/// too.
impl<T> Describe for *const T {
    fn describe() -> Type {
        Type::pointer(Type::Void)
    }
}

/// Pointers are described as `void *`, as for `*const T`.
impl<T> Describe for *mut T {
    fn describe() -> Type {
        Type::pointer(Type::Void)
    }
}

/// Returns the description of a field's type, found from a function that borrows the field. Used by
/// [`describe!`](crate::describe).
#[doc(hidden)]
pub fn of_field<S, T: Describe>(_: fn(&S) -> &T) -> Type {
    T::describe()
}

/// Returns the description of a byte array that holds text. Used by [`describe!`](crate::describe).
#[doc(hidden)]
pub fn of_text<S, const N: usize>(_: fn(&S) -> &[u8; N]) -> Type {
    const { assert!(N <= u32::MAX as usize, "an array in BTF has at most 2^32 - 1 elements") };
    Type::array(Type::char(), N as u32)
}

/// Describes a `#[repr(C)]` struct by the names of its fields. Their types and offsets come from the compiler; a
/// missing field does not compile. Byte arrays that hold text are marked `: char`, and tools print them as text.
///
/// ```
/// use cutaway_programs::{btf::Describe, describe};
///
/// #[repr(C)]
/// struct Event {
///     time_ns: u64,
///     pid: u32,
///     error: i32,
///     comm: [u8; 16],
/// }
/// describe!(Event { time_ns, pid, error, comm: char });
///
/// assert_eq!(Event::describe().bytes(), Some(32));
/// ```
///
/// ```compile_fail
/// # #[repr(C)]
/// # struct Event { time_ns: u64, pid: u32 }
/// cutaway_programs::describe!(Event { time_ns }); // `pid` is missing
/// ```
#[macro_export]
macro_rules! describe {
    ($struct:ident { $($field:ident $(: $text:ident)?),+ $(,)? }) => {
        impl $crate::btf::Describe for $struct {
            fn describe() -> $crate::btf::Type {
                // The pattern names every field: with one missing, it does not compile.
                let _ = |$struct { $($field: _),+ }: &$struct| ();
                const { ::core::assert!(::core::mem::size_of::<$struct>() <= u32::MAX as usize) };
                $crate::btf::Type::structure(
                    ::core::stringify!($struct),
                    ::core::mem::size_of::<$struct>() as u32,
                    [$($crate::btf::Member::new(
                        ::core::stringify!($field),
                        ::core::mem::offset_of!($struct, $field) as u32,
                        $crate::describe!(@ $struct $field $($text)?),
                    )),+],
                )
            }
        }
    };
    (@ $struct:ident $field:ident) => {
        $crate::btf::of_field(|all: &$struct| &all.$field)
    };
    (@ $struct:ident $field:ident char) => {
        $crate::btf::of_text(|all: &$struct| &all.$field)
    };
}
