//! A workflow of GitHub Actions.

use libtest_mimic::Failed;
use serde_json::Value;

use super::commands::{Machine, Pipeline, parse};
use super::ensure;
use super::yaml::{self, combinations, list};

/// The artifacts of the pipeline.
#[derive(Default)]
struct Artifacts {
    uploaded: Vec<(String, String)>,
    /// The pattern of the names.
    downloaded: Option<String>,
}

/// Reads a workflow and checks its form.
pub(crate) fn pipeline(text: &str) -> Result<Pipeline, Failed> {
    let workflow = yaml::parse(text)?;
    let jobs = workflow.get("jobs").and_then(Value::as_object).ok_or("no jobs")?;
    ensure(workflow.get("on").is_some(), || "it is never started".to_owned())?;
    let (mut machines, mut merge) = (Vec::new(), None);
    let mut artifacts = Artifacts::default();
    for (name, job) in jobs {
        for needed in job.get("needs").into_iter().flat_map(list) {
            let known = needed.as_str().is_some_and(|needed| jobs.contains_key(needed));
            ensure(known, || format!("{name} needs the unknown job {needed}"))?;
        }
        ensure(job.get("runs-on").is_some(), || format!("{name} has no machine"))?;
        let steps = job.get("steps").and_then(Value::as_array).ok_or_else(|| format!("{name} has no steps"))?;
        for combination in combinations(job.pointer("/strategy/matrix").unwrap_or(&Value::Null))? {
            let expand = |text: &str| expanded(text, &combination);
            let before = artifacts.uploaded.len();
            let mut own = Vec::new();
            for step in steps {
                own.extend(commands_of(step, &expand, &mut artifacts)?);
            }
            for words in own {
                if words.get(1).is_some_and(|word| word == "merge-junit") {
                    ensure(merge.replace(words).is_none(), || "two merges".to_owned())?;
                } else {
                    let file = artifacts.uploaded.get(before).map(|(_, path)| path.clone());
                    machines.push(Machine { words, file: file.ok_or("a run whose report is not uploaded")? });
                }
            }
        }
    }
    let pattern = artifacts.downloaded.as_deref().and_then(|pattern| pattern.strip_suffix('*')).ok_or("no download")?;
    for Machine { file, .. } in &machines {
        let of_file: Vec<_> = artifacts.uploaded.iter().filter(|(_, path)| path == file).collect();
        ensure(matches!(of_file.as_slice(), [(name, _)] if name.starts_with(pattern)), || {
            format!("the merge does not download {file}, or finds it twice: {of_file:?}")
        })?;
    }
    Ok(Pipeline { machines, merge: merge.ok_or("no merge")? })
}

/// Checks a step, records its artifacts, and returns the commands of `cutaway-vm`.
fn commands_of(
    step: &Value,
    expand: &dyn Fn(&str) -> Result<String, Failed>,
    artifacts: &mut Artifacts,
) -> Result<Vec<Vec<String>>, Failed> {
    let input = |name: &str| -> Result<String, Failed> {
        let value = step.pointer(&format!("/with/{name}")).and_then(Value::as_str);
        expand(value.ok_or_else(|| format!("{step} has no {name}"))?)
    };
    match (step.get("run").and_then(Value::as_str), step.get("uses").and_then(Value::as_str)) {
        (Some(run), None) => {
            let mut own = Vec::new();
            for line in run.lines() {
                own.extend(parse(&expand(line)?)?);
            }
            Ok(own)
        }
        (None, Some(action)) => {
            ensure(action.contains('@'), || format!("{action} has no version"))?;
            match action.split('@').next() {
                Some("actions/upload-artifact") => artifacts.uploaded.push((input("name")?, input("path")?)),
                Some("actions/download-artifact") => artifacts.downloaded = Some(input("pattern")?),
                _ => {}
            }
            Ok(Vec::new())
        }
        _ => Err(format!("{step} neither runs nor uses anything").into()),
    }
}

/// Inserts the values of the matrix.
fn expanded(text: &str, combination: &[(String, String)]) -> Result<String, Failed> {
    let mut text = text.to_owned();
    for (name, value) in combination {
        text = text.replace(&format!("${{{{ matrix.{name} }}}}"), value);
    }
    ensure(!text.contains("${{"), || format!("an expression is left: {text}"))?;
    Ok(text)
}
