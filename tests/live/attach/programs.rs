//! Programs that are already in the kernel, and what the kernel tells about them.

use std::{
    fs::{self, File},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use cutaway::{
    AttachContext, AttachType, Link, LoadOptions, LogLevel, Map, Object, Program, ProgramType, StatsGuard, Target,
    TestRun,
};
use cutaway_programs::prelude::*;

use crate::{
    harness::{Test, older_than, test},
    pins, sample, unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(program_is_opened_by_pin_id_and_fd),
        test!(pinned_program_is_attached),
        test!(what_is_no_program_is_refused),
        test!(opened_program_needs_its_attach_type).unless(unsupported::cgroups),
        test!(opened_program_knows_its_target).unless(unsupported::btf).since(
            6,
            0,
            "the target's id in a program's info",
        ),
        test!(opened_iterator_is_read).unless(unsupported::iterators).since(
            6,
            0,
            "the target's id in a program's info",
        ),
        test!(section_of_another_type_is_refused),
        test!(only_its_own_pin_is_removed),
        test!(info_describes_the_program),
        test!(runs_are_in_the_info),
        test!(code_has_instructions_and_source_lines),
        test!(log_of_an_accepted_program_is_kept_on_request),
        test!(log_too_large_for_its_buffer_is_cut_visibly),
        test!(map_is_bound_to_a_program),
        test!(maps_are_bound_while_loading),
    ]
}

/// A path in the BPF file system for one test, removed on drop.
struct Pin(PathBuf);

impl Pin {
    fn new(name: &str) -> Self {
        Self(pins::file_system().join(format!("cutaway-program-{name}-{}", std::process::id())))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn duplicate(fd: &impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().unwrap()
}

/// Makes a system call that a program on `sys_enter` sees.
fn call() {
    let _ = rustix::process::getpgid(None);
}

fn program_is_opened_by_pin_id_and_fd() {
    let loaded = sample::object("raw_tp/sys_enter", 0, sample::Also::OnlyThisProcess).load().unwrap();
    let program = loaded.program("count").unwrap();
    let pin = Pin::new("open");
    program.pin(&pin.0).unwrap();
    let id = program.info().unwrap().id;
    for mut opened in [
        Program::from_pin(&pin.0).unwrap(),
        Program::from_id(id).unwrap(),
        Program::from_fd(duplicate(program)).unwrap(),
    ] {
        let section = &opened.spec().section;
        assert_eq!((opened.name(), section.program_type), ("count", ProgramType::RAW_TRACEPOINT));
        assert_eq!((opened.info().unwrap().id, &section.target), (id, &None));
        let line = opened.attach().unwrap_err().to_string();
        assert!(line.contains("attach the program `count`, whose section's name is unknown"), "{line}");
        opened.set_section("raw_tp/sys_enter").unwrap();
        let before = sample::runs(&loaded);
        let link = opened.attach().unwrap();
        call();
        drop(link);
        assert!(sample::runs(&loaded) > before, "it is attached");
    }
    let opened = Program::from_pin(&pin.0).unwrap();
    drop(loaded);
    opened.unpin(&pin.0).unwrap();
    assert!(!pin.0.exists());
    if older_than(5, 10, "test runs of raw tracepoints").is_none() {
        assert_eq!(opened.test_run(&TestRun::new()).unwrap().value, 0);
    }
    let line = Program::from_pin(&pin.0).unwrap_err().to_string();
    assert!(line.contains("ENOENT"), "{line}");
}

fn what_is_no_program_is_refused() {
    let loaded = sample::load("raw_tp/sys_enter");
    let pin = Pin::new("map");
    let map = loaded.map("seen").unwrap();
    map.pin(&pin.0).unwrap();
    let link = loaded.attach().unwrap();
    let link = link.iter().next().unwrap().as_link_fd().map(|link| duplicate(&link)).unwrap();
    for (opened, why) in [
        (Program::from_pin(&pin.0), "it is a map, not a program"),
        (Program::from_fd(duplicate(map)), "it is a map, not a program"),
        (Program::from_fd(link), "it is a link, not a program"),
        (Program::from_fd(File::open("/proc/self/maps").unwrap().into()), "it is not a BPF program"),
    ] {
        let line = opened.unwrap_err().to_string();
        assert!(line.contains(why), "{line}");
    }
    let line = Program::from_id(u32::MAX - 1).unwrap_err().to_string();
    assert!(line.contains("ENOENT") && line.contains("no such program"), "{line}");
}

fn opened_program_needs_its_attach_type() {
    let loaded = sample::load("cgroup_skb/egress");
    let mut opened = Program::from_fd(duplicate(loaded.program("count").unwrap())).unwrap();
    let directory = File::open("/").unwrap();
    let line = opened.attach_with(&AttachContext::new().cgroup(&directory)).unwrap_err().to_string();
    assert!(line.contains("does not report the attach type") && line.contains("Program::set_section"), "{line}");
    opened.set_section("cgroup_skb/egress").unwrap();
    assert_eq!(opened.spec().section.expected_attach_type, AttachType::CGROUP_INET_EGRESS);
    // With it, the kernel is asked: the directory is no cgroup.
    let line = opened.attach_with(&AttachContext::new().cgroup(&directory)).unwrap_err().to_string();
    assert!(line.contains("EBADF"), "{line}");
}

/// Attaches a program that another process has pinned.
fn attach_pinned(path: &Path) -> Result<Link, cutaway::Error> {
    let mut program = Program::from_pin(path)?;
    program.set_section("raw_tp/sys_enter")?; // the kernel does not report the target
    program.attach()
}

fn pinned_program_is_attached() {
    let loaded = sample::object("raw_tp", 0, sample::Also::OnlyThisProcess).load().unwrap();
    let pin = Pin::new("attach");
    loaded.program("count").unwrap().pin(&pin.0).unwrap();
    let link = attach_pinned(&pin.0).unwrap();
    call();
    drop(link);
    assert!(sample::runs(&loaded) > 0);
}

fn opened_program_knows_its_target() {
    let loaded = sample::object("tp_btf/sys_enter", 0, sample::Also::OnlyThisProcess).load().unwrap();
    let mut opened = Program::from_fd(duplicate(loaded.program("count").unwrap())).unwrap();
    let section = &opened.spec().section;
    assert_eq!(section.target, Some(Target::Btf { name: "sys_enter".to_owned() }));
    assert_eq!(section.expected_attach_type, AttachType::TRACE_RAW_TP);
    let link = opened.attach().unwrap();
    call();
    drop(link);
    assert!(sample::runs(&loaded) > 0);
    let line = opened.set_section("tp_btf/sys_exit").unwrap_err().to_string();
    assert!(line.contains("it was verified for `sys_enter`"), "{line}");
    opened.set_section("tp_btf").unwrap();
    assert!(opened.spec().section.target.is_some(), "the target is kept");
}

fn opened_iterator_is_read() {
    let loaded = sample::load("iter/task");
    let opened = Program::from_fd(duplicate(loaded.program("count").unwrap())).unwrap();
    let link = opened.attach().unwrap();
    std::io::copy(&mut link.read_iterator().unwrap(), &mut std::io::sink()).unwrap();
    assert!(sample::runs(&loaded) > 0);
}

fn section_of_another_type_is_refused() {
    let loaded = sample::load("xdp");
    let mut opened = Program::from_fd(duplicate(loaded.program("count").unwrap())).unwrap();
    let line = opened.set_section("tc").unwrap_err().to_string();
    assert!(line.contains("of the type XDP") && line.contains("SCHED_CLS"), "{line}");
    assert!(opened.set_section("nonsense").is_err());
    assert_eq!(opened.spec().section_name, "");
}

fn only_its_own_pin_is_removed() {
    let (one, other) = (sample::load("xdp"), sample::load("xdp"));
    let (one, map) = (one.program("count").unwrap(), other.map("seen").unwrap());
    let other = other.program("count").unwrap();
    let (pin, map_pin) = (Pin::new("own"), Pin::new("own-map"));
    one.pin(&pin.0).unwrap();
    map.pin(&map_pin.0).unwrap();
    for path in [&pin.0, &map_pin.0] {
        let line = other.unpin(path).unwrap_err().to_string();
        assert!(line.contains("something else is pinned there") && path.exists(), "{line}");
    }
    assert!(other.unpin("/proc/self/maps").is_err() && Path::new("/proc/self/maps").exists());
    one.unpin(&pin.0).unwrap();
    assert!(!pin.0.exists());
}

fn info_describes_the_program() {
    let loaded = sample::load("raw_tp/sys_enter");
    let program = loaded.program("count").unwrap();
    let info = program.info().unwrap();
    assert_eq!((info.name.as_str(), info.program_type, info.uid), ("count", ProgramType::RAW_TRACEPOINT, 0));
    assert!(info.gpl_compatible && info.id != 0 && info.tag != [0; 8], "{info:?}");
    let same = Program::from_id(info.id).unwrap().info().unwrap();
    assert_eq!((same.id, same.tag, same.map_ids), (info.id, info.tag, info.map_ids.clone()));
    let age = SystemTime::now().duration_since(info.loaded_at).unwrap();
    assert!(age < Duration::from_secs(600), "{age:?}");
    assert_eq!(info.verified_insns.is_some(), older_than(5, 16, "").is_none(), "{info:?}");
    assert!(info.verified_insns.is_none_or(|count| count > 5), "{info:?}");
    assert_eq!(info.recursion_misses, older_than(5, 12, "").is_none().then_some(0));
    assert!(info.memlock.is_some_and(|bytes| bytes > 0), "{info:?}");
    assert!(info.xlated_size.is_some_and(|bytes| bytes > 0 && bytes % 8 == 0), "{info:?}");
    assert_eq!((info.attach_btf, info.ifindex), (None, None));
    let maps = program.used_maps().unwrap();
    assert_eq!((maps.len(), maps.iter().map(Map::name).collect::<Vec<_>>()), (info.map_ids.len(), vec!["seen"]));
    // An equal program has the same tag, and one with another return value has another.
    let of = |answer| sample::answering("raw_tp/sys_enter", answer).unwrap().program("count").unwrap().info().unwrap();
    assert_eq!((of(0).tag == info.tag, of(1).tag == info.tag), (true, false));
}

fn runs_are_in_the_info() {
    let loaded = sample::answering("xdp", 2).unwrap();
    let program = loaded.program("count").unwrap();
    let _statistics = StatsGuard::enable().unwrap();
    program.test_run(&TestRun { data: vec![0; 64], repeat: 9, ..TestRun::new() }).unwrap();
    assert_eq!(program.info().unwrap().stats.count, program.stats().unwrap().count);
}

/// Returns an object whose source lines are those of this file.
fn with_lines() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    object.source(source!("programs.rs"));
    let mut asm = Assembler::new();
    asm.mov(R0, 41); // the first line
    asm.add(R0, 1);
    asm.exit(); // the last line
    object.program("socket", "answer", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

fn code_has_instructions_and_source_lines() {
    let loaded = with_lines().load().unwrap();
    let program = loaded.program("answer").unwrap();
    let (code, info) = (program.code().unwrap(), program.info().unwrap());
    let instructions = code.instructions().unwrap();
    assert_eq!(instructions.len() * 8, info.xlated_size.unwrap() as usize);
    assert_eq!(instructions.first().map(|insn| insn.imm), Some(41));
    let lines = code.lines().unwrap();
    let first = code.line_at(0).unwrap();
    assert!(first.text.contains("the first line") && first.file.ends_with("programs.rs"), "{first:?}");
    let last = code.line_at(instructions.len() - 1).unwrap();
    assert!(last.text.contains("the last line") && last.line == first.line + 2, "{last:?}");
    let function = code.functions().first().unwrap();
    assert_eq!((function.name.as_deref(), function.slot), (Some("answer"), Some(0)));
    let restricted = fs::read_to_string("/proc/sys/kernel/kptr_restrict").unwrap().trim() == "2";
    let jits = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").unwrap().trim() != "0";
    if jits && !restricted {
        let jited = code.jited().unwrap();
        assert_eq!(jited.len(), info.jited_size.unwrap() as usize);
        let sizes: u32 = code.functions().iter().filter_map(|function| function.jited_size).sum();
        assert_eq!(sizes as usize, jited.len());
        let start = function.address.unwrap();
        let addresses = code.line_addresses().unwrap();
        assert_eq!(addresses.len(), lines.len());
        assert!(
            addresses.iter().all(|address| (start..start + jited.len() as u64).contains(address)),
            "{addresses:x?}"
        );
    } else {
        assert!(code.jited().is_none() && function.address.is_none());
    }
}

fn with_log(level: LogLevel) -> (String, cutaway::VerifierStats) {
    let mut options = LoadOptions::new();
    options.verifier_log(level);
    let loaded = with_lines().load_with(&options).unwrap();
    let program = loaded.program("answer").unwrap();
    (program.verifier_log().unwrap().to_owned(), program.verifier_stats().unwrap())
}

fn log_of_an_accepted_program_is_kept_on_request() {
    let loaded = with_lines().load().unwrap();
    let program = loaded.program("answer").unwrap();
    assert_eq!((program.verifier_log(), program.verifier_stats()), (None, None));
    let (log, stats) = with_log(LogLevel::Stats);
    assert!(log.contains("processed 3 insns") && !log.contains("exit"), "{log}");
    assert_eq!((stats.processed_insns, stats.limit), (Some(3), Some(1_000_000)), "{log}");
    assert_eq!((stats.total_states, stats.stack_depths), (Some(0), Some(vec![0])), "{log}");
    assert!(stats.peak_states.is_some() && stats.max_states_per_insn.is_some() && stats.mark_read.is_some(), "{log}");
    assert!(stats.verification_time.is_some_and(|time| time < Duration::from_secs(60)), "{log}");
    let newest = older_than(7, 3, "the cost of each function").is_none();
    assert_eq!((stats.max_stack_depth.is_some(), stats.functions.is_some()), (newest, newest), "{log}");
    let (steps, of_steps) = with_log(LogLevel::Instructions);
    assert!(steps.contains(") exit") && steps.contains("the last line"), "{steps}");
    assert_eq!(of_steps.processed_insns, Some(3), "{steps}");
}

/// Writes more than 16 MiB of steps. The log has a long source line for each instruction, so few instructions suffice.
fn log_too_large_for_its_buffer_is_cut_visibly() {
    let mut object = ObjectBuilder::new("GPL");
    object.source(source!("programs.rs"));
    let mut asm = Assembler::new();
    let next = asm.label("next");
    asm.mov(R0, 0);
    asm.mov(R1, 0);
    asm.bind(next);
    for _ in 0..5 {
        asm.add(R0, 1); // one long line of source, which the verifier prints before the instruction, up to the end
        asm.sub(R0, 1); // another long line of source, which differs from the one above, so that both are printed
    }
    asm.add(R1, 1);
    asm.jump_if(Lt, R1, 10_000, next);
    asm.mov(R0, 0);
    asm.exit();
    object.program("socket", "counts", asm);
    let object = Object::parse(&object.write().unwrap()).unwrap();
    let mut options = LoadOptions::new();
    options.verifier_log(LogLevel::Instructions);
    let loaded = object.load_with(&options).unwrap();
    let program = loaded.program("counts").unwrap();
    let log = program.verifier_log().unwrap();
    assert!(log.contains("the kernel cut the log off here"), "{} bytes", log.len());
    let processed = program.verifier_stats().unwrap().processed_insns;
    assert!(processed.is_some_and(|count| count > 100_000), "{processed:?}");
}

fn map_is_bound_to_a_program() {
    let (loaded, other) = (sample::load("raw_tp/sys_enter"), sample::load("raw_tp/sys_enter"));
    let (program, map) = (loaded.program("count").unwrap(), other.map("seen").unwrap());
    program.bind_map(map).unwrap();
    program.bind_map(map).unwrap();
    let bound = program.used_maps().unwrap();
    assert_eq!(bound.len(), 2);
    // The program keeps the map, after everything else that refers to it is gone.
    map.update(&0_u32.to_ne_bytes(), &5_u64.to_ne_bytes()).unwrap();
    drop((other, bound));
    let values: Vec<_> =
        program.used_maps().unwrap().iter().map(|map| map.lookup(&0_u32.to_ne_bytes()).unwrap()).collect();
    assert!(values.contains(&Some(5_u64.to_ne_bytes().to_vec())), "{values:?}");
}

fn maps_are_bound_while_loading() {
    let other = sample::load("raw_tp/sys_enter");
    let map = other.map("seen").unwrap();
    let mut options = LoadOptions::new();
    options.bind_map(map);
    for object in [with_lines(), sample::object("raw_tp/sys_enter", 0, sample::Also::Nothing)] {
        let loaded = object.load_with(&options).unwrap();
        let program = loaded.programs().next().unwrap();
        let own = loaded.maps().count();
        assert_eq!(program.info().unwrap().map_ids.len(), own + 1);
    }
    let directory = File::open("/").unwrap();
    let mut options = LoadOptions::new();
    options.bind_map(&directory);
    let line = with_lines().load_with(&options).unwrap_err().to_string();
    assert!(line.contains("answer"), "{line}");
}
