//! A pipeline of GitLab CI.

use libtest_mimic::Failed;
use serde_json::Value;

use super::commands::{Machine, Pipeline, parse};
use super::ensure;
use super::yaml::{self, combinations, list};

/// Keys that are no jobs.
const GLOBAL: [&str; 2] = ["stages", "variables"];

/// Reads a pipeline and checks its form.
pub(crate) fn pipeline(text: &str) -> Result<Pipeline, Failed> {
    let pipeline = yaml::parse(text)?;
    let all = pipeline.as_object().ok_or("no jobs")?;
    let stages = all.get("stages").map(list).unwrap_or_default();
    let (mut machines, mut merge) = (Vec::new(), None);
    for (name, job) in all.iter().filter(|(name, _)| !name.starts_with('.') && !GLOBAL.contains(&name.as_str())) {
        let template = match job.get("extends").and_then(Value::as_str) {
            Some(template) => all.get(template).ok_or_else(|| format!("{name} extends the unknown {template}"))?,
            None => &Value::Null,
        };
        let of = |key: &str| job.get(key).or_else(|| template.get(key)).unwrap_or(&Value::Null);
        ensure(of("image").is_string(), || format!("{name} has no image"))?;
        ensure(stages.contains(&of("stage")), || format!("{name} is in no stage"))?;
        for needed in list(of("needs")) {
            let known = needed.as_str().is_some_and(|needed| all.contains_key(needed));
            ensure(known, || format!("{name} needs the unknown job {needed}"))?;
        }
        let matrix = list(of("parallel").get("matrix").unwrap_or(&Value::Null));
        let mut expansions = Vec::new();
        for part in &matrix {
            expansions.extend(combinations(part)?);
        }
        if matrix.is_empty() {
            expansions.push(Vec::new());
        }
        let lines: Vec<&str> =
            ["before_script", "script"].iter().flat_map(|key| list(of(key))).filter_map(Value::as_str).collect();
        ensure(!lines.is_empty(), || format!("{name} has no script"))?;
        for combination in expansions {
            for line in &lines {
                for words in parse(&expanded(line, &combination))? {
                    if words.get(1).is_some_and(|word| word == "merge-junit") {
                        let report = job.pointer("/artifacts/reports/junit").and_then(Value::as_str);
                        ensure(words.iter().any(|word| Some(word.as_str()) == report), || "no report".to_owned())?;
                        ensure(merge.replace(words).is_none(), || "two merges".to_owned())?;
                    } else {
                        let file = job.pointer("/artifacts/paths/0").and_then(Value::as_str);
                        let file = expanded(file.ok_or("a run whose report is not kept")?, &combination);
                        machines.push(Machine { words, file });
                    }
                }
            }
            let always = job.pointer("/artifacts/when").and_then(Value::as_str);
            ensure(always == Some("always"), || format!("{name} keeps no artifacts when it fails"))?;
        }
    }
    Ok(Pipeline { machines, merge: merge.ok_or("no merge")? })
}

/// Inserts the variables of the matrix. Longer names first: a name may begin with another.
fn expanded(text: &str, combination: &[(String, String)]) -> String {
    let mut variables: Vec<_> = combination.iter().collect();
    variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
}
