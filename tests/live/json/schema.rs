//! The schemas of `docs/schema`, and the check of an output. A schema is one of several forms, which are `$defs`.

use std::collections::BTreeSet;

use jsonschema::{Validator, validator_for};
use serde_json::{Map, Value, json};

use crate::harness::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(schemas_are_valid_and_closed),
        test!(unknown_missing_and_wrong_fields_are_found),
        test!(values_at_the_limits_are_accepted),
    ]
}

const SCHEMAS: [(&str, &str); 8] = [
    ("trace", include_str!("../../../docs/schema/trace.json")),
    ("run", include_str!("../../../docs/schema/run.json")),
    ("peek", include_str!("../../../docs/schema/peek.json")),
    ("inspect", include_str!("../../../docs/schema/inspect.json")),
    ("doctor", include_str!("../../../docs/schema/doctor.json")),
    ("compare", include_str!("../../../docs/schema/compare.json")),
    ("cover", include_str!("../../../docs/schema/cover.json")),
    ("explain", include_str!("../../../docs/schema/explain.json")),
];

/// A schema, with a validator for each of its forms.
pub(crate) struct Schema(Vec<(String, Validator)>);

impl Schema {
    pub(crate) fn of(name: &str) -> Self {
        let (_, text) = SCHEMAS.iter().find(|(known, _)| *known == name).expect("a schema of this name");
        let whole: Value = serde_json::from_str(text).unwrap();
        let forms = whole["oneOf"].as_array().unwrap().iter().map(|form| {
            let form = form["$ref"].as_str().unwrap();
            let schema = json!({ "$schema": whole["$schema"], "$ref": form, "$defs": whole["$defs"] });
            (form.trim_start_matches("#/$defs/").to_owned(), validator_for(&schema).unwrap())
        });
        Self(forms.collect())
    }

    /// Returns the name of the form that a value has. The error has a line for each fault of the most similar form.
    fn form(&self, value: &Value) -> Result<&str, String> {
        let faults = |form: &Validator| -> Vec<String> {
            form.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
        };
        let all: Vec<_> = self.0.iter().map(|(name, form)| (name, faults(form))).collect();
        match all.iter().filter(|(_, faults)| faults.is_empty()).collect::<Vec<_>>()[..] {
            [(name, _)] => Ok(name),
            [] => {
                let (name, faults) = all.iter().min_by_key(|(_, faults)| faults.len()).unwrap();
                Err(format!("{value}\nis no {name}:\n{}", faults.join("\n")))
            }
            _ => Err(format!("{value} has several forms")),
        }
    }

    /// Checks each line of an output, of which there must be at least one of each of these forms. Returns the lines.
    pub(crate) fn check(&self, output: &str, expected: &[&str]) -> Vec<Value> {
        let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let found: BTreeSet<&str> =
            lines.iter().map(|line| self.form(line).unwrap_or_else(|why| panic!("{why}"))).collect();
        for form in expected {
            assert!(found.contains(form), "no line is a {form}, only {found:?}:\n{output}");
        }
        lines
    }
}

/// Calls `check` with each object schema in a schema.
fn objects(schema: &Value, check: &mut impl FnMut(&Map<String, Value>)) {
    match schema {
        Value::Object(keys) => {
            if keys.contains_key("properties") {
                check(keys);
            }
            keys.values().for_each(|inner| objects(inner, check));
        }
        Value::Array(all) => all.iter().for_each(|inner| objects(inner, check)),
        _ => {}
    }
}

/// No object may have a field without a description, and no property of a schema lacks one.
fn schemas_are_valid_and_closed() {
    for (name, text) in SCHEMAS {
        let schema: Value = serde_json::from_str(text).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        let mut count = 0;
        objects(&schema, &mut |object| {
            assert_eq!(object.get("additionalProperties"), Some(&Value::Bool(false)), "{name}: {object:?}");
            for (key, property) in object["properties"].as_object().unwrap() {
                let described = property["description"].as_str().is_some_and(|text| text.len() > 5);
                assert!(described, "{name}: {key} is not described: {property}");
            }
            count += 1;
        });
        assert!(count > 0, "{name} describes no object");
    }
}

/// The check itself: a schema that accepts anything would pass every other test.
fn unknown_missing_and_wrong_fields_are_found() {
    let schema = Schema::of("doctor");
    let good = json!({ "check": "root", "status": "ok", "finding": "uid 0", "advice": null });
    assert_eq!(schema.form(&good), Ok("finding"));
    let changed = |change: fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        schema.form(&value).unwrap_err()
    };
    assert!(changed(|value| value["new"] = json!(1)).contains("new"), "an unknown field");
    assert!(changed(|value| drop(value.as_object_mut().unwrap().remove("advice"))).contains("advice"));
    assert!(changed(|value| value["status"] = json!("OK")).contains("/status"), "an unknown word");
    assert!(changed(|value| value["finding"] = json!(null)).contains("/finding"), "an undocumented null");
}

/// Numbers above 2^53 are numbers, and a value can be of any type.
fn values_at_the_limits_are_accepted() {
    let schema = Schema::of("run");
    let record = |value: Value, time: Value| {
        json!({
            "map": "m", "cpu": u32::MAX, "time_ns": time, "size": 8, "type": "u64", "type_is": "guess",
            "value": value, "omitted": false, "hex": null,
        })
    };
    for value in
        [json!(u64::MAX), json!(i64::MIN), json!("340282366920938463463374607431768211455"), json!([null, "…"])]
    {
        assert_eq!(schema.form(&record(value, json!(u64::MAX))), Ok("record"));
    }
    for time in [json!(-1), json!(1.5), json!("1"), json!(1e30)] {
        assert!(schema.form(&record(json!(1), time)).is_err());
    }
}
