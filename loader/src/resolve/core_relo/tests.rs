//! Tests of the number of steps, and of error messages.

use cutaway_sys::Instruction;

use super::{
    Code, Error, Outcome, Relocation, RelocationKind,
    apply::Known,
    candidates::Candidates,
    relocate::apply_with,
    spec::Spec,
    value::{Access, Value},
};
use crate::btf::{
    Btf, Kind,
    tests::Builder,
    visitor::{Source, Visitor},
};

#[test]
fn error_names_the_instruction_by_number() {
    let target = Error::Target { why: "there is none".into() };
    assert_eq!(target.to_string(), "its CO-RE relocations need the kernel's BTF: there is none");
    let relocation = Error::Relocation {
        section: "kprobe/f".into(),
        offset: 24,
        what: "`struct s`".into(),
        why: "it is broken".into(),
    };
    assert_eq!(
        relocation.to_string(),
        "CO-RE relocation of `struct s` (instruction 3 of section `kprobe/f`) fails: it is broken"
    );
}

/// An instruction that loads the constant 1, at every offset.
struct Ones;

impl Code for Ones {
    fn read(&self, _: &str, _: u32) -> Option<Instruction> {
        Some(Instruction::new(0xb7, 0, 0, 0, 1))
    }

    fn write(&mut self, _: &str, _: u32, _: Instruction) {}
}

/// Builds BTF of `types` structures of integer members: flavors of one structure in a program, or a structure of a
/// kernel. Also returns the offsets of the members' access strings.
fn structures(types: u32, flavor: &str, members: u32) -> (Vec<u8>, Vec<u32>) {
    let mut built = Builder::new();
    let accesses = (0..10).map(|member| built.name(&format!("0:{member}"))).collect();
    built.int("int", 4, 1);
    for number in 0..types {
        let mut added = Vec::new();
        // The members that are searched for come last.
        for (index, member) in (0..members).rev().enumerate() {
            added.extend([built.name(&format!("member_{member}")), 1, index as u32 * 32]);
        }
        built.ty(&format!("s{}", flavor.replace('#', &number.to_string())), Kind::Struct, members, 4 * members, &added);
    }
    (built.bytes(), accesses)
}

/// Relocates `times` for each of ten members of each of `types` flavors of one structure, which has 100 members in the
/// kernel. Returns the number of steps.
fn steps(types: u32, times: u32) -> u64 {
    let (local, accesses) = structures(types, "___#", 10);
    let (target, _) = structures(1, "", 100);
    let local = Btf::parse(&local).unwrap();
    let mut relocations = Vec::new();
    for number in 0..times * types * 10 {
        let (type_id, access) = (2 + number / 10 % types, accesses[number as usize % 10]);
        let kind = 2; // existence of a field
        relocations.push(Relocation { section: "s", offset: number * 8, type_id, access, kind });
    }
    let mut candidates = Candidates::wanted(&local, relocations.iter().map(|relocation| relocation.type_id));
    let target = Btf::parse_watching(&target, None, |names, ty| {
        candidates.visit(0, names, ty);
    })
    .unwrap();
    let sources = [Source { name: "vmlinux", btf: &target }];
    let mut known = Known::of(relocations.len());
    let applied = apply_with(&local, &relocations, &sources, &mut candidates, &mut Ones, &mut known).unwrap();
    assert_eq!(applied.len(), relocations.len());
    for applied in &applied {
        let Outcome::Changed { before: 1, after: 1, target: Some(found) } = &applied.outcome else {
            panic!("{applied}")
        };
        assert_eq!(
            (&*found.path, found.type_id),
            (&*format!("struct s.{}", &applied.local[applied.local.len() - 8..]), 2)
        );
    }
    known.steps.taken
}

#[test]
fn repeated_requests_take_no_steps() {
    assert_eq!(steps(35, 1), steps(35, 50));
}

#[test]
fn twice_the_requests_take_twice_the_steps() {
    let (one, two) = (steps(200, 1), steps(400, 1));
    assert!(two <= one * 2 + 100, "{one} steps, and {two}");
}

#[test]
fn object_with_more_requests_may_take_more_steps() {
    // More than the allowance of an object without requests.
    assert!(steps(12_000, 1) > 20_000_000);
}

/// A comparison that branches at every level, in a file of a few hundred bytes.
#[test]
fn crafted_endless_comparison_is_refused() {
    let mut built = Builder::new();
    let access = built.name("0");
    built.ty("", Kind::Ptr, 0, 2, &[]); // 1
    built.ty("", Kind::FuncProto, 3, 0, &[0, 1, 0, 1, 0, 1]); // 2: takes three pointers to such
    built.ty("t", Kind::Typedef, 0, 1, &[]); // 3
    let bytes = built.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let relocation = Relocation { section: "s", offset: 0, type_id: 3, access, kind: 8 };
    let mut candidates = Candidates::wanted(&btf, [3].into_iter());
    btf.watch(|names, ty| {
        candidates.visit(0, names, ty);
    });
    let sources = [Source { name: "vmlinux", btf: &btf }];
    let why = apply_with(&btf, &[relocation], &sources, &mut candidates, &mut Ones, &mut Known::of(1)).unwrap_err();
    assert!(why.to_string().contains("too deeply") || why.to_string().contains("takes too long"), "{why}");
}

/// libbpf's rule (`is_flex_arr`): only the last member of a structure may have undeclared elements.
#[test]
fn only_the_last_member_has_undeclared_elements() {
    let mut built = Builder::new();
    let [n, none, rest, mid, end] = ["n", "none", "rest", "0:1:0", "0:2:3"].map(|name| built.name(name));
    built.int("int", 4, 1); // 1
    built.ty("", Kind::Array, 0, 0, &[1, 1, 0]); // 2
    built.ty("s", Kind::Struct, 3, 4, &[n, 1, 0, none, 2, 32, rest, 2, 32]); // 3
    let bytes = built.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    let read = |access| Spec::read(&btf, 3, btf.string(access), RelocationKind::FieldByteOffset);
    assert_eq!(read(mid).unwrap_err(), "an array has no element 0");
    let spec = read(end).unwrap();
    assert_eq!((spec.to_string().as_str(), spec.bit_offset), ("struct s.rest[3]", 32 + 3 * 32));
    let value = Value::of(RelocationKind::FieldByteOffset, &spec).unwrap();
    assert_eq!((value.value, value.access), (16, Some(Access { size: 4, type_id: 1 })));
}
