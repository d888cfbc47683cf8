//! BTF built word by word, well-formed and broken.

mod values;

use super::{Broken, Btf, Ext, Kind};

/// Builds the contents of a section `.BTF`.
pub(crate) struct Builder {
    words: Vec<u32>,
    strings: Vec<u8>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { words: Vec::new(), strings: vec![0] }
    }

    pub(crate) fn name(&mut self, name: &str) -> u32 {
        let at = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    pub(crate) fn ty(&mut self, name: &str, kind: Kind, info: u32, size_or_type: u32, added: &[u32]) -> &mut Self {
        let name = if name.is_empty() { 0 } else { self.name(name) };
        self.words.extend([name, (kind as u32) << 24 | info, size_or_type]);
        self.words.extend(added);
        self
    }

    pub(crate) fn int(&mut self, name: &str, size: u32, encoding: u32) -> &mut Self {
        self.ty(name, Kind::Int, 0, size, &[encoding << 24 | (size * 8)])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = self.words.len() as u32 * 4;
        let mut bytes = super::header::MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, length, length, self.strings.len() as u32].iter().chain(&self.words) {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(&self.strings);
        bytes
    }
}

const FLAG: u32 = 1 << 31;

#[test]
fn sizes_follow_typedefs_and_arrays() {
    let mut built = Builder::new();
    built
        .int("int", 4, 1) // 1
        .ty("number", Kind::Typedef, 0, 1, &[]) // 2
        .ty("", Kind::Const, 0, 2, &[]) // 3
        .ty("", Kind::Array, 0, 0, &[3, 1, 4]) // 4: const number[4]
        .ty("", Kind::Array, 0, 0, &[4, 1, 3]) // 5: of those 3
        .ty("", Kind::Ptr, 0, 5, &[]) // 6
        .ty("", Kind::FuncProto, 0, 1, &[]) // 7
        .ty("", Kind::Array, 0, 0, &[5, 1, 1 << 29]); // 8: too large
    let bytes = built.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let sizes: Vec<_> = (0..=9).map(|id| btf.size_of(id)).collect();
    assert_eq!(
        sizes,
        [None, Some(4), Some(4), Some(4), Some(16), Some(48), Some(8), None, None, None],
        "void, int, number, const, [4], [3][4], pointer, function, too large, not there"
    );
    assert_eq!(btf.resolve(3).unwrap().id(), 1);
    assert_eq!(btf.ty(5).array().unwrap().len, 3);
    assert_eq!(btf.end(), 9);
}

#[test]
fn pointers_are_as_wide_as_long() {
    for (name, size, pointer) in [
        ("long unsigned int", 4, 4),
        ("long", 8, 8),
        ("unsigned long", 4, 4),
        ("long long int", 4, 8),
        ("int", 4, 8),
        ("long double", 4, 8),
        ("long", 7, 8),
    ] {
        let bytes = Builder::new().int(name, size, 0).bytes();
        assert_eq!(Btf::parse(&bytes).unwrap().pointer_size(), pointer, "{name}");
    }
}

#[test]
fn circles_have_no_size() {
    let mut built = Builder::new();
    built.ty("a", Kind::Typedef, 0, 2, &[]).ty("", Kind::Const, 0, 1, &[]).ty("", Kind::Array, 0, 0, &[3, 1, 1]);
    let bytes = built.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    for id in 1..=3 {
        assert_eq!(btf.size_of(id), None);
    }
    assert!(btf.resolve(1).is_none());
}

#[test]
fn members_are_bit_fields_only_if_the_structure_has_the_flag() {
    let mut built = Builder::new();
    let (a, b) = (built.name("a"), built.name("b"));
    built.int("int", 4, 1).ty("s", Kind::Struct, 2 | FLAG, 8, &[a, 1, 3 << 24 | 5, b, 1, 32]).ty(
        "s",
        Kind::Union,
        1,
        4,
        &[a, 1, 3 << 24 | 5],
    );
    let bytes = built.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let members = |id| btf.ty(id).members().map(|m| (m.name, m.bit_offset, m.bits)).collect::<Vec<_>>();
    assert_eq!(members(2), [(b"a".as_slice(), 5, 3), (b"b".as_slice(), 32, 0)]);
    assert_eq!(members(3), [(b"a".as_slice(), 3 << 24 | 5, 0)]);
    assert_eq!(members(1), []);
    assert_eq!(btf.ty(2).member(2), None);
    assert_eq!(btf.find(Kind::Union, "s").unwrap().id(), 3);
    assert_eq!(btf.ty(3).to_string(), "union s");
}

#[test]
fn enumerators_are_sign_extended_unless_btf_has_signs() {
    let values = |built: &mut Builder, id| {
        let bytes = built.bytes();
        let btf = Btf::parse(&bytes).unwrap();
        btf.ty(id).values().map(|value| value.value).collect::<Vec<_>>()
    };
    let mut built = Builder::new();
    built.ty("old", Kind::Enum, 1, 4, &[0, u32::MAX]);
    assert_eq!(values(&mut built, 1), [u64::MAX], "no enumeration is marked as signed");
    built.ty("signed", Kind::Enum, 1 | FLAG, 4, &[0, u32::MAX - 1]);
    assert_eq!(values(&mut built, 1), [u64::from(u32::MAX)]);
    assert_eq!(values(&mut built, 2), [u64::MAX - 1]);
    built.ty("wide", Kind::Enum64, 1, 8, &[0, 1, 2]);
    assert_eq!(values(&mut built, 3), [2 << 32 | 1]);
}

#[test]
fn split_btf_continues_its_base() {
    let mut base = Builder::new();
    base.int("int", 4, 1);
    let mut split = Builder { words: Vec::new(), strings: Vec::new() };
    split.ty("mine", Kind::Typedef, 0, 1, &[]);
    // Its name offsets continue after the base's strings.
    split.words[0] = base.strings.len() as u32;
    let (base, split) = (base.bytes(), split.bytes());
    let base = Btf::parse(&base).unwrap();
    let btf = Btf::parse_split(&split, &base).unwrap();
    assert_eq!(btf.ty(2).name(), "mine");
    assert_eq!(btf.ty(1).name(), "int");
    assert_eq!(btf.resolve(2).unwrap().id(), 1);
    assert_eq!(btf.types().count(), 1);
    assert_eq!(btf.end(), 3);
    assert!(Btf::parse(&split).is_err(), "without its base, its strings do not begin with the empty string");
}

/// Types of all lengths, so that none is where a fixed length would put it.
#[test]
fn each_type_is_found_by_its_id() {
    let mut built = Builder::new();
    for id in 1..=100_u32 {
        let name = format!("type_{id}");
        match id % 4 {
            0 => built.int(&name, id, 0),
            1 => built.ty(&name, Kind::Typedef, 0, 4, &[]),
            2 => built.ty(&name, Kind::Array, 0, 0, &[4, 4, id]),
            _ => built.ty(&name, Kind::Enum, id % 7, 4, &[[0, id]; 7].concat()[..id as usize % 7 * 2]),
        };
    }
    let bytes = built.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.end(), 101);
    let in_order: Vec<_> = btf.types().map(|ty| (ty.id(), ty.name().to_string())).collect();
    let expected: Vec<_> = (1..=100).map(|id| (id, format!("type_{id}"))).collect();
    assert_eq!(in_order, expected);
    for (id, name) in expected.iter().rev() {
        let ty = btf.ty(*id);
        assert_eq!((ty.id(), ty.name().to_string()), (*id, name.clone()));
        if let Some(array) = ty.array() {
            assert_eq!(array.len, *id);
        }
    }
    for none in [0, 101, 102, 108, u32::MAX] {
        assert_eq!(btf.ty(none).kind(), Kind::Void, "id {none}");
    }
}

#[test]
fn references_outside_are_refused_with_the_reason() {
    let refusal = |built: &mut Builder| Btf::parse(&built.bytes()).unwrap_err().to_string();
    let types = [
        (Kind::Ptr, 0, 2, vec![], "refers to type 2"),
        (Kind::Array, 0, 0, vec![1, 7, 1], "refers to type 7"),
        (Kind::Struct, 1, 4, vec![0, 9, 0], "refers to type 9"),
        (Kind::FuncProto, 1, 0, vec![0, 9], "refers to type 9"),
        (Kind::Datasec, 1, 0, vec![9, 0, 0], "refers to type 9"),
        (Kind::Struct, 1, 4, vec![99, 0, 0], "a name is at 99"),
        (Kind::Enum, 1, 4, vec![99, 0], "a name is at 99"),
        (Kind::Enum64, 1, 8, vec![99, 0, 0], "a name is at 99"),
        (Kind::Struct, 2, 4, vec![0, 0, 0], "reaches beyond"),
        (Kind::Int, 0, 4, vec![], "reaches beyond"),
        (Kind::Void, 0, 0, vec![], "kind 0"),
    ];
    for (kind, info, last, added, why) in types {
        let text = refusal(Builder::new().ty("", kind, info, last, &added));
        assert!(text.contains(why), "{kind:?}: {text}");
    }
    let mut unknown = Builder::new();
    unknown.words = vec![0, 20 << 24, 0];
    assert!(refusal(&mut unknown).contains("kind 20"));
    unknown.words = vec![0, 1];
    assert!(refusal(&mut unknown).contains("cut off"));
    let mut unended = Builder::new();
    unended.strings = b"\0int".to_vec();
    assert!(refusal(&mut unended).contains("NUL"));
    unended.strings = Vec::new();
    assert!(refusal(&mut unended).contains("NUL"));
}

#[test]
fn truncation_is_refused_at_every_length() {
    let bytes = Builder::new().int("int", 4, 1).ty("", Kind::Ptr, 0, 1, &[]).bytes();
    assert!(Btf::parse(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(Btf::parse(&bytes[..length]).is_err(), "{length} bytes");
    }
}

/// A section's name, and the first words of its records.
type Read = Vec<(u32, Vec<[u32; 2]>)>;

/// Builds `.BTF.ext` with these records as `func_info`, and no others.
fn ext(part: &[u32]) -> Vec<u8> {
    let length = part.len() as u32 * 4;
    let mut bytes = super::header::MAGIC.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    for word in [32, 0, length, length, 0, length, 0].iter().chain(part) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

#[test]
fn records_of_any_length_are_read() {
    let btf = Builder::new().int("int", 4, 1).bytes();
    let btf = Btf::parse(&btf).unwrap();
    let read = |part: &[u32]| -> Result<Read, Broken> {
        let bytes = ext(part);
        let ext = Ext::parse(&bytes, &btf)?;
        assert_eq!(ext.core_relo().count() + ext.line_info().count(), 0);
        Ok(ext.func_info().map(|records| (records.section, records.words().collect())).collect())
    };
    assert_eq!(read(&[8, 1, 2, 10, 11, 20, 21]).unwrap(), [(1, vec![[10, 11], [20, 21]])]);
    assert_eq!(read(&[12, 1, 1, 10, 11, 99, 2, 1, 20, 21, 99]).unwrap(), [(1, vec![[10, 11]]), (2, vec![[20, 21]])]);
    assert_eq!(read(&[]).unwrap(), []);
    for broken in [
        &[8, 1, 2, 10, 11][..],
        &[4, 1, 1, 10],
        &[9, 1, 1, 10, 11],
        &[8, 1, 0],
        &[8, 99, 1, 10, 11],
        &[8, 1],
        &[8, 1, u32::MAX, 0, 0],
        &[u32::MAX - 3, 1, u32::MAX, 0, 0],
    ] {
        assert!(read(broken).is_err(), "{broken:?}");
    }
}
