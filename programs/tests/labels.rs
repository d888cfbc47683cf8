//! Labels: distances, and every error.
#![expect(clippy::unwrap_used, reason = "clippy does not see helper functions as tests")]

use std::panic::Location;

use cutaway_programs::{Error, prelude::*};

/// Returns the caller's Rust line. The column is not compared, because other code shares the line.
#[track_caller]
fn here() -> (&'static str, u32) {
    let at = Location::caller();
    (at.file(), at.line())
}

fn line(at: &'static Location<'static>) -> (&'static str, u32) {
    (at.file(), at.line())
}

fn texts(asm: Assembler) -> Vec<String> {
    asm.finish().unwrap().texts().map(|text| text.to_string()).collect()
}

#[test]
fn distances_count_slots_not_instructions() {
    let mut asm = Assembler::new();
    let (back, on) = (asm.label("back"), asm.label("on"));
    asm.bind(back);
    asm.jump(on);
    asm.load_imm64(R1, 1); // two slots
    asm.bind(on);
    asm.load_imm64(R2, 2);
    asm.jump_if(Ne, R1, R2, back);
    asm.jump_long(back);
    asm.jump_long(on);
    let expected = ["goto +2", "r1 = 1 ll", "r2 = 2 ll", "if r1 != r2 goto -6", "gotol -7", "gotol -5"];
    assert_eq!(texts(asm), expected);
}

#[test]
fn jump_to_itself_and_to_the_next_instruction() {
    let mut asm = Assembler::new();
    let (itself, next) = (asm.label("itself"), asm.label("next"));
    asm.bind(itself);
    asm.jump(itself);
    asm.jump(next);
    asm.bind(next);
    asm.exit();
    assert_eq!(texts(asm), ["goto -1", "goto +0", "exit"]);
}

#[test]
fn two_labels_at_one_instruction() {
    let mut asm = Assembler::new();
    let (first, second) = (asm.label("first"), asm.label("second"));
    asm.jump(first);
    asm.jump(second);
    asm.bind(first);
    asm.bind(second);
    asm.exit();
    assert_eq!(texts(asm), ["goto +1", "goto +0", "exit"]);
}

#[test]
fn unbound_label_is_reported_at_its_first_use() {
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.exit();
    let (expected, ()) = (here(), asm.jump(done));
    asm.jump(done);
    let error = asm.finish().unwrap_err();
    let Error::LabelUnbound { label, at } = &error else { panic!("{error:?}") };
    assert_eq!((*label, line(at)), ("done", expected));
    let text = error.to_string();
    assert!(text.starts_with("label `done`, used at ") && text.contains("labels.rs:"), "{text}");
}

#[test]
fn unused_unbound_label_is_reported_where_it_was_created() {
    let mut asm = Assembler::new();
    let (expected, _) = (here(), asm.label("idle"));
    asm.exit();
    let Err(Error::LabelUnbound { label, at }) = asm.finish() else { panic!("no error") };
    assert_eq!((label, line(at)), ("idle", expected));
}

#[test]
fn label_bound_twice_is_refused() {
    let mut asm = Assembler::new();
    let twice = asm.label("twice");
    let (one, ()) = (here(), asm.bind(twice));
    asm.exit();
    let (two, ()) = (here(), asm.bind(twice));
    let Err(Error::LabelBoundTwice { label, first, second }) = asm.finish() else { panic!("no error") };
    assert_eq!((label, line(first), line(second)), ("twice", one, two));
}

#[test]
fn label_of_another_assembler_is_refused() {
    let mut other = Assembler::new();
    let foreign = other.label("foreign");

    let mut asm = Assembler::new();
    let own = asm.label("own");
    asm.bind(own);
    let (expected, ()) = (here(), asm.jump(foreign));
    let Err(Error::ForeignLabel { label, at }) = asm.finish() else { panic!("no error") };
    assert_eq!((label, line(at)), ("foreign", expected));

    let mut asm = Assembler::new();
    let own = asm.label("own");
    let (expected, ()) = (here(), asm.bind(foreign));
    asm.bind(own);
    let Err(Error::ForeignLabel { label, at }) = asm.finish() else { panic!("no error") };
    assert_eq!((label, line(at)), ("foreign", expected));
}

/// Assembles a jump over this many slots, forwards or backwards.
fn over(slots: usize, forwards: bool, long: bool) -> Result<String, Error> {
    let mut asm = Assembler::new();
    let there = asm.label("there");
    if !forwards {
        asm.bind(there);
    }
    let filler = |asm: &mut Assembler| (0..slots).for_each(|_| asm.mov(R0, 0));
    if !forwards {
        filler(&mut asm);
    }
    if long {
        asm.jump_long(there)
    } else {
        asm.jump(there)
    }
    if forwards {
        filler(&mut asm);
        asm.bind(there);
    }
    asm.exit();
    let code = asm.finish()?;
    Ok(code.texts().map(|text| text.to_string()).find(|text| text.starts_with("goto")).unwrap_or_default())
}

#[test]
fn short_jump_reaches_16_bits_of_slots() {
    assert_eq!(over(32_767, true, false), Ok("goto +32767".to_owned()));
    assert_eq!(over(32_767, false, false), Ok("goto -32768".to_owned()));
    for (slots, forwards, expected) in [(32_768, true, 32_768), (32_768, false, -32_769)] {
        let error = over(slots, forwards, false).unwrap_err();
        let Error::JumpTooFar { label, distance, at } = &error else { panic!("{error:?}") };
        assert_eq!((*label, *distance), ("there", expected));
        assert!(at.file().ends_with("labels.rs"));
        assert!(over(slots, forwards, true).is_ok(), "a long jump reaches it");
    }
}
