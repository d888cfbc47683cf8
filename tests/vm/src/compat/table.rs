//! The results as a table of at most 80 columns, with the reasons below it.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::verdict::{OnKernel, Program, Report, Verdict};

/// The width of the output.
const WIDTH: usize = 80;
/// The width of a kernel's column.
const COLUMN: usize = 10;
/// The number of kernels side by side: more would leave no room for names.
const KERNELS: usize = 4;
/// The lines that are printed of one reason.
const LINES: usize = 8;

/// Draws the table: the instructions that the verifier walked for each program, on each kernel. Kernels that do not fit
/// side by side are below each other.
pub(super) fn table(report: &Report) -> String {
    let mut text = String::new();
    for kernels in report.kernels.chunks(KERNELS) {
        if !text.is_empty() {
            text.push('\n');
        }
        let room = WIDTH - kernels.len() * COLUMN;
        let _ = write!(text, "{:<room$}", "instructions walked");
        for on in kernels {
            let _ = write!(text, "{}", right(&shortened(&on.kernel, COLUMN - 1)));
        }
        text.push('\n');
        // Only where a kernel's version does not say all.
        if report.kernels.iter().any(|on| on.arch.is_foreign()) {
            text.push_str(&" ".repeat(room));
            kernels.iter().for_each(|on| text.push_str(&right(on.arch.name())));
            text.push('\n');
        }
        for (object, program) in rows(report) {
            let name = program.as_ref().map_or_else(|| object.clone(), |program| format!("  {program}"));
            let name = shortened(&name, room - 1);
            let _ = write!(text, "{name}{}", " ".repeat(room - name.width()));
            for on in kernels {
                let _ = write!(text, "{}", right(&cell(on, &object, program.as_deref())));
            }
            text.push('\n');
        }
    }
    let mut programs = report.kernels.iter().flat_map(|on| &on.objects).flat_map(|object| &object.programs);
    if programs.any(|program| program.not_tried) {
        text.push_str("\n-  not tried; --json and --markdown have the reason\n");
    }
    reasons(report, &mut text);
    skipped(report, &mut text);
    text
}

/// Returns a cell of a kernel's column.
fn right(text: &str) -> String {
    format!("{}{text}", " ".repeat(COLUMN.saturating_sub(text.width())))
}

/// Appends the reasons. Equal reasons of several kernels are one.
fn reasons(report: &Report, text: &mut String) {
    for on in &report.kernels {
        if let Some(why) = &on.absent {
            let skipped = if on.skipped { "skipped: " } else { "" };
            text.push('\n');
            paragraph(text, "", "  ", &format!("{}: {skipped}{why}", on.title()));
        }
        for note in &on.notes {
            text.push('\n');
            paragraph(text, "", "  ", &format!("note: {}: {note}", on.title()));
        }
    }
    let mut failed: Vec<(&Verdict, Vec<String>)> = Vec::new();
    for on in &report.kernels {
        for object in on.objects.iter().filter(|object| !object.loads) {
            match failed.iter_mut().find(|(other, _)| same_reasons(other, object)) {
                Some((_, kernels)) => kernels.push(on.title()),
                None => failed.push((object, vec![on.title()])),
            }
        }
    }
    for (object, kernels) in failed {
        text.push('\n');
        paragraph(text, "", "  ", &format!("{} on {}:", object.object, kernels.join(", ")));
        // Lines of the same reason are not indented further: the programs below it are.
        paragraph(text, "  ", "  ", object.why.as_deref().unwrap_or("no reason is known"));
        for program in object.programs.iter().filter(|program| program.why != object.why) {
            if let Some(why) = &program.why {
                paragraph(text, "    ", "      ", &format!("{}: {why}", program.name));
            }
        }
    }
}

/// Appends the skipped files, those with the same reason together: a directory of objects often has their sources too.
fn skipped(report: &Report, text: &mut String) {
    let mut reasons: Vec<&str> = report.skipped.iter().map(|file| file.why.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for why in reasons {
        let files = report.skipped.iter().filter(|file| file.why == why);
        let names: Vec<String> = files.map(|file| file.file.display().to_string()).collect();
        text.push('\n');
        paragraph(text, "", "  ", &format!("skipped, {why}: {}", names.join(", ")));
    }
}

fn same_reasons(one: &Verdict, other: &Verdict) -> bool {
    let of = |verdict: &Verdict| -> Vec<_> {
        verdict.programs.iter().map(|program| (program.name.clone(), program.why.clone())).collect()
    };
    one.object == other.object && one.why == other.why && of(one) == of(other)
}

/// Appends words, wrapped: the first line begins with `indent`, the others with `deeper`.
fn paragraph(text: &mut String, indent: &str, deeper: &str, words: &str) {
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(indent)
        .subsequent_indent(deeper)
        // Paths and releases have hyphens.
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let lines = textwrap::wrap(words.trim_end(), &options);
    let more = lines.len().saturating_sub(LINES);
    // A single line more takes no more room than the words about it.
    let shown = if more > 1 { LINES } else { lines.len() };
    for line in lines.iter().take(shown) {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if more > 1 {
        let _ = writeln!(text, "{deeper}… {more} more lines: see --json, --markdown or --junit FILE");
    }
}

/// Returns the rows: each object, followed by its programs.
fn rows(report: &Report) -> Vec<(String, Option<String>)> {
    let mut rows: Vec<(String, Option<String>)> = Vec::new();
    let mut objects: Vec<&str> =
        report.kernels.iter().flat_map(|on| &on.objects).map(|object| object.object.as_str()).collect();
    objects.sort_unstable();
    objects.dedup();
    for object in objects {
        rows.push((object.to_owned(), None));
        let all = report.kernels.iter().filter_map(|on| find(on, object)).flat_map(|verdict| &verdict.programs);
        for program in all {
            let row = (object.to_owned(), Some(program.name.clone()));
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    rows
}

fn find<'r>(on: &'r OnKernel, object: &str) -> Option<&'r Verdict> {
    on.objects.iter().find(|verdict| verdict.object == object)
}

fn cell(on: &OnKernel, object: &str, program: Option<&str>) -> String {
    let Some(verdict) = find(on, object) else { return "-".to_owned() };
    let answer = |loads: bool| if loads { "loads" } else { "no" }.to_owned();
    match program {
        None if verdict.crashed => "crashes".to_owned(),
        None => answer(verdict.loads),
        Some(name) => match verdict.programs.iter().find(|program| program.name == name) {
            None => "-".to_owned(),
            Some(Program { crashed: true, .. }) => "crashes".to_owned(),
            Some(Program { not_tried: true, .. }) => "-".to_owned(),
            Some(Program { loads: true, processed_instructions: Some(count), .. }) => count.to_string(),
            Some(program) => answer(program.loads),
        },
    }
}

/// Shortens a name from the left: the end of a path tells more than its beginning.
fn shortened(name: &str, room: usize) -> String {
    if name.width() <= room {
        return name.to_owned();
    }
    let mut rest = name.chars();
    while rest.as_str().width() + 1 > room && rest.next().is_some() {}
    format!("…{}", rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Skipped;
    use super::*;
    use crate::arch::Arch;

    fn report(kernels: usize) -> Report {
        let long = "cannot load the program `x`: EINVAL; R1 type=scalar expected=map_ptr ".repeat(20);
        let name = format!("a/{}/last.o", "deep/".repeat(13));
        let program = |name: &str, why: Option<&str>| Program {
            name: name.into(),
            loads: why.is_none(),
            why: why.map(str::to_owned),
            processed_instructions: Some(1_000_000),
            ..Program::default()
        };
        let on = |number: usize| OnKernel {
            notes: vec!["no /a/directory/of/some/length/5.10.0-30-cloud-amd64.btf, so the kernel's own is used".into()],
            objects: vec![Verdict {
                object: name.clone(),
                why: Some(format!("{long}\n\nthe log:\n{}", "word".repeat(60))),
                programs: vec![program("程序程序", None), program(&"p".repeat(90), Some(&long))],
                ..Verdict::default()
            }],
            ..OnKernel::new(format!("5.{number}.with-a-long-name"), Arch::OWN)
        };
        let skipped = Skipped { file: format!("/{}", "y".repeat(100)).into(), why: "not a BPF object".into() };
        Report { kernels: (0..kernels).map(on).collect(), skipped: vec![skipped] }
    }

    #[test]
    fn no_line_exceeds_80_columns() {
        for kernels in [1, 4, 5, 9] {
            let text = table(&report(kernels));
            assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
            assert_eq!(text.matches("instructions walked").count(), kernels.div_ceil(KERNELS));
            assert!(!text.contains("\n\n\n"), "{text}");
        }
    }

    #[test]
    fn equal_reasons_are_one_and_long_ones_are_cut_visibly() {
        let text = table(&report(2));
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let on = "last.o on 5.0.with-a-long-name, 5.1.with-a-long-name: cannot load";
        assert_eq!(words.matches(on).count(), 1, "{text}");
        assert!(text.contains("more lines: see --json, --markdown or --junit FILE"), "{text}");
    }

    #[test]
    fn architectures_are_in_the_head_and_in_the_reasons() {
        let other = Arch::ALL.into_iter().find(|arch| arch.is_foreign()).unwrap();
        let mut both = report(2);
        both.kernels[1].arch = other;
        let text = table(&both);
        assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
        let heads: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(heads, [Arch::OWN.name(), other.name()]);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&format!("5.0.with-a-long-name, 5.1.with-a-long-name ({other}): cannot")), "{text}");
        assert!(!table(&report(2)).contains(Arch::OWN.name()), "one architecture needs no head");
    }

    #[test]
    fn program_that_was_not_tried_is_not_a_refusal() {
        let mut report = report(1);
        assert!(!table(&report).contains("not tried"));
        let object = &mut report.kernels[0].objects[0];
        let optional = Program { not_tried: true, ..object.programs[1].clone() };
        object.loads = true;
        object.programs.push(Program { name: "optional".into(), ..optional });
        let text = table(&report);
        let cell = |row: usize| text.lines().nth(row).unwrap().split_whitespace().last().unwrap();
        assert_eq!((cell(3), cell(4)), ("no", "-"), "{text}");
        assert!(text.contains("\n-  not tried; --json"), "{text}");
    }

    #[test]
    fn skipped_files_are_named_once_a_reason() {
        let mut report = report(1);
        let skip = |file: &str, why: &str| Skipped { file: file.into(), why: why.into() };
        report.skipped = vec![
            skip("a.c", "not a BPF object"),
            skip("socket", "not a regular file"),
            skip("b.c", "not a BPF object"),
        ];
        let text = table(&report);
        assert!(text.contains("\nskipped, not a BPF object: a.c, b.c\n"), "{text}");
        assert!(text.contains("\nskipped, not a regular file: socket\n"), "{text}");
    }

    #[test]
    fn crash_is_a_cell_of_its_own() {
        let mut report = report(1);
        let object = &mut report.kernels[0].objects[0];
        object.crashed = true;
        object.programs[0].crashed = true;
        let rows: Vec<String> = table(&report).lines().take(3).map(str::to_owned).collect();
        assert!(rows[1].ends_with("   crashes") && rows[2].ends_with("   crashes"), "{rows:?}");
    }
}
