//! Links on many functions of the kernel by their BTF ids.

use cutaway::{AttachContext, TestRun, TracingMulti};

use crate::{
    harness::{Test, older_than, test},
    sample::{self, Also, load, runs},
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        test!(function_pattern_is_given_while_attaching).unless(unsupported::tracing_multi),
        test!(functions_of_one_link_have_a_cookie).unless(unsupported::tracing_multi),
        test!(function_pattern_without_a_function_is_refused).unless(unsupported::tracing_multi),
        test!(missing_links_on_many_functions_are_named).unless(with_tracing_multi),
    ];
    let multi = test!(functions_of_a_pattern_are_traced_by_one_link, MULTI);
    tests.extend(multi.map(|test| test.unless(unsupported::tracing_multi)));
    tests
}

fn with_tracing_multi() -> Option<String> {
    unsupported::btf().or_else(|| {
        older_than(7, 3, "").is_none().then(|| "this kernel has links on many functions by BTF id".to_owned())
    })
}

const MULTI: [(&str, (&str, u64)); 3] = [
    ("fentry", ("fentry.multi/bpf_fentry_test*", 1)),
    ("fexit", ("fexit.multi/bpf_fentry_test*", 1)),
    ("fsession", ("fsession.multi/bpf_fentry_test*", 2)),
];

/// A test run calls the kernel's functions `bpf_fentry_test1` to 8, or more.
fn functions_of_a_pattern_are_traced_by_one_link((section, each): (&str, u64)) {
    let loaded = load(section);
    let program = loaded.program("count").unwrap();
    let link = program.attach().unwrap();
    assert!(link.as_link_fd().is_some(), "by one link");
    let functions = TracingMulti::new("bpf_fentry_test*").functions(program).unwrap();
    assert!(functions.len() >= 8 && functions.contains(&"bpf_fentry_test8".to_owned()), "{functions:?}");
    program.test_run(&TestRun::new()).unwrap();
    let seen = runs(&loaded);
    assert!(seen >= 8 * each && seen.is_multiple_of(each), "{seen} runs");
    drop(link);
    program.test_run(&TestRun::new()).unwrap();
    assert_eq!(runs(&loaded), seen, "it is detached");
}

fn function_pattern_is_given_while_attaching() {
    let loaded = load("fentry.multi");
    let program = loaded.program("count").unwrap();
    let line = program.attach().unwrap_err().to_string();
    assert!(line.contains("its name does not say where"), "{line}");
    let link = program.attach_with(&AttachContext::new().target("bpf_fentry_test2")).unwrap();
    program.test_run(&TestRun::new()).unwrap();
    assert_eq!(runs(&loaded), 1);
    drop(link);
    let line = load("fentry/bpf_fentry_test1");
    let line = TracingMulti::new("bpf_fentry_test*").attach(line.program("count").unwrap()).unwrap_err().to_string();
    assert!(line.contains("it is verified for one function"), "{line}");
}

fn functions_of_one_link_have_a_cookie() {
    let loaded = sample::object("fentry.multi/bpf_fentry_test*", 0, Also::NotesCookie).load().unwrap();
    let program = loaded.program("count").unwrap();
    let _link = program.attach_with(&AttachContext::new().cookie(77)).unwrap();
    program.test_run(&TestRun::new()).unwrap();
    assert_eq!(sample::cookie(&loaded), 77);
}

fn function_pattern_without_a_function_is_refused() {
    for pattern in ["cutaway_has_no_such_function", "cutaway_has_no*"] {
        let line = load(&format!("fexit.multi/{pattern}")).attach().unwrap_err().to_string();
        assert!(line.contains(pattern) && line.contains("no function of such a name"), "{line}");
    }
    let line = sample::object("fentry.multi/cutaway_no_module:f", 0, Also::Nothing).load().unwrap_err().to_string();
    assert!(line.contains("the module cutaway_no_module") && line.contains("ENOENT"), "{line}");
}

fn missing_links_on_many_functions_are_named() {
    for section in ["fentry.multi/vfs_*", "fexit.multi/vfs_*", "fsession.multi/vfs_*", "fentry.multi.s/vfs_*"] {
        let line = sample::object(section, 0, Also::Nothing).load().unwrap_err().to_string();
        assert!(line.contains("`fentry.multi`") && line.contains("7.3"), "{section}: {line}");
    }
}
