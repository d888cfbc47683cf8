//! Prints the elements of maps, for `--maps`: at the end, and every `--interval`.
//!
//! ```text
//!     kinds.rs       how a type of map is shown, or why it is not
//!     elements.rs    the elements of a map: per-CPU values, order
//!     number.rs      decoded values as numbers: their order, and sums over CPUs
//!     histogram.rs   arrays that are drawn as histograms
//!     stacks.rs      STACK_TRACE maps, and elements that refer to a stack
//!     symbols.rs     addresses ──▶ names of functions
//! ```
//!
//! | `--format json` | one object a line |
//! | --- | --- |
//! | an element | `map`, `key`, `value` |
//! | an element of a per-CPU map | `map`, `key`, `sum`, `values`: a list of `cpu`, `value` |
//! | a stack | `map`, `key`, `frames`: a list of `address`, `function`, `offset`, `module` |
//! | a map that is not shown | `map`, `type`, `not_shown`: the reason |

mod elements;
mod histogram;
mod kinds;
mod number;
mod stacks;
mod symbols;

use std::cell::RefCell;

use cutaway::{
    Loaded, Map, MapSpec, MapType,
    btf::{Btf, Value},
};
use serde_json::{Value as Json, json};

use self::{
    elements::Element,
    histogram::Histogram,
    kinds::{Kind, is_listed},
    stacks::Stacks,
    symbols::Symbols,
};
use super::{
    Format,
    output::{read, spaced, text},
};
use crate::{columns::counted, decode, error::CliError, terminal};

/// Prints maps.
pub(super) struct MapPrinter<'a> {
    loaded: &'a Loaded,
    specs: &'a [MapSpec],
    btf: Option<&'a Btf<'a>>,
    format: Format,
    /// The maps of `--maps=NAME`; empty for all.
    chosen: Vec<&'a str>,
    symbols: RefCell<Symbols>,
}

/// Refuses a name of `--maps=NAME` that no map with elements has.
pub(super) fn check_names(specs: &[MapSpec], names: &[String]) -> Result<(), CliError> {
    for name in names.iter().filter(|name| !name.is_empty()) {
        let refuse = |why: String| Err(CliError::new(format!("--maps={name}: {why}")));
        match specs.iter().find(|spec| spec.name == *name) {
            None => {
                let all: Vec<_> = specs.iter().filter(|spec| is_listed(spec)).map(|spec| spec.name.as_str()).collect();
                return refuse(format!("there is no such map; the maps are {}", crate::error::listed(&all)));
            }
            Some(spec) if spec.name.starts_with('.') => {
                return refuse("it holds global variables; print them with --variables".to_owned());
            }
            Some(spec) if !is_listed(spec) => {
                return refuse(format!("a {} has records, which run prints", spec.map_type));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

impl<'a> MapPrinter<'a> {
    pub(super) fn new(
        loaded: &'a Loaded,
        specs: &'a [MapSpec],
        btf: Option<&'a Btf<'a>>,
        format: Format,
        names: &'a [String],
    ) -> Self {
        let chosen: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        // `--maps` beside `--maps=NAME` prints all.
        let all = names.iter().any(String::is_empty);
        let chosen = if all { Vec::new() } else { chosen };
        Self { loaded, specs, btf, format, chosen, symbols: RefCell::default() }
    }

    /// Returns whether there is a map to print or to name.
    pub(super) fn has_maps(&self) -> bool {
        self.listed().next().is_some()
    }

    /// Returns whether stacks of processes are printed: then their mappings must be read while they live.
    pub(super) fn has_stacks(&self) -> bool {
        self.specs.iter().any(|spec| spec.map_type == MapType::STACK_TRACE) && self.has_maps()
    }

    /// Reads the mappings of a process, to symbolize its stacks later. Those of an ended process are kept.
    pub(super) fn observe(&self, pid: u32) {
        self.symbols.borrow_mut().observe(pid);
    }

    fn listed(&self) -> impl Iterator<Item = &'a MapSpec> {
        let is_chosen = |spec: &&MapSpec| self.chosen.is_empty() || self.chosen.contains(&spec.name.as_str());
        self.specs.iter().filter(|spec| is_listed(spec)).filter(is_chosen)
    }

    /// Returns the lines of all maps.
    pub(super) fn lines(&self) -> Result<Vec<String>, CliError> {
        let mut lines = Vec::new();
        let mut stacks = Stacks::of(self.loaded, self.specs);
        // Elements that refer to stacks say which process a stack belongs to, so they come first.
        let (last, first): (Vec<_>, Vec<_>) = self.listed().partition(|spec| spec.map_type == MapType::STACK_TRACE);
        for spec in first.into_iter().chain(last) {
            let Ok(map) = self.loaded.map(&spec.name) else { continue };
            match Kind::of(spec.map_type) {
                Kind::Elements => self.elements(map, spec, &mut stacks, &mut lines)?,
                Kind::Queue => self.queue(map, spec, &mut lines)?,
                Kind::Stacks => self.stacks(map, spec, &stacks, &mut lines)?,
                Kind::NotShown(why) => lines.push(self.not_shown(spec, why)?),
            }
        }
        Ok(lines)
    }

    fn not_shown(&self, spec: &MapSpec, why: &str) -> Result<String, CliError> {
        match self.format {
            Format::Json => {
                let kind = spec.map_type.to_string();
                terminal::json(&json!({ "map": spec.name, "type": kind, "not_shown": why }))
            }
            Format::Table | Format::Hex => Ok(format!("{} ({}): not shown: {why}", spec.name, spec.map_type)),
        }
    }

    /// Formats a map with elements.
    fn elements(
        &self,
        map: &Map,
        spec: &MapSpec,
        stacks: &mut Stacks<'_>,
        lines: &mut Vec<String>,
    ) -> Result<(), CliError> {
        let mut elements = match elements::read_all(map) {
            Ok(elements) => elements,
            Err(why) => {
                lines.push(self.not_shown(spec, &why.to_string())?);
                return Ok(());
            }
        };
        let is_array = matches!(spec.map_type, MapType::ARRAY | MapType::PERCPU_ARRAY);
        if self.format != Format::Table {
            if !is_array {
                elements::sort(&mut elements, self.btf, spec.value_type());
            }
            for element in &elements {
                lines.push(if self.format == Format::Json { self.json(spec, element)? } else { hex(spec, element) });
            }
            return Ok(());
        }
        let (head, all) = (format!("{} ({})", spec.name, spec.map_type), elements.len());
        if is_array {
            if let Some(histogram) = Histogram::of_array(spec, self.btf, &elements) {
                lines.push(format!("{head}: {}", histogram.head()));
                lines.extend(histogram.lines());
                return Ok(());
            }
            // All elements of an array exist from the start: those that are still 0 are only counted.
            elements.retain(|element| !element.is_zero());
        } else {
            elements::sort(&mut elements, self.btf, spec.value_type());
        }
        let zero = all - elements.len();
        let zeroes = if zero > 0 { format!(", and {zero} that are 0") } else { String::new() };
        lines.push(format!("{head}: {}{zeroes}", counted(elements.len() as u64, "element")));
        for element in &elements {
            self.element(spec, element, stacks, lines);
        }
        Ok(())
    }

    /// Formats an element for people, with the histogram in it and the stacks that it refers to.
    fn element(&self, spec: &MapSpec, element: &Element, stacks: &mut Stacks<'_>, lines: &mut Vec<String>) {
        let key = text(read(self.btf, spec.key_type(), &element.key).as_ref(), &element.key);
        let values: Vec<_> =
            element.values.iter().map(|(_, bytes)| (read(self.btf, spec.value_type(), bytes), bytes)).collect();
        let sum = number::sum(values.iter().map(|(value, _)| value.as_ref()));
        let shown = match (spec.map_type.is_per_cpu(), values.as_slice()) {
            (false, [(value, bytes)]) => text(value.as_ref(), bytes),
            _ => per_cpu(sum.as_ref(), &values, element),
        };
        match sum.as_ref().and_then(Histogram::in_value) {
            Some((rest, histogram)) => {
                lines.push(format!("  {key} = {rest}{}", histogram.head()));
                lines.extend(histogram.lines());
            }
            None => lines.push(format!("  {key} = {shown}")),
        }
        let key = read(self.btf, spec.key_type(), &element.key);
        let pid = key.as_ref().and_then(super::selection::pid);
        for part in [key.as_ref(), sum.as_ref()].into_iter().flatten() {
            for (name, id) in stacks::references(part) {
                let id = match id {
                    Ok(id) => id,
                    Err(error) if stacks.is_known() => {
                        lines.push(format!("    {name}: no stack: {error}"));
                        continue;
                    }
                    Err(_) => continue,
                };
                let Some(addresses) = stacks.refer(id, pid) else { continue };
                lines.push(format!("    {name}:"));
                let frames = self.symbols.borrow_mut().frames(&addresses, pid);
                lines.extend(frames.iter().map(|frame| format!("      {frame}")));
            }
        }
    }

    fn json(&self, spec: &MapSpec, element: &Element) -> Result<String, CliError> {
        let key = self.as_json(spec.key_type(), &element.key);
        let value = |bytes: &[u8]| self.as_json(spec.value_type(), bytes);
        if !spec.map_type.is_per_cpu() {
            let value = element.values.first().map(|(_, bytes)| value(bytes));
            return terminal::json(&json!({ "map": spec.name, "key": key, "value": value }));
        }
        let read: Vec<_> = element.values.iter().map(|(_, bytes)| read(self.btf, spec.value_type(), bytes)).collect();
        let sum = number::sum(read.iter().map(Option::as_ref)).as_ref().map(decode::json);
        let values: Vec<Json> =
            element.values.iter().map(|(cpu, bytes)| json!({ "cpu": cpu, "value": value(bytes) })).collect();
        terminal::json(&json!({ "map": spec.name, "key": key, "sum": sum, "values": values }))
    }

    /// Formats a value as JSON by its type, or as hexadecimal text if its type is unknown.
    fn as_json(&self, id: Option<u32>, bytes: &[u8]) -> Json {
        read(self.btf, id, bytes).map_or_else(|| decode::hex(bytes).into(), |value| decode::json(&value))
    }

    /// Formats a queue or a stack, of which only the next value can be read without removing it.
    fn queue(&self, map: &Map, spec: &MapSpec, lines: &mut Vec<String>) -> Result<(), CliError> {
        let next = map.peek_value()?;
        lines.push(match (self.format, next) {
            (Format::Json, next) => {
                let value = next.as_ref().map(|bytes| self.as_json(spec.value_type(), bytes));
                terminal::json(&json!({ "map": spec.name, "key": null, "value": value, "next_only": true }))?
            }
            (_, None) => format!("{} ({}): empty", spec.name, spec.map_type),
            (Format::Hex, Some(bytes)) => format!("{} next = {}", spec.name, spaced(&bytes)),
            (Format::Table, Some(bytes)) => {
                let value = text(read(self.btf, spec.value_type(), &bytes).as_ref(), &bytes);
                format!("{} ({}): next value = {value} (only this one can be read)", spec.name, spec.map_type)
            }
        });
        Ok(())
    }

    /// Formats the stacks of a map, those without a reference in the table.
    fn stacks(&self, map: &Map, spec: &MapSpec, stacks: &Stacks<'_>, lines: &mut Vec<String>) -> Result<(), CliError> {
        let all = stacks::read_all(map)?;
        let mut symbols = self.symbols.borrow_mut();
        let build_ids = stacks::has_build_ids(map);
        if self.format == Format::Table {
            let referred = all.iter().filter(|(id, _)| stacks.is_referred(*id)).count();
            let above = if referred > 0 { format!(", {referred} of them printed above") } else { String::new() };
            let count = counted(all.len() as u64, "stack");
            lines.push(format!("{} ({}): {count}{above}", spec.name, spec.map_type));
        }
        for (id, bytes) in &all {
            let addresses = stacks::addresses(bytes, build_ids);
            match self.format {
                Format::Json => {
                    let frames: Vec<Json> =
                        symbols.frames(&addresses, stacks.pid(*id)).iter().map(symbols::Frame::json).collect();
                    lines.push(terminal::json(&json!({ "map": spec.name, "key": id, "frames": frames }))?);
                }
                Format::Hex => lines.push(format!("{} {id} = {}", spec.name, spaced(bytes))),
                Format::Table if stacks.is_referred(*id) => {}
                Format::Table => {
                    lines.push(format!("  {id}:"));
                    let frames = symbols.frames(&addresses, stacks.pid(*id));
                    lines.extend(frames.iter().map(|frame| format!("      {frame}")));
                }
            }
        }
        Ok(())
    }
}

/// Formats the sum over the CPUs, and the CPUs that contribute to it.
fn per_cpu(sum: Option<&Value<'_>>, values: &[(Option<Value<'_>>, &Vec<u8>)], element: &Element) -> String {
    /// Maximum number of CPUs on a line.
    const MOST: usize = 8;
    let used: Vec<_> = values
        .iter()
        .zip(&element.values)
        .filter(|((_, bytes), _)| bytes.iter().any(|&byte| byte != 0))
        .map(|((value, bytes), (cpu, _))| format!("CPU {cpu}: {}", text(value.as_ref(), bytes)))
        .collect();
    let shown = used.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = used.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more CPUs") } else { String::new() };
    match sum {
        Some(sum) if used.is_empty() => sum.to_string(),
        Some(sum) => format!("{sum} ({shown}{more})"),
        None if used.is_empty() => "0 on all CPUs".to_owned(),
        None => format!("{shown}{more}"),
    }
}

/// Formats an element as its bytes; for a per-CPU map a line has the values of all CPUs.
fn hex(spec: &MapSpec, element: &Element) -> String {
    let values: Vec<_> = element.values.iter().map(|(_, bytes)| spaced(bytes)).collect();
    format!("{} {} = {}", spec.name, spaced(&element.key), values.join(" | "))
}
