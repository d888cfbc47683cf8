//! Programs that are loaded on several threads: the result is that of one thread.
//!
//! The harness records system calls, and then loading uses one thread. So these tests lower the level of the log.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use cutaway::{Error, LoadOptions, Loaded, Object};
use cutaway_programs::prelude::*;
use log::{Level, LevelFilter};

use crate::{
    harness::{Test, older_than, test},
    journal,
    patience::wait_until,
    repetitions::repetitions,
    requirements::{ring, root},
    slow_programs::{self, walk},
};

pub(crate) fn tests() -> Vec<Test> {
    let loops = "bounded loops";
    vec![
        test!(large_programs_are_loaded_by_helpers).since(5, 3, loops).needs(root),
        test!(one_thread_loads_alone).since(5, 3, loops).needs(root),
        test!(recorded_load_uses_one_thread).since(5, 3, loops).needs(root),
        test!(first_error_in_the_file_is_returned).since(5, 3, loops).needs(root),
        test!(failed_programs_are_in_the_order_of_the_file).since(5, 3, loops).needs(root),
        test!(owner_of_a_map_is_the_first_program_in_the_file).since(5, 3, loops).needs(root),
        test!(storage_of_the_first_program_decides).since(5, 3, loops).needs(root),
        test!(owner_of_a_bound_map_is_the_first_program_in_the_file).since(5, 10, "bound maps").needs(root),
        test!(without_memory_for_threads_the_caller_loads).since(5, 3, loops).needs(root),
        #[cfg(feature = "instrument")]
        test!(instrumented_programs_are_noted_in_order).since(5, 3, loops).needs(ring),
    ]
}

/// Returns a number of rounds large enough that helpers are started after the first program, on fast machines too.
fn rounds() -> i32 {
    repetitions(3000, 500)
}

/// Ends the record of system calls; messages of `level` and above are still recorded.
fn record_only(level: LevelFilter) {
    log::set_max_level(level);
}

/// Calls `load`. Returns its result, and whether a helper was seen meanwhile.
fn watched<T>(load: impl FnOnce() -> T) -> (T, bool) {
    let (ended, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            // ATOMICS: flags that guard no other data.
            while !ended.load(Ordering::Relaxed) {
                for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
                    let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
                    seen.fetch_or(name.trim() == "cutaway-load", Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let result = load();
        ended.store(true, Ordering::Relaxed);
        result
    });
    (result, seen.load(Ordering::Relaxed))
}

fn slow(programs: usize) -> Object {
    Object::parse(&slow_programs::object(programs, rounds())).unwrap()
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.programs().map(|program| program.name().to_owned()).collect()
}

fn expected(programs: usize) -> Vec<String> {
    (0..programs).map(|number| format!("slow{number}")).collect()
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn large_programs_are_loaded_by_helpers() -> Option<String> {
    record_only(LevelFilter::Debug);
    let (loaded, seen) = watched(|| slow(24).load().unwrap());
    assert_eq!(names(&loaded), expected(24));
    // A thread that was joined stays in the list until the kernel has released it.
    wait_until("all helpers have ended", || (fs::read_dir("/proc/self/task").unwrap().count() == 1).then_some(()));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(seen, cpus > 1);
    (cpus == 1).then(|| "it has one CPU, and helpers need another".to_owned())
}

fn one_thread_loads_alone() {
    record_only(LevelFilter::Debug);
    for threads in [0, 1] {
        let (loaded, seen) = watched(|| slow(8).load_with(LoadOptions::new().threads(threads)).unwrap());
        assert_eq!(names(&loaded), expected(8));
        assert!(!seen, "{threads}");
    }
}

fn recorded_load_uses_one_thread() {
    let (loaded, seen) = watched(|| slow(8).load().unwrap());
    assert!(!seen);
    // Every program's system call is recorded, in the order of the file.
    let calls = journal::system_calls();
    let loads = calls.iter().filter_map(|call| {
        let value = |wanted: &str| call.pairs.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        (value("cmd") == Some("BPF_PROG_LOAD")).then(|| value("prog_name").unwrap_or_default().trim_matches('"'))
    });
    assert_eq!(loads.map(str::to_owned).collect::<Vec<_>>(), names(&loaded));
}

/// Adds a program that the verifier refuses at the end of a loop: the return value is not set.
fn refused(object: &mut ObjectBuilder, name: &str, rounds: i32) {
    let mut asm = Assembler::new();
    walk(&mut asm, rounds);
    asm.exit();
    object.program("raw_tp/sys_enter", name, asm);
}

fn accepted(object: &mut ObjectBuilder, name: &str, rounds: i32) {
    accepted_as(object, "raw_tp/sys_enter", name, rounds);
}

fn accepted_as(object: &mut ObjectBuilder, section: &str, name: &str, rounds: i32) {
    let mut asm = Assembler::new();
    walk(&mut asm, rounds);
    asm.mov(R0, 0);
    asm.exit();
    object.program(section, name, asm);
}

/// Returns an object with two refused programs: the first is slow, so the second is refused before it.
fn two_refused() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    for number in 0..4 {
        accepted(&mut object, &format!("before{number}"), rounds());
    }
    refused(&mut object, "slowly", 2 * rounds());
    refused(&mut object, "at_once", 1);
    for number in 0..8 {
        accepted(&mut object, &format!("after{number}"), rounds());
    }
    Object::parse(&object.write().unwrap()).unwrap()
}

fn first_error_in_the_file_is_returned() {
    record_only(LevelFilter::Debug);
    let before = open_files();
    let error = two_refused().load().unwrap_err();
    let Error::Verifier { program, .. } = &error else { panic!("{error:?}") };
    assert_eq!(program, "slowly");
    assert_eq!(open_files(), before, "nothing stays loaded");
}

fn failed_programs_are_in_the_order_of_the_file() {
    record_only(LevelFilter::Debug);
    let (loaded, failed) = two_refused().load_partial().unwrap();
    assert_eq!(failed.iter().map(|failed| failed.name.as_str()).collect::<Vec<_>>(), ["slowly", "at_once"]);
    let skipped: Vec<_> = loaded.skipped().iter().map(|skipped| skipped.name.as_str()).collect();
    assert_eq!(skipped, ["slowly", "at_once"]);
    let after = (0..8).map(|number| format!("after{number}"));
    let expected: Vec<_> = (0..4).map(|number| format!("before{number}")).chain(after).collect();
    assert_eq!(names(&loaded), expected);
}

/// The first program that uses a `PROG_ARRAY` becomes its owner, and the kernel refuses programs of other types. On
/// several threads the second program here would be first.
fn owner_of_a_map_is_the_first_program_in_the_file() {
    record_only(LevelFilter::Debug);
    let mut object = ObjectBuilder::new("GPL");
    let table = object.map("table", MapDef::new(MapType::PROG_ARRAY).key_size(4).value_size(4).max_entries(1));
    for number in 0..4 {
        accepted(&mut object, &format!("before{number}"), rounds());
    }
    for (section, name, rounds) in [
        // Each in a section of its own, for this order in the file.
        ("raw_tp/sys_exit", "owner", 2 * rounds()),
        ("tracepoint/syscalls/sys_enter_getpgid", "other", 1),
        ("raw_tp/sched_switch", "same", 1),
    ] {
        let mut asm = Assembler::new();
        walk(&mut asm, rounds);
        asm.load_map(R2, table);
        asm.mov(R3, 0);
        asm.call(Helper::bpf_tail_call);
        asm.mov(R0, 0);
        asm.exit();
        object.program(section, name, asm);
    }
    let object = Object::parse(&object.write().unwrap()).unwrap();
    let (loaded, failed) = object.load_partial().unwrap();
    assert_eq!(failed.iter().map(|failed| failed.name.as_str()).collect::<Vec<_>>(), ["other"]);
    assert!(names(&loaded).ends_with(&["owner".to_owned(), "same".to_owned()]));
}

/// Returns the names of the programs that one thread cannot load, after checking that more threads load the same.
fn failed_alone_and_together(bytes: &[u8], options: &LoadOptions<'_>) -> Vec<String> {
    let load = |threads: usize| {
        let mut options = options.clone();
        let (loaded, failed) =
            Object::parse(bytes).unwrap().load_partial_with(options.threads(threads).start_threads_at_once()).unwrap();
        (names(&loaded), failed.into_iter().map(|failed| failed.name).collect::<Vec<_>>())
    };
    let alone = load(1);
    assert_eq!(load(64), alone);
    alone.1
}

/// Since 6.17 (and in some older stable kernels), the owner of a `PROG_ARRAY` must have the cgroup storage of later
/// programs. Here it has none. On several threads the second program would be the owner.
fn storage_of_the_first_program_decides() {
    record_only(LevelFilter::Debug);
    let mut object = ObjectBuilder::new("GPL");
    let table = object.map("table", MapDef::new(MapType::PROG_ARRAY).key_size(4).value_size(4).max_entries(1));
    let storage = object.map("storage", MapDef::new(MapType::CGROUP_STORAGE).key_size(16).value_size(8));
    for (name, rounds, stores) in [("without", 4 * rounds(), false), ("with", 1, true), ("also_without", 1, false)] {
        let mut asm = Assembler::new();
        walk(&mut asm, rounds);
        asm.mov(R6, R1);
        if stores {
            asm.load_map(R1, storage);
            asm.mov(R2, 0);
            asm.call(Helper::bpf_get_local_storage);
        }
        asm.mov(R1, R6);
        asm.load_map(R2, table);
        asm.mov(R3, 0);
        asm.call(Helper::bpf_tail_call);
        asm.mov(R0, 1);
        asm.exit();
        object.program("cgroup_skb/egress", name, asm);
    }
    let failed = failed_alone_and_together(&object.write().unwrap(), &LoadOptions::new());
    assert!(failed.is_empty() || failed == ["with"], "{failed:?}");
}

/// A bound map has an owner as a map has to which an instruction refers.
fn owner_of_a_bound_map_is_the_first_program_in_the_file() {
    record_only(LevelFilter::Debug);
    let mut tables = ObjectBuilder::new("GPL");
    tables.map("table", MapDef::new(MapType::PROG_ARRAY).key_size(4).value_size(4).max_entries(1));
    let tables = tables.write().unwrap();
    let mut object = ObjectBuilder::new("GPL");
    for (section, name, rounds) in [
        // Each in a section of its own, for this order in the file.
        ("raw_tp/sys_exit", "owner", 4 * rounds()),
        ("tracepoint/syscalls/sys_enter_getpgid", "other", 1),
        ("raw_tp/sched_switch", "same", 1),
    ] {
        accepted_as(&mut object, section, name, rounds);
    }
    let bytes = object.write().unwrap();
    let mut failed = Vec::new();
    for threads in [1, 64] {
        // A new map, which has no owner yet.
        let loaded = Object::parse(&tables).unwrap().load().unwrap();
        let mut options = LoadOptions::new();
        options.bind_map(loaded.map("table").unwrap()).threads(threads).start_threads_at_once();
        let (_, refused) = Object::parse(&bytes).unwrap().load_partial_with(&options).unwrap();
        failed.push(refused.into_iter().map(|refused| refused.name).collect::<Vec<_>>());
    }
    assert_eq!(failed[0], failed[1]);
    let binds_while_loading = older_than(6, 14, "maps that are bound while a program is loaded").is_none();
    assert_eq!(failed[0], if binds_while_loading { &["other"][..] } else { &[] });
}

/// The stack of a thread needs address space. Without any, the calling thread loads all programs.
fn without_memory_for_threads_the_caller_loads() {
    record_only(LevelFilter::Debug);
    let object = slow(8);
    // Loading itself needs some hundred kilobytes; a thread's stack has 2 MiB.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    rustix::process::setrlimit(
        rustix::process::Resource::As,
        rustix::process::Rlimit { current: Some((kilobytes + 1024) << 10), maximum: None },
    )
    .unwrap();
    let loaded = object.load().unwrap();
    assert_eq!(names(&loaded), expected(8));
    let messages = journal::messages(Level::Debug);
    let told = messages.iter().any(|message| message.starts_with("no further thread loads programs: "));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(told, cpus > 1, "{messages:?}");
}

/// Losses and coverage are the same as those of one thread.
#[cfg(feature = "instrument")]
fn instrumented_programs_are_noted_in_order() {
    record_only(LevelFilter::Debug);
    let mut object = ObjectBuilder::new("GPL");
    let events = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
    for number in 0..12 {
        let mut asm = Assembler::new();
        walk(&mut asm, rounds());
        asm.store(DW, R10, -8, 0);
        asm.load_map(R1, events);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.mov(R3, 8);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_ringbuf_output);
        asm.mov(R0, 0);
        asm.exit();
        object.program("raw_tp/sys_enter", &format!("slow{number}"), asm);
    }
    let bytes = object.write().unwrap();
    let load = |threads: usize| {
        let mut object = Object::parse(&bytes).unwrap();
        object.count_losses();
        object.cover();
        object.load_with(LoadOptions::new().threads(threads)).unwrap()
    };
    let (alone, together) = (load(1), load(64));
    assert_eq!(names(&alone), names(&together));
    let sites = |loaded: &Loaded| format!("{:?}", loaded.losses().unwrap().sites().unwrap());
    assert_eq!(sites(&alone).matches("lost: Ok(0)").count(), 12, "{}", sites(&alone));
    assert_eq!(sites(&alone), sites(&together));
    let covered = |loaded: &Loaded| {
        let coverage = loaded.coverage().unwrap();
        format!("{:?} {:?}", coverage.not_measured(), coverage.report().unwrap())
    };
    assert_eq!(covered(&alone), covered(&together));
}
