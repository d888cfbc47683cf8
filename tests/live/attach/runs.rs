//! Running programs without an event.
#![expect(unsafe_code, reason = "sets a timer whose signals interrupt a run")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use cutaway::{Errno, Loaded, TestRun};
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
        test!(raw_tracepoint_program_runs_on_a_cpu).unless(raw_tracepoints),
        test!(live_frames_are_dropped).since(5, 18, "live frames"),
        test!(settings_of_other_types_are_refused),
        test!(context_is_a_structure).unless(unsupported::syscall_programs),
        test!(short_context_is_completed_by_the_kernel),
        test!(packet_grows),
        test!(flow_keys_are_returned),
        test!(netfilter_program_runs_on_a_packet).since(6, 4, "netfilter programs"),
        test!(lookup_has_a_socket).unless(lookups),
        test!(signals_do_not_end_a_run),
        test!(interrupted_live_frames_are_not_passed_on_again).since(5, 18, "live frames"),
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
    let line = loaded.program("count").unwrap().test_run(&TestRun { data: packet, context: vec![1], ..TestRun::new() });
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

/// Loads a program that returns the result of this code.
fn answering(section: &str, code: impl FnOnce(&mut Assembler)) -> Loaded {
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    code(&mut asm);
    asm.exit();
    object.program(section, "answer", asm);
    cutaway::Object::parse(&object.write().unwrap()).unwrap().load().unwrap()
}

fn raw_tracepoint_program_runs_on_a_cpu() {
    let loaded = answering("raw_tp/sys_enter", |asm| asm.call(Helper::bpf_get_smp_processor_id));
    let program = loaded.program("answer").unwrap();
    let cpus = std::thread::available_parallelism().unwrap().get() as u32;
    for cpu in 0..cpus {
        assert_eq!(program.test_run(&TestRun { cpu: Some(cpu), ..TestRun::new() }).unwrap().value, cpu);
    }
    let line = program.test_run(&TestRun { cpu: Some(1 << 20), ..TestRun::new() }).unwrap_err().to_string();
    assert!(line.contains("no such CPU"), "{line}");
}

fn live_frames_are_dropped() {
    const XDP_DROP: i32 = 1;
    let loaded = sample::answering("xdp", XDP_DROP).unwrap();
    let run = TestRun { data: vec![0; 64], repeat: 100, flags: TestRun::LIVE_FRAMES, batch_size: 32, ..TestRun::new() };
    let outcome = loaded.program("count").unwrap().test_run(&run).unwrap();
    assert_eq!((outcome.data.len(), outcome.context.len()), (0, 0));
    assert_eq!(sample::runs(&loaded), 100);
    let line = loaded.program("count").unwrap().test_run(&TestRun { batch_size: 257, ..run }).unwrap_err().to_string();
    assert!(line.contains("at most 256"), "{line}");
}

fn settings_of_other_types_are_refused() {
    let loaded = sample::answering("xdp", 2).unwrap();
    let program = loaded.program("count").unwrap();
    let packet = || TestRun { data: vec![0; 64], ..TestRun::new() };
    for (run, why) in [
        (TestRun { cpu: Some(0), ..packet() }, "the kernel chooses no CPU"),
        (TestRun { batch_size: 1, ..packet() }, "TestRun::LIVE_FRAMES"),
        (TestRun { flags: TestRun::CHECKSUM_COMPLETE, ..packet() }, "`struct __sk_buff`"),
        (TestRun { flags: 1, ..packet() }, "the field `cpu`"),
    ] {
        let line = program.test_run(&run).unwrap_err().to_string();
        assert!(line.contains("run the program `count` (XDP)") && line.contains(why), "{line}");
    }
    assert_eq!(sample::runs(&loaded), 0);
    let loaded = sample::answering("tc", 0).unwrap();
    let run = TestRun { flags: TestRun::LIVE_FRAMES, ..packet() };
    let line = loaded.program("count").unwrap().test_run(&run).unwrap_err().to_string();
    assert!(line.contains("only XDP programs"), "{line}");
}

cutaway::pod! {
    #[repr(C)]
    #[derive(Debug, PartialEq)]
    pub(crate) struct Doubled {
        pub(crate) number: u32,
        pub(crate) double: u64,
    }
}

fn context_is_a_structure() {
    let loaded = answering("syscall", |asm| {
        asm.load(W, R2, R1, 0);
        asm.add(R2, R2);
        asm.store(DW, R1, 8, R2);
        asm.mov(R0, 0);
    });
    let run = TestRun::new().context_of(&Doubled { number: 21, double: 0 });
    let outcome = loaded.program("answer").unwrap().test_run(&run).unwrap();
    assert_eq!(outcome.context_as::<Doubled>(), Some(Doubled { number: 21, double: 42 }));
    assert_eq!(outcome.context_as::<[u64; 3]>(), None);
}

/// The kernel returns its own structure, which is longer than the first fields of it that a caller knows.
fn short_context_is_completed_by_the_kernel() {
    // `mark` of `struct __sk_buff`.
    const MARK: usize = 8;
    let loaded = answering("tc", |asm| {
        asm.load(W, R2, R1, MARK as i16);
        asm.add(R2, 1);
        asm.store(W, R1, MARK as i16, R2);
        asm.mov(R0, 0);
    });
    let run = TestRun { data: vec![0; 64], ..TestRun::new() }.context_of(&[0_u32, 0, 6]);
    let outcome = loaded.program("answer").unwrap().test_run(&run).unwrap();
    assert_eq!(outcome.context_as::<[u32; 3]>(), Some([0, 0, 7]));
    assert!(outcome.context.len() > 100, "{}", outcome.context.len());
}

fn packet_grows() {
    /// `bpf_skb_change_tail`
    const MORE: i32 = 9000;
    let loaded = answering("tc", |asm| {
        asm.mov(R2, MORE);
        asm.mov(R3, 0);
        asm.call(Helper::bpf_skb_change_tail);
    });
    let run = TestRun { data: vec![1; 64], ..TestRun::new() };
    let outcome = loaded.program("answer").unwrap().test_run(&run).unwrap();
    assert_eq!((outcome.value, outcome.data.len()), (0, MORE as usize));
    assert_eq!((outcome.data.first(), outcome.data.last()), (Some(&1), Some(&0)));
}

fn flow_keys_are_returned() {
    const BPF_OK: i32 = 0;
    let loaded = answering("flow_dissector", |asm| asm.mov(R0, BPF_OK));
    // An Ethernet header with the type IPv4, and a packet behind it.
    let mut data = vec![0; 64];
    data[12..14].copy_from_slice(&[8, 0]);
    let outcome = loaded.program("answer").unwrap().test_run(&TestRun { data, ..TestRun::new() }).unwrap();
    // `struct bpf_flow_keys`: `nhoff` and `thoff` are the offset of the packet behind the Ethernet header.
    assert_eq!(outcome.data.len(), 56);
    // Before Linux 5.18 the kernel returns whether the program returned BPF_OK.
    let expected = u32::from(older_than(5, 18, "the program's own value").is_some());
    assert_eq!(outcome.value, expected);
    assert_eq!(outcome.data.get(..2), Some(&14_u16.to_ne_bytes()[..]));
}

fn netfilter_program_runs_on_a_packet() {
    const NF_ACCEPT: i32 = 1;
    let loaded = sample::answering("netfilter", NF_ACCEPT).unwrap();
    let mut packet = vec![0_u8; 34];
    packet[12..14].copy_from_slice(&[8, 0]);
    packet[14] = 0x45;
    let run = TestRun { data: packet, repeat: 3, ..TestRun::new() };
    let outcome = loaded.program("count").unwrap().test_run(&run).unwrap();
    assert_eq!((outcome.value, sample::runs(&loaded)), (1, 3));
}

fn lookup_has_a_socket() {
    let loaded = sample::answering("sk_lookup", 1).unwrap();
    // `struct bpf_sk_lookup`: no socket in the first eight bytes, then family and protocol.
    let mut context = vec![0_u8; 64];
    context[8..12].copy_from_slice(&2_u32.to_ne_bytes());
    context[12..16].copy_from_slice(&6_u32.to_ne_bytes());
    let run = TestRun { context, repeat: 4, ..TestRun::new() };
    let outcome = loaded.program("count").unwrap().test_run(&run).unwrap();
    assert_eq!((outcome.value, sample::runs(&loaded)), (1, 4));
}

/// Sends this process a signal after a time, and then again after each `interval`.
fn alarm(first: Duration, interval: Duration) {
    extern "C" fn handle(_: libc::c_int) {}
    let time = |time: Duration| libc::timeval { tv_sec: 0, tv_usec: time.as_micros() as libc::suseconds_t };
    let timer = libc::itimerval { it_value: time(first), it_interval: time(interval) };
    let handler = handle as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler does nothing, so it may run at any time.
    unsafe { libc::signal(libc::SIGALRM, handler) };
    // SAFETY: the timer is alive during the call, which only reads it.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

fn signals_do_not_end_a_run() {
    let loaded = sample::answering("xdp", 2).unwrap();
    let program = loaded.program("count").unwrap();
    let run = |repeat| TestRun { data: vec![0; 64], repeat, ..TestRun::new() };
    // As many runs as last until the signal comes. How many that are depends on the machine's load.
    let repeats = (17..28).map(|power| 1 << power);
    let mut interrupted = repeats.filter(|&repeat| {
        alarm(Duration::from_millis(50), Duration::ZERO);
        let before = sample::runs(&loaded);
        program.test_run(&run(repeat)).unwrap();
        alarm(Duration::ZERO, Duration::ZERO);
        // A run that was started again has run the program more often.
        sample::runs(&loaded) - before > u64::from(repeat)
    });
    // Ten signals come before so many runs are over.
    let repeat = 8 * interrupted.next().expect("a signal interrupts one of the runs");
    alarm(Duration::from_millis(5), Duration::from_millis(5));
    let error = program.test_run(&run(repeat)).unwrap_err();
    alarm(Duration::ZERO, Duration::ZERO);
    assert_eq!(error.errno(), Some(Errno::new(libc::EINTR)), "{error}");
    assert!(error.to_string().contains("repeat less often"), "{error}");
}

fn interrupted_live_frames_are_not_passed_on_again() {
    const XDP_DROP: i32 = 1;
    let loaded = sample::answering("xdp", XDP_DROP).unwrap();
    // More than any machine passes on in the time.
    let repeat = 1 << 30;
    let run = TestRun { data: vec![0; 64], repeat, flags: TestRun::LIVE_FRAMES, ..TestRun::new() };
    alarm(Duration::from_millis(50), Duration::from_millis(400));
    let begin = Instant::now();
    let error = loaded.program("count").unwrap().test_run(&run).unwrap_err();
    let took = begin.elapsed();
    alarm(Duration::ZERO, Duration::ZERO);
    assert_eq!(error.errno(), Some(Errno::new(libc::EINTR)), "{error}");
    assert!(error.to_string().contains("after some packets were passed on"), "{error}");
    assert!(took < Duration::from_secs(2), "the first signal ends it: {took:?}");
    assert!((1..u64::from(repeat)).contains(&sample::runs(&loaded)));
}
