//! Checks that the work grows in proportion to the object.

use std::cell::Cell;

use cutaway::Object;

use super::super::{
    aya_obj::AyaObj,
    report::{Against, Report},
};

#[path = "../../../../tests/live/support/many_core.rs"]
mod many_core;

thread_local! {
    /// The number of comparisons of a relocation's offset with an instruction's.
    pub(super) static COMPARED: Cell<u64> = const { Cell::new(0) };
}

/// Inspects an object with `programs` programs of 100 relocations each, and returns the number of comparisons.
fn compared(programs: usize) -> u64 {
    let bytes = many_core::object(programs, 100);
    let object = Object::parse(&bytes).unwrap();
    let types = object.btf().unwrap();
    COMPARED.set(0);
    let report = Report::new("many.o", object, Against::Btf(&types), &[], AyaObj::default());
    assert_eq!((report.failure, report.core.map_or(0, |core| core.len())), (None, programs * 100));
    for program in &report.programs {
        assert_eq!((&program.refused, program.linked_slots), (&None, Some(102)));
        let rows = program.listing.iter().flatten();
        let relocated = rows.filter(|row| matches!(row, super::Row::Instruction { core: Some(_), .. }));
        assert_eq!(relocated.count(), 100, "{}", program.name);
    }
    COMPARED.get()
}

#[test]
fn work_grows_in_proportion_to_relocations() {
    let (one, two) = (compared(20), compared(40));
    assert!(one > 0 && two * 10 <= one * 22, "{one} comparisons, and {two}");
}
