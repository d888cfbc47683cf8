//! Checks small crates, with and without faults.
use std::fs;

use super::*;

/// Writes a crate of these files into a directory of its own, checks it, and returns the faults.
fn checked(name: &str, root: &str, files: &[(&str, &str)]) -> Vec<String> {
    let directory = std::env::temp_dir().join(format!("cutaway-structure-{name}-{}", std::process::id()));
    for (file, text) in files {
        let file = directory.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let faults = faults(&directory, root);
    fs::remove_dir_all(directory).unwrap();
    faults.unwrap()
}

#[test]
fn circle_of_two_files_is_found() {
    let faults = checked(
        "two",
        "src/lib.rs",
        &[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "use crate::b::B; pub struct A; fn f() -> B { B }"),
            ("src/b.rs", "pub struct B; fn f(_: super::a::A) {}"),
        ],
    );
    assert_eq!(
        faults,
        [
            "circle of 2 files:",
            "    src/a.rs imports crate::b::B of src/b.rs",
            "    src/b.rs imports super::a::A of src/a.rs",
        ]
    );
}

#[test]
fn circle_of_three_files_is_found_through_a_facade_and_a_renaming() {
    let files = [
        ("src/main.rs", "mod facade; use facade::*; use One as Uno; mod last;"),
        ("src/facade.rs", "mod one; mod two; pub use self::{one::One, two::*};"),
        ("src/facade/one.rs", "use super::Two; pub struct One(Two);"),
        ("src/facade/two.rs", "pub struct Two(crate::last::Last);"),
        ("src/last.rs", "pub struct Last; impl From<crate::Uno> for Last { fn from(_: crate::Uno) -> Self { Last } }"),
    ];
    let faults = checked("three", "src/main.rs", &files);
    assert_eq!(faults.first().map(String::as_str), Some("circle of 3 files:"), "{faults:?}");
    assert_eq!(faults.len(), 4, "{faults:?}");
    // A facade that only re-exports is in no circle.
    assert!(faults.iter().all(|line| !line.contains("facade.rs")), "{faults:?}");
}

#[test]
fn visibility_is_no_import() {
    let files = [
        ("src/lib.rs", "mod outer;"),
        ("src/outer.rs", "mod inner; pub struct Outer(inner::Inner);"),
        ("src/outer/inner.rs", "pub(in crate::outer) struct Inner(pub(in crate::outer) u8);"),
    ];
    assert_eq!(checked("visibility", "src/lib.rs", &files), [""; 0]);
}

#[test]
fn paths_in_macros_count() {
    let faults = checked(
        "macros",
        "src/lib.rs",
        &[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "pub const A: u8 = 1; fn f() { println!(\"{}\", [crate::b::B].len()) }"),
            ("src/b.rs", "pub const B: u8 = super::a::A;"),
        ],
    );
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn tests_and_impl_blocks_in_later_files_are_no_circles() {
    let faults = checked(
        "fine",
        "src/lib.rs",
        &[
            ("src/lib.rs", "mod ty; mod walk;"),
            (
                "src/ty.rs",
                "pub struct Ty; impl Ty { #[cfg(test)] fn seen() { crate::walk::walk(&Ty) } } \
                 #[cfg(test)] use crate::walk::walk; #[cfg(test)] mod tests { use crate::walk::Walk; }",
            ),
            (
                "src/walk.rs",
                "use crate::ty::Ty; pub enum Walk {} impl Ty { pub fn go(&self) {} } pub fn walk(_: &Ty) {}",
            ),
        ],
    );
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn import_of_a_later_stage_is_found() {
    let faults = checked(
        "stages",
        "loader/src/lib.rs",
        &[
            ("loader/src/lib.rs", "mod elf; mod link; mod object; mod new;"),
            ("loader/src/elf.rs", "pub struct Elf;"),
            ("loader/src/object.rs", "mod parse;"),
            ("loader/src/object/parse.rs", "use crate::{elf::Elf, link::Linked}; pub struct Parse(Elf, Linked);"),
            ("loader/src/link.rs", "pub struct Linked;"),
            ("loader/src/new.rs", "use crate::elf::Elf;"),
        ],
    );
    assert_eq!(
        faults,
        [
            "loader/src/new.rs imports crate::elf::Elf of loader/src/elf.rs: one of them is in no stage (STAGES in \
             structure.rs)",
            "loader/src/object/parse.rs imports crate::link::Linked of loader/src/link.rs, a later stage",
        ]
    );
}
