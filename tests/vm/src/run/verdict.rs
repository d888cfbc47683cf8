//! Derives the outcome of a test from its end.

use crate::libtest::{self, Said};
use crate::protocol::Status;
use crate::report::Outcome;
use crate::requirements;

/// Returns the outcome of a test, or of a plain program, which has no name, from the end of its process.
pub(super) fn outcome(name: Option<&str>, status: Status, output: &str, trace: String, missing: &[String]) -> Outcome {
    let lacks = || match missing {
        [] => String::new(),
        names => format!(" (it needs {}, which the host lacks too)", names.join(", ")),
    };
    match status {
        Status::TimedOut => Outcome::TimedOut(trace),
        Status::Signal(signal) => Outcome::Failed(format!("killed by signal {signal} ({})", signal_name(signal))),
        Status::NotStarted => Outcome::Failed(format!("could not be started{}", lacks())),
        Status::Code(code) => match (code, name.map(|name| (name, libtest::said(output, name)))) {
            (0, None) => Outcome::Passed,
            (0, Some((_, Said::Passed))) => Outcome::Passed,
            (0, Some((_, Said::Ignored(reason)))) => Outcome::Skipped(reason),
            (0, Some((_, Said::Failed | Said::Nothing))) => Outcome::Failed(
                "its process exited with status 0 before the harness reported that one test passed".to_owned(),
            ),
            (_, Some((name, Said::Failed))) => match requirements::confessed(output, libtest::without_kind(name).0) {
                Some(reason) => Outcome::Skipped(reason.to_owned()),
                None => Outcome::Failed("the harness reported FAILED".to_owned()),
            },
            (code, _) => Outcome::Failed(format!("exit status {code}{}", lacks())),
        },
    }
}

/// Returns the exit status as a shell reports it.
pub(super) fn exit_code(status: Status) -> i32 {
    match status {
        Status::Code(code) => code,
        Status::Signal(signal) => 128 + signal,
        Status::TimedOut => 124,
        Status::NotStarted => 127,
    }
}

/// Returns the name in signal(7) of a signal that ends test processes. The host and its guests have the same numbers.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL, as sent by the OOM killer",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSYS => "SIGSYS",
        _ => "see signal(7)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str =
        "test a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out\n";

    fn of(status: Status, output: &str) -> Outcome {
        outcome(Some("a"), status, output, String::new(), &[])
    }

    #[test]
    fn status_and_summary_must_agree() {
        assert_eq!(of(Status::Code(0), PASSED), Outcome::Passed);
        assert!(of(Status::Code(0), "").is_failure(), "exit(0) inside a test proves nothing");
        assert!(of(Status::Code(101), PASSED).is_failure());
        assert!(of(Status::Signal(11), PASSED).is_failure());
        assert_eq!(of(Status::TimedOut, PASSED), Outcome::TimedOut(String::new()));
    }

    #[test]
    fn panic_with_a_requirement_is_a_skip() {
        let output = "thread 'a' panicked at x.rs:1:1:\nneeds 6.12: x\ntest a ... FAILED\n\ntest result: FAILED. 0 \
             passed; 1 failed; 0 ignored;\n";
        assert_eq!(of(Status::Code(101), output), Outcome::Skipped("needs 6.12: x".into()));
    }

    #[test]
    fn plain_program_is_judged_by_its_status() {
        assert_eq!(outcome(None, Status::Code(0), "", String::new(), &[]), Outcome::Passed);
        let failed = outcome(None, Status::Code(127), "", String::new(), &["libx.so".into()]);
        assert!(matches!(&failed, Outcome::Failed(why) if why.contains("127") && why.contains("libx.so")));
        assert_eq!(exit_code(Status::Signal(9)), 137);
        assert_eq!(signal_name(11), "SIGSEGV");
    }
}
