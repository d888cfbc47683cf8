//! Programs that replace functions of other programs.

use cutaway::{Loaded, Object, Run};

use crate::{
    harness::{Test, test},
    sample, unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(freplace_replaces_a_function).unless(unsupported::freplace),
        test!(freplace_attaches_by_hand).unless(unsupported::freplace),
        test!(function_that_cannot_be_replaced_is_refused).unless(unsupported::freplace),
    ]
}

fn other() -> Loaded {
    Object::parse(include_bytes!("../../corpus/kinds/freplace.o")).unwrap().load().unwrap()
}

fn object() -> Object {
    Object::parse(include_bytes!("../../corpus/kinds/freplace_by.o")).unwrap()
}

fn ask(loaded: &Loaded) -> u32 {
    let run = Run { data: vec![0; 64], ..Run::default() };
    loaded.program("asks").unwrap().test_run(&run).unwrap().value
}

fn freplace_replaces_a_function() {
    let other = other();
    assert_eq!(ask(&other), 515);
    let mut object = object();
    object.program_mut("by_section").unwrap().replace(other.program("asks").unwrap(), None).unwrap();
    let loaded = object.load().unwrap();
    let links = loaded.attach().unwrap();
    assert_eq!(ask(&other), 1510);
    drop(links);
    assert_eq!(ask(&other), 515);
}

fn freplace_attaches_by_hand() {
    let other = other();
    let mut object = object();
    object.program_mut("by_section").unwrap().section.wanted = false;
    let program = object.program_mut("by_hand").unwrap();
    program.section.wanted = true;
    let line = program.replace(other.program("asks").unwrap(), None).unwrap_err().to_string();
    assert!(line.contains("neither its section `?freplace` nor the call names one"), "{line}");
    program.replace(other.program("asks").unwrap(), Some("answer")).unwrap();
    let loaded = object.load().unwrap();
    let link = loaded.program("by_hand").unwrap().attach().unwrap();
    assert!(link.as_link_fd().is_some());
    assert_eq!(ask(&other), 2510);
    drop(link);
    assert_eq!(ask(&other), 515);
}

fn function_that_cannot_be_replaced_is_refused() {
    let other = other();
    let asks = other.program("asks").unwrap();
    let line = object().load().unwrap_err().to_string();
    assert!(line.contains("say of which one, with `ProgramSpec::replace`"), "{line}");
    let mut object = object();
    let program = object.program_mut("by_section").unwrap();
    let line = program.replace(asks, Some("nothing")).unwrap_err().to_string();
    assert!(
        line.contains("replace the function `nothing` by the program `by_section`: the other program has no such"),
        "{line}"
    );
    // A static function can be named, and the verifier says what it thinks of that.
    program.replace(asks, Some("fixed")).unwrap();
    let line = object.load().unwrap_err().to_string();
    assert!(line.contains("by_section") && line.contains("static"), "{line}");
    let mut plain = sample::object("xdp", 0, sample::Also::Nothing);
    let line = plain.program_mut("count").unwrap().replace(asks, Some("answer")).unwrap_err().to_string();
    assert!(line.contains("it is a program of the kind XDP; EXT is needed"), "{line}");
}
