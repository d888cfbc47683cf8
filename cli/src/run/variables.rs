//! Formats the global variables, which `--variables` prints at the end. In JSON, a line has the keys `variable`,
//! `section`, `type`, and `value` or `hex`.

use cutaway::{Loaded, btf::Btf};
use serde_json::json;

use super::{
    Format,
    output::{read, spaced, text},
};
use crate::{decode, error::CliError, terminal};

/// Returns a line for each variable, section by section.
pub(super) fn lines(loaded: &Loaded, btf: Option<&Btf<'_>>, format: Format) -> Result<Vec<String>, CliError> {
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
