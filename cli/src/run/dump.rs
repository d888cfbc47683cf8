//! Formats the global variables and the elements of maps, which `--variables` and `--maps` print at the end.
//!
//! | `--format json` | one object a line |
//! | --- | --- |
//! | a variable | `variable`, `section`, `type`, `value` or `hex` |
//! | an element | `map`, `key`, `value` |
//! | an element of a per-CPU map | `map`, `key`, `values`: a list of `cpu`, `value` |

use cutaway::{
    Loaded, Map, MapSpec, MapType,
    btf::{Btf, Value},
};
use serde_json::{Value as Json, json};

use super::{Format, output::spaced};
use crate::{decode, error::CliError, terminal};

/// Returns a line for each variable, section by section.
pub(super) fn variables(loaded: &Loaded, btf: Option<&Btf<'_>>, format: Format) -> Result<Vec<String>, CliError> {
    let mut lines = Vec::new();
    for variable in loaded.variables() {
        let spec = variable.spec();
        let bytes = variable.bytes()?;
        let value = read(btf, spec.type_id, &bytes);
        lines.push(match format {
            Format::Table => {
                let type_name = spec.type_name.as_deref().map_or_else(String::new, |name| format!("{name} "));
                format!("{}: {type_name}{} = {}", spec.section, spec.name, text(value.as_ref(), &bytes))
            }
            Format::Hex => format!("{}: {} = {}", spec.section, spec.name, spaced(&bytes)),
            Format::Json => {
                let hex = value.is_none().then(|| decode::hex(&bytes));
                terminal::json(&json!({
                    "variable": spec.name, "section": spec.section, "type": spec.type_name,
                    "value": value.as_ref().map(decode::json), "hex": hex,
                }))?
            }
        });
    }
    Ok(lines)
}

/// Returns the lines for the elements of the object's hashes and arrays. Maps of data sections are excluded.
pub(super) fn maps(
    loaded: &Loaded,
    specs: &[MapSpec],
    btf: Option<&Btf<'_>>,
    format: Format,
) -> Result<Vec<String>, CliError> {
    let mut lines = Vec::new();
    for spec in specs.iter().filter(|spec| is_shown(spec)) {
        let Ok(map) = loaded.map(&spec.name) else { continue };
        elements(map, spec, btf, format, &mut lines)?;
    }
    Ok(lines)
}

/// Returns whether [`maps`] includes the map.
pub(super) fn is_shown(spec: &MapSpec) -> bool {
    type T = MapType;
    let kinds = [T::HASH, T::ARRAY, T::PERCPU_HASH, T::PERCPU_ARRAY, T::LRU_HASH, T::LRU_PERCPU_HASH, T::LPM_TRIE];
    // A data section's name begins with a dot, which no variable's does.
    spec.autocreate && kinds.contains(&spec.map_type) && !spec.name.starts_with('.')
}

fn elements(
    map: &Map,
    spec: &MapSpec,
    btf: Option<&Btf<'_>>,
    format: Format,
    lines: &mut Vec<String>,
) -> Result<(), CliError> {
    let is_array = matches!(spec.map_type, MapType::ARRAY | MapType::PERCPU_ARRAY);
    let head = lines.len();
    let (mut shown, mut zero) = (0_u64, 0_u64);
    for entries in map.entries() {
        for (key, value) in entries?.iter() {
            // All elements of an array exist from the start: those that are still 0 are only counted.
            if is_array && format == Format::Table && value.iter().all(|&byte| byte == 0) {
                zero += 1;
                continue;
            }
            shown += 1;
            lines.push(element(map, spec, btf, format, (key, value))?);
        }
    }
    if format == Format::Table {
        let zeroes = if zero > 0 { format!(", and {zero} that are 0") } else { String::new() };
        lines.insert(head, format!("{} ({}): {shown} elements{zeroes}", spec.name, spec.map_type));
    }
    Ok(())
}

fn element(
    map: &Map,
    spec: &MapSpec,
    btf: Option<&Btf<'_>>,
    format: Format,
    (key, value): (&[u8], &[u8]),
) -> Result<String, CliError> {
    let read_key = read(btf, spec.key_type(), key);
    let each = if spec.map_type.is_per_cpu() { map.lookup_per_cpu(key)?.unwrap_or_default() } else { Vec::new() };
    let value_of = |bytes: &[u8]| text(read(btf, spec.value_type(), bytes).as_ref(), bytes);
    Ok(match format {
        Format::Json if spec.map_type.is_per_cpu() => {
            let values: Vec<Json> = each
                .iter()
                .map(|(cpu, bytes)| json!({ "cpu": cpu, "value": as_json(btf, spec.value_type(), bytes) }))
                .collect();
            terminal::json(&json!({ "map": spec.name, "key": as_json(btf, spec.key_type(), key), "values": values }))?
        }
        Format::Json => {
            let (key, value) = (as_json(btf, spec.key_type(), key), as_json(btf, spec.value_type(), value));
            terminal::json(&json!({ "map": spec.name, "key": key, "value": value }))?
        }
        Format::Hex => format!("{} {} = {}", spec.name, spaced(key), spaced(value)),
        Format::Table if spec.map_type.is_per_cpu() => {
            let values: Vec<_> = each.iter().map(|(cpu, bytes)| format!("CPU {cpu} {}", value_of(bytes))).collect();
            format!("  {} = {}", text(read_key.as_ref(), key), values.join(", "))
        }
        Format::Table => format!("  {} = {}", text(read_key.as_ref(), key), value_of(value)),
    })
}

fn read<'a>(btf: Option<&'a Btf<'_>>, id: Option<u32>, bytes: &'a [u8]) -> Option<Value<'a>> {
    let (btf, id) = btf.zip(id)?;
    Some(btf.value(id, bytes))
}

/// Formats a value as JSON by its type, or as hexadecimal text if its type is unknown.
fn as_json(btf: Option<&Btf<'_>>, id: Option<u32>, bytes: &[u8]) -> Json {
    read(btf, id, bytes).map_or_else(|| decode::hex(bytes).into(), |value| decode::json(&value))
}

fn text(value: Option<&Value<'_>>, bytes: &[u8]) -> String {
    value.map_or_else(|| spaced(bytes), ToString::to_string)
}
