//! Which lines ran.

use std::path::PathBuf;

use crate::{
    Report, branches, cover,
    harness::{Test, test},
    packet,
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(lines_of_a_test_run_have_a_count).needs(ring),
        test!(command_runs_the_attached_programs).needs(ring),
        test!(header_line_ran_if_one_function_ran_it).needs(ring),
        test!(full_ring_does_not_change_the_lines_that_run).needs(ring),
        test!(table_shows_the_source_with_counts).needs(ring),
        test!(input_of_a_test_run_can_be_a_file).needs(ring),
        test!(programs_that_are_not_attached_are_named).needs(ring),
        test!(quiet_run_prints_only_problems).needs(ring),
        test!(object_without_line_information_has_functions).needs(root).since(5, 14, "programs of the type syscall"),
    ]
}

/// Returns the report with these arguments after the object.
fn report(arguments: &[String]) -> Report {
    let object = [branches().into_os_string(), "--format".into(), "json".into()];
    Report::of(&cover(object.into_iter().chain(arguments.iter().map(Into::into))))
}

fn lines_of_a_test_run_have_a_count() {
    let report = report(&packet(2));
    assert_eq!(report.runs("if (first == 1)"), Some(1));
    assert_eq!(report.runs("/* one */"), Some(0));
    assert_eq!(report.runs("/* two */"), Some(1));
    assert_eq!(report.runs("/* other */"), Some(0));
    assert_eq!(report.runs("/* entered */"), Some(0), "nothing is attached");
    let functions = ["filter", "judge", "send", "enter"].map(|name| report.function(name));
    assert_eq!(functions, [Some(1), Some(1), Some(0), Some(0)]);
    let all = report.0.last().unwrap();
    assert_eq!(all["function_totals"]["percent"], 50.0);
    assert_eq!(all["not_measured"], serde_json::json!([]));
}

fn command_runs_the_attached_programs() {
    let report = report(&["--program", "enter", "--", "true"].map(str::to_owned));
    assert_eq!(report.runs("/* entered */"), Some(1));
    assert_eq!(report.0[0]["functions"].as_array().unwrap().len(), 1, "other programs are not loaded");
}

fn header_line_ran_if_one_function_ran_it() {
    let report = report(&packet(2));
    let lines = report.file("steps.h")["lines"].as_array().unwrap();
    let step = lines.iter().find(|line| line["text"].as_str().unwrap().contains("__sync_fetch_and_add")).unwrap();
    assert_eq!(step["runs"], 1, "judge ran it, and send did not");
}

/// Two records fill the ring; without a reader, the third would not be sent.
fn full_ring_does_not_change_the_lines_that_run() {
    let runs = ["--test-run", "send"].map(str::to_owned).into_iter().cycle().take(10);
    let report = report(&runs.collect::<Vec<_>>());
    assert_eq!(report.runs("ringbuf_submit(record, 0)"), Some(1));
    assert_eq!(report.runs("/* full */"), Some(0));
}

fn table_shows_the_source_with_counts() {
    let ended = cover([branches().into_os_string()].into_iter().chain(packet(1).map(Into::into)));
    assert!(ended.status.success(), "{ended:?}");
    let row = |text: &str| ended.stdout.lines().find(|line| line.contains(text)).unwrap().trim_start();
    assert!(row("/* one */").starts_with("1 "), "{}", row("/* one */"));
    assert!(row("/* two */").starts_with("##### "), "{}", row("/* two */"));
    let all = row("all functions");
    assert_eq!(all.split_whitespace().take(5).collect::<Vec<_>>(), ["50.0", "%", "2", "2", "0"], "{all}");
    assert!(!ended.stdout.contains('\x1b'), "stdout is no terminal: {}", ended.stdout);
    assert_eq!(ended.stderr, "`filter` returned 2\n");
}

fn programs_that_are_not_attached_are_named() {
    let table = |words: &[&str]| {
        let object = branches();
        let ended = cover([object.to_str().unwrap()].iter().chain(words));
        assert!(ended.status.success(), "{ended:?}");
        let (_, numbers) = ended.stdout.split_once(" covered ").unwrap();
        assert!(numbers.lines().all(|line| line.chars().count() <= 80), "{ended:?}");
        numbers.replace("\n  ", " ")
    };
    let attached = table(&["--duration", "0.1"]);
    for name in ["filter", "send"] {
        let line = format!("not attached, so not run: `{name}`: an interface is required; pass --interface NAME\n");
        assert!(attached.contains(&line), "{attached}");
    }
    assert!(!attached.contains("`enter`"), "{attached}");
    let tested = table(&["--test-run", "filter"]);
    assert!(!tested.contains("`filter`") && tested.contains("not run: `enter`: no --test-run names it"), "{tested}");
}

fn quiet_run_prints_only_problems() {
    let stderr = |words: &[&str]| cover([branches().to_str().unwrap(), "--duration", "0.1"].iter().chain(words)).stderr;
    assert!(stderr(&[]).contains("attached enter ("), "{}", stderr(&[]));
    let quiet = stderr(&["-q"]);
    assert!(quiet.contains("skipped `filter`") && !quiet.contains("attached "), "{quiet}");
}

fn input_of_a_test_run_can_be_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [1; 20]).unwrap();
    let report = report(&["--test-run".to_owned(), format!("filter={}", file.path().display())]);
    assert_eq!((report.runs("/* one */"), report.runs("/* two */")), (Some(1), Some(0)));
}

fn object_without_line_information_has_functions() {
    let object: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../tests/corpus/data/variables_without_btf.o"].iter().collect();
    let ended =
        cover([object.as_os_str(), "--format".as_ref(), "json".as_ref(), "--duration".as_ref(), "0.1".as_ref()]);
    assert!(ended.stderr.contains("compile it with -g"), "{ended:?}");
    let report = Report::of(&ended);
    let [all] = &report.0[..] else { panic!("{:?}", report.0) };
    assert!(!all["functions_without_lines"].as_array().unwrap().is_empty(), "{all}");
}
