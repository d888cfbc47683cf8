//! Makes the tables of `docs/json.md` from the JSON schemas in `docs/schema`: one row for each field.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::tools::root;

/// The page with the tables of all schemas.
pub(super) const PAGE: &str = "docs/json.md";

/// The directory of the schemas.
const SCHEMAS: &str = "docs/schema";

/// Returns the table of a form: a definition (`$defs`) of a schema.
pub(super) fn table(file: &str, form: &str) -> Result<String, String> {
    let schema = read(file)?;
    let object = definition(&schema, form).ok_or_else(|| format!("{file} has no form `{form}`"))?;
    let properties = object["properties"].as_object().ok_or_else(|| format!("{file}: `{form}` has no fields"))?;
    let required: BTreeSet<&str> =
        object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut made = String::from("| field | type | content |\n| --- | --- | --- |\n");
    for (name, field) in properties {
        let content =
            field["description"].as_str().ok_or_else(|| format!("{file}: `{form}.{name}` is not described"))?;
        let presence = if required.contains(name.as_str()) { "" } else { ", optional" };
        let mark = if field["x-unstable"] == true { " †" } else { "" };
        made += &format!("| `{name}`{mark} | {}{presence} | {} |\n", kind(&schema, field), content.replace('|', "\\|"));
    }
    Ok(made)
}

/// Returns a line for each form of the schemas that a page has no table of.
pub(super) fn missing(page: &str) -> Result<Vec<String>, String> {
    let mut missing = Vec::new();
    let cannot = |error| format!("cannot list {SCHEMAS}: {error}");
    for entry in fs::read_dir(root().join(SCHEMAS)).map_err(cannot)? {
        let file = format!("{SCHEMAS}/{}", entry.map_err(cannot)?.file_name().to_string_lossy());
        let schema = read(&file)?;
        let forms = schema.get("$defs").and_then(Value::as_object);
        for form in forms.into_iter().flatten().map(|(form, _)| form) {
            if !page.contains(&format!("<!-- schema: {file} | {form} -->\n")) {
                missing.push(format!("the page has no table of the form `{form}` of {file}"));
            }
        }
    }
    Ok(missing)
}

/// Returns a form of a schema.
fn definition<'s>(schema: &'s Value, form: &str) -> Option<&'s Value> {
    schema.get("$defs")?.get(form)
}

fn read(file: &str) -> Result<Value, String> {
    let text = fs::read_to_string(root().join(file)).map_err(|error| format!("cannot read {file}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))
}

/// Returns the type of a field in words: `u32 or null`, `list of objects`.
fn kind(schema: &Value, field: &Value) -> String {
    if let Some(reference) = field["$ref"].as_str() {
        let form = reference.trim_start_matches("#/$defs/");
        let title = definition(schema, form).and_then(|object| object["title"].as_str()).unwrap_or(form);
        return format!("object ({})", title.replace('`', ""));
    }
    if let Some(forms) = field["anyOf"].as_array().or_else(|| field["oneOf"].as_array()) {
        let forms: Vec<_> = forms.iter().map(|form| kind(schema, form)).collect();
        return forms.join(" or ");
    }
    if !field["const"].is_null() {
        return format!("`{}`", field["const"]);
    }
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`").replace("`null`", "null")).collect();
        return values.join(", ");
    }
    if !field["prefixItems"].is_null() {
        return "pair".to_owned();
    }
    let types: Vec<&str> = match &field["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => return "any".to_owned(),
    };
    let word = |name: &&str| match *name {
        "integer" => integer(field).to_owned(),
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", kind(schema, &field["items"])),
        other => other.to_owned(),
    };
    types.iter().map(word).collect::<Vec<_>>().join(" or ")
}

/// Returns the smallest Rust type that has the range of an integer.
fn integer(field: &Value) -> &'static str {
    let most = field["maximum"].as_u64();
    match (field["minimum"].as_i64(), most) {
        (Some(..0), Some(most)) if most == i32::MAX as u64 => "i32",
        (Some(0..), Some(0..=0xffff)) => "u16",
        (Some(0..), Some(0..=0xffff_ffff)) => "u32",
        (Some(0..), Some(_)) => "u64",
        _ => "integer",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_named_in_words() {
        let schema = json!({ "$defs": { "site": { "title": "`sites`" } } });
        for (field, expected) in [
            (json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }), "u32"),
            (json!({ "type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX }), "u64 or null"),
            (json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }), "i32"),
            (json!({ "type": "array", "items": { "$ref": "#/$defs/site" } }), "list of object (sites)"),
            (json!({ "anyOf": [{ "$ref": "#/$defs/site" }, { "type": "null" }] }), "object (sites) or null"),
            (json!({ "enum": ["a", null] }), "`\"a\"`, null"),
            (json!({ "const": "x" }), "`\"x\"`"),
            (json!({ "description": "anything" }), "any"),
        ] {
            assert_eq!(kind(&schema, &field), expected, "{field}");
        }
    }

    #[test]
    fn every_form_has_a_table_in_the_page() {
        let page = fs::read_to_string(root().join(PAGE)).unwrap();
        assert_eq!(missing(&page), Ok(Vec::new()));
        assert!(missing("").unwrap().len() > 50, "a page without tables lacks all of them");
    }

    #[test]
    fn tables_of_the_page_are_those_of_the_schemas() {
        let page = fs::read_to_string(root().join(PAGE)).unwrap();
        let mut tables = 0;
        for (_, rest) in page.match_indices("<!-- schema: ").map(|(at, _)| page.split_at(at)) {
            let (comment, rest) = rest.split_once(" -->\n").unwrap();
            let (file, form) = comment.trim_start_matches("<!-- schema: ").split_once(" | ").unwrap();
            assert!(
                rest.starts_with(&table(file, form).unwrap()),
                "`cargo xtask book docs/json.md` makes {file} {form}"
            );
            tables += 1;
        }
        assert!(tables > 50, "only {tables} tables found");
    }
}
