//! Types: BTF derived from Rust types, and what BTF cannot express.

use std::mem::offset_of;

use cutaway_programs::{
    btf::{Composite, Encoding, Member, Type},
    describe,
    prelude::*,
};

#[repr(C)]
struct Inner {
    small: u8,
    large: u64,
}
describe!(Inner { small, large });

#[repr(C)]
struct Outer {
    r#type: u16,
    inner: [Inner; 2],
    next: *const Outer,
    text: [u8; 5],
    bytes: [u8; 5],
    flag: bool,
}
describe!(Outer { r#type, inner, next, text: char, bytes, flag });

#[test]
fn struct_is_described_as_the_compiler_lays_it_out() {
    let Type::Struct(outer) = Outer::describe() else { panic!("not a struct") };
    assert_eq!((outer.name.as_str(), outer.bytes as usize), ("Outer", size_of::<Outer>()));
    let unsigned_char = Type::int("unsigned char", 1, Encoding::Unsigned);
    let expected = [
        ("type", offset_of!(Outer, r#type), u16::describe()),
        ("inner", offset_of!(Outer, inner), Type::array(Inner::describe(), 2)),
        ("next", offset_of!(Outer, next), Type::pointer(Type::Void)),
        ("text", offset_of!(Outer, text), Type::array(Type::char(), 5)),
        ("bytes", offset_of!(Outer, bytes), Type::array(unsigned_char, 5)),
        ("flag", offset_of!(Outer, flag), bool::describe()),
    ];
    let expected = expected.map(|(name, offset, kind)| Member::new(name, u32::try_from(offset).unwrap(), kind));
    assert_eq!(outer.members, expected);
    assert_eq!(Outer::describe().bytes(), Some(outer.bytes));
}

#[test]
fn sizes_are_those_of_c() {
    assert_eq!(Type::array(Type::array(u64::describe(), 4), 8).bytes(), Some(256));
    assert_eq!(Type::Const(Box::new(Type::Typedef("word".to_owned(), Box::new(u32::describe())))).bytes(), Some(4));
    assert_eq!(Type::Void.bytes(), None);
    assert_eq!(Type::array(Type::Void, 1).bytes(), None);
    assert_eq!(Type::array(u64::describe(), u32::MAX).bytes(), None);
}

/// Returns the error of writing an object that refers to this type.
fn complaint(kind: Type) -> String {
    struct Given;
    thread_local! { static KIND: std::cell::RefCell<Type> = const { std::cell::RefCell::new(Type::Void) } }
    impl Describe for Given {
        fn describe() -> Type {
            KIND.with_borrow(Clone::clone)
        }
    }
    KIND.set(kind);
    let mut object = ObjectBuilder::new("GPL");
    object.describe::<Given>();
    match object.write() {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_btf_cannot_express_is_refused() {
    let members = |count: usize| (0..count).map(|index| Member::new("", index as u32 * 4, u32::describe()));
    let enumeration = |name: &str, bytes, value: &str| Type::Enum {
        name: name.to_owned(),
        bytes,
        signed: false,
        values: vec![(value.to_owned(), 1)],
    };
    for (kind, words) in [
        (Type::structure("many", 65_535 * 4, members(65_535)), ""),
        (Type::structure("many", 65_536 * 4, members(65_536)), "\"many\" has more than 65535 members"),
        (
            Type::structure("far", u32::MAX, [Member::new("off", 1 << 29, u8::describe())]),
            "\"off\" lies beyond 512 MiB",
        ),
        (Type::structure("far", u32::MAX, [Member::new("off", (1 << 29) - 1, u8::describe())]), ""),
        (Type::structure("Größe", 0, []), "is not a valid identifier"),
        (Type::structure("", 0, []), ""),
        (Type::structure("s", 1, [Member::new("a b", 0, u8::describe())]), "\"a b\" is not a valid identifier"),
        (
            Type::Union(Composite { name: "9".to_owned(), bytes: 0, members: Vec::new() }),
            "\"9\" is not a valid identifier",
        ),
        (Type::Typedef(String::new(), Box::new(Type::char())), "\"\" is not a valid identifier"),
        (Type::int("odd", 3, Encoding::Signed), "\"odd\" has a size"),
        (enumeration("color", 3, "RED"), "\"color\" has a size"),
        (enumeration("color", 8, "RED"), ""),
        (enumeration("color", 4, "bright red"), "\"bright red\" is not a valid identifier"),
        (Type::pointer(Type::array(Type::structure("a-b", 0, []), 1)), "\"a-b\" is not a valid identifier"),
    ] {
        let complaint = complaint(kind.clone());
        assert_eq!(complaint.is_empty(), words.is_empty(), "{complaint}");
        assert!(complaint.contains(words), "{complaint}");
    }
}
