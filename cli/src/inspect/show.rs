//! Formats the report as text.

use std::fmt::{self, Write as _};

use super::{
    aya_obj::AyaObj,
    listing::Row,
    report::{Extern, Map, Program, Report, Section, Variable},
    verify,
};
use crate::{
    columns::{counted, display_width, left, wrapped},
    terminal::{WIDTH, one_line},
};

/// Writes one line. Newlines are escaped: a name in a hostile object may contain one.
macro_rules! line {
    ($to:expr, $($text:tt)*) => {
        writeln!($to, "{}", one_line(&format!($($text)*)))
    };
}

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut text);
    text
}

fn write(report: &Report, to: &mut String) -> fmt::Result {
    let license = if report.license.is_empty() { "none" } else { &report.license };
    let by = if report.reader == "cutaway" { String::new() } else { format!(", read by {}", report.reader) };
    line!(to, "object {}, license {license}{by}", report.object)?;
    if report.foreign {
        writeln!(to, "{}-endian, unlike this machine: it can be inspected here, not loaded", report.byte_order)?;
    }

    to.push_str(&wrapped(&one_line(&report.aya_obj.sentence()), &AyaObj::label(), WIDTH));

    write_sections(to, &report.sections)?;
    if !report.maps.is_empty() {
        heading(to, "maps, as passed to the kernel")?;
        for map in &report.maps {
            write_map(to, map, 2)?;
        }
    }
    write_variables(to, &report.variables)?;
    write_externs(to, &report.externs)?;
    if !report.warnings.is_empty() {
        heading(to, "warnings")?;
        for warning in &report.warnings {
            to.push_str(&wrapped(&one_line(warning), "  ", WIDTH));
        }
    }
    if let Some(why) = &report.failure {
        heading(to, "loading all programs")?;
        to.push_str(&wrapped(&one_line(why), "  fails: ", WIDTH));
    }
    let missing = report.missing.as_deref().unwrap_or_default();
    if !missing.is_empty() {
        heading(to, "requirements that this machine lacks")?;
        for missing in missing {
            to.push_str(&wrapped(&one_line(missing), "  ", WIDTH));
        }
    }
    if report.core.is_none() {
        heading(to, "CO-RE relocations")?;
        writeln!(to, "  unknown: aya-obj applies them and does not report them")?;
    }
    if let Some(verdicts) = &report.verifier {
        verify::write(to, verdicts)?;
    }
    report.programs.iter().try_for_each(|program| write_program(to, program))
}

fn write_sections(to: &mut String, sections: &[Section]) -> fmt::Result {
    heading(to, "sections")?;
    table(
        to,
        sections.iter().map(|section| {
            let size = format!("{} bytes", section.size);
            let slots = if section.executable { counted(section.size / 8, "instruction") } else { String::new() };
            let relocations = match section.references {
                0 => String::new(),
                count => counted(count as u64, "relocation"),
            };
            vec![section.name.clone(), size, slots, relocations]
        }),
    )
}

fn write_variables(to: &mut String, variables: &[Variable]) -> fmt::Result {
    if variables.is_empty() {
        return Ok(());
    }
    heading(to, "variables")?;
    table(
        to,
        variables.iter().map(|variable| {
            let location = format!("{}+{}", variable.section, variable.offset);
            let kind = variable.type_name.clone().unwrap_or_else(|| format!("{} bytes", variable.size));
            vec![variable.name.clone(), location, kind, if variable.constant { "constant" } else { "" }.to_owned()]
        }),
    )
}

fn write_externs(to: &mut String, externs: &[Extern]) -> fmt::Result {
    if externs.is_empty() {
        return Ok(());
    }
    heading(to, "externs")?;
    table(
        to,
        externs.iter().map(|known| {
            let weak = if known.weak { "weak" } else { "" };
            let found = known.found.clone().unwrap_or_else(|| "not resolved".to_owned());
            vec![known.name.clone(), known.kind.to_owned(), weak.to_owned(), found]
        }),
    )
}

fn heading(to: &mut String, text: &str) -> fmt::Result {
    writeln!(to, "\n{text}")
}

/// The narrowest first column of a table that would else be wider than 80 columns.
const NARROWEST: usize = 16;

/// Writes columns, each as wide as its widest cell. If 80 columns are not enough for them, a long first cell has a line
/// of its own.
fn table(to: &mut String, rows: impl Iterator<Item = Vec<String>>) -> fmt::Result {
    let clean = |row: Vec<String>| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>();
    let rows: Vec<_> = rows.map(clean).collect();
    let mut widths = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = display_width(cell).max(*width);
        }
    }
    // Each cell has a space on both sides, of which the last is not printed.
    let others: usize = widths.iter().skip(1).filter(|width| **width > 0).map(|width| width + 2).sum();
    let most = (WIDTH - 2).saturating_sub(others).max(NARROWEST);
    widths.iter_mut().take(1).for_each(|first| *first = most.min(*first));
    for row in &rows {
        let mut line = String::from(" ");
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if index == 0 && display_width(cell) > *width {
                writeln!(to, "  {cell}")?;
                write!(line, " {} ", left("", *width))?;
            } else if *width > 0 {
                write!(line, " {} ", left(cell, *width))?;
            }
        }
        writeln!(to, "{}", line.trim_end())?;
    }
    Ok(())
}

fn write_map(to: &mut String, map: &Map, indent: usize) -> fmt::Result {
    let name = if map.name.is_empty() { "inner map".to_owned() } else { one_line(&map.name) };
    write!(to, "{:indent$}{name}: {}", "", map.map_type)?;
    if map.is_ring {
        write!(to, ", {} bytes", map.max_entries)?;
    } else {
        let entries = if map.max_entries == 1 { "entry" } else { "entries" };
        let s = if map.value_size == 1 { "" } else { "s" };
        write!(to, ", {} {entries}, key {}, value {} byte{s}", map.max_entries, map.key_size, map.value_size)?;
    }
    if map.asked != map.max_entries {
        write!(to, " ({} in the object)", map.asked)?;
    }
    for flag in &map.flags {
        write!(to, ", {flag}")?;
    }
    if map.pinned {
        write!(to, ", pinned by name")?;
    }
    if map.optional {
        write!(to, ", created only on request")?;
    }
    writeln!(to)?;
    if let Some(why) = &map.refused {
        to.push_str(&wrapped(&one_line(why), &format!("{:indent$}  cannot be created: ", ""), WIDTH));
    }
    if let Some(inner) = &map.inner {
        write_map(to, inner, indent + 2)?;
    }
    map.values.iter().try_for_each(|(key, name)| line!(to, "{:indent$}  [{key}] = {name}", ""))
}

fn write_program(to: &mut String, program: &Program) -> fmt::Result {
    writeln!(to)?;
    line!(to, "{}: {}", program.section, program.name)?;
    write!(to, "  {}", program.program_type)?;
    if program.sleepable {
        write!(to, ", sleepable")?;
    }
    if program.optional {
        write!(to, ", loaded only on request")?;
    }
    write!(to, ", {}", counted(program.slots as u64, "instruction"))?;
    match program.linked_slots {
        Some(linked) if linked != program.slots => writeln!(to, ", {linked} with the functions that it calls")?,
        _ => writeln!(to)?,
    }
    if let Some(why) = &program.refused {
        to.push_str(&wrapped(&one_line(why), "  cannot be loaded here: ", WIDTH));
    }
    if let Some(why) = &program.not_inserted {
        to.push_str(&wrapped(&one_line(why), "  loaded without insertions: ", WIDTH));
    }
    for row in program.listing.iter().flatten() {
        match row {
            Row::Function { name, section } => writeln!(to).and_then(|()| line!(to, "  {section}: {name}"))?,
            Row::Source { file, line, text, .. } => line!(to, "; {file}:{line}: {text}")?,
            Row::Instruction { slot, before, after, core } => {
                line!(to, "{slot:5}: {before}")?;
                if let Some(after) = after {
                    line!(to, "    => {after}")?;
                }
                if let Some(core) = core {
                    line!(to, "       CO-RE: {core}")?;
                }
            }
            Row::Inserted { text, .. } => line!(to, "    + {text}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_a_newline_is_one_line() {
        let mut text = String::new();
        table(&mut text, [vec!["a\nb".to_owned(), "c\u{1b}".to_owned()]].into_iter()).unwrap();
        line!(&mut text, "{}: {}", "x\n\nfake", 1).unwrap();
        assert_eq!(text, "  a\\nb  c\\u{1b}\nx\\n\\nfake: 1\n");
    }

    #[test]
    fn long_first_cell_has_a_line_of_its_own() {
        let mut text = String::new();
        let long = format!("tracepoint/{}", "x".repeat(60));
        let row = |name: &str| vec![name.to_owned(), "1 byte".to_owned(), String::new(), "y".repeat(30)];
        table(&mut text, [row(&long), row("short")].into_iter()).unwrap();
        let ys = "y".repeat(30);
        let expected = format!("  {long}\n{:42}1 byte  {ys}\n  {:38}  1 byte  {ys}\n", "", "short");
        assert_eq!(text, expected);
        assert!(text.lines().skip(1).all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn wide_letters_shift_no_columns() {
        let mut text = String::new();
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        table(&mut text, [row(["漢字", "1"]), row(["abc", "2"])].into_iter()).unwrap();
        assert_eq!(text, "  漢字  1\n  abc   2\n");
    }
}
