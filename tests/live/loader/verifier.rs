//! The verifier's refusals: its own sentence in one line, its whole log behind it, and in the log the Rust source.

use cutaway::{Error, Object};
use cutaway_programs::prelude::*;

use crate::{Test, requirements::Needs};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("an_event_of_512_bytes_on_the_stack_is_accepted", Needs::Root, fits),
        Test::new("an_event_of_more_than_512_bytes_on_the_stack_is_refused", Needs::Root, too_large),
        Test::new("sending_more_than_is_on_the_stack_is_refused", Needs::Root, sends_too_much),
        Test::new("a_result_without_a_value_is_refused", Needs::Root, no_result),
        Test::new("a_long_log_is_read_whole", Needs::Root, long_log),
    ]
}

/// The program that the stack variant would be with an event of `event` bytes, of which it writes the last `written`.
fn object(event: i16, written: i16) -> Object {
    let mut object = ObjectBuilder::new("GPL");
    object.source(source!("verifier.rs"));
    let events = object.map("events", MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(0));
    let mut asm = Assembler::new();
    for offset in (-written..0).step_by(8) {
        asm.store(DW, R10, offset, 0); // build the event on the stack
    }
    asm.load_map(R2, events);
    asm.mov(W3, -1); // the buffer of this CPU
    asm.mov(R4, R10);
    asm.add(R4, i32::from(-event));
    asm.mov(R5, i32::from(event));
    asm.call(Helper::bpf_perf_event_output); // copy it from there
    asm.mov(R0, 0);
    asm.exit();
    object.program("uprobe/libc.so.6:a64l", "send", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

/// The refusal of the program `send`: sentence and log, after a look at what they have in common.
fn refusal(object: Object) -> (String, String) {
    let error = object.load().unwrap_err();
    let Error::Verifier { program, sentence, at, log, .. } = &error else { panic!("{error:?}") };
    assert_eq!(program, "send");
    let at = at.as_deref().unwrap();
    assert_eq!(error.to_string(), format!("the verifier refuses the program `send`: {sentence} ({at})"));
    // Where it got to is what the log has last.
    let (number, rest) = at.strip_prefix("instruction ").unwrap().split_once(": ").unwrap();
    let instruction = rest.split_once("; ").map_or(rest, |(instruction, _)| instruction);
    let last = log.lines().rfind(|line| line.trim().starts_with(&format!("{number}: ("))).unwrap();
    assert!(last.contains(instruction), "{at}: {last}");
    assert_eq!(error.verifier_log(), Some(log.as_str()));
    assert!(log.lines().any(|line| line.trim() == sentence), "the sentence is the kernel's own: {log}");
    assert!(!sentence.contains('\n'));
    (sentence.clone(), log.clone())
}

fn fits() {
    object(512, 512).load().unwrap();
}

fn too_large() {
    let (sentence, log) = refusal(object(520, 520));
    // `invalid stack off=-520 size=8` before Linux 5.12, `invalid write to stack R10 off=-520 size=8` since.
    assert!(sentence.starts_with("invalid ") && sentence.contains("stack"), "{sentence}");
    assert!(sentence.contains("off=-520") && sentence.contains("size=8"), "{sentence}");
    assert!(log.contains("; asm.store(DW, R10, offset, 0); // build the event on the stack"), "{log}");
}

fn sends_too_much() {
    let (sentence, log) = refusal(object(520, 512));
    // Before Linux 5.12 `invalid stack type R4 off=-520 access_size=520`, later `invalid … access to stack R4 off=-520 size=520`.
    assert!(sentence.starts_with("invalid ") && sentence.contains("stack"), "{sentence}");
    assert!(sentence.contains("R4 off=-520") && sentence.contains("size=520"), "{sentence}");
    assert!(log.contains("; asm.call(Helper::bpf_perf_event_output); // copy it from there"), "{log}");
}

fn no_result() {
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    asm.exit();
    object.program("uprobe", "send", asm);
    let (sentence, _) = refusal(Object::parse(&object.write().unwrap()).unwrap());
    assert_eq!(sentence, "R0 !read_ok");
}

/// Many thousand instructions before the wrong one: the log does not fit the first buffer.
fn long_log() {
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    for number in 0..3000 {
        asm.mov(R1, number);
        asm.store(DW, R10, -8, R1);
    }
    asm.store(DW, R10, -4096, 0);
    asm.mov(R0, 0);
    asm.exit();
    object.program("uprobe", "send", asm);
    let (sentence, log) = refusal(Object::parse(&object.write().unwrap()).unwrap());
    assert!(sentence.contains("off=-4096"), "{sentence}");
    assert!(log.len() > 64 << 10, "{} bytes", log.len());
    assert!(log.contains("; r1 = 0") || log.contains("r1 = 0"), "from the beginning");
}
