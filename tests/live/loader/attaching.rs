//! Links: a program runs exactly as long as its link exists. Also errors of attaching.
#![expect(unsafe_code, reason = "calls the function that is probed")]

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use cutaway::{
    AttachType, Error, Link, Links, Loaded, Object, ProgramType, RawTracepoint, Tracepoint, Uprobe, features,
};

use crate::{
    corpus,
    harness::{Test, open_fds, test},
    journal,
    requirements::root,
    sample::{self, names},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(dropped_link_detaches).needs(root),
        test!(forgotten_link_stays_attached).needs(root),
        test!(links_of_one_program_count_separately).needs(root),
        test!(links_are_detached_together).needs(root),
        test!(program_outlives_its_object).needs(root),
        test!(program_attaches_by_its_section).needs(root),
        test!(program_type_is_set_by_hand).needs(root),
        test!(return_probe_runs_on_return).needs(root),
        test!(another_process_is_not_probed).needs(root),
        test!(constants_reach_the_program).needs(root),
        test!(attachment_is_a_link_where_supported).needs(root),
        test!(functions_that_cannot_be_probed_are_distinguished).needs(root),
        test!(invalid_offset_is_refused).needs(root),
        test!(context_access_beyond_the_record_is_explained).needs(root),
        test!(one_failed_attachment_detaches_all).needs(root),
        test!(skipped_programs_are_named_with_their_reasons).needs(root),
        test!(all_programs_skipped_is_an_error).needs(root),
        test!(warnings_are_logged_once).needs(root),
    ]
}

/// Calls a function of the C library that no other code of the test calls.
pub(crate) fn call() {
    unsafe extern "C" {
        fn a64l(text: *const libc::c_char) -> libc::c_long;
    }
    // SAFETY: reads a string.
    let value = unsafe { a64l(c"./".as_ptr()) };
    assert_eq!(value, 64);
}

fn probe_here() -> Uprobe {
    Uprobe::new("libc.so.6", "a64l").pid(std::process::id())
}

fn load(section: &str) -> Loaded {
    sample::object(section).load().unwrap()
}

fn attach(loaded: &Loaded, probe: &Uprobe) -> Link {
    probe.attach(loaded.program(names::PROGRAM).unwrap()).unwrap()
}

fn dropped_link_detaches() {
    let loaded = load("uprobe");
    call();
    assert_eq!(sample::runs(&loaded), 0);
    for round in 1..=3 {
        let link = attach(&loaded, &probe_here());
        call();
        call();
        assert_eq!(sample::runs(&loaded), 2 * round);
        drop(link);
        call();
        assert_eq!(sample::runs(&loaded), 2 * round, "detached");
    }
}

/// The program stays attached until the process ends, with its fds. So that part runs in a process of its own.
fn forgotten_link_stays_attached() {
    const CHILD: &str = "CUTAWAY_TEST_FORGETS";
    if std::env::var_os(CHILD).is_some() {
        let loaded = load("uprobe");
        attach(&loaded, &probe_here()).forget();
        call();
        assert_eq!(sample::runs(&loaded), 1);
        println!("still attached");
        // Exit here: the harness would check the open fds.
        std::process::exit(0);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([crate::harness::ISOLATED, "forgotten_link_stays_attached"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "still attached\n", "{output:?}");
}

/// The section's name does not say the type; the caller sets it.
fn program_type_is_set_by_hand() {
    let mut object = sample::object("mine/anything");
    let section = &object.unknown_programs()[0];
    assert_eq!((section.name.as_str(), object.programs().len()), ("count", 0));
    let error = object.set_program_type("nothing", ProgramType::KPROBE, AttachType::default()).unwrap_err().to_string();
    assert_eq!(error, "the object has no function `nothing`; it has `count`");
    let spec = object.set_program_type("count", ProgramType::KPROBE, AttachType::default()).unwrap();
    assert_eq!((spec.section_name.as_str(), spec.section.target.clone()), ("mine/anything", None));
    assert_eq!((object.unknown_programs().len(), object.programs().len()), (0, 1));
    let loaded = object.load().unwrap();
    let error = loaded.attach().unwrap_err().to_string();
    assert!(error.contains("attach the program by hand"), "{error}");
    let link = attach(&loaded, &probe_here());
    call();
    assert_eq!(sample::runs(&loaded), 1);
    drop(link);

    // A program whose section gives another type.
    let mut object = sample::object("uprobe");
    object.set_program_type("count", ProgramType::RAW_TRACEPOINT, AttachType::default()).unwrap();
    let loaded = object.load().unwrap();
    let link = RawTracepoint::new("sys_enter").attach(loaded.program("count").unwrap()).unwrap();
    let before = sample::runs(&loaded);
    let _ = rustix::process::getpgid(None);
    assert!(sample::runs(&loaded) > before);
    drop(link);
}

fn links_of_one_program_count_separately() {
    let loaded = load("uprobe");
    let links = [attach(&loaded, &probe_here()), attach(&loaded, &probe_here()), attach(&loaded, &probe_here())];
    call();
    assert_eq!(sample::runs(&loaded), 3);
    drop(links);
    call();
    assert_eq!(sample::runs(&loaded), 3);
}

/// More links than threads.
fn links_are_detached_together() {
    let loaded = load("uprobe");
    let fds = open_fds().len();
    let mut links: Links = (0..30).map(|_| attach(&loaded, &probe_here())).collect();
    let mut more = Links::default();
    more.push(attach(&loaded, &probe_here()));
    links.append(more);
    call();
    assert_eq!((links.iter().count(), sample::runs(&loaded)), (31, 31));
    links.detach_together();
    assert_eq!(open_fds().len(), fds);
    call();
    assert_eq!(sample::runs(&loaded), 31);
    Links::default().detach_together();
}

fn program_outlives_its_object() {
    use std::os::fd::AsFd;
    let loaded = load("uprobe");
    let link = attach(&loaded, &probe_here());
    let runs = loaded.map(names::RUNS).unwrap().as_fd().try_clone_to_owned().unwrap();
    drop(loaded);
    call();
    // The program and its map exist as long as the link.
    drop(link);
    drop(runs);
}

fn program_attaches_by_its_section() {
    let loaded = load("uprobe/libc.so.6:a64l");
    let links = loaded.attach().unwrap();
    assert_eq!(links.iter().count(), 1);
    let before = sample::runs(&loaded);
    call();
    assert!(sample::runs(&loaded) > before, "for all processes, so for this one too");
    drop(links);

    let loaded = load("tracepoint/task/task_newtask");
    let links = loaded.attach().unwrap();
    std::thread::spawn(|| ()).join().unwrap();
    let during = sample::runs(&loaded);
    assert!(during > 0, "a thread is a task");
    drop(links);
    let after = sample::runs(&loaded);
    std::thread::spawn(|| ()).join().unwrap();
    assert_eq!(sample::runs(&loaded), after);

    let error = load("uprobe").attach().unwrap_err().to_string();
    assert!(error.contains("attach the program `count` by its section `uprobe`"), "{error}");
    assert!(error.contains("does not say where"), "{error}");
    let error = load("socket/somewhere").attach().unwrap_err().to_string();
    assert!(error.contains("attach the program by hand, with `SocketFilter`"), "{error}");
}

fn return_probe_runs_on_return() {
    let loaded = load("uretprobe");
    let link = attach(&loaded, &probe_here().retprobe(true));
    for calls in 1..=5 {
        call();
        assert_eq!(sample::runs(&loaded), calls);
    }
    drop(link);
    call();
    assert_eq!(sample::runs(&loaded), 5);
}

fn another_process_is_not_probed() {
    let loaded = load("uprobe");
    let mut process = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Until execve(2) is done, the child may share our address space.
    process.stdin.as_mut().unwrap().write_all(b"!").unwrap();
    process.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let link = attach(&loaded, &Uprobe::new("libc.so.6", "a64l").pid(process.id()));
    call();
    assert_eq!(sample::runs(&loaded), 0);
    drop(link);
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success(), "the process was not killed");
}

fn constants_reach_the_program() {
    let mut object = sample::object("uprobe");
    object.set_variable(names::STEP, &1000_u64.to_ne_bytes()).unwrap();
    object.set_variable(names::OFFSET, &1_u64.to_ne_bytes()).unwrap();
    let loaded = object.load().unwrap();
    let _link = attach(&loaded, &probe_here());
    call();
    assert_eq!(sample::runs(&loaded), 1001);
    loaded.map(".bss").unwrap().update(&0_u32.to_ne_bytes(), &5_u64.to_ne_bytes()).unwrap();
    call();
    assert_eq!(sample::runs(&loaded), 2006);
}

fn attachment_is_a_link_where_supported() {
    use std::os::fd::AsRawFd;
    let loaded = load("uprobe");
    let link = attach(&loaded, &probe_here());
    let name = |fd: std::os::fd::BorrowedFd<'_>| {
        std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().display().to_string()
    };
    if features::perf_link().is_yes() {
        let name = name(link.as_link_fd().unwrap());
        assert!(name.contains("bpf_link") || name.contains("bpf-link"), "{name}");
        let error = probe_here().cookie(7).attach(loaded.program(names::PROGRAM).unwrap());
        assert!(error.is_ok(), "{error:?}");
    } else {
        assert!(link.as_link_fd().is_none());
        assert!(name(link.as_perf_event_fd().unwrap()).contains("perf_event"));
        let error = probe_here().cookie(7).attach(loaded.program(names::PROGRAM).unwrap()).unwrap_err();
        assert!(error.to_string().contains("needs Linux 5.15"), "{error}");
    }
    call();
    assert_eq!(sample::runs(&loaded), 1);
}

fn refused(loaded: &Loaded, probe: &Uprobe) -> String {
    let error = probe.attach(loaded.program(names::PROGRAM).unwrap()).unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

fn functions_that_cannot_be_probed_are_distinguished() {
    let loaded = load("uprobe");
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    for (library, symbol, part) in [
        ("libc.so.6", "memcpy", "it is an IFUNC, a resolver that the dynamic loader runs"),
        ("libc.so.6", "no_such_function", "the file has no such function"),
        ("libc.so.6", "a64l@NO_SUCH_VERSION", "there is no version NO_SUCH_VERSION of it, but"),
        (own, "a64l", "the file only imports it"),
        ("libgcc_s.so.1", "a64l", "the file has no such function"),
    ] {
        let line = refused(&loaded, &Uprobe::new(library, symbol));
        assert!(line.contains(part) && line.contains(&format!("`{symbol}`")), "{line}");
    }
    for library in ["libnothing.so.9", "/no/such/file", "relative/no/such/file", ""] {
        let line = refused(&loaded, &Uprobe::new(library, "a64l"));
        assert!(line.starts_with(&format!("cannot find the library `{library}`: ")), "{line}");
    }
}

fn invalid_offset_is_refused() {
    let loaded = load("uprobe");
    let line = refused(&loaded, &probe_here().offset(u64::MAX));
    assert!(line.contains("is larger than any file"), "{line}");
    let line = refused(&loaded, &probe_here().offset(1 << 40));
    assert!(line.contains("the offset 0x10000000000 is beyond its end"), "{line}");
    let line = refused(&loaded, &Uprobe::new("libc.so.6", "a64l").pid(0x7fff_fff0));
    assert!(line.contains("ESRCH") && line.contains("there is no process 2147483632"), "{line}");

    let loaded = load("tracepoint");
    let program = loaded.program(names::PROGRAM).unwrap();
    let error = Tracepoint::new("task", "no_such_tracepoint").attach(program).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
    assert!(error.to_string().contains("the tracepoint task/no_such_tracepoint"), "{error}");
    // A program of another type than the attach function requires.
    let line = refused(&loaded, &probe_here());
    assert!(line.contains("attach the program `count`") && line.contains("EINVAL"), "{line}");
}

fn context_access_beyond_the_record_is_explained() {
    use cutaway_programs::prelude::*;
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    asm.load(DW, R0, R1, 2000);
    asm.mov(R0, 0);
    asm.exit();
    object.program("tracepoint/sched/sched_process_exec", "reads", asm);
    let loaded = Object::parse(&object.write().unwrap()).unwrap().load().unwrap();
    let line = loaded.attach().unwrap_err().to_string();
    assert!(line.contains("EACCES") && line.contains("events/sched/sched_process_exec/format"), "{line}");
}

fn one_failed_attachment_detaches_all() {
    use cutaway_programs::prelude::*;
    let mut object = ObjectBuilder::new("GPL");
    for (section, name) in [("uprobe/libc.so.6:a64l", "first"), ("uprobe/libc.so.6:no_such_function", "second")] {
        let mut asm = Assembler::new();
        asm.mov(R0, 0);
        asm.exit();
        object.program(section, name, asm);
    }
    let loaded = Object::parse(&object.write().unwrap()).unwrap().load().unwrap();
    let before = crate::harness::open_fds();
    assert!(matches!(loaded.attach().unwrap_err(), cutaway::Error::Symbol { .. }));
    assert_eq!(crate::harness::open_fds(), before, "the first one is detached");
}

fn faulty(name: &str) -> Object {
    Object::parse(&corpus::read("faults", name)).unwrap()
}

fn skipped_programs_are_named_with_their_reasons() {
    let mut object = faulty("unknown_sections.o");
    // A program that is attached by hand.
    object.set_program_type("in_foo", ProgramType::RAW_TRACEPOINT, AttachType::default()).unwrap();
    let loaded = object.load().unwrap();
    let loads: Vec<_> = loaded.programs().map(cutaway::Program::name).collect();
    assert_eq!(loads, ["in_foo", "runs"]);
    let reasons = |skipped: &[cutaway::Skipped]| -> Vec<_> {
        skipped.iter().map(|skipped| (skipped.name.clone(), skipped.why.clone())).collect()
    };
    let not_loaded = reasons(loaded.skipped());
    let expected = [("in_kprobe", "gives no known program type"), ("optional", "its section begins with `?`")];
    assert_eq!(not_loaded.len(), expected.len(), "{not_loaded:?}");
    for ((name, why), (expected, part)) in not_loaded.iter().zip(expected) {
        assert!(name == expected && why.contains(part), "{not_loaded:?}");
    }
    let line = loaded.program("optional").unwrap_err().to_string();
    assert!(line.starts_with("cannot use the program `optional`: its section begins with `?`"), "{line}");

    let links = loaded.attach().unwrap();
    assert_eq!(links.iter().count(), 1);
    let not_attached = reasons(links.skipped());
    assert_eq!(not_attached[..2], not_loaded[..]);
    let [.., (name, why)] = not_attached.as_slice() else { panic!("{not_attached:?}") };
    assert!(name == "in_foo" && why.contains("does not say where"), "{not_attached:?}");
}

fn all_programs_skipped_is_an_error() {
    let mut object = faulty("unknown_sections.o");
    object.program_mut("runs").unwrap().section.autoload = false;
    let loaded = object.load().unwrap();
    assert_eq!((loaded.programs().count(), loaded.skipped().len()), (0, 4));
    let warnings = journal::messages(log::Level::Warn);
    assert!(
        warnings.iter().any(|line| line.starts_with("no program of the object is loaded: `in_foo`: ")),
        "{warnings:?}"
    );
    let line = loaded.attach().unwrap_err().to_string();
    assert!(line.contains("none is loaded") && line.contains("`runs`: `section.autoload` is false"), "{line}");

    // Programs that the kernel refuses are skipped as well, if requested.
    let (loaded, refused) = faulty("pointers.o").load_partial().unwrap();
    assert_eq!((loaded.skipped().len(), refused.len()), (0, 0));
    let mut object = sample::object("uprobe/libc.so.6:a64l");
    object.set_program_type("count", ProgramType::TRACING, AttachType::TRACE_FENTRY).unwrap();
    let (loaded, refused) = object.load_partial().unwrap();
    assert_eq!((loaded.skipped().len(), refused.len()), (1, 1));
    assert_eq!(loaded.skipped()[0].why, refused[0].why.to_string());
    assert!(loaded.program("count").unwrap_err().to_string().contains(&refused[0].why.to_string()));
}

fn warnings_are_logged_once() {
    drop(faulty("pointers.o").load().unwrap());
    let warnings = journal::messages(log::Level::Warn);
    for part in ["`.data`", "`.rodata`", "the license is a pointer"] {
        assert_eq!(warnings.iter().filter(|line| line.contains(part)).count(), 1, "{part}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    drop(faulty("static_programs.o").load().unwrap());
    assert_eq!(journal::messages(log::Level::Warn).len(), 4, "the static program");
}
