//! YAML as JSON values.

use libtest_mimic::Failed;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// Reads the only document of a text. Anchors and tags are not expected.
pub(crate) fn parse(text: &str) -> Result<Value, Failed> {
    let documents = Yaml::load_from_str(text).map_err(|error| format!("no YAML: {error}"))?;
    match documents.as_slice() {
        [one] => value(one),
        other => Err(format!("{} documents, not one", other.len()).into()),
    }
}

fn value(yaml: &Yaml<'_>) -> Result<Value, Failed> {
    Ok(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.0.into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(all) => Value::Array(all.iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Mapping(all) => {
            let mut map = Map::new();
            for (key, inner) in all {
                let key = key.as_str().ok_or_else(|| format!("the key {key:?} is no text"))?;
                map.insert(key.to_owned(), value(inner)?);
            }
            Value::Object(map)
        }
        other => return Err(format!("not expected here: {other:?}").into()),
    })
}

/// Returns a scalar as a CI system inserts it into a text.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Returns the elements of a list; a value that is not a list is its only element.
pub(crate) fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// Returns the combinations of a matrix: each name with one of its values.
pub(crate) fn combinations(matrix: &Value) -> Result<Vec<Vec<(String, String)>>, Failed> {
    let mut all = vec![Vec::new()];
    for (name, values) in matrix.as_object().into_iter().flatten() {
        let mut more = Vec::new();
        for combination in all {
            for value in list(values) {
                let value = text(value).ok_or_else(|| format!("the matrix has {value} as a value of {name}"))?;
                let mut combination: Vec<(String, String)> = Vec::clone(&combination);
                combination.push((name.clone(), value));
                more.push(combination);
            }
        }
        all = more;
    }
    Ok(all)
}
