//! Layouts of the corpus' objects and of types written here, and the bytes of values.

use super::*;
use crate::{MapSpec, Object, btf::tests::Builder};

fn corpus(name: &str) -> Object {
    let path = format!("{}/../tests/corpus/kinds/{name}.o", env!("CARGO_MANIFEST_DIR"));
    Object::parse_any_endian(&std::fs::read(path).unwrap()).unwrap()
}

fn specs_of(object: &Object) -> &MapSpec {
    object.maps().iter().find(|map| map.name == "__bpf_usdt_specs").unwrap()
}

/// Returns the layout of an object, by its types.
fn described(name: &str, order: Order) -> UsdtLayout {
    let object = corpus(name);
    let map = specs_of(&object);
    let btf = object.own_btf().unwrap().unwrap();
    UsdtLayout::of(map.value_size as usize, Some((&btf, map.value_type().unwrap())), order).unwrap()
}

const SIB: UsdtArgument = UsdtArgument {
    val_off: -2_i64 as u64,
    arg_type: 3,
    reg_off: 0x120,
    arg_signed: true,
    arg_bitshift: 32,
    index: Some((0xa50, 3)),
};
const COOKIE: u64 = 0x0102_0304_0506_0708;

#[test]
fn types_and_sizes_give_the_same_layout() {
    for (name, order) in [("usdt", Order::Little), ("usdt_eb", Order::Big)] {
        let layout = described(name, order);
        let known = UsdtLayout::of(304, None, order).unwrap();
        assert_eq!(layout, UsdtLayout { known_by: KnownBy::Types, ..known }, "{name}");
        assert_eq!((layout.has_index(), layout.index_doubt()), (true, None), "{name}");
    }
    let old = described("usdt_before_1_7", Order::Little);
    let known = UsdtLayout::of(208, None, Order::Little).unwrap();
    assert!(!old.has_index() && known.has_index());
    assert!(old.index_doubt().unwrap().starts_with("the program gets EINVAL for it"));
    assert!(known.index_doubt().unwrap().contains("probably"));
    let word = Field { name: "arg_type", offset: 64, bits: 32 };
    let argument = ArgumentLayout { index: None, arg_type: word, ..known.argument.clone() };
    assert_eq!(old, UsdtLayout { known_by: KnownBy::Types, argument, ..known });
}

#[test]
fn maps_without_a_type_are_known_by_their_size() {
    for (name, size) in [("usdt_untyped", 304), ("usdt_legacy", 208), ("usdt_legacy_no_btf", 208)] {
        let object = corpus(name);
        let map = specs_of(&object);
        assert_eq!((map.value_size, map.value_type()), (size, None), "{name}");
    }
    for size in [0, 16, 24, 192, 207, 209, 240, 288, 303, 305, 320, usize::MAX] {
        let why = UsdtLayout::of(size, None, Order::NATIVE).unwrap_err();
        assert!(why.starts_with(&format!("have {size} bytes and no type")), "{why}");
    }
}

/// The offsets are those that clang and gcc give the header's structure.
#[test]
fn argument_of_libbpf_1_7_has_24_bytes() {
    let mut expected = vec![0; 304];
    let argument =
        [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 0, 0x50, 0x3a, 0, 0, 0x20, 1, 1, 32, 0, 0, 0, 0, 0, 0];
    expected[24..48].copy_from_slice(&argument);
    expected[288..296].copy_from_slice(&COOKIE.to_le_bytes());
    expected[296] = 2;
    let value = described("usdt", Order::Little).value(&[UsdtArgument::default(), SIB], COOKIE).unwrap();
    assert_eq!(value, expected);

    let mut expected = vec![0; 304];
    let argument =
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0xa5, 0x03, 3, 0, 1, 0x20, 1, 32, 0, 0, 0, 0, 0, 0];
    expected[24..48].copy_from_slice(&argument);
    expected[288..296].copy_from_slice(&COOKIE.to_be_bytes());
    expected[297] = 2;
    let value = described("usdt_eb", Order::Big).value(&[UsdtArgument::default(), SIB], COOKIE).unwrap();
    assert_eq!(value, expected);
}

#[test]
fn argument_before_libbpf_1_7_has_16_bytes() {
    let memory = UsdtArgument { arg_type: 2, index: None, ..SIB };
    let value = described("usdt_before_1_7", Order::Little).value(&[memory], COOKIE).unwrap();
    assert_eq!(value.len(), 208);
    assert_eq!(value[..16], [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0x20, 1, 1, 32]);
    assert_eq!((&value[192..200], &value[200..]), (&COOKIE.to_le_bytes()[..], &[1, 0, 0, 0, 0, 0, 0, 0][..]));

    // Without types, the index is in the word that the older header reads as `arg_type`.
    let known = UsdtLayout::of(208, None, Order::Little).unwrap();
    assert_eq!(known.value(&[memory], COOKIE).unwrap(), value);
    assert_eq!(known.value(&[SIB], COOKIE).unwrap()[8..16], [3, 0x50, 0x3a, 0, 0x20, 1, 1, 32]);
    let known = UsdtLayout::of(208, None, Order::Big).unwrap();
    assert_eq!(known.value(&[SIB], COOKIE).unwrap()[8..16], [0, 0xa5, 0x03, 3, 1, 0x20, 1, 32]);
    assert_eq!(known.value(&[memory], COOKIE).unwrap()[8..16], [0, 0, 0, 2, 1, 0x20, 1, 32]);
}

#[test]
fn more_arguments_than_the_layout_has_are_refused() {
    let layout = described("usdt", Order::Little);
    assert!(layout.value(&[SIB; 12], COOKIE).is_ok());
    let why = layout.value(&[SIB; 13], COOKIE).unwrap_err();
    assert_eq!(why, "the probe has 13 arguments, and libbpf's layout has room for 12");
}

/// Types of a value: `args`, a member after them, and the members of an argument as name, type, offset and bits.
struct Types {
    members: Vec<(&'static str, u32, u32, u32)>,
    spec: Vec<(&'static str, u32, u32)>,
    /// The structure's size, and that of an argument.
    sizes: (u32, u32),
    count: u32,
    flag: u32,
}

const FLAG: u32 = 1 << 31;
/// Ids of the first types.
const LONG: u32 = 1;
const SHORT: u32 = 2;
const CHAR: u32 = 3;
/// Bits 4 to 15 of a short, as compilers described bit fields before Linux 5.0.
const OLD_FIELD: u32 = 4;
const ARRAY: u32 = 7;

impl Types {
    /// Returns a small layout: two arguments of 24 bytes.
    fn new() -> Self {
        let members = vec![
            ("val_off", LONG, 0, 0),
            ("arg_type", CHAR, 64, 0),
            ("idx_reg_off", SHORT, 80, 12),
            ("scale_bitshift", SHORT, 92, 4),
            ("reg_off", SHORT, 96, 0),
            ("arg_signed", CHAR, 112, 0),
            ("arg_bitshift", CHAR, 120, 0),
        ];
        let spec = vec![("usdt_cookie", LONG, 0), ("args", ARRAY, 64), ("arg_cnt", CHAR, 448)];
        Self { members, spec, sizes: (64, 24), count: 2, flag: FLAG }
    }

    fn layout(&self, order: Order) -> Result<UsdtLayout, String> {
        self.with_bytes(&mut |btf, id| UsdtLayout::of(64, Some((btf, id)), order))
    }

    fn with_bytes<T>(&self, act: &mut dyn FnMut(&Btf<'_>, u32) -> T) -> T {
        let mut built = Builder::new();
        built.int("long", 8, 0).int("short", 2, 0).int("char", 1, 0);
        built.ty("short", Kind::Int, 0, 2, &[4 << 16 | 12]).int("bits", 16, 0);
        let members: Vec<_> =
            self.members.iter().flat_map(|&(name, ty, at, bits)| [built.name(name), ty, bits << 24 | at]).collect();
        built.ty("__bpf_usdt_arg_spec", Kind::Struct, self.members.len() as u32 | self.flag, self.sizes.1, &members);
        built.ty("", Kind::Array, 0, 0, &[6, 1, self.count]);
        let spec: Vec<_> = self.spec.iter().flat_map(|&(name, ty, at)| [built.name(name), ty, at]).collect();
        built.ty("__bpf_usdt_spec", Kind::Struct, self.spec.len() as u32, self.sizes.0, &spec);
        let bytes = built.bytes();
        act(&Btf::parse(&bytes).unwrap(), 8)
    }

    fn refused(&self) -> String {
        self.layout(Order::NATIVE).unwrap_err()
    }
}

#[test]
fn any_order_of_members_is_written() {
    let layout = Types::new().layout(Order::Little).unwrap();
    let value = layout.value(&[UsdtArgument::default(), SIB], COOKIE).unwrap();
    assert_eq!(value[..8], COOKIE.to_le_bytes());
    assert_eq!(value[32..48], [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 0, 0x50, 0x3a, 0x20, 1, 1, 32]);
    assert_eq!(value[56..], [2, 0, 0, 0, 0, 0, 0, 0]);
}

/// This crate's decoder of values reads what is written.
#[test]
fn written_value_is_decoded_by_its_types() {
    Types::new().with_bytes(&mut |btf, id| {
        let layout = UsdtLayout::of(64, Some((btf, id)), Order::NATIVE).unwrap();
        let value = layout.value(&[SIB, UsdtArgument::default()], COOKIE).unwrap();
        let text = format!("{:?}", btf.value(id, &value));
        for part in [
            ("usdt_cookie", COOKIE),
            ("idx_reg_off", 0xa50),
            ("scale_bitshift", 3),
            ("reg_off", 0x120),
            ("val_off", SIB.val_off),
        ] {
            assert!(text.contains(&part.1.to_string()), "{part:?} in {text}");
        }
    });
}

#[test]
fn bit_fields_of_old_compilers_are_written() {
    let mut types = Types::new();
    types.flag = 0;
    types.members[2] = ("idx_reg_off", OLD_FIELD, 76, 0);
    types.members[3] = ("scale_bitshift", CHAR, 128, 0);
    let layout = types.layout(Order::Little).unwrap();
    // The field's 12 bits begin 4 bits after the member.
    assert_eq!(layout.argument.index.unwrap()[0], Field { name: "idx_reg_off", offset: 80, bits: 12 });
}

#[test]
fn half_an_index_is_no_index() {
    let mut types = Types::new();
    types.members.remove(3);
    let layout = types.layout(Order::NATIVE).unwrap();
    assert!(!layout.has_index());
    assert!(layout.index_doubt().is_some());
}

#[test]
fn types_of_other_structures_are_refused() {
    let refused = |change: &dyn Fn(&mut Types), part: &str| {
        let mut types = Types::new();
        change(&mut types);
        let why = types.refused();
        assert!(why.starts_with("have ") && why.contains(part), "{why}");
    };
    refused(&|types| types.members[0].0 = "value", "`__bpf_usdt_arg_spec` without the member `val_off`");
    refused(&|types| types.members[4].0 = "register", "without the member `reg_off`");
    refused(&|types| types.spec[0].0 = "cookie", "`__bpf_usdt_spec` without the member `usdt_cookie`");
    refused(&|types| types.spec[1].0 = "arguments", "without the member `args`");
    refused(&|types| types.spec[1].1 = LONG, "`args` in `__bpf_usdt_spec` that is not an array");
    refused(&|types| types.sizes.0 = 72, "have 64 bytes, and their type `__bpf_usdt_spec` has 72");
    // A number of 128 bits, one outside the structure, and an array.
    refused(&|types| types.members[0].1 = 5, "`val_off` in `__bpf_usdt_arg_spec` that is not a number");
    refused(&|types| types.members[6].2 = 192, "`arg_bitshift` in `__bpf_usdt_arg_spec` that is not a number");
    refused(&|types| types.spec[2].1 = ARRAY, "`arg_cnt` in `__bpf_usdt_spec` that is not a number");
    for (id, part) in
        [(0, "not a structure"), (LONG, "not a structure"), (ARRAY, "not a structure"), (99, "not a structure")]
    {
        let why =
            Types::new().with_bytes(&mut |btf, _| UsdtLayout::of(64, Some((btf, id)), Order::NATIVE).unwrap_err());
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let mut types = Types::new();
    types.members[4].1 = CHAR;
    let why = types.layout(Order::NATIVE).unwrap().value(&[SIB], 0).unwrap_err();
    assert_eq!(why, "the member `reg_off` of libbpf's layout has 8 bits, too few for 0x120");
    // An array that is longer than its structure.
    let mut types = Types::new();
    types.count = u32::MAX;
    let layout = types.layout(Order::NATIVE).unwrap();
    let why = layout.value(&[SIB; 3], 0).unwrap_err();
    assert!(why.contains("is outside its value"), "{why}");
}
