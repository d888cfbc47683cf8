//! `inspect`, `doctor`, `compare` and `cover`.

use std::fs;

use serde_json::Value;

use crate::{
    binary::{Running, command},
    corpus,
    harness::{Test, test},
    requirements::root,
    schema::Schema,
    stdout,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(objects_of_the_corpus_are_described),
        test!(what_is_not_examined_is_unknown),
        test!(verdicts_are_described).needs(root),
        test!(findings_are_described),
        test!(features_are_described).needs(root),
        test!(experiments_are_described).needs(root).alone("an experiment measures time"),
        test!(published_figures_are_described),
        test!(coverage_is_described).needs(root),
    ]
}

/// Returns the report of an object.
fn inspect(object: &str, words: &str, form: &str) -> Value {
    let object = corpus(object);
    let lines = stdout(&format!("inspect {} {words} --format json", object.display()));
    Schema::of("inspect").check(&lines, &[form]).remove(0)
}

/// Objects with maps of maps, initial values, externs, relocations, unloadable programs, and of both byte orders.
fn objects_of_the_corpus_are_described() {
    let mut objects = 0;
    for directory in ["kinds", "core", "externs", "data", "events", "cover", "faults"] {
        for file in fs::read_dir(corpus(directory).with_extension("")).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_none_or(|extension| extension != "o") {
                continue;
            }
            let mut inspect = command(["inspect", "--format", "json"]);
            let ended = Running::start(inspect.arg(&file)).end();
            // Some of the faulty ones cannot be read.
            if ended.status.success() {
                Schema::of("inspect").check(&ended.stdout, &["report"]);
                objects += 1;
            }
        }
    }
    assert!(objects > 100, "only {objects} objects of the corpus were read");
    let report = inspect("kinds/one_ring", "--count-losses", "report");
    let rows = report["programs"][0]["listing"].as_array().unwrap();
    for kind in ["instruction", "source", "inserted"] {
        assert!(rows.iter().any(|row| row["row"] == kind), "{kind}: {rows:?}");
    }
    assert!(inspect("kinds/one_ring", "--no-code", "report")["programs"][0]["listing"].is_null());
    inspect("kinds/one_ring", "--summary", "summary");
}

/// Nothing is known of what this machine lacks if it is not examined.
fn what_is_not_examined_is_unknown() {
    let foreign = inspect("kinds/code_eb", "", "report");
    assert!(foreign["foreign"] == cfg!(target_endian = "little"));
    assert!(cfg!(target_endian = "big") || foreign["missing"].is_null(), "{}", foreign["missing"]);
    assert!(inspect("kinds/one_ring", "", "report")["missing"].is_array());
    let types = corpus("core/target");
    let words = format!("--summary --btf {}", types.display());
    assert!(inspect("core/fields", &words, "summary")["missing"].is_null());
}

fn verdicts_are_described() {
    let report = inspect("events/named", "--verify --no-code", "report");
    assert!(report["verifier"][0]["accepted"].is_boolean(), "{report}");
    inspect("events/named", "--verify --summary", "summary");
}

fn findings_are_described() {
    for purpose in ["trace", "run", "peek"] {
        // Without privileges the command fails, and says why.
        let ended = Running::start(&mut command(["doctor", "--format", "json", "--for", purpose])).end();
        Schema::of("doctor").check(&ended.stdout, &["finding"]);
    }
}

fn features_are_described() {
    let forms = ["program_type", "map_type", "helpers_not_tried"];
    Schema::of("doctor").check(&stdout("doctor --features --format json"), &forms);
}

fn experiments_are_described() {
    let lines = stdout("compare --quick --format json --only stack-limit --only max-entries");
    let lines = Schema::of("compare").check(&lines, &["machine", "experiment", "summary"]);
    assert!(lines[0]["jit"].is_u64() || lines[0]["jit"].is_null(), "{}", lines[0]);
}

/// The figures of all experiments, with plots of both kinds.
fn published_figures_are_described() {
    let figures = include_str!("../../../docs/compare/figures.jsonl");
    let lines = Schema::of("compare").check(figures, &["machine", "experiment", "summary"]);
    let plots: Vec<_> = lines.iter().flat_map(|line| line["plots"].as_array().into_iter().flatten()).collect();
    for kind in ["lines", "bars"] {
        assert!(plots.iter().any(|plot| plot["kind"] == kind), "{kind}");
    }
}

fn coverage_is_described() {
    let object = corpus("cover/branches");
    let words = format!("cover --format json {} --test-run filter=hex:01{}", object.display(), "00".repeat(19));
    let lines = Schema::of("cover").check(&stdout(&words), &["file", "all"]);
    let partly = |file: &Value| file["line_totals"]["ran_in_part"].is_u64();
    assert!(lines.iter().all(partly), "{lines:?}");
}
