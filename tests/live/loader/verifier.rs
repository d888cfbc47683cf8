//! The verifier's refusals: one sentence in the error, the whole log, and the Rust source in the log.

use cutaway::{Errno, Error, Object};
use cutaway_programs::{Source, prelude::*};

use crate::{
    harness::{Test, test},
    journal,
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(stack_event_of_512_bytes_is_accepted).needs(root),
        test!(stack_event_above_512_bytes_is_refused).needs(root),
        test!(output_beyond_the_stack_is_refused).needs(root),
        test!(unset_return_value_is_refused).needs(root),
        test!(long_log_is_read_whole).needs(root),
        test!(long_reason_is_read_whole).needs(root),
        test!(refused_program_is_verified_twice).needs(root),
        test!(refused_probe_is_verified_twice).needs(root),
        test!(too_large_program_is_verified_once).needs(root),
        test!(accepted_program_is_verified_once).needs(root),
        test!(cut_log_keeps_errno_and_sentence).needs(root),
        test!(license_explains_a_refusal).needs(root),
        test!(unknown_helper_is_explained).needs(root),
    ]
}

/// Returns the stack variant's program with an event of `event` bytes, of which it writes the last `written`.
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

/// Returns sentence and log of the refusal of the program `send`, after checking their common parts.
fn refusal(object: Object) -> (String, String) {
    let error = object.load().unwrap_err();
    let Error::Verifier { program, sentence, at, log, .. } = &error else { panic!("{error:?}") };
    assert_eq!(program, "send");
    let at = at.as_deref().unwrap();
    assert_eq!(error.to_string(), format!("the verifier refuses the program `send`: {sentence} ({at})"));
    // The last instruction in the log is the one in the error.
    let (number, rest) = at.strip_prefix("instruction ").unwrap().split_once(": ").unwrap();
    let instruction = rest.split_once("; ").map_or(rest, |(instruction, _)| instruction);
    let last = log.lines().rfind(|line| line.trim().starts_with(&format!("{number}: ("))).unwrap();
    assert!(last.contains(instruction), "{at}: {last}");
    assert_eq!(error.verifier_log(), Some(log.as_str()));
    assert!(log.lines().any(|line| line.trim() == sentence), "the sentence is in the kernel's log: {log}");
    assert!(!sentence.contains('\n'));
    (sentence.clone(), log.clone())
}

fn stack_event_of_512_bytes_is_accepted() {
    object(512, 512).load().unwrap();
}

fn stack_event_above_512_bytes_is_refused() {
    let (sentence, log) = refusal(object(520, 520));
    // `invalid stack off=-520 size=8` before Linux 5.12, `invalid write to stack R10 off=-520 size=8` since.
    assert!(sentence.starts_with("invalid ") && sentence.contains("stack"), "{sentence}");
    assert!(sentence.contains("off=-520") && sentence.contains("size=8"), "{sentence}");
    assert!(log.contains("; asm.store(DW, R10, offset, 0); // build the event on the stack"), "{log}");
}

fn output_beyond_the_stack_is_refused() {
    let (sentence, log) = refusal(object(520, 512));
    // Before Linux 5.12 `invalid stack type R4 off=-520 access_size=520`, later
    // `invalid … access to stack R4 off=-520 size=520`.
    assert!(sentence.starts_with("invalid ") && sentence.contains("stack"), "{sentence}");
    assert!(sentence.contains("R4 off=-520") && sentence.contains("size=520"), "{sentence}");
    assert!(log.contains("; asm.call(Helper::bpf_perf_event_output); // copy it from there"), "{log}");
}

fn unset_return_value_is_refused() {
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    asm.exit();
    object.program("uprobe", "send", asm);
    let (sentence, _) = refusal(Object::parse(&object.write().unwrap()).unwrap());
    assert_eq!(sentence, "R0 !read_ok");
}

/// Many thousand instructions before the wrong one: the log does not fit the first buffer.
fn long_log_is_read_whole() {
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
    assert!(log.contains("; r1 = 0") || log.contains("r1 = 0"), "the log begins with the first instruction");
}

/// Returns a program of this section; its body sets `R0`.
fn small(section: &str, license: &str, body: impl Fn(&mut Assembler)) -> Object {
    let mut object = ObjectBuilder::new(license);
    let mut asm = Assembler::new();
    body(&mut asm);
    asm.exit();
    object.program(section, "send", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

/// Returns a program of which each instruction has this line of source.
fn quoting(line: &str, body: impl Fn(&mut Assembler)) -> Object {
    let mut object = ObjectBuilder::new("GPL");
    // A program's source is static, as `include_str!` is. This is the text of a whole file for one test.
    let text = Box::leak(format!("{line}\n").repeat(1000).into_boxed_str());
    object.source(Source { file: file!(), text });
    let mut asm = Assembler::new();
    body(&mut asm);
    asm.exit();
    object.program("raw_tp/sys_enter", "send", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

/// Returns the result of each load of the program `send`, in order.
fn answers() -> Vec<String> {
    let is_load = |pairs: &[(String, String)]| {
        let has = |key: &str, part: &str| pairs.iter().any(|(name, value)| name == key && value.contains(part));
        has("cmd", "BPF_PROG_LOAD") && has("prog_name", "send")
    };
    let calls = journal::system_calls().into_iter().filter(|entry| is_load(&entry.pairs));
    calls.map(|entry| entry.pairs.last().unwrap().1.clone()).collect()
}

fn errno(error: &Error) -> i32 {
    error.errno().map_or(0, Errno::raw)
}

fn refused_program_is_verified_twice() {
    let error = small("raw_tp/sys_enter", "GPL", |_| {}).load().unwrap_err();
    assert_eq!(errno(&error), libc::EACCES);
    assert!(answers().iter().all(|answer| answer.contains("EACCES")) && answers().len() == 2, "{:?}", answers());
}

/// Programs on probes are loaded with a prologue that keeps their stack their own. They are refused as their author
/// wrote them.
fn refused_probe_is_verified_twice() {
    let error = small("uprobe", "GPL", |_| {}).load().unwrap_err();
    assert_eq!(errno(&error), libc::EACCES);
    assert!(error.to_string().contains("R0 !read_ok (instruction 0: exit"), "{error}");
    assert_eq!(answers().len(), 2, "{:?}", answers());
}

/// A loop of more than a million steps. Its body is long, because some verifiers (6.12) compare each iteration with all
/// earlier ones.
fn too_large_program_is_verified_once() {
    const BODY: i32 = 1000;
    for section in ["raw_tp/sys_enter", "uprobe"] {
        let before = answers().len();
        let object = small(section, "GPL", |asm| {
            let again = asm.label("again");
            asm.mov(R0, 0);
            asm.mov(R1, 0);
            asm.bind(again);
            (0..BODY).for_each(|_| asm.add(R0, R1));
            asm.add(R1, 1);
            asm.jump_if(Lt, R1, 1_000_000 / BODY, again);
        });
        let error = object.load().unwrap_err();
        assert_eq!(errno(&error), libc::E2BIG);
        let line = "the verifier refuses the program `send`: BPF program is too large. Processed 1000001 insn";
        assert_eq!(error.to_string(), line);
        assert!(error.verifier_log().unwrap().contains("processed 1000001 insns"), "the log has the statistics");
        assert_eq!(answers().len() - before, 1, "{:?}", answers());
    }
}

/// The reason alone has a line for each of 400 references, and so does not fit into the buffer of the first load.
fn long_reason_is_read_whole() {
    const REFERENCES: usize = 400;
    let mut object = ObjectBuilder::new("GPL");
    let events = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
    let mut asm = Assembler::new();
    for _ in 0..REFERENCES {
        asm.load_map(R1, events);
        asm.mov(R2, 8);
        asm.mov(R3, 0);
        asm.call(Helper::bpf_ringbuf_reserve);
    }
    asm.mov(R0, 0);
    asm.exit();
    object.program("raw_tp/sys_enter", "send", asm);
    let error = Object::parse(&object.write().unwrap()).unwrap().load().unwrap_err();
    assert_eq!(errno(&error), libc::EINVAL);
    // Either one of these lines or what follows them: `… would lead to reference leak` since Linux 6.13.
    assert!(error.to_string().contains("reference"), "{error}");
    let log = error.verifier_log().unwrap();
    assert_eq!(log.matches("Unreleased reference").count(), REFERENCES, "{} bytes", log.len());
}

fn accepted_program_is_verified_once() {
    let loaded = small("uprobe", "GPL", |asm| {
        asm.mov(R0, 0);
    });
    loaded.load().unwrap();
    assert_eq!(answers().len(), 1);
}

/// The verifier's log has more than 16 MiB. The second load may then fail with ENOSPC, which is not the reason of the
/// refusal.
///
/// The verifier quotes the line of source before each instruction. Long lines fill the log with few instructions: an
/// emulator takes half a minute for 16 MiB of short ones.
fn cut_log_keeps_errno_and_sentence() {
    let object = quoting(&"long line ".repeat(80), |asm| {
        let again = asm.label("again");
        asm.mov(R6, R1);
        asm.mov(R0, 0);
        asm.mov(R1, 0);
        asm.bind(again);
        asm.add(R0, R1);
        asm.add(R1, 1);
        asm.jump_if(Lt, R1, 8_000, again);
        asm.load(DW, R0, R6, 4000);
    });
    let error = object.load().unwrap_err();
    let Error::Verifier { sentence, at, log, .. } = &error else { panic!("{error:?}") };
    assert_eq!((errno(&error), answers().len()), (libc::EACCES, 2), "{:?}", answers());
    assert!(answers()[1].contains("ENOSPC"), "the log was truncated, as this test requires: {:?}", answers());
    assert!(sentence.contains("4000"), "{sentence}");
    assert!(log.len() > 15 << 20, "{} bytes", log.len());
    // Before Linux 6.4 the end of the log is lost, and the log says so.
    match at {
        Some(at) => assert!(at.starts_with("instruction 6: r0 = *(u64 *)(r6 +4000)"), "{at}"),
        None => assert!(log.contains("the kernel cut the log off here"), "the log says that its end is missing"),
    }
}

fn license_explains_a_refusal() {
    for (license, part) in
        [("GPLv2", "does not take the license `GPLv2` for GPL: write `GPL`"), ("", "the section `license` is empty")]
    {
        let object = small("raw_tp/sys_enter", license, |asm| {
            asm.mov(R1, R10);
            asm.add(R1, -8);
            asm.store(DW, R10, -8, 0);
            asm.mov(R2, 8);
            asm.call(Helper::bpf_trace_printk);
        });
        let line = object.load().unwrap_err().to_string();
        assert!(line.contains("GPL-restricted function: ") && line.contains(part) && !line.contains('\n'), "{line}");
        assert!(line.contains("(instruction 4: call bpf_trace_printk#6)") && line.len() <= 200, "{line}");
    }
    small("raw_tp/sys_enter", "Dual MIT/GPL", |asm| {
        asm.call(Helper::bpf_ktime_get_ns);
    })
    .load()
    .unwrap();
}

fn unknown_helper_is_explained() {
    // A helper that this program type does not have.
    let object = small("socket", "GPL", |asm| {
        asm.mov(R2, 0);
        asm.mov(R3, 0);
        asm.call(Helper::bpf_copy_from_user_task);
    });
    let line = object.load().unwrap_err().to_string();
    assert!(line.contains("bpf_copy_from_user_task") || line.contains("since Linux 5.18"), "{line}");
}
