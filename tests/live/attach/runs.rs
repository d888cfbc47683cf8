//! Running programs without an event.

use cutaway::TestRun;
use cutaway_programs::prelude::*;

use crate::{
    harness::{Test, older_than, test},
    sample, unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(xdp_program_runs_on_a_packet),
        test!(syscall_program_runs_on_its_context).unless(unsupported::syscall_programs),
        test!(kprobe_program_cannot_be_test_run),
        test!(syscall_program_takes_repeat_1_and_no_more).unless(unsupported::syscall_programs),
        test!(raw_tracepoint_program_takes_repeat_1_and_no_more).unless(raw_tracepoints),
        test!(sk_lookup_program_takes_a_context_and_no_packet).unless(lookups),
    ]
}

fn syscall_program_takes_repeat_1_and_no_more() {
    repeats("syscall");
}

fn raw_tracepoint_program_takes_repeat_1_and_no_more() {
    repeats("raw_tp/sys_enter");
}

fn xdp_program_runs_on_a_packet() {
    let loaded = sample::answering("xdp", 2).unwrap();
    let packet = vec![7; 64];
    let outcome =
        loaded.program("count").unwrap().test_run(&TestRun { data: packet.clone(), repeat: 5, ..TestRun::default() });
    let outcome = outcome.unwrap();
    assert_eq!((outcome.value, &outcome.data), (2, &packet));
    assert_eq!(sample::runs(&loaded), 5);
    let line = loaded.program("count").unwrap().test_run(&TestRun { data: packet, context: vec![1], repeat: 0 });
    let line = line.unwrap_err().to_string();
    assert!(line.contains("run the program `count` (XDP): EINVAL"), "{line}");
}

/// Doubles the number in its context.
fn syscall_program_runs_on_its_context() {
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    asm.load(DW, R2, R1, 0);
    asm.add(R2, R2);
    asm.store(DW, R1, 0, R2);
    asm.mov(R0, 17);
    asm.exit();
    object.program("syscall", "double", asm);
    let loaded = cutaway::Object::parse(&object.write().unwrap()).unwrap().load().unwrap();
    let run = TestRun { context: 21_u64.to_ne_bytes().to_vec(), ..TestRun::default() };
    let outcome = loaded.program("double").unwrap().test_run(&run).unwrap();
    assert_eq!((outcome.value, outcome.context), (17, 42_u64.to_ne_bytes().to_vec()));
}

fn kprobe_program_cannot_be_test_run() {
    let loaded = sample::load("kprobe");
    let line = loaded.program("count").unwrap().test_run(&TestRun::default()).unwrap_err().to_string();
    assert!(line.contains("run the program `count` (KPROBE)"), "{line}");
}

fn raw_tracepoints() -> Option<String> {
    older_than(5, 10, "test runs of raw_tp programs without an event")
}

fn lookups() -> Option<String> {
    older_than(5, 13, "test runs of sk_lookup programs without an event")
}

fn repeats(section: &str) {
    let loaded = sample::answering(section, 0).unwrap();
    let program = loaded.program("count").unwrap();
    for repeat in [0, 1] {
        let outcome = program.test_run(&TestRun { repeat, ..TestRun::default() }).unwrap();
        // The kernel does not measure it.
        assert_eq!((outcome.value, outcome.duration), (0, None));
    }
    assert_eq!(sample::runs(&loaded), 2);
    let line = program.test_run(&TestRun { repeat: 2, ..TestRun::default() }).unwrap_err().to_string();
    assert!(line.contains("run the program `count`") && line.contains("once per call"), "{line}");
    let line = program.test_run(&TestRun { data: vec![0; 64], ..TestRun::default() }).unwrap_err().to_string();
    assert!(line.contains("a context, and no packet"), "{line}");
    assert_eq!(sample::runs(&loaded), 2);
}

fn sk_lookup_program_takes_a_context_and_no_packet() {
    let loaded = sample::answering("sk_lookup", 1).unwrap();
    let program = loaded.program("count").unwrap();
    let line = program.test_run(&TestRun::default()).unwrap_err().to_string();
    assert!(line.contains("struct bpf_sk_lookup"), "{line}");
    let line = program.test_run(&TestRun { data: vec![0; 64], ..TestRun::default() }).unwrap_err().to_string();
    assert!(line.contains("a context, and no packet"), "{line}");
}
