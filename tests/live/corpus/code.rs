//! Code that refers to code and to data by every form of reference, made by several compilers and tools.

use cutaway::{Loaded, Object, TestRun, Uprobe, perf_reader};

use crate::{
    counter,
    harness::{Test, test},
    load, object, parse, ring, system_call, unsupported,
};

/// The sum of the parts of `code.h`, a digit each.
const SUM: u64 = 1_234_567_890;

pub(crate) fn tests() -> Vec<Test> {
    let objects = [
        ("code", object!("code"), SUM),
        ("code_v1", object!("code_v1"), SUM),
        ("code_v2", object!("code_v2"), SUM),
        ("code_of_an_older_compiler", object!("code_old"), SUM),
        ("code_little_optimized", object!("code_O1"), SUM),
        ("code_stripped", object!("code_stripped"), SUM),
        ("code_linked_by_bpftool", object!("code_linked"), SUM),
        ("two_objects_linked_by_bpftool", object!("halves"), 1041),
    ];
    let objects = objects.map(|(label, bytes, sum)| (label, (bytes, sum)));
    let legacy = [
        ("maps", object!("legacy")),
        ("maps_without_btf", object!("legacy_no_btf")),
        ("maps_stripped", object!("legacy_stripped")),
    ];
    let mut tests: Vec<_> = test!(program_adds_up, objects, |_| ring()).collect();
    tests.extend(test!(legacy_object_loads, legacy));
    tests.extend([
        test!(code_v4).since(6, 6, "instructions of version 4"),
        test!(callbacks_are_called).since(5, 17, "bpf_loop"),
        test!(exception_ends_in_its_callback).unless(exceptions),
        test!(exception_on_a_uprobe_keeps_its_stack_or_is_refused).unless(exceptions),
        test!(foreign_byte_order_is_refused),
    ]);
    tests
}

fn program_adds_up((bytes, sum): (&[u8], u64)) {
    adds_up(bytes, sum);
}

fn code_v4() {
    adds_up(object!("code_v4"), SUM);
}

fn callbacks_are_called() {
    adds_up(object!("callbacks"), 510);
}

fn exceptions() -> Option<String> {
    let why = "this kernel has no exceptions (6.7)";
    (!unsupported::has_symbol("bpf_throw")).then(|| why.to_owned())
}

fn exception_ends_in_its_callback() {
    let loaded = load(parse(object!("exceptions")));
    let outcome = loaded.program("throws").unwrap().test_run(&TestRun::default()).unwrap();
    // The value that is thrown, and the counts before: of the first and the innermost function, the last one, and no
    // more.
    assert_eq!(outcome.value, 100 + 1 + 2 + 4);
    assert_eq!(counter(&loaded), 1 + 2 + 4);
}

/// A uprobe's program keeps its stack to itself by a tail call in front of it. Not every kernel allows exceptions
/// together with tail calls. No kernel up to 6.18 allows such a program to throw. A kernel that does must keep the
/// stack separate.
#[expect(unsafe_code, reason = "calls the function that is probed")]
fn exception_on_a_uprobe_keeps_its_stack_or_is_refused() {
    unsafe extern "C" {
        /// A function of the C library that no other test calls.
        fn memfrob(bytes: *mut libc::c_void, count: usize) -> *mut libc::c_void;
    }
    let mut object = parse(object!("exceptions"));
    object.program_mut("throws").unwrap().section.autoload = false;
    object.program_mut("throws_on_a_call").unwrap().section.autoload = true;
    let loaded = match object.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            let line = error.to_string();
            let whys = [
                "`throws_on_a_call`: calling kernel function bpf_throw is not allowed (instruction ",
                "those of the other; what this loader does against that is refused here",
            ];
            return assert!(whys.iter().any(|why| line.contains(why)), "{line}");
        }
    };
    let program = loaded.program("throws_on_a_call").unwrap();
    let link = Uprobe::new("libc.so.6", "memfrob").pid(std::process::id()).attach(program).unwrap();
    let mut byte = 0_u8;
    // SAFETY: changes a byte that is borrowed for the call.
    unsafe { memfrob((&raw mut byte).cast(), 1) };
    drop(link);
    assert_eq!(counter(&loaded), 1 + 2 + 4, "the program ends before it counts 8");
}

fn own(mut object: Object) -> Object {
    object.set_variable("own", &std::process::id().to_ne_bytes()).unwrap();
    object
}

fn adds_up(bytes: &[u8], sum: u64) {
    let loaded = load(own(parse(bytes)));
    // Any of an object's two programs that use the same code.
    for program in loaded.programs() {
        let link = program.attach().unwrap();
        system_call();
        drop(link);
        assert_eq!(sent(&loaded), sum, "{}", program.name());
    }
}

/// Returns the first number in the ring, and empties the ring.
fn sent(loaded: &Loaded) -> u64 {
    let mut ring = loaded.map("events").unwrap().ring().unwrap();
    let mut batch = ring.batch().unwrap();
    let mut numbers = batch.records().map(|record| u64::from_ne_bytes(*record.as_ref().first_chunk().unwrap()));
    let first = numbers.next().unwrap();
    numbers.for_each(drop);
    first
}

fn legacy_object_loads(bytes: &[u8]) {
    let mut object = own(parse(bytes));
    object.set_variable("step", &7_u32.to_ne_bytes()).unwrap();
    let loaded = load(object);
    let mut buffers = loaded.map("events").unwrap().perf_buffers(64 * 1024, &perf_reader::Options::new()).unwrap();
    let links = loaded.attach().unwrap();
    system_call();
    drop(links);
    let value = loaded.map("hash").unwrap().lookup(&1_u32.to_ne_bytes()).unwrap().unwrap();
    assert_eq!(u64::from_ne_bytes(value.try_into().unwrap()) % 7, 0);
    let mut events = Vec::new();
    buffers
        .drain(|_, record| {
            if let perf_reader::Record::Sample(sample) = record.unwrap() {
                events.push(u64::from_ne_bytes(sample.array().unwrap()));
            }
        })
        .unwrap();
    // Not always the first: other tests' calls are counted as well, and another CPU's buffer may be read first.
    assert!(events.contains(&7), "{events:?}");
}

fn foreign_byte_order_is_refused() {
    let refused = |line: String| assert!(line.contains("its byte order is not this machine's"), "{line}");
    refused(Object::parse(object!("code_eb")).unwrap_err().to_string());
    let foreign = Object::parse_any_endian(object!("code_eb")).unwrap();
    assert!(foreign.is_foreign_endian() && !Object::parse_any_endian(object!("code")).unwrap().is_foreign_endian());
    refused(foreign.clone().load().unwrap_err().to_string());
    refused(foreign.load_partial().unwrap_err().to_string());
}
