//! Values whose bytes are known: what the keys and values of maps, and global variables, are read and written as.

/// How a value is represented in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScalarKind {
    /// Bytes that only the variable's type gives a meaning.
    Bytes,
    /// Unsigned integers of this many bytes.
    Unsigned(u32),
    /// Signed integers of this many bytes.
    Signed(u32),
    /// Booleans, one byte each.
    Bool,
    /// Floating point numbers of this many bytes.
    Float(u32),
}

/// A value with a fixed number of bytes in the layout that programs use: that of C, in native byte order.
///
/// Implemented for integers, floating point numbers, `bool`, `()`, and arrays of such values. [`pod!`](crate::pod)
/// defines structures and enums that implement it. A value is converted from and to bytes, never reinterpreted: padding
/// is written as 0, and bytes that are no value (2 is not a `bool`) are refused.
///
/// [`TypedMap`](crate::TypedMap) reads and writes keys and values of such types, and a global variable of such a type
/// is set by [`Object::set_variable`](crate::Object::set_variable) and read by
/// [`Variable::read`](crate::Variable::read).
///
/// A manual implementation is safe: at worst, the bytes have another meaning than in the program.
#[doc(alias("Plain", "plain", "bytemuck", "zerocopy"))]
pub trait Pod: Copy + 'static {
    /// The representation, which is compared with a global variable's type; for an array, that of its elements.
    const KIND: ScalarKind = ScalarKind::Bytes;

    /// The number of bytes.
    const SIZE: usize;

    /// Writes the value to `bytes`, which must have [`Pod::SIZE`] bytes. Writes nothing to bytes of another length.
    fn write_to(&self, bytes: &mut [u8]);

    /// Returns the value of these bytes. `None` if they are not [`Pod::SIZE`] bytes, or not a value of this type.
    fn read_from(bytes: &[u8]) -> Option<Self>;
}

/// Returns the bytes of a value.
pub(crate) fn bytes_of<T: Pod>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; T::SIZE];
    value.write_to(&mut bytes);
    bytes
}

macro_rules! numbers {
    ($($form:ident: $($number:ty)*;)*) => {$($(
        impl Pod for $number {
            const KIND: ScalarKind = ScalarKind::$form(size_of::<$number>() as u32);
            const SIZE: usize = size_of::<$number>();

            fn write_to(&self, bytes: &mut [u8]) {
                if let Ok(bytes) = <&mut [u8; size_of::<$number>()]>::try_from(bytes) {
                    *bytes = self.to_ne_bytes();
                }
            }

            fn read_from(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_ne_bytes(bytes.try_into().ok()?))
            }
        }
    )*)*};
}

numbers! {
    Unsigned: u8 u16 u32 u64 u128;
    Signed: i8 i16 i32 i64 i128;
    Float: f32 f64;
}

impl Pod for bool {
    const KIND: ScalarKind = ScalarKind::Bool;
    const SIZE: usize = 1;

    fn write_to(&self, bytes: &mut [u8]) {
        u8::from(*self).write_to(bytes);
    }

    fn read_from(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

/// The key of a map without keys: a queue, a stack or a Bloom filter.
impl Pod for () {
    const SIZE: usize = 0;

    fn write_to(&self, _bytes: &mut [u8]) {}

    fn read_from(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

impl<T: Pod, const N: usize> Pod for [T; N] {
    const KIND: ScalarKind = match T::KIND {
        ScalarKind::Unsigned(1) => ScalarKind::Bytes,
        form => form,
    };
    const SIZE: usize = T::SIZE * N;

    fn write_to(&self, bytes: &mut [u8]) {
        if bytes.len() != Self::SIZE {
            return;
        }
        for (value, bytes) in self.iter().zip(bytes.chunks_exact_mut(T::SIZE.max(1))) {
            value.write_to(bytes);
        }
    }

    fn read_from(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::SIZE {
            return None;
        }
        let value = |index: usize| T::read_from(bytes.get(index * T::SIZE..(index + 1) * T::SIZE)?);
        (0..N).map(value).collect::<Option<Vec<T>>>()?.try_into().ok()
    }
}

/// Defines a structure or an enum with the layout of C, and implements [`Pod`](crate::Pod) for it without `unsafe`
/// code.
///
/// A structure gets `#[repr(C)]`, to which `#[repr(packed)]` or `#[repr(align(…))]` can be added; each of its fields
/// must be a [`Pod`](crate::Pod) itself. Padding is written as 0 and ignored when reading. An enum has the
/// representation that its attribute `#[repr(u32)]` (or another integer) gives, which must directly follow its
/// documentation; other bytes than its values are refused. Both get `Clone` and `Copy`; other traits are derived
/// as usual.
///
/// ```
/// cutaway::pod! {
///     /// `struct event` in the program.
///     #[derive(Debug, PartialEq)]
///     pub struct Event {
///         pub pid: u32,
///         pub comm: [u8; 16],
///         pub state: State,
///     }
/// }
/// cutaway::pod! {
///     /// `enum state` in the program.
///     #[repr(u32)]
///     #[derive(Debug, PartialEq)]
///     pub enum State {
///         Idle = 0,
///         Busy = 1,
///     }
/// }
/// use cutaway::Pod;
/// let event = Event { pid: 7, comm: [0; 16], state: State::Busy };
/// let mut bytes = [0; Event::SIZE];
/// event.write_to(&mut bytes);
/// assert_eq!(Event::read_from(&bytes), Some(event));
/// ```
#[macro_export]
macro_rules! pod {
    (
        $(#[doc = $doc:expr])*
        #[repr($repr:ident)]
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident $(= $value:expr)?),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[repr($repr)]
        #[derive(Clone, Copy)]
        $(#[$meta])*
        $vis enum $name {
            $($(#[$variant_meta])* $variant $(= $value)?,)*
        }

        impl $crate::Pod for $name {
            const KIND: $crate::ScalarKind = <$repr as $crate::Pod>::KIND;
            const SIZE: usize = ::core::mem::size_of::<$repr>();

            fn write_to(&self, bytes: &mut [u8]) {
                $crate::Pod::write_to(&(*self as $repr), bytes);
            }

            fn read_from(bytes: &[u8]) -> ::core::option::Option<Self> {
                let value = <$repr as $crate::Pod>::read_from(bytes)?;
                $(if value == Self::$variant as $repr {
                    return ::core::option::Option::Some(Self::$variant);
                })*
                ::core::option::Option::None
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        impl $crate::Pod for $name {
            const SIZE: usize = ::core::mem::size_of::<Self>();

            fn write_to(&self, bytes: &mut [u8]) {
                if bytes.len() != <Self as $crate::Pod>::SIZE {
                    return;
                }
                bytes.fill(0);
                $(
                    let start = ::core::mem::offset_of!(Self, $field);
                    let end = start + <$type as $crate::Pod>::SIZE;
                    if let ::core::option::Option::Some(bytes) = bytes.get_mut(start..end) {
                        // A copy: a field of a packed structure has no reference.
                        let field = self.$field;
                        <$type as $crate::Pod>::write_to(&field, bytes);
                    }
                )*
            }

            fn read_from(bytes: &[u8]) -> ::core::option::Option<Self> {
                if bytes.len() != <Self as $crate::Pod>::SIZE {
                    return ::core::option::Option::None;
                }
                ::core::option::Option::Some(Self {
                    $($field: {
                        let start = ::core::mem::offset_of!(Self, $field);
                        <$type as $crate::Pod>::read_from(bytes.get(start..start + <$type as $crate::Pod>::SIZE)?)?
                    },)*
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::pod! {
        /// As `struct event` in C, with padding after `flag` and at the end.
        #[derive(Debug, PartialEq)]
        struct Event {
            flag: bool,
            pid: u32,
            comm: [u8; 3],
            state: State,
            inner: Inner,
        }
    }

    crate::pod! {
        /// An enum of C has 4 bytes.
        #[repr(u32)]
        #[derive(Debug, PartialEq)]
        enum State {
            Idle,
            Busy = 5,
            Ended,
        }
    }

    crate::pod! {
        #[repr(packed)]
        #[derive(Debug, PartialEq)]
        struct Inner {
            a: u8,
            b: u64,
        }
    }

    crate::pod! {
        #[repr(align(16))]
        struct Aligned { a: u8 }
    }

    crate::pod! {
        #[repr(i8)]
        #[derive(Debug, PartialEq)]
        enum Small { Minus = -1, Plus = 1 }
    }

    /// The offsets and sizes are those of the C ABI; padding is 0 whatever was there before.
    #[test]
    fn structures_have_the_layout_of_c() {
        let event = Event {
            flag: true,
            pid: 0x0102_0304,
            comm: *b"abc",
            state: State::Busy,
            inner: Inner { a: 9, b: u64::MAX },
        };
        assert_eq!((Event::SIZE, Inner::SIZE, Aligned::SIZE), (28, 9, 16));
        let mut bytes = [0xee; 28];
        event.write_to(&mut bytes);
        let mut expected = vec![1, 0, 0, 0];
        expected.extend(0x0102_0304_u32.to_ne_bytes());
        expected.extend(*b"abc\0");
        expected.extend(5_u32.to_ne_bytes());
        expected.push(9);
        expected.extend([0xff; 8]);
        expected.extend([0; 3]);
        assert_eq!(bytes.as_slice(), expected);
        assert_eq!(Event::read_from(&bytes), Some(event));

        // Padding is ignored; a field that is no value is not.
        bytes[1] = 0xee;
        assert_eq!(Event::read_from(&bytes), Some(event));
        for (offset, value) in [(0, 2), (12, 4)] {
            let mut bad = bytes;
            bad[offset] = value;
            assert_eq!(Event::read_from(&bad), None, "byte {offset}");
        }
        assert_eq!((Event::read_from(&bytes[..27]), Event::read_from(&[0; 29])), (None, None));
        let mut short = [7; 27];
        event.write_to(&mut short);
        assert_eq!(short, [7; 27], "nothing is written to bytes of another length");
    }

    #[test]
    fn enums_are_one_of_their_values() {
        assert_eq!((State::SIZE, State::KIND), (4, ScalarKind::Unsigned(4)));
        assert_eq!((Small::SIZE, Small::KIND), (1, ScalarKind::Signed(1)));
        assert_eq!(bytes_of(&State::Ended), 6_u32.to_ne_bytes());
        assert_eq!(State::read_from(&6_u32.to_ne_bytes()), Some(State::Ended));
        assert_eq!((State::read_from(&1_u32.to_ne_bytes()), State::read_from(&[0; 3])), (None, None));
        assert_eq!((Small::read_from(&[0xff]), Small::read_from(&[0])), (Some(Small::Minus), None));
    }

    #[test]
    fn arrays_have_the_sizes_of_their_elements() {
        assert_eq!((<[[u16; 2]; 3]>::SIZE, <[u64; 0]>::SIZE, <[(); 3]>::SIZE), (12, 0, 0));
        let nested = [[1_u16, 2], [3, 4], [5, 6]];
        assert_eq!(<[[u16; 2]; 3]>::read_from(&bytes_of(&nested)), Some(nested));
        assert_eq!(<[bool; 2]>::read_from(&[1, 2]), None);
        assert_eq!((<[u64; 0]>::read_from(&[]), <[(); 3]>::read_from(&[])), (Some([]), Some([(); 3])));
        assert_eq!((<[u64; 0]>::read_from(&[1]), <()>::read_from(&[1])), (None, None));
    }
}
