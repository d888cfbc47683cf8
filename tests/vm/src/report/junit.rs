//! JUnit XML, which every CI system reads: one suite for each binary on each kernel.
//!
//! `cutaway-vm merge-junit` reads these reports again. Elements and attributes are those of JUnit;
//! properties have the rest.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::{End, Guest, Matrix, Outcome, Test};
use crate::error::{Error, Result};

/// The name of a report.
pub(crate) const REPORT: &str = "cutaway-vm";

/// The properties of a suite.
pub(crate) mod property {
    /// The subject of the suite: one of [`super::subject`].
    pub(crate) const SUBJECT: &str = "subject";
    /// `uname -r`, or the kernel as requested if it did not boot.
    pub(crate) const RELEASE: &str = "kernel";
    /// The kernel as requested.
    pub(crate) const KERNEL: &str = "requested-kernel";
    /// The digest of the plan.
    pub(crate) const PLAN: &str = "plan";
    /// The share of the machine, as in `--shard`.
    pub(crate) const SHARD: &str = "shard";
    /// The duration of the guest in seconds.
    pub(crate) const SECONDS: &str = "guest-seconds";
    /// The duration of its boot in seconds.
    pub(crate) const BOOT: &str = "boot-seconds";
    /// A note on the guest.
    pub(crate) const NOTE: &str = "note";
    /// The digest of a binary's list of tests; the binary's label follows.
    pub(crate) const LIST: &str = "list:";
    /// Whether the user chose the kernel.
    pub(crate) const NAMED: &str = "named";
    /// The property of a case that stands for a whole binary.
    pub(crate) const WHOLE: &str = "whole-binary";
}

/// The subjects of suites.
pub(crate) mod subject {
    /// The tests of a binary.
    pub(crate) const TESTS: &str = "tests";
    /// The share of a machine.
    pub(crate) const SHARD: &str = "shard";
    /// The end of a guest.
    pub(crate) const GUEST: &str = "guest";
    /// A kernel that is not available.
    pub(crate) const ABSENT: &str = "absent-kernel";
    /// The problems of merged reports.
    pub(crate) const MERGE: &str = "merge";
}

/// The types of the elements `failure` and `error`.
pub(crate) mod kind {
    pub(crate) const FAILED: &str = "failed";
    pub(crate) const NEVER_RAN: &str = "skipped-everywhere";
    pub(crate) const TIMED_OUT: &str = "timed-out";
    pub(crate) const DIED: &str = "guest-died";
    pub(crate) const NOT_RUN: &str = "not-run";
}

/// The text before the reason of a test that is skipped on every kernel.
pub(crate) const NEVER_RAN: &str = "skipped on every kernel of the matrix: ";

/// Returns the report as XML.
///
/// # Errors
/// If the report cannot be serialized.
pub fn xml(matrix: &Matrix) -> Result<String> {
    let mut report = Report::new(REPORT);
    let never_ran = matrix.never_ran();
    let mut space = Space { left: WHOLE };
    for guest in &matrix.guests {
        let mut binaries: Vec<&str> = guest.tests.iter().map(|test| test.binary.as_str()).collect();
        binaries.dedup();
        for binary in binaries {
            let mut suite = suite_of(matrix, guest, binary, subject::TESTS);
            for test in guest.tests.iter().filter(|test| test.binary == binary) {
                let unrun = never_ran.iter().any(|row| row.binary == test.binary && row.name == test.name);
                suite.add_test_case(case(guest, test, unrun, &mut space));
            }
            report.add_test_suite(suite);
        }
        // Present even if no test is in the shard, so that a report without it shows a machine that did not run.
        if let Some(slice) = matrix.slice {
            let mut suite = suite_of(matrix, guest, &format!("shard {slice}"), subject::SHARD);
            for (label, digest) in &guest.lists {
                suite.add_property((format!("{}{label}", property::LIST).as_str(), digest.as_str()));
            }
            let status = match &guest.end {
                End::Clean => TestCaseStatus::success(),
                _ => TestCaseStatus::non_success(NonSuccessKind::Error),
            };
            suite.add_test_case(TestCase::new(format!("shard {slice} runs to completion"), status));
            report.add_test_suite(suite);
        }
        if guest.end != End::Clean {
            let mut suite = suite_of(matrix, guest, "guest", subject::GUEST);
            let mut status = failure(NonSuccessKind::Error, &super::lines::end(&guest.end));
            if let End::Crashed(crash) | End::Hung(Some(crash)) = &guest.end {
                status.set_description(XmlString::new(&crash.trace));
            }
            suite.add_test_case(TestCase::new("runs to completion", status));
            report.add_test_suite(suite);
        }
    }
    for (name, why, named) in &matrix.absent {
        let mut suite = suite(matrix, &format!("guest on {name}"), subject::ABSENT);
        suite.add_property((property::KERNEL, name.as_str()));
        suite.add_property((property::NAMED, if *named { "true" } else { "false" }));
        let status = if *named {
            failure(NonSuccessKind::Error, why)
        } else {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why.as_str());
            status
        };
        suite.add_test_case(TestCase::new("kernel is available", status));
        report.add_test_suite(suite);
    }
    if !matrix.problems.is_empty() {
        let mut suite = suite(matrix, "merged reports", subject::MERGE);
        for problem in &matrix.problems {
            suite.add_test_case(TestCase::new(problem.as_str(), failure(NonSuccessKind::Error, problem)));
        }
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|error| Error::Unusable { path: "JUnit report".into(), why: error.to_string() })
}

fn suite(matrix: &Matrix, name: &str, subject: &str) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.add_property((property::SUBJECT, subject));
    suite.add_property((property::PLAN, matrix.plan.as_str()));
    if let Some(slice) = matrix.slice {
        suite.add_property((property::SHARD, slice.to_string().as_str()));
    }
    suite
}

fn suite_of(matrix: &Matrix, guest: &Guest, name: &str, subject: &str) -> TestSuite {
    let mut suite = suite(matrix, &format!("{name} on {}", guest.name), subject);
    suite.add_property((property::RELEASE, guest.release.as_deref().unwrap_or(&guest.name)));
    suite.add_property((property::KERNEL, guest.name.as_str()));
    suite.add_property((property::SECONDS, guest.seconds.to_string().as_str()));
    suite.add_property((property::BOOT, guest.boot_seconds.to_string().as_str()));
    for note in &guest.notes {
        suite.add_property((property::NOTE, note.as_str()));
    }
    suite
}

fn failure(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}

/// The space for long outputs: readers of JUnit, and this process, hold a report in memory.
struct Space {
    left: u64,
}

/// Bytes of all long outputs of a report together.
const WHOLE: u64 = 8 << 20;
/// Bytes of an output that are always in the report.
const ALWAYS: u64 = 64 << 10;

impl Space {
    /// Returns a test's output, without its middle if the space is used up.
    fn output(&mut self, test: &Test) -> String {
        let size = test.output.size();
        if size <= ALWAYS {
            return test.output.text();
        }
        let share = size.min(self.left.max(ALWAYS));
        self.left = self.left.saturating_sub(share);
        test.output.shortened(share)
    }
}

fn case(guest: &Guest, test: &Test, never_ran: bool, space: &mut Space) -> TestCase {
    let failure = |kind, name: &str, message: &str| {
        let mut status = failure(kind, message);
        status.set_type(name);
        status
    };
    let status = match &test.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Skipped(reason) if never_ran => {
            failure(NonSuccessKind::Failure, kind::NEVER_RAN, &format!("{NEVER_RAN}{reason}"))
        }
        Outcome::Skipped(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
        Outcome::Failed(why) => failure(NonSuccessKind::Failure, kind::FAILED, why),
        Outcome::TimedOut(trace) => {
            let mut status = failure(NonSuccessKind::Error, kind::TIMED_OUT, "exceeded its time limit");
            status.set_description(XmlString::new(trace));
            status
        }
        Outcome::Died => {
            let mut status = failure(NonSuccessKind::Error, kind::DIED, &super::lines::end(&guest.end));
            if let End::Crashed(crash) | End::Hung(Some(crash)) = &guest.end {
                status.set_description(XmlString::new(&crash.trace));
            }
            status
        }
        Outcome::NotRun => failure(NonSuccessKind::Error, kind::NOT_RUN, "not run: the guest ended first"),
    };
    let name = if test.name.is_empty() { &test.binary } else { &test.name };
    let mut case = TestCase::new(name.as_str(), status);
    if test.name.is_empty() {
        case.add_property((property::WHOLE, "true"));
    }
    case.set_classname(test.binary.as_str());
    case.set_time(Duration::try_from_secs_f64(test.seconds).unwrap_or_default());
    if !test.output.is_empty() {
        case.set_system_out(XmlString::new(space.output(test)));
    }
    case
}

#[cfg(test)]
mod tests {
    use super::super::examples::{guest, test};
    use super::*;
    use crate::console::Crash;

    #[test]
    fn shard_without_tests_is_in_the_report() {
        let matrix = Matrix { guests: vec![guest("6.1", Vec::new())], slice: "2/5".parse().ok(), ..Matrix::default() };
        let text = xml(&matrix).unwrap();
        assert!(text.contains(r#"<testsuite name="shard 2/5 on 6.1""#), "{text}");
        assert!(text.contains(r#"<testcase name="shard 2/5 runs to completion">"#), "{text}");
    }

    #[test]
    fn long_outputs_share_a_bounded_space_and_the_cut_is_named() {
        let tests = (0..20).map(|number| {
            let mut test = test(&format!("t{number}"), Outcome::Passed);
            test.output = "x".repeat(1 << 20).as_str().into();
            test
        });
        let text = xml(&Matrix { guests: vec![guest("6.1", tests.collect())], ..Matrix::default() }).unwrap();
        let bytes = text.matches('x').count() as u64;
        assert!((WHOLE..WHOLE + 20 * ALWAYS).contains(&bytes), "{bytes}");
        let cut = format!("\n[{} bytes cut out here]\n", (1 << 20) - ALWAYS);
        assert_eq!(text.matches(&cut).count(), 12);
    }

    #[test]
    fn every_outcome_has_an_element() {
        let mut died =
            guest("6.1", vec![test("a", Outcome::Died), test("b", Outcome::NotRun), test("c", Outcome::Passed)]);
        died.end = End::Crashed(Crash { reason: "Kernel panic".into(), trace: "RIP: f+0x1".into() });
        let skipped = guest(
            "5.10",
            vec![test("a", Outcome::Skipped("needs 5.15".into())), test("b", Outcome::Failed("why & how".into()))],
        );
        let text = xml(&Matrix {
            guests: vec![died, skipped],
            absent: vec![("7.3".into(), "gone".into(), true)],
            ..Matrix::default()
        })
        .unwrap();
        for part in [
            r#"<testsuites name="cutaway-vm" tests="7" failures="1" errors="4">"#,
            r#"<testsuite name="suite on 6.1""#,
            r#"<property name="kernel" value="6.1.0-1-cloud-amd64"/>"#,
            "RIP: f+0x1",
            r#"<skipped message="needs 5.15"/>"#,
            "why &amp; how",
            "said &lt;this&gt;",
            r#"<testsuite name="guest on 6.1""#,
            r#"<testsuite name="guest on 7.3""#,
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
