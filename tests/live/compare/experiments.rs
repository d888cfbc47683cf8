//! Every experiment gives a verdict with figures. Broken on purpose, it gives another verdict.

use serde_json::Value;

use crate::{
    MEASURES,
    binary::{Running, command},
    cpus,
    harness::{Test, test},
    requirements::ring,
};

/// An experiment, and the conditions of its verdict.
pub(crate) struct Experiment {
    pub(crate) name: &'static str,
    /// It depends on time: the machine's noise can hide the result.
    timed: bool,
    /// It needs two CPUs.
    pub(crate) two_cpus: bool,
}

const fn experiment(name: &'static str, timed: bool, two_cpus: bool) -> Experiment {
    Experiment { name, timed, two_cpus }
}

pub(crate) const ALL: [Experiment; 11] = [
    experiment("stack-limit", false, false),
    experiment("copies", true, false),
    experiment("full-buffer", true, false),
    experiment("shared-memory", false, false),
    experiment("variable-length", false, false),
    experiment("wake-ups", true, true),
    experiment("order", false, true),
    experiment("max-entries", false, false),
    experiment("memory", false, true),
    experiment("throughput", true, true),
    experiment("real-work", true, true),
];

pub(crate) fn tests() -> Vec<Test> {
    let names = || ALL.iter().map(|experiment| (experiment.name.replace('-', "_"), experiment.name));
    let measuring = test!(experiment_gives_a_verdict, names()).chain(test!(broken_experiment_gives_another, names()));
    let mut tests: Vec<_> = measuring.map(|test| test.needs(ring).alone(MEASURES)).collect();
    tests.push(test!(help_names_every_experiment));
    tests
}

fn find(name: &str) -> &'static Experiment {
    ALL.iter().find(|experiment| experiment.name == name).unwrap()
}

/// Returns the lines that one experiment prints: the machine, the experiment, the summary.
pub(crate) fn lines(words: &str) -> Vec<Value> {
    let words = format!("compare --quick --format json {words}");
    let ended = Running::start(&mut command(words.split_whitespace())).end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, "", "only results");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn one(words: &str) -> Value {
    let lines = lines(words);
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["machine", "experiment", "summary"]);
    lines[1].clone()
}

fn experiment_gives_a_verdict(name: &'static str) {
    let outcome = one(&format!("--only {name}"));
    let (verdict, sentence) = (outcome["verdict"].as_str().unwrap(), outcome["sentence"].as_str().unwrap());
    assert!(sentence.len() > 30 && sentence.ends_with('.'), "{sentence}");
    let Experiment { timed, two_cpus, .. } = *find(name);
    if two_cpus && cpus() < 2 {
        assert_eq!(verdict, "cannot_be_tried");
        assert!(sentence.contains("one CPU"), "{sentence}");
        return;
    }
    match name {
        // The transports differ by a small part of a call; a loaded machine may reverse the verdict.
        "real-work" => assert_ne!(verdict, "cannot_be_tried", "{outcome}"),
        _ if timed => assert!(["holds", "too_noisy"].contains(&verdict), "{outcome}"),
        _ => assert_eq!(verdict, "holds", "{outcome}"),
    }
    figures(&outcome);
}

/// Asserts that there are figures: each row is as long as the heading, and no column is empty.
fn figures(outcome: &Value) {
    let tables = outcome["tables"].as_array().unwrap();
    assert!(!tables.is_empty());
    for table in tables {
        let columns = table["columns"].as_array().unwrap().len();
        let rows = table["rows"].as_array().unwrap();
        assert!(!rows.is_empty(), "{table}");
        for row in rows {
            let row = row.as_array().unwrap();
            assert_eq!(row.len(), columns, "{table}");
            assert!(row.iter().filter(|cell| !cell.is_null()).count() > 1, "{table}");
        }
    }
    for plot in outcome["plots"].as_array().unwrap() {
        for axis in ["x", "y"].iter().filter_map(|axis| plot.get(axis)) {
            assert!(axis["label"].as_str().unwrap().len() > 3, "every axis has a label: {plot}");
        }
    }
}

fn broken_experiment_gives_another(name: &'static str) {
    let outcome = one(&format!("--control --only {name}"));
    let verdict = outcome["verdict"].as_str().unwrap();
    let Experiment { timed, two_cpus, .. } = *find(name);
    if two_cpus && cpus() < 2 {
        assert_eq!(verdict, "cannot_be_tried");
    } else if timed {
        assert!(["does_not_hold", "too_noisy"].contains(&verdict), "{outcome}");
    } else {
        assert_eq!(verdict, "does_not_hold", "{outcome}");
    }
}

fn help_names_every_experiment() {
    let ended = Running::start(&mut command(["compare", "--help"])).end();
    assert!(ended.status.success(), "{ended:?}");
    for Experiment { name, .. } in &ALL {
        assert!(ended.stdout.contains(name), "{name} is not in\n{}", ended.stdout);
    }
}
