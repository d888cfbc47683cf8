//! Reads a report that `--junit` wrote; the inverse of [`crate::report::junit`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::console::Crash;
use crate::error::{Error, Result, chain};
use crate::report::junit::{NEVER_RAN, REPORT, kind, property, subject};
use crate::report::{End, Guest, Outcome, Test};
use crate::slice::Slice;

/// The results of one machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) file: PathBuf,
    pub(super) plan: String,
    pub(super) slice: Slice,
    pub(super) guests: Vec<Guest>,
    /// As in [`crate::report::Matrix`].
    pub(super) absent: Vec<(String, String, bool)>,
    pub(super) problems: Vec<String>,
}

/// Reads the report in a file.
pub(super) fn read(file: &Path) -> Result<Part> {
    let bytes = std::fs::read(file).map_err(Error::file("read", file))?;
    let unusable = |why: String| Error::Unusable { path: file.to_path_buf(), why };
    let text = String::from_utf8(bytes).map_err(|_| unusable(NO_XML.to_owned()))?;
    parse(file, &text).map_err(unusable)
}

const NO_XML: &str = "not a JUnit report: it is not UTF-8";

fn parse(file: &Path, text: &str) -> std::result::Result<Part, String> {
    let report = Report::deserialize_from_str(text).map_err(|error| {
        format!("not a complete JUnit report: {}; was its machine stopped while it wrote?", chain(&error))
    })?;
    if report.name.as_str() != REPORT {
        return Err(format!(
            "the report is named {:?}, not {REPORT:?}: pass only files that `cutaway-vm --junit FILE` wrote",
            report.name.as_str()
        ));
    }
    intact(&report, text)?;
    let first = report.test_suites.first().ok_or("the report has no test suite: its run had no test")?;
    let plan =
        of(&first.properties, property::PLAN).ok_or("it has no `plan`: another version of cutaway-vm wrote it")?;
    let slice = of(&first.properties, property::SHARD);
    let mut part = Part {
        file: file.to_path_buf(),
        plan: plan.to_owned(),
        slice: slice.map_or(Ok(Slice::WHOLE), str::parse)?,
        guests: Vec::new(),
        absent: Vec::new(),
        problems: Vec::new(),
    };
    for suite in &report.test_suites {
        if of(&suite.properties, property::PLAN) != Some(plan) || of(&suite.properties, property::SHARD) != slice {
            return Err(format!("damaged: {:?} belongs to another run than {:?}", &*suite.name, &*first.name));
        }
        take(suite, &mut part).map_err(|why| format!("damaged: the suite {:?}: {why}", &*suite.name))?;
    }
    Ok(part)
}

/// Compares the counts in the report with its cases: a case that was cut out is noticed.
fn intact(report: &Report, text: &str) -> std::result::Result<(), String> {
    let text = text.trim_end();
    if text.matches("<testsuites").count() != 1 || !(text.ends_with("</testsuites>") || text.ends_with("/>")) {
        return Err("damaged: it has more than one report, or text after the report".to_owned());
    }
    let mut all = [0; 3];
    for suite in &report.test_suites {
        let count =
            |wanted: fn(&TestCaseStatus) -> bool| suite.test_cases.iter().filter(|case| wanted(&case.status)).count();
        let found = [suite.test_cases.len(), count(is_failure), count(is_error)];
        if found != [suite.tests, suite.failures, suite.errors] {
            return Err(format!("damaged: {:?} has other test cases than it counts", &*suite.name));
        }
        all.iter_mut().zip(found).for_each(|(sum, more)| *sum += more);
    }
    if all == [report.tests, report.failures, report.errors] {
        Ok(())
    } else {
        Err("damaged: it has other test cases than it counts".to_owned())
    }
}

fn is_failure(status: &TestCaseStatus) -> bool {
    matches!(status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. })
}

fn is_error(status: &TestCaseStatus) -> bool {
    matches!(status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. })
}

fn take(suite: &TestSuite, part: &mut Part) -> std::result::Result<(), String> {
    let subject = of(&suite.properties, property::SUBJECT).ok_or("it has no `subject`")?;
    if subject == subject::MERGE {
        part.problems.extend(suite.test_cases.iter().map(|case| case.name.to_string()));
        return Ok(());
    }
    let name = of(&suite.properties, property::KERNEL).ok_or("it has no `requested-kernel`")?;
    if subject == subject::ABSENT {
        let why = suite.test_cases.first().and_then(|case| message(&case.status)).unwrap_or_default();
        let named = of(&suite.properties, property::NAMED) == Some("true");
        part.absent.push((name.to_owned(), why.to_owned(), named));
        return Ok(());
    }
    let index = match part.guests.iter().position(|guest| guest.name == name) {
        Some(index) => index,
        None => {
            part.guests.push(guest(name, suite)?);
            part.guests.len() - 1
        }
    };
    let guest = part.guests.get_mut(index).ok_or("its guest is unknown")?;
    match subject {
        subject::TESTS => {
            for case in &suite.test_cases {
                guest.tests.push(test(case).map_err(|why| format!("the case {:?}: {why}", &*case.name))?);
            }
        }
        subject::SHARD => {
            let lists = suite.properties.iter().filter_map(|property| {
                Some((property.name.strip_prefix(property::LIST)?.to_owned(), property.value.to_string()))
            });
            guest.lists.extend(lists);
        }
        subject::GUEST => {
            let status = &suite.test_cases.first().ok_or("it has no case")?.status;
            let reason = message(status).unwrap_or_default().to_owned();
            // The text of the reason is complete, whatever the end was.
            guest.end = match description(status) {
                Some(trace) => End::Crashed(Crash { reason, trace: trace.to_owned() }),
                None => End::Broken(reason),
            };
        }
        other => return Err(format!("its subject {other:?} is unknown")),
    }
    Ok(())
}

/// Returns a guest without tests.
fn guest(name: &str, suite: &TestSuite) -> std::result::Result<Guest, String> {
    let number = |name: &str| {
        let text = of(&suite.properties, name).unwrap_or_default();
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| format!("its `{name}` is {text:?}, not a number of seconds"))
    };
    // A guest that did not boot has the requested kernel in place of a release.
    let release = of(&suite.properties, property::RELEASE).filter(|release| *release != name);
    let notes = suite.properties.iter().filter(|property| property.name.as_str() == property::NOTE);
    Ok(Guest {
        name: name.to_owned(),
        release: release.map(str::to_owned),
        // It is for judging skips, which the machine has done.
        version: None,
        tests: Vec::new(),
        end: End::Clean,
        boot_seconds: number(property::BOOT)?,
        seconds: number(property::SECONDS)?,
        exit_code: None,
        notes: notes.map(|property| property.value.to_string()).collect(),
        folder: None,
        lists: BTreeMap::new(),
    })
}

fn test(case: &TestCase) -> std::result::Result<Test, String> {
    let text = || message(&case.status).unwrap_or_default().to_owned();
    let outcome = match &case.status {
        TestCaseStatus::Success { .. } => Outcome::Passed,
        TestCaseStatus::Skipped { .. } => Outcome::Skipped(text()),
        TestCaseStatus::NonSuccess { ty, .. } => match ty.as_deref() {
            Some(kind::FAILED) => Outcome::Failed(text()),
            Some(kind::NEVER_RAN) => Outcome::Skipped(text().strip_prefix(NEVER_RAN).unwrap_or_default().to_owned()),
            Some(kind::TIMED_OUT) => Outcome::TimedOut(description(&case.status).unwrap_or_default().to_owned()),
            Some(kind::DIED) => Outcome::Died,
            Some(kind::NOT_RUN) => Outcome::NotRun,
            other => return Err(format!("its type {:?} is unknown", other.unwrap_or_default())),
        },
    };
    let whole = of(&case.properties, property::WHOLE).is_some();
    Ok(Test {
        binary: case.classname.as_deref().ok_or("it has no `classname`")?.to_owned(),
        name: if whole { String::new() } else { case.name.to_string() },
        outcome,
        seconds: case.time.map_or(0.0, |time| time.as_secs_f64()),
        output: case.system_out.as_deref().unwrap_or_default().into(),
        dropped: 0,
    })
}

fn of<'p>(properties: &'p [Property], name: &str) -> Option<&'p str> {
    properties.iter().find(|property| property.name.as_str() == name).map(|property| property.value.as_str())
}

fn message(status: &TestCaseStatus) -> Option<&str> {
    match status {
        TestCaseStatus::Success { .. } => None,
        TestCaseStatus::NonSuccess { message, .. } | TestCaseStatus::Skipped { message, .. } => message.as_deref(),
    }
}

fn description(status: &TestCaseStatus) -> Option<&str> {
    match status {
        TestCaseStatus::NonSuccess { description, .. } => description.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Matrix;
    use crate::report::examples::{guest, test};
    use crate::report::junit::xml;

    fn matrix() -> Matrix {
        let crash = Crash { reason: "Kernel panic".into(), trace: "RIP: <f>+0x1\n  second line".into() };
        let tests = [
            Outcome::Passed,
            Outcome::Skipped("needs 6.12: x & y".into()),
            Outcome::Failed("exit status 1".into()),
            Outcome::TimedOut("stack".into()),
            Outcome::Died,
            Outcome::NotRun,
        ];
        let named = tests.into_iter().enumerate().map(|(number, outcome)| test(&format!("test_{number}"), outcome));
        let mut first = guest("6.1", named.collect());
        first.end = End::Crashed(crash);
        first.notes = vec!["the kernel warned: x".into(), "second".into()];
        first.lists = BTreeMap::from([("suite".into(), "0123".into())]);
        let second = guest("6.12", vec![test("test_1", Outcome::Skipped("no".into())), test("", Outcome::Passed)]);
        Matrix {
            guests: vec![first, second],
            absent: vec![("7.3".into(), "gone".into(), true), ("5.10".into(), "away".into(), false)],
            slice: "2/5".parse().ok(),
            plan: "abcd".into(),
            problems: vec!["3 of 5 shards".into()],
        }
    }

    fn parsed(text: &str) -> std::result::Result<Part, String> {
        parse(Path::new("a.xml"), text)
    }

    #[test]
    fn report_is_read_as_it_was_written() {
        let matrix = matrix();
        let part = parsed(&xml(&matrix).unwrap()).unwrap();
        let mut written = matrix.guests.clone();
        for guest in &mut written {
            guest.version = None;
            // Readers of XML drop white space at the end.
            guest.tests.iter_mut().for_each(|test| test.output = test.output.text().trim_end().into());
        }
        assert_eq!(part.guests, written);
        assert_eq!((part.absent, part.problems), (matrix.absent.clone(), matrix.problems.clone()));
        assert_eq!((part.plan.as_str(), Some(part.slice)), ("abcd", matrix.slice));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let text = xml(&Matrix { guests: matrix().guests.split_off(1), ..matrix() }).unwrap();
        let text = text.trim_end();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            assert!(parsed(&text[..end]).is_err(), "{end} bytes of {}", text.len());
        }
    }

    #[test]
    fn no_changed_byte_makes_reading_panic() {
        let text = xml(&Matrix { guests: matrix().guests.split_off(1), ..matrix() }).unwrap().into_bytes();
        for index in 0..text.len() {
            for bit in [0x01, 0x04, 0x40] {
                let mut damaged = text.clone();
                damaged[index] ^= bit;
                if let Ok(damaged) = String::from_utf8(damaged) {
                    let _ = parsed(&damaged);
                }
            }
        }
    }

    #[test]
    fn case_that_was_cut_out_is_noticed() {
        let text = xml(&matrix()).unwrap();
        let start = text.find(r#"<testcase name="test_0""#).unwrap();
        let end = start + text[start..].find("</testcase>").unwrap() + "</testcase>".len();
        let cut = format!("{}{}", &text[..start], &text[end..]);
        assert_eq!(parsed(&cut).unwrap_err(), r#"damaged: "suite on 6.1" has other test cases than it counts"#);
        let twice = format!("{text}{text}");
        assert!(parsed(&twice).unwrap_err().starts_with("damaged: it has more than one report"));
    }

    #[test]
    fn reports_of_others_are_refused() {
        let other = quick_junit::Report::new("nextest-run").to_string().unwrap();
        assert!(parsed(&other).unwrap_err().contains(r#"named "nextest-run""#));
        let mut old = quick_junit::Report::new(REPORT);
        assert!(parsed(&old.to_string().unwrap()).unwrap_err().contains("has no test suite"));
        old.add_test_suite(TestSuite::new("live on 6.1"));
        assert!(parsed(&old.to_string().unwrap()).unwrap_err().contains("another version"));
        for text in ["", "{}", "<html></html>"] {
            assert!(parsed(text).unwrap_err().starts_with("not a complete JUnit report: "), "{text}");
        }
    }
}
