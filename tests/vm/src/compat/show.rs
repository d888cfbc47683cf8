//! The results as a table, as Markdown and as JUnit XML.

use std::fmt::Write;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::verdict::{OnKernel, Program, Report, Verdict};
use crate::error::{Error, Result};

/// The width of the table.
const WIDTH: usize = 80;

/// Draws a table of 80 columns: the instructions that the verifier walked for each program, on each kernel.
pub(super) fn table(report: &Report) -> String {
    let mut text = String::new();
    let room = WIDTH.saturating_sub(report.kernels.len() * 10).max(20);
    let _ = write!(text, "{:<room$}", "instructions walked");
    for on in &report.kernels {
        let _ = write!(text, "{:>10}", shortened(&on.kernel, 9));
    }
    text.push('\n');
    if report.kernels.iter().any(|on| on.arch.is_foreign()) {
        let _ = write!(text, "{:<room$}", "");
        for on in &report.kernels {
            let _ = write!(text, "{:>10}", on.arch);
        }
        text.push('\n');
    }
    for (object, program) in rows(report) {
        let name = program.as_ref().map_or_else(|| object.clone(), |program| format!("  {program}"));
        let _ = write!(text, "{:<room$}", shortened(&name, room.saturating_sub(1)));
        for on in &report.kernels {
            let _ = write!(text, "{:>10}", cell(on, &object, program.as_deref()));
        }
        text.push('\n');
    }
    reasons(report, &mut text);
    text
}

fn reasons(report: &Report, text: &mut String) {
    for on in &report.kernels {
        if let Some(why) = &on.absent {
            let skipped = if on.skipped { "skipped: " } else { "" };
            let _ = writeln!(text, "\n{}: {skipped}{why}", on.title());
        }
        for object in on.objects.iter().filter(|object| !object.loads) {
            let why = object.why.as_deref().unwrap_or("no reason is known");
            let _ = writeln!(text, "\n{} on {}: {why}", object.object, on.title());
            for program in object.programs.iter().filter(|program| program.why != object.why) {
                if let Some(why) = &program.why {
                    let _ = writeln!(text, "  {}: {why}", program.name);
                }
            }
        }
    }
    for file in &report.skipped {
        let _ = writeln!(text, "skipped {}: {}", file.file.display(), file.why);
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
        None => answer(verdict.loads),
        Some(name) => match verdict.programs.iter().find(|program| program.name == name) {
            None => "-".to_owned(),
            Some(Program { loads: true, instructions: Some(count), .. }) => count.to_string(),
            Some(program) => answer(program.loads),
        },
    }
}

/// Shortens a name from the left: the end of a path tells more than its beginning.
fn shortened(name: &str, room: usize) -> String {
    let length = name.chars().count();
    if length <= room {
        return name.to_owned();
    }
    let end: String = name.chars().skip(length + 1 - room).collect();
    format!("…{end}")
}

/// Writes a Markdown table with all figures.
pub(super) fn markdown(report: &Report) -> String {
    let mut text =
        "| kernel | object | program | loads | instructions | total states | peak states | stack |\n".to_owned();
    text.push_str("| --- | --- | --- | --- | ---: | ---: | ---: | ---: |\n");
    let plain = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let figure = |figure: Option<u64>| figure.map_or_else(String::new, |figure| figure.to_string());
    let answer = |loads: bool, why: Option<&String>| match why {
        Some(why) => plain(why),
        None => if loads { "yes" } else { "no" }.to_owned(),
    };
    for on in &report.kernels {
        if let Some(why) = &on.absent {
            let _ = writeln!(text, "| {} | | | {} | | | | |", plain(&on.title()), plain(why));
        }
        for object in &on.objects {
            let place = format!("| {} | {} |", plain(&on.title()), plain(&object.object));
            let _ = writeln!(text, "{place} | {} | | | | |", answer(object.loads, object.why.as_ref()));
            for program in &object.programs {
                let _ = writeln!(
                    text,
                    "{place} {} | {} | {} | {} | {} | {} |",
                    plain(&program.name),
                    answer(program.loads, program.why.as_ref()),
                    figure(program.instructions),
                    figure(program.total_states),
                    figure(program.peak_states),
                    stack(program),
                );
            }
        }
    }
    text
}

fn stack(program: &Program) -> String {
    let depths = program.stack.iter().flatten().map(u32::to_string).collect::<Vec<_>>();
    depths.join("+")
}

/// Returns JUnit XML: a suite for each kernel, a case for each object.
pub(super) fn junit(report: &Report, worse: &[String]) -> Result<String> {
    let mut xml = quick_junit::Report::new("cutaway-vm compat");
    let failed = |name: &str, kind, why: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(why);
        TestCase::new(name, status)
    };
    for on in &report.kernels {
        let mut suite = TestSuite::new(on.title().as_str());
        suite.add_property(("kernel", on.release.as_deref().unwrap_or(&on.kernel)));
        suite.add_property(("architecture", on.arch.name()));
        if let Some(why) = &on.absent {
            suite.add_test_case(if on.skipped {
                let mut status = TestCaseStatus::skipped();
                status.set_message(why.as_str());
                TestCase::new("kernel", status)
            } else {
                failed("kernel", NonSuccessKind::Error, why)
            });
        }
        for object in &on.objects {
            suite.add_test_case(if object.loads {
                TestCase::new(object.object.as_str(), TestCaseStatus::success())
            } else {
                let why = object.why.as_deref().unwrap_or("no reason is known");
                failed(&object.object, NonSuccessKind::Failure, why)
            });
        }
        xml.add_test_suite(suite);
    }
    if !worse.is_empty() {
        let mut suite = TestSuite::new("baseline");
        for line in worse {
            suite.add_test_case(failed(line, NonSuccessKind::Failure, line));
        }
        xml.add_test_suite(suite);
    }
    xml.to_string().map_err(|error| Error::Unusable { path: "JUnit report".into(), why: error.to_string() })
}
