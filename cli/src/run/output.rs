//! A record as a line: columns for people, JSON for programs, or its bytes.
//!
//! If all records are of one structure of numbers and texts, each of its members has a column. Otherwise a line tells
//! the map, the type and the record as a whole. In JSON each record is an object with the same keys, null where there
//! is nothing to say:
//!
//! ```text
//!     map        the map's name
//!     cpu        the CPU that sent it        } of a perf buffer: rings do not tell
//!     time_ns    when, CLOCK_MONOTONIC       }
//!     size       bytes, padding included
//!     type       the type by which it was read
//!     type_is    how the type is known: "told", "named", "declared", "sent", or only a "guess" by its size (record_type.rs)
//!     value      what was read
//!     omitted    true if the value has more members than are read of one record (`Btf::value`)
//!     hex        all bytes, if no type is known; or those behind the type's end
//! ```

use std::io::{self, BufWriter, Write};

use cutaway::btf::{Btf, Kind, Value};
use serde_json::json;

use super::{
    Form,
    buffers::Record,
    record_type::Records,
    type_choice::{Basis, Choice, Shape},
};
use crate::{
    columns::{display_width, left, right},
    decode,
    outlet::{self, Standard},
    terminal,
};

/// Where the lines go.
pub(super) struct Output<'b> {
    to: BufWriter<Standard>,
    form: Form,
    colored: bool,
    headed: bool,
    /// The one structure that all records are expected to be.
    columns: Option<Columns<'b>>,
}

/// A column for each member.
struct Columns<'b> {
    shape: Shape<'b>,
    /// Records come from a perf buffer, and so from a CPU.
    cpu: bool,
    columns: Vec<Column>,
    basis: Basis,
}

struct Column {
    name: String,
    width: usize,
    right: bool,
}

impl<'b> Output<'b> {
    /// For records of these maps.
    pub(super) fn new(form: Form, sources: &[Records<'b>]) -> Self {
        let columns = match sources {
            [records] => records.only().and_then(|(shape, basis)| Columns::of(shape, basis, records.is_padded())),
            _ => None,
        };
        let (to, colored) = (BufWriter::new(outlet::stdout()), terminal::is_colored());
        Self { to, form, colored, headed: false, columns }
    }

    /// Writes a line; it is seen after [`Output::flush`].
    pub(super) fn record(&mut self, record: &Record<'_>, records: &Records<'b>) -> io::Result<()> {
        let map = records.map();
        let (choice, size) = records.of(record.bytes.len());
        let bytes = record.bytes.get(..size).unwrap_or(record.bytes);
        match (self.form, &choice) {
            (Form::Json, _) => self.json(map, record, bytes, &choice),
            (Form::Table, Choice::Known(shape, basis)) => self.row(map, record, bytes, (shape, *basis)),
            (Form::Table, _) => {
                self.head()?;
                writeln!(self.to, "{}", terminal::one_line(&plain(map, record, &spaced(bytes))))
            }
            (Form::Hex, _) => writeln!(self.to, "{} {:>5}  {}", terminal::one_line(map), bytes.len(), spaced(bytes)),
        }
    }

    /// A line that is not a record's.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.to, "{line}")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn json(&mut self, map: &str, record: &Record<'_>, bytes: &[u8], choice: &Choice<'_>) -> io::Result<()> {
        let (name, basis, value, hex) = match choice {
            Choice::Known(shape, basis) => {
                let (value, rest) = shape.read(bytes);
                (Some(shape.name()), Some(basis.word()), Some(value), (!rest.is_empty()).then(|| decode::hex(rest)))
            }
            _ => (None, None, None, Some(decode::hex(bytes))),
        };
        let omitted = value.as_ref().is_some_and(Value::has_omitted);
        let value = value.as_ref().map(decode::json);
        let line = json!({
            "map": map, "cpu": record.cpu, "time_ns": record.time_ns, "size": record.bytes.len(),
            "type": name, "type_is": basis, "value": value, "omitted": omitted, "hex": hex,
        });
        terminal::write_json(&mut self.to, &line)?;
        writeln!(self.to)
    }

    fn row(
        &mut self,
        map: &str,
        record: &Record<'_>,
        bytes: &[u8],
        (shape, basis): (&Shape<'_>, Basis),
    ) -> io::Result<()> {
        let (value, rest) = shape.read(bytes);
        let line = match (&mut self.columns, &value) {
            (Some(columns), Value::Struct(fields)) if columns.shape.id == shape.id && rest.is_empty() => {
                let cpu = columns.cpu.then(|| record.cpu.map_or_else(String::new, |cpu| cpu.to_string()));
                let cells: Vec<_> = cpu.into_iter().chain(fields.iter().map(|(_, value)| cell(value))).collect();
                columns.widen(&cells);
                columns.line(cells.into_iter())
            }
            _ => {
                let more = if rest.is_empty() { String::new() } else { format!(" and {}", spaced(rest)) };
                plain(map, record, &format!("{}{} {value}{more}", shape.name(), basis.mark()))
            }
        };
        self.head()?;
        writeln!(self.to, "{}", terminal::one_line(&line))
    }

    /// The names of the columns, before the first line.
    fn head(&mut self) -> io::Result<()> {
        if self.headed {
            return Ok(());
        }
        self.headed = true;
        let Some(columns) = &self.columns else { return Ok(()) };
        let names = columns.columns.iter().map(|column| column.name.to_uppercase());
        let (bold, usual) = if self.colored { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let guess = if columns.basis == Basis::Guess {
            format!("  ({}: a guess)", columns.shape.name())
        } else {
            String::new()
        };
        writeln!(self.to, "{bold}{}{usual}{}", terminal::one_line(&columns.line(names)), terminal::one_line(&guess))
    }
}

impl<'b> Columns<'b> {
    /// `None` if a record is no structure, or one whose members are no numbers and texts: a column for them would be
    /// too wide.
    fn of(shape: Shape<'b>, basis: Basis, cpu: bool) -> Option<Self> {
        let btf = shape.btf;
        btf.resolve(shape.id).filter(|ty| ty.kind() == Kind::Struct)?;
        let mut columns = Vec::new();
        if cpu {
            columns.push(Column { name: "cpu".to_owned(), width: 3, right: true });
        }
        // Reading nothing tells the members, those of unnamed structures among them, as reading a record does.
        let Value::Struct(fields) = btf.value(shape.id, &[]) else { return None };
        if fields.len() > MOST_COLUMNS {
            return None;
        }
        let mut kinds = Vec::new();
        members(btf, shape.id, 0, &mut { MOST_COLUMNS * 2 }, &mut kinds);
        if kinds.len() != fields.len() || kinds.iter().any(|&id| is_wide(btf, id)) {
            return None;
        }
        for (index, (name, _)) in fields.iter().enumerate() {
            let (width, right) = kinds.get(index).map_or((0, false), |&id| width(btf, id));
            columns.push(Column { name: name.clone().into_owned(), width: width.max(display_width(name)), right });
        }
        (!fields.is_empty()).then_some(Self { shape, basis, cpu, columns })
    }

    /// A value that is wider than its column makes that wider for what follows; before the first line, for the names,
    /// too.
    fn widen(&mut self, cells: &[String]) {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.width = column.width.max(display_width(cell));
        }
    }

    fn line(&self, cells: impl Iterator<Item = String>) -> String {
        let mut line = String::new();
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let width = column.width;
            line.push_str(&if column.right { right(&cell, width) } else { left(&cell, width) });
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// A structure with more members is told on one line.
const MOST_COLUMNS: usize = 64;

/// The types of the members, in the order in which they are read, as long as there are no more than `left`, those of
/// unnamed structures and these themselves.
fn members(btf: &Btf<'_>, id: u32, depth: u32, left: &mut usize, kinds: &mut Vec<u32>) {
    const DEEPEST: u32 = 32;
    for member in btf.resolve(id).into_iter().flat_map(cutaway::btf::Type::members) {
        let Some(fewer) = left.checked_sub(1) else { return };
        *left = fewer;
        let inner = btf.resolve(member.type_id).filter(|ty| ty.kind().is_composite() && member.name.is_empty());
        match inner {
            Some(inner) if depth < DEEPEST => members(btf, inner.id(), depth + 1, left, kinds),
            _ => kinds.push(member.type_id),
        }
    }
}

/// Structures, unions, and arrays of anything but bytes.
fn is_wide(btf: &Btf<'_>, id: u32) -> bool {
    btf.resolve(id).is_none_or(|ty| match ty.array() {
        Some(array) => {
            btf.resolve(array.element).is_none_or(|element| element.kind() != Kind::Int || element.size() != 1)
        }
        None => ty.kind().is_composite(),
    })
}

/// How wide most values of a type are, and whether they stand to the right.
fn width(btf: &Btf<'_>, id: u32) -> (usize, bool) {
    let Some(ty) = btf.resolve(id) else { return (0, false) };
    let size = btf.size_of(ty.id()).unwrap_or(0) as usize;
    match ty.kind() {
        Kind::Int if ty.name_bytes() == b"char" => (1, false),
        Kind::Int | Kind::Float => (
            match size {
                1 => 3,
                2 => 5,
                4 => 7,
                _ => 14,
            },
            true,
        ),
        Kind::Ptr => (18, false),
        Kind::Enum | Kind::Enum64 => (ty.values().map(|value| value.name.len()).max().unwrap_or(0).min(24), false),
        Kind::Array if ty.array().is_some_and(|array| btf.ty(array.element).name_bytes() == b"char") => {
            (size.min(24), false)
        }
        _ => (0, false),
    }
}

/// A value in a column: text without quotes, unless it is empty.
fn cell(value: &Value<'_>) -> String {
    match value {
        Value::Text([]) => "-".to_owned(),
        Value::Text(text) => {
            let mut shown = String::new();
            for character in String::from_utf8_lossy(text).chars() {
                if character.is_control() {
                    shown.extend(character.escape_debug());
                } else {
                    shown.push(character);
                }
            }
            shown
        }
        other => other.to_string(),
    }
}

/// A line without columns.
fn plain(map: &str, record: &Record<'_>, text: &str) -> String {
    match record.cpu {
        Some(cpu) => format!("{map}  CPU {cpu}  {text}"),
        None => format!("{map}  {text}"),
    }
}

/// Two digits a byte, eight bytes a group.
pub(super) fn spaced(bytes: &[u8]) -> String {
    bytes.chunks(8).map(decode::hex).collect::<Vec<_>>().join(" ")
}
