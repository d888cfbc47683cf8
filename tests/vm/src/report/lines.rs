//! The text lines of a run: progress while it runs, and every failure afterwards.

use std::fmt::Write as _;

use super::{End, Guest, Matrix, Outcome, Test};
use crate::console::Crash;

/// Returns the line of one test, in the harness's format.
#[must_use]
pub fn test(test: &Test) -> String {
    let title = test.title();
    match &test.outcome {
        Outcome::Passed if test.dropped > 0 => {
            format!("test {title} ... ok ({:.2} s), {} bytes of output dropped", test.seconds, test.dropped)
        }
        Outcome::Passed => format!("test {title} ... ok ({:.2} s)", test.seconds),
        Outcome::Skipped(reason) if reason.is_empty() => format!("test {title} ... ignored"),
        Outcome::Skipped(reason) => format!("test {title} ... ignored, {reason}"),
        Outcome::Failed(_) => format!("test {title} ... FAILED ({:.2} s)", test.seconds),
        Outcome::TimedOut(_) => format!("test {title} ... TIMED OUT ({:.2} s)", test.seconds),
        Outcome::Died => format!("test {title} ... GUEST DIED"),
        Outcome::NotRun => format!("test {title} ... not run"),
    }
}

/// Describes the end of a guest in one line.
#[must_use]
pub fn end(end: &End) -> String {
    match end {
        End::Clean => "done".to_owned(),
        End::Crashed(Crash { reason, .. }) => reason.clone(),
        End::Hung(None) => "the guest hung and did not print its stacks when asked".to_owned(),
        End::Hung(Some(Crash { reason, .. })) => format!("the guest hung; asked for its stacks, it printed: {reason}"),
        End::OutOfTime => "the time limit of the guest was exceeded (--timeout)".to_owned(),
        End::Broken(what) => what.clone(),
        End::Interrupted => "interrupted".to_owned(),
    }
}

/// Returns one kernel's line of a matrix.
#[must_use]
pub fn guest(guest: &Guest) -> String {
    let (passed, skipped, failed) = guest.counts();
    let mut line = format!(
        "{:<8} {:<28} {passed} passed, {skipped} skipped, {failed} failed in {:.1} s (boot {:.1} s)",
        guest.name,
        guest.release.as_deref().unwrap_or("(did not boot)"),
        guest.seconds,
        guest.boot_seconds,
    );
    if guest.end != End::Clean {
        let _ = write!(line, ": {}", end(&guest.end));
    }
    line
}

/// Returns the times of one guest, for a run whose results are not those of tests.
#[must_use]
pub fn times(guest: &Guest) -> String {
    let release = guest.release.as_deref().unwrap_or("(did not boot)");
    let mut line = format!("{:<8} {release:<28} {:.1} s (boot {:.1} s)", guest.name, guest.seconds, guest.boot_seconds);
    if guest.end != End::Clean {
        let _ = write!(line, "\n{:<8} {}", "", end(&guest.end));
    }
    line
}

/// Returns the details of a kernel's failures, one failed test at a time: together they may be large.
pub fn failures(guest: &Guest) -> impl Iterator<Item = String> + '_ {
    let failed = guest.tests.iter().filter(|test| test.outcome.is_failure() && test.outcome != Outcome::NotRun);
    let details = failed.map(|test| failure(guest, test)).chain(std::iter::once_with(|| rest_of(guest)));
    details.filter(|text| !text.is_empty())
}

fn failure(guest: &Guest, test: &Test) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "---- {} on {} ----", test.title(), guest.name);
    let output = test.output.text();
    if !output.trim().is_empty() {
        let _ = writeln!(text, "{}", output.trim_end());
    }
    match &test.outcome {
        Outcome::Failed(why) => {
            let _ = writeln!(text, "=> {why}");
        }
        Outcome::TimedOut(trace) => {
            let _ = writeln!(text, "{}\n=> killed after {:.0} s (--test-timeout)", trace.trim_end(), test.seconds);
        }
        _ => {
            let _ = writeln!(text, "=> the guest died during this test");
        }
    }
    text.push('\n');
    text
}

/// Returns the details of a guest that belong to no test.
fn rest_of(guest: &Guest) -> String {
    let mut text = end_of(guest);
    if let Some(folder) = guest.folder.as_ref().filter(|_| !guest.succeeded()) {
        let _ = writeln!(text, "console of {}: {}", guest.name, folder.join(crate::run::CONSOLE).display());
    }
    text
}

/// Returns the details that the program's own output does not contain, for a guest whose output was passed on.
#[must_use]
pub fn unsaid(guest: &Guest) -> String {
    let mut text = String::new();
    for test in &guest.tests {
        match &test.outcome {
            // The command exits with this program's exit status.
            Outcome::Failed(why) if guest.exit_code.is_some_and(|code| *why == format!("exit status {code}")) => {}
            Outcome::Failed(why) => {
                let _ = writeln!(text, "=> {}: {why}", test.title());
            }
            Outcome::TimedOut(trace) => {
                let _ = writeln!(
                    text,
                    "{}\n=> {}: killed after {:.0} s (--test-timeout)",
                    trace.trim_end(),
                    test.title(),
                    test.seconds
                );
            }
            Outcome::Died => {
                let _ = writeln!(text, "=> {}: the guest died during this test", test.title());
            }
            Outcome::Passed | Outcome::Skipped(_) | Outcome::NotRun => {}
        }
        if test.dropped > 0 {
            let _ =
                writeln!(text, "=> {}: {} bytes of output were dropped (--output-limit)", test.title(), test.dropped);
        }
    }
    text.push_str(&end_of(guest));
    text
}

/// Describes the end of a guest if it was not clean, and adds its notes.
fn end_of(guest: &Guest) -> String {
    let mut text = String::new();
    if guest.end != End::Clean {
        let _ = writeln!(text, "---- guest {} ----", guest.name);
        if let End::Crashed(crash) | End::Hung(Some(crash)) = &guest.end {
            let _ = writeln!(text, "{}", crash.trace);
        }
        let _ = writeln!(text, "=> {}", end(&guest.end));
        let not_run = guest.tests.iter().filter(|test| test.outcome == Outcome::NotRun).count();
        if not_run > 0 {
            let _ = writeln!(text, "=> {not_run} tests were not run");
        }
    }
    for note in &guest.notes {
        let _ = writeln!(text, "note on {}: {note}", guest.name);
    }
    text
}

/// Returns the last lines: the result of the whole matrix.
#[must_use]
pub fn verdict(matrix: &Matrix) -> String {
    let mut text = String::new();
    for (name, why, named) in &matrix.absent {
        let word = if *named { "FAILED" } else { "skipped" };
        let _ = writeln!(text, "{name:<8} {word}: {why}");
    }
    for row in matrix.never_ran() {
        let _ = writeln!(
            text,
            "FAILED {} {}: skipped on every kernel of the matrix, so it is not known to work",
            row.binary, row.name
        );
    }
    for problem in &matrix.problems {
        let _ = writeln!(text, "FAILED {problem}");
    }
    let nothing = matrix.guests.iter().all(|guest| guest.tests.is_empty());
    let result = match (matrix.succeeded(), nothing) {
        (true, true) => "ok, but no test was run",
        (true, false) => "ok",
        (false, _) => "FAILED",
    };
    match matrix.slice {
        Some(slice) => {
            let _ = writeln!(text, "vm result of shard {slice}: {result}");
        }
        None => {
            let _ = writeln!(text, "vm result: {result}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn crash_is_reported_with_its_trace() {
        let mut one =
            examples::guest("6.1", vec![examples::test("a", Outcome::Died), examples::test("b", Outcome::NotRun)]);
        one.end = End::Crashed(Crash { reason: "Kernel panic - not syncing: x".into(), trace: "RIP: f+0x1".into() });
        let text: String = failures(&one).collect();
        for part in
            ["suite a on 6.1", "said <this>", "RIP: f+0x1", "=> Kernel panic - not syncing: x", "1 tests were not run"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(guest(&one).ends_with("Kernel panic - not syncing: x"));
        let times = times(&one);
        assert!(times.ends_with("10.0 s (boot 3.0 s)\n         Kernel panic - not syncing: x"), "{times}");
    }
}
