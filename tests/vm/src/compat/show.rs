//! The results as Markdown and as JUnit XML, with all reasons.

use std::fmt::Write;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::verdict::{Program, Report, Verdict};
use crate::error::{Error, Result};

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
                    figure(program.processed_instructions),
                    figure(program.total_states),
                    figure(program.peak_states),
                    stack(program),
                );
            }
        }
    }
    for (on, note) in report.kernels.iter().flat_map(|on| on.notes.iter().map(move |note| (on, note))) {
        let _ = writeln!(text, "\nNote: {}: {}", on.title(), note.replace('\n', " "));
    }
    for file in &report.skipped {
        let _ = writeln!(text, "\nSkipped: {}: {}", file.file.display(), file.why);
    }
    text
}

fn stack(program: &Program) -> String {
    let depths = program.stack_depths.iter().flatten().map(u32::to_string).collect::<Vec<_>>();
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
        for note in &on.notes {
            suite.add_property(("note", note.as_str()));
        }
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
                let kind = if object.crashed { NonSuccessKind::Error } else { NonSuccessKind::Failure };
                let mut case = failed(&object.object, kind, why);
                let reasons = reasons(object);
                if !reasons.is_empty() {
                    case.status.set_description(XmlString::new(reasons));
                }
                case
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

/// Returns the reasons of an object's programs, one a line.
fn reasons(object: &Verdict) -> String {
    let programs = object.programs.iter().filter(|program| program.why != object.why);
    let reasons = programs.filter_map(|program| Some(format!("{}: {}", program.name, program.why.as_ref()?)));
    reasons.collect::<Vec<_>>().join("\n")
}
