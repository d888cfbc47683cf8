//! Programs that replace functions of other programs.

use cutaway::{LoadOptions, Loaded, Object, Program, TestRun};

use crate::{
    harness::{Test, test},
    sample, unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(freplace_replaces_a_function).unless(unsupported::freplace),
        test!(freplace_attaches_by_hand).unless(unsupported::freplace),
        test!(function_that_cannot_be_replaced_is_refused).unless(unsupported::freplace),
        test!(replacement_by_another_program_type_is_refused),
    ]
}

fn other() -> Loaded {
    Object::parse(include_bytes!("../../corpus/kinds/freplace.o")).unwrap().load().unwrap()
}

fn object() -> Object {
    Object::parse(include_bytes!("../../corpus/kinds/freplace_by.o")).unwrap()
}

fn ask(loaded: &Loaded) -> u32 {
    let run = TestRun { data: vec![0; 64], ..TestRun::default() };
    loaded.program("asks").unwrap().test_run(&run).unwrap().value
}

fn freplace_replaces_a_function() {
    let other = other();
    assert_eq!(ask(&other), 515);
    let loaded = object().load_with(&replacing("by_section", other.program("asks").unwrap(), None)).unwrap();
    let links = loaded.attach().unwrap();
    assert_eq!(ask(&other), 1510);
    drop(links);
    assert_eq!(ask(&other), 515);
}

/// Returns options by which `name` replaces a function of `program`.
fn replacing<'p>(name: &str, program: &'p Program, function: Option<&str>) -> LoadOptions<'p> {
    let mut options = LoadOptions::new();
    options.replace(name, program, function);
    options
}

fn freplace_attaches_by_hand() {
    let other = other();
    let asks = other.program("asks").unwrap();
    let mut object = object();
    object.program_mut("by_section").unwrap().section.autoload = false;
    object.program_mut("by_hand").unwrap().section.autoload = true;
    let line = object.clone().load_with(&replacing("by_hand", asks, None)).unwrap_err().to_string();
    assert!(line.contains("neither its section `?freplace` nor `LoadOptions::replace` names a function"), "{line}");
    let loaded = object.load_with(&replacing("by_hand", asks, Some("answer"))).unwrap();
    let link = loaded.program("by_hand").unwrap().attach().unwrap();
    assert!(link.as_link_fd().is_some());
    assert_eq!(ask(&other), 2510);
    drop(link);
    assert_eq!(ask(&other), 515);
}

fn function_that_cannot_be_replaced_is_refused() {
    let other = other();
    let asks = other.program("asks").unwrap();
    let refusal = |object: Object, name: &str, function: &str| {
        object.load_with(&replacing(name, asks, Some(function))).unwrap_err().to_string()
    };
    let line = object().load().unwrap_err().to_string();
    assert!(line.contains("choose the program with `LoadOptions::replace`"), "{line}");
    let line = refusal(object(), "by_section", "nothing");
    assert!(
        line.contains("replace the function `nothing` by the program `by_section`: the other program has no such"),
        "{line}"
    );
    // A static function can be named; the verifier refuses it.
    let line = refusal(object(), "by_section", "fixed");
    assert!(line.contains("by_section") && line.contains("static"), "{line}");
    // A program without a target does not prevent the others from being loaded.
    let (loaded, refused) = object().load_partial_with(&replacing("by_section", asks, Some("nothing"))).unwrap();
    assert_eq!((loaded.programs().count(), refused.len()), (0, 1), "{refused:?}");
}

fn replacement_by_another_program_type_is_refused() {
    let other = sample::load("xdp");
    let asks = other.programs().next().unwrap();
    let refusal =
        |object: Object, name: &str| object.load_with(&replacing(name, asks, Some("answer"))).unwrap_err().to_string();
    let line = refusal(object(), "by_nobody");
    assert!(line.contains("the object has no program `by_nobody`; it has `by_section`, `by_hand`"), "{line}");
    // `?freplace`, whose `autoload` is false.
    let line = refusal(object(), "by_hand");
    assert!(line.contains("it is not loaded: set its `section.autoload` to true"), "{line}");
    let line = refusal(sample::object("xdp", 0, sample::Also::Nothing), "count");
    assert!(line.contains("it is a program of the type XDP; EXT is needed"), "{line}");
}
