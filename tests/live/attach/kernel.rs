//! Attach types inside the kernel: functions, tracepoints, hooks, iterators, clocks.

use std::{io::Read, thread, time::Duration};

use cutaway::{
    Error, Iter, Kprobe, KprobeMulti, Ksyscall, Link, Loaded, PerfEvent, RawTracepoint, Tracepoint, Tracing,
};
use cutaway_programs::prelude::*;

use crate::{
    harness::{Test, older_than, test},
    sample::{self, Also, load, runs},
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        test!(kprobe_runs_until_dropped).unless(unsupported::kprobes),
        test!(kretprobe_runs_until_dropped).unless(unsupported::kprobes),
        test!(kprobe_inside_a_function_runs).unless(unsupported::kprobes),
        test!(kprobe_has_a_cookie).unless(unsupported::kprobes).unless(unsupported::cookies),
        test!(kprobe_on_a_missing_function_is_refused).unless(unsupported::kprobes),
        test!(missing_kprobes_are_one_reason).unless(without_kprobes),
        test!(ksyscall_finds_the_function).unless(unsupported::kprobes),
        test!(kretsyscall_finds_the_function).unless(unsupported::kprobes),
        test!(missing_ksyscall_is_refused).unless(unsupported::kprobes),
        test!(kprobe_multi_attaches_with_one_link).unless(unsupported::kprobe_multi),
        test!(kprobe_multi_falls_back_to_perf_events).unless(without_kprobe_multi),
        test!(kretprobe_multi_runs_on_return).unless(unsupported::kprobe_multi),
        test!(kprobe_session_runs_on_entry_and_return).unless(unsupported::kprobe_session),
        test!(tracepoint_runs_until_dropped),
        test!(tracepoint_has_a_cookie).unless(unsupported::cookies),
        test!(raw_tracepoint_runs_until_dropped),
        test!(writable_raw_tracepoint_loads),
        test!(raw_tracepoint_has_a_cookie).unless(unsupported::raw_cookies),
        test!(missing_raw_tracepoint_is_refused),
        test!(missing_tracepoint_is_refused),
        test!(tp_btf_runs_until_dropped).unless(unsupported::btf),
        test!(fentry_runs_until_dropped).unless(unsupported::trampolines),
        test!(fexit_runs_until_dropped).unless(unsupported::trampolines),
        test!(fmod_ret_replaces_the_return_value).unless(unsupported::trampolines),
        test!(fentry_has_a_cookie).unless(unsupported::tracing_cookies),
        test!(missing_trampolines_are_named).unless(without_trampolines),
        test!(lsm_hook_runs).unless(unsupported::lsm),
        test!(name_missing_in_btf_is_refused).unless(unsupported::btf),
        test!(program_without_its_target_is_not_loaded).unless(unsupported::btf),
        test!(iterator_is_read_many_times).unless(unsupported::iterators),
        test!(iterator_walks_over_one_map).unless(unsupported::map_iterators),
        test!(iterator_walks_over_one_process).unless(unsupported::one_process_iterators),
        test!(cpu_clock_runs_on_every_cpu),
        test!(cpu_clock_runs_for_one_process),
        test!(wrong_program_type_is_refused),
        test!(other_tracepoint_must_not_sleep).since(7, 3, "tracepoints that may sleep"),
    ];
    let sleep = |test: Test| test.since(7, 3, "tracepoints that may sleep");
    tests.extend(test!(tracepoint_of_a_system_call_may_sleep, SLEEPABLE).map(sleep));
    let refused = test!(sleeping_tracepoint_is_refused_by_the_verifier, SLEEPABLE);
    tests.extend(refused.map(|test| test.unless(sleeping_tracepoints)));
    tests
}

const SLEEPABLE: [(&str, &str); 4] = [
    ("tp", "tp.s/syscalls/sys_enter_getpgid"),
    ("tracepoint", "tracepoint.s/syscalls/sys_enter_getpgid"),
    ("raw_tp", "raw_tp.s/sys_enter"),
    ("raw_tracepoint", "raw_tracepoint.s/sys_enter"),
];

fn sleeping_tracepoints() -> Option<String> {
    older_than(7, 3, "").is_none().then(|| "this kernel has tracepoints that may sleep".to_owned())
}

fn tracepoint_of_a_system_call_may_sleep(section: &str) {
    by_section(section);
}

fn other_tracepoint_must_not_sleep() {
    for section in ["tp.s/sched/sched_switch", "raw_tp.s/sched_switch"] {
        let loaded = load(section);
        let line = loaded.program("count").unwrap().attach().unwrap_err().to_string();
        assert!(line.contains("EINVAL") && line.contains("those of system calls"), "{line}");
    }
}

fn sleeping_tracepoint_is_refused_by_the_verifier(section: &str) {
    let line = sample::object(section, 0, Also::Nothing).load().unwrap_err().to_string();
    assert!(line.contains("the verifier refuses the program `count`") && line.contains("sleepable"), "{line}");
}

/// Returns a text with this architecture's prefix of system calls' functions, instead of that of x86.
fn own(text: &str) -> String {
    text.replace("__x64_", if cfg!(target_arch = "aarch64") { "__arm64_" } else { "__x64_" })
}

fn kprobe_runs_until_dropped() {
    by_section(&own("kprobe/__x64_sys_getpgid"));
}

fn kretprobe_runs_until_dropped() {
    by_section(&own("kretprobe/__x64_sys_getpgid"));
}

fn ksyscall_finds_the_function() {
    by_section("ksyscall/getpgid");
}

fn kretsyscall_finds_the_function() {
    by_section("kretsyscall/getpgid");
}

fn kretprobe_multi_runs_on_return() {
    by_section(&own("kretprobe.multi/__x64_sys_getpg?d"));
}

fn tracepoint_runs_until_dropped() {
    by_section("tracepoint/syscalls/sys_enter_getpgid");
}

fn raw_tracepoint_runs_until_dropped() {
    by_section("raw_tp/sys_enter");
}

fn tp_btf_runs_until_dropped() {
    by_section("tp_btf/sys_enter");
}

fn fentry_runs_until_dropped() {
    by_section(&own("fentry/__x64_sys_getpgid"));
}

fn fexit_runs_until_dropped() {
    by_section(&own("fexit/__x64_sys_getpgid"));
}

/// Makes a system call that no other code of the test makes.
fn call() {
    // The return value does not matter.
    let _ = rustix::process::getpgid(None);
}

/// Loads a program in this section, attaches it by the section's name, and checks that it runs until the link is
/// dropped.
fn by_section(section: &str) {
    // Other processes may make the call: the program counts this process only.
    let loaded = sample::object(section, 0, Also::OnlyThisProcess).load().unwrap();
    let link = loaded.program("count").unwrap().attach().unwrap();
    runs_until_dropped(&loaded, link);
}

fn runs_until_dropped(loaded: &Loaded, link: Link) {
    let before = runs(loaded);
    call();
    let during = runs(loaded);
    assert!(during > before, "it runs: {before} {during}");
    drop(link);
    let after = runs(loaded);
    call();
    assert_eq!(runs(loaded), after, "the program no longer runs");
}

fn kprobe_inside_a_function_runs() {
    let loaded = load("kprobe");
    // Few offsets in a function are the start of an instruction; the first offset that the kernel accepts is used.
    let probe = |offset| Kprobe::new(&own("__x64_sys_getpgid")).offset(offset).attach(loaded.program("count").unwrap());
    let link = (1..32).find_map(|offset| probe(offset).ok()).expect("an instruction");
    runs_until_dropped(&loaded, link);
}

fn kprobe_has_a_cookie() {
    let loaded = sample::object("kprobe", 0, Also::NotesCookie).load().unwrap();
    let link = Kprobe::new(&own("__x64_sys_getpgid")).cookie(7 << 40).attach(loaded.program("count").unwrap()).unwrap();
    runs_until_dropped(&loaded, link);
    assert_eq!(sample::cookie(&loaded), 7 << 40);
}

fn refused(answer: Result<Link, Error>) -> String {
    let line = answer.unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

fn kprobe_on_a_missing_function_is_refused() {
    let loaded = load("kprobe");
    let line = refused(Kprobe::new("no_such_function").attach(loaded.program("count").unwrap()));
    assert!(line.contains("the kernel's `no_such_function`") && line.contains("has no such function"), "{line}");
}

fn without_kprobes() -> Option<String> {
    unsupported::kprobes().is_none().then(|| "this kernel has kprobes".to_owned())
}

fn missing_kprobes_are_one_reason() {
    let loaded = load("kprobe/do_exit");
    let line = refused(loaded.program("count").unwrap().attach());
    // Without the function's name, so that all programs have the same reason.
    assert!(line.contains("CONFIG_KPROBE_EVENTS") && line.contains("ENOENT") && !line.contains("do_exit"), "{line}");
}

fn missing_ksyscall_is_refused() {
    let loaded = load("ksyscall");
    let line = refused(Ksyscall::new("no_such_call").attach(loaded.program("count").unwrap()));
    assert!(line.contains("no_such_call") && line.contains("has no such system call"), "{line}");
}

fn kprobe_multi_attaches_with_one_link() {
    let loaded = sample::object(&own("kprobe.multi/__x64_sys_getp*"), 0, Also::NotesCookie).load().unwrap();
    let functions = KprobeMulti::new(&own("__x64_sys_getp*")).functions().unwrap();
    assert!(
        functions.len() > 2 && functions.iter().all(|name| name.starts_with(&own("__x64_sys_getp"))),
        "{functions:?}"
    );
    let link = KprobeMulti::new(&own("__x64_sys_getp*")).cookie(9).attach(loaded.program("count").unwrap()).unwrap();
    assert!(link.as_link_fd().is_some());
    runs_until_dropped(&loaded, link);
    assert_eq!(sample::cookie(&loaded), 9);
    let line = refused(KprobeMulti::new("no_such_*").attach(loaded.program("count").unwrap()));
    assert!(line.contains("no_such_*"), "{line}");
}

fn without_kprobe_multi() -> Option<String> {
    unsupported::kprobes()
        .or_else(unsupported::trampolines)
        .or_else(|| unsupported::kprobe_multi().is_none().then(|| "this kernel has links on many functions".to_owned()))
}

fn kprobe_multi_falls_back_to_perf_events() {
    let loaded = sample::object(&own("kprobe.multi/__x64_sys_getpg?d"), 0, Also::OnlyThisProcess).load().unwrap();
    let link = loaded.program("count").unwrap().attach().unwrap();
    assert!(link.as_link_fd().is_none());
    assert_eq!(link.parts().len(), 1);
    runs_until_dropped(&loaded, link);
}

fn kprobe_session_runs_on_entry_and_return() {
    let loaded = load(&own("kprobe.session/__x64_sys_getpgid"));
    let link = loaded.program("count").unwrap().attach().unwrap();
    let before = runs(&loaded);
    call();
    assert!(runs(&loaded) >= before + 2, "on entry and on return");
    drop(link);
}

fn tracepoint_has_a_cookie() {
    let loaded = sample::object("tracepoint", 0, Also::NotesCookie).load().unwrap();
    let link = Tracepoint::new("syscalls", "sys_enter_getpgid").cookie(5).attach(loaded.program("count").unwrap());
    runs_until_dropped(&loaded, link.unwrap());
    assert_eq!(sample::cookie(&loaded), 5);
}

fn writable_raw_tracepoint_loads() {
    let loaded = load("raw_tp.w/sys_enter");
    // Few tracepoints allow writing to their memory. This program does not write, so it can be attached to any.
    let link = loaded.program("count").unwrap().attach().unwrap();
    call();
    assert!(runs(&loaded) > 0);
    drop(link);
}

fn raw_tracepoint_has_a_cookie() {
    let loaded = sample::object("raw_tp", 0, Also::NotesCookie).load().unwrap();
    let link = RawTracepoint::new("sys_enter").cookie(11).attach(loaded.program("count").unwrap()).unwrap();
    call();
    drop(link);
    assert!(runs(&loaded) > 0);
    assert_eq!(sample::cookie(&loaded), 11);
}

fn missing_raw_tracepoint_is_refused() {
    let loaded = load("raw_tp");
    let line = refused(RawTracepoint::new("no_such_tracepoint").attach(loaded.program("count").unwrap()));
    assert!(line.contains("ENOENT") && line.contains("no such tracepoint"), "{line}");
}

fn missing_tracepoint_is_refused() {
    let loaded = load("tracepoint");
    let line = refused(Tracepoint::new("syscalls", "sys_enter_nothing").attach(loaded.program("count").unwrap()));
    assert!(line.contains("ENOENT") && line.ends_with("the kernel has no such tracepoint"), "{line}");
}

/// A program can replace the return value only of functions that allow it.
fn fmod_ret_replaces_the_return_value() {
    let loaded = sample::answering("fmod_ret/security_file_mprotect", 0);
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}\n{}", error.verifier_log().unwrap_or_default()),
    };
    let link = loaded.program("count").unwrap().attach().unwrap();
    thread::spawn(|| ()).join().unwrap();
    drop(link);
    assert!(runs(&loaded) > 0, "a thread's stack has a guard page");
}

fn fentry_has_a_cookie() {
    let loaded = sample::object(&own("fentry/__x64_sys_getpgid"), 0, Also::NotesCookie).load().unwrap();
    let link = Tracing::new().cookie(1 << 50).attach(loaded.program("count").unwrap()).unwrap();
    runs_until_dropped(&loaded, link);
    assert_eq!(sample::cookie(&loaded), 1 << 50);
}

fn without_trampolines() -> Option<String> {
    unsupported::btf()
        .or_else(|| unsupported::trampolines().is_none().then(|| "this kernel can patch functions".to_owned()))
}

fn missing_trampolines_are_named() {
    let loaded = match sample::answering(&own("fentry/__x64_sys_getpgid"), 0) {
        Ok(loaded) => loaded,
        // Some kernels refuse it while loading.
        Err(error) => return assert!(error.to_string().contains("count"), "{error}"),
    };
    let line = refused(loaded.program("count").unwrap().attach());
    assert!(line.contains(&own("attach the program `count` to the kernel's `__x64_sys_getpgid`")), "{line}");
}

fn lsm_hook_runs() {
    let loaded = load("lsm/file_mprotect");
    let link = loaded.program("count").unwrap().attach().unwrap();
    thread::spawn(|| ()).join().unwrap();
    let during = runs(&loaded);
    assert!(during > 0, "a thread's stack has a guard page");
    drop(link);
}

fn name_missing_in_btf_is_refused() {
    for (section, part) in [
        ("fentry/no_such_function", "has a function `no_such_function`"),
        ("tp_btf/no_such_tracepoint", "has a type `btf_trace_no_such_tracepoint`"),
        ("lsm/no_such_hook", "has a function `bpf_lsm_no_such_hook`"),
        ("iter/no_such_things", "has a function `bpf_iter_no_such_things`"),
    ] {
        let line = sample::answering(section, 0).unwrap_err().to_string();
        assert!(line.contains(part) && line.contains("`count`"), "{line}");
    }
}

fn program_without_its_target_is_not_loaded() {
    let line = sample::answering("fentry", 0).unwrap_err().to_string();
    assert!(line.contains("names no attach target"), "{line}");
    let line = sample::answering("freplace/f", 0).unwrap_err().to_string();
    assert!(line.contains("choose the program with `LoadOptions::replace`"), "{line}");
    // The target can be set later.
    let mut object = sample::object("tp_btf", 0, Also::Nothing);
    object.program_mut("count").unwrap().section.target = Some(cutaway::Target::Btf { name: "sys_enter".to_owned() });
    let loaded = object.load().unwrap();
    let link = loaded.program("count").unwrap().attach().unwrap();
    call();
    drop(link);
    assert!(runs(&loaded) > 0);
}

/// Returns an iterator whose program writes `x` for each element. It writes nothing at the end, when the first field of
/// its context's second pointer is null.
pub(crate) fn writing(section: &str) -> Loaded {
    let mut object = ObjectBuilder::new("GPL");
    object.map("some", MapDef::new(MapType::HASH).key::<u32>().value::<u64>().max_entries(8));
    let mut asm = Assembler::new();
    let end = asm.label("end");
    asm.load(DW, R2, R1, 8); // the element
    asm.jump_if(Eq, R2, 0, end);
    asm.load(DW, R1, R1, 0); // struct bpf_iter_meta
    asm.load(DW, R1, R1, 0); // its seq_file
    asm.store(B, R10, -1, i32::from(b'x'));
    asm.mov(R2, R10);
    asm.add(R2, -1);
    asm.mov(R3, 1);
    asm.call(Helper::bpf_seq_write);
    asm.bind(end);
    asm.mov(R0, 0);
    asm.exit();
    object.program(section, "write", asm);
    match cutaway::Object::parse(&object.write().unwrap()).unwrap().load() {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}\n{}", error.verifier_log().unwrap_or_default()),
    }
}

pub(crate) fn read(link: &Link) -> usize {
    let mut text = String::new();
    link.read_iterator().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.trim_matches('x'), "");
    text.len()
}

fn iterator_is_read_many_times() {
    let loaded = writing("iter/task");
    let link = loaded.program("write").unwrap().attach().unwrap();
    for _ in 0..3 {
        // The first process, this one, and kernel threads.
        assert!(read(&link) > 2);
    }
    let counting = load("raw_tp/sys_enter");
    let other = counting.program("count").unwrap().attach().unwrap();
    let line = other.read_iterator().unwrap_err().to_string();
    assert!(line.contains("read the link of `count`") && line.contains("is it the link of an iterator"), "{line}");
}

fn iterator_walks_over_one_map() {
    // `iter/bpf_map_elem` gets the key after the map: meta, map, key, value.
    let loaded = writing("iter/bpf_map_elem");
    let map = loaded.map("some").unwrap();
    for key in 0..5_u32 {
        map.update(&key.to_ne_bytes(), &1_u64.to_ne_bytes()).unwrap();
    }
    let link = Iter::map(map).attach(loaded.program("write").unwrap()).unwrap();
    // The program also runs once at the end, with the map but without a key.
    assert_eq!(read(&link), 6);
    let line = refused(Iter::new().attach(loaded.program("write").unwrap()));
    assert!(line.contains("pass the map"), "{line}");
}

fn iterator_walks_over_one_process() {
    let loaded = writing("iter/task");
    let link = Iter::process(std::process::id()).attach(loaded.program("write").unwrap()).unwrap();
    assert_eq!(read(&link), 1, "this test has one thread");
    let link = Iter::thread(std::process::id()).attach(loaded.program("write").unwrap()).unwrap();
    assert_eq!(read(&link), 1);
}

fn cpu_clock_runs_on_every_cpu() {
    let loaded = load("perf_event");
    let link = PerfEvent::cpu_clock().frequency(200).attach(loaded.program("count").unwrap()).unwrap();
    assert!(!link.parts().is_empty(), "a link for each CPU");
    wait(&loaded);
    drop(link);
    let after = runs(&loaded);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(runs(&loaded), after);
}

fn cpu_clock_runs_for_one_process() {
    let loaded = load("perf_event");
    let clock = PerfEvent::cpu_clock().period(1_000_000).pid(std::process::id());
    let link = clock.attach(loaded.program("count").unwrap()).unwrap();
    assert!(link.parts().is_empty());
    wait(&loaded);
    drop(link);
}

pub(crate) fn wait(loaded: &Loaded) {
    wait_until(|| runs(loaded) > 0);
}

pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the program does not run, or the link stays");
    }
}

fn wrong_program_type_is_refused() {
    let loaded = load("socket");
    let program = loaded.program("count").unwrap();
    for answer in [
        RawTracepoint::new("sys_enter").attach(program),
        PerfEvent::cpu_clock().attach(program),
        Tracing::new().attach(program),
        Iter::new().attach(program),
    ] {
        let line = refused(answer);
        assert!(line.contains("it is a program of the type SOCKET_FILTER"), "{line}");
    }
    let line = refused(program.attach());
    assert!(line.contains("attach the program by hand, with `SocketFilter`"), "{line}");
}
