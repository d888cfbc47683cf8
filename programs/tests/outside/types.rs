//! Every kind of type, printed as C by bpftool, and accepted by the kernel.

use cutaway_programs::{
    btf::{Composite, Member, Type},
    describe,
    prelude::*,
};

#[repr(C)]
struct Leaf {
    number: i16,
    text: [u8; 6],
}
describe!(Leaf { number, text: char });

#[repr(C)]
struct Tree {
    leaves: [[Leaf; 3]; 2],
    next: *mut Tree,
    whole: bool,
}
describe!(Tree { leaves, next, whole });

/// Types that Rust cannot express: an enum, an anonymous union, a typedef.
struct Reading;

impl Describe for Reading {
    fn describe() -> Type {
        let value = |name: &str, value| (name.to_owned(), value);
        let unit = Type::Enum {
            name: "unit".to_owned(),
            bytes: 4,
            signed: true,
            values: vec![value("KELVIN", 0), value("BELOW", -1)],
        };
        let mask = Type::Enum {
            name: "mask".to_owned(),
            bytes: 8,
            signed: false,
            values: vec![value("LOW", 1), value("HIGH", 1 << 40)],
        };
        let either = Type::Union(Composite {
            name: String::new(),
            bytes: 8,
            members: vec![
                Member::new("signed_value", 0, i64::describe()),
                Member::new("unsigned_value", 0, Type::Typedef("word".to_owned(), Box::new(u64::describe()))),
            ],
        });
        let constant = Type::pointer(Type::Const(Box::new(Type::char())));
        let members = [("unit", 0, unit), ("mask", 8, mask), ("", 16, either), ("name", 24, constant)];
        let members = members.map(|(name, offset, kind)| Member::new(name, offset, kind));
        Type::structure("reading", 32, members)
    }
}

/// The types as bpftool prints them.
pub(crate) const AS_C: &[&str] = &[
    "enum unit {\n\tKELVIN = 0,\n\tBELOW = -1,\n};",
    "enum mask {\n\tLOW = 1ULL,\n\tHIGH = 1099511627776ULL,\n};",
    "typedef unsigned long long word;",
    "struct reading {\n\tenum unit unit;\n\tenum mask mask;\n\tunion {\n\t\tlong long signed_value;\n\t\tword \
     unsigned_value;\n\t};\n\tconst char *name;\n};",
    "struct Leaf {\n\tshort number;\n\tchar text[6];\n};",
    "struct Tree {\n\tstruct Leaf leaves[2][3];\n\tvoid *next;\n\t_Bool whole;\n};",
];

/// Returns an object that refers to them all, in every kind of section.
pub(crate) fn object() -> ObjectBuilder {
    let mut object = ObjectBuilder::new("GPL");
    object.describe::<Tree>();
    object.map("readings", MapDef::new(MapType::HASH).key::<[u8; 3]>().value::<Reading>().max_entries(2));
    object.variable(".data", "trees", Variable::zeroed::<[Tree; 2]>());
    let numbers = object.variable(".data.numbers", "numbers", Variable::new([[1i8, -1], [2, -2]]));
    object.variable(".rodata.truth", "truth", Variable::new(true));
    object.variable(".bss", "byte", Variable::zeroed::<u8>());
    let aligned = object.variable(".bss", "aligned", Variable::zeroed::<u64>());

    // numbers[1][1] + aligned
    let mut asm = Assembler::new();
    asm.load_address(R1, numbers, 3);
    asm.load(B, R0, R1, 0);
    asm.load_address(R1, aligned, 0);
    asm.load(DW, R1, R1, 0);
    asm.add(R0, R1);
    asm.exit();
    object.program("raw_tracepoint/sys_enter", "program", asm);
    object
}
