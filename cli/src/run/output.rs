//! Prints each record on a line: columns for people, JSON for programs, or its bytes.
//!
//! If all records have one structure of numbers and texts, each member has a column. Otherwise a line has the map, the
//! type and the whole record. In JSON each record is an object with these keys, null if there is no value:
//!
//! ```text
//!     map        the name of the map
//!     cpu        the CPU that sent it               } of a perf buffer: a ring does not have it
//!     time_ns    the time in CLOCK_MONOTONIC ns     }
//!     time       the wall-clock time by RFC 3339, in UTC }     only with --timestamps
//!     time_is    "stored" by the kernel, or "received"   }
//!     size       bytes, padding included
//!     type       the type that it is decoded as
//!     type_is    how the type is known (type_choice.rs): "given", "named", "declared", "sent",
//!                or only a "guess" from its size
//!     value      the decoded record
//!     omitted    true if the value has more members than are decoded of one record (`Btf::value`)
//!     hex        all bytes, if the type is unknown; or the bytes after the end of the type
//! ```

use std::io::{self, BufWriter, Write};

use cutaway::btf::{Btf, Kind, NetworkType, Value};
use serde_json::json;

use super::{
    Format,
    buffers::Record,
    record_type::Records,
    timestamps::{Clock, Time},
    type_choice::{Basis, Choice, Shape},
};
use crate::{
    columns::{display_width, left, right},
    decode,
    moment::Moment,
    outlet::{self, Standard},
    terminal,
};

/// Writes the lines to stdout.
pub(super) struct Output<'b> {
    to: BufWriter<Standard>,
    format: Format,
    colored: bool,
    has_head: bool,
    /// `None` without `--timestamps`.
    clock: Option<Clock>,
    /// The columns, if all records are expected to have one structure.
    columns: Option<Columns<'b>>,
}

/// A column for each member of a structure.
struct Columns<'b> {
    shape: Shape<'b>,
    /// The first column is the time.
    time: bool,
    /// The next column is the CPU: the records come from a perf buffer.
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
    /// Makes the output for the records of these maps.
    pub(super) fn new(format: Format, timestamps: bool, sources: &[Records<'b>]) -> Self {
        let of = |records: &Records<'b>| {
            let (shape, basis) = records.only()?;
            Columns::of(shape, basis, [timestamps, records.is_padded()])
        };
        let columns = match sources {
            [records] => of(records),
            _ => None,
        };
        let (to, colored) = (BufWriter::new(outlet::stdout()), terminal::is_colored());
        Self { to, format, colored, has_head: false, clock: timestamps.then(|| Clock::at(Moment::now())), columns }
    }

    /// Notes that the records that follow are received at this moment.
    pub(super) fn receive(&mut self, now: Moment) {
        self.clock.iter_mut().for_each(|clock| clock.receive(now));
    }

    /// Writes the line of a record to the buffer; [`Output::flush`] prints it.
    pub(super) fn record(&mut self, record: &Record<'_>, records: &Records<'b>) -> io::Result<()> {
        let map = records.map();
        let (choice, size) = records.of(record.bytes.len());
        let bytes = record.bytes.get(..size).unwrap_or(record.bytes);
        match (self.format, &choice) {
            (Format::Json, _) => self.json(map, record, bytes, &choice),
            (Format::Table, Choice::Known(shape, basis)) => self.row(map, record, bytes, (shape, *basis)),
            (Format::Table, _) => {
                self.head()?;
                let line = self.plain(map, record, &spaced(bytes));
                writeln!(self.to, "{}", terminal::one_line(&line))
            }
            (Format::Hex, _) => {
                let time = self.time(record).map_or_else(String::new, |time| time + "  ");
                writeln!(self.to, "{time}{} {:>5}  {}", terminal::one_line(map), bytes.len(), spaced(bytes))
            }
        }
    }

    /// Returns the local time of a record, if times are printed.
    fn time(&self, record: &Record<'_>) -> Option<String> {
        self.clock.as_ref().map(|clock| clock.local(clock.time(record.time_ns)))
    }

    /// Writes a line that is not a record.
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
        let mut line = json!({
            "map": map, "cpu": record.cpu, "time_ns": record.time_ns, "size": record.bytes.len(),
            "type": name, "type_is": basis, "value": value, "omitted": omitted, "hex": hex,
        });
        let time = self.clock.as_ref().map(|clock| clock.time(record.time_ns));
        if let (Some(time), Some(keys)) = (time, line.as_object_mut()) {
            keys.insert("time".to_owned(), Time::rfc3339(time).into());
            keys.insert("time_is".to_owned(), time.source().into());
        }
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
        let time = self.time(record);
        let line = match (&mut self.columns, &value) {
            (Some(columns), Value::Struct(fields)) if columns.shape.id == shape.id && rest.is_empty() => {
                let cpu = columns.cpu.then(|| record.cpu.map_or_else(String::new, |cpu| cpu.to_string()));
                let time = time.filter(|_| columns.time);
                let cells = time.into_iter().chain(cpu).chain(fields.iter().map(|(_, value)| cell(value)));
                let cells: Vec<_> = cells.collect();
                columns.widen(&cells);
                columns.line(cells.into_iter())
            }
            _ => {
                let more = if rest.is_empty() { String::new() } else { format!(" and {}", spaced(rest)) };
                self.plain(map, record, &format!("{}{} {value}{more}", shape.name(), basis.mark()))
            }
        };
        self.head()?;
        writeln!(self.to, "{}", terminal::one_line(&line))
    }

    /// Formats a line without columns.
    fn plain(&self, map: &str, record: &Record<'_>, text: &str) -> String {
        let time = self.time(record).map_or_else(String::new, |time| time + "  ");
        match record.cpu {
            Some(cpu) => format!("{time}{map}  CPU {cpu}  {text}"),
            None => format!("{time}{map}  {text}"),
        }
    }

    /// Writes the names of the columns before the first line.
    fn head(&mut self) -> io::Result<()> {
        if self.has_head {
            return Ok(());
        }
        self.has_head = true;
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
    /// Makes the columns for a structure, after those for time and CPU. Returns `None` for another type, and for
    /// members other than numbers and texts, whose columns would be too wide.
    fn of(shape: Shape<'b>, basis: Basis, [time, cpu]: [bool; 2]) -> Option<Self> {
        let btf = shape.btf;
        btf.resolve(shape.id).filter(|ty| ty.kind() == Kind::Struct)?;
        let mut columns = Vec::new();
        if time {
            columns.push(Column { name: "time".to_owned(), width: 15, right: false });
        }
        if cpu {
            columns.push(Column { name: "cpu".to_owned(), width: 3, right: true });
        }
        // Decoding no bytes yields the same members as decoding a record, including those of unnamed structures.
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
        (!fields.is_empty()).then_some(Self { shape, time, cpu, columns, basis })
    }

    /// Widens columns for these and later cells. Before the first line this includes the names of the columns.
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

/// Maximum number of columns. A structure with more members is printed without columns.
const MOST_COLUMNS: usize = 64;

/// Collects the types of the members in the order of decoding. Members of unnamed structures are included in place of
/// these. Stops after `left` members, unnamed structures counted.
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

/// Returns whether a type is too wide for a column: a structure, a union, or an array of other elements than bytes.
fn is_wide(btf: &Btf<'_>, id: u32) -> bool {
    // The address of a structure has a column.
    btf.network_type(id).is_none()
        && btf.resolve(id).is_none_or(|ty| match ty.array() {
            Some(array) => {
                btf.resolve(array.element).is_none_or(|element| element.kind() != Kind::Int || element.size() != 1)
            }
            None => ty.kind().is_composite(),
        })
}

/// Returns the width of most values of a type, and whether they are aligned to the right.
fn width(btf: &Btf<'_>, id: u32) -> (usize, bool) {
    let Some(ty) = btf.resolve(id) else { return (0, false) };
    if let Some(NetworkType::Ipv4 | NetworkType::Ipv6) = btf.network_type(id) {
        return (15, false);
    }
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

/// Formats a value for a column: text without quotes, `-` for an empty text.
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

/// Formats bytes as hexadecimal text in groups of eight bytes.
pub(super) fn spaced(bytes: &[u8]) -> String {
    bytes.chunks(8).map(decode::hex).collect::<Vec<_>>().join(" ")
}

/// Decodes bytes by their type, if it is known.
pub(super) fn read<'a>(btf: Option<&'a Btf<'_>>, id: Option<u32>, bytes: &'a [u8]) -> Option<Value<'a>> {
    let (btf, id) = btf.zip(id)?;
    Some(btf.value(id, bytes))
}

/// Formats a value, or its bytes if it is not decoded.
pub(super) fn text(value: Option<&Value<'_>>, bytes: &[u8]) -> String {
    value.map_or_else(|| spaced(bytes), ToString::to_string)
}
