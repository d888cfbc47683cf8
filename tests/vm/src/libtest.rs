//! What the standard test harness prints, and libtest-mimic with it: the stable, human text, for JSON is nightly's.
//!
//! The text of a whole run cannot be parsed soundly (a test may print `test x ... ok` itself, and a dead process prints
//! nothing more), so no whole run is parsed. Each test is a process of its own, `BINARY --exact NAME`: its exit status,
//! its output and its time belong to it beyond doubt, and of the text only the closing `test result:` line is believed,
//! which must agree with the exit status.

/// A command line that was meant for the harness, taken apart.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// Parts of names; a test with any of them is meant.
    pub filters: Vec<String>,
    /// What else chooses the tests: `--skip`, `--exact`, `--ignored`, `--include-ignored`.
    pub choosing: Vec<String>,
    /// What each test's own process needs as well: `--ignored`, `--include-ignored`, and anything unknown.
    pub running: Vec<String>,
    /// The caller asked for something else than a run of tests (`--list`, `--help`): pass the line on as it is.
    pub verbatim: bool,
}

impl Arguments {
    /// Takes a harness's command line apart. Options about presentation and threads fall away: every test gets a
    /// process.
    #[must_use]
    pub fn parse(line: &[String]) -> Self {
        let mut parsed = Self::default();
        let mut rest = line.iter();
        while let Some(word) = rest.next() {
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (word.as_str(), None),
            };
            match name {
                "--list" | "--help" | "-h" | "--bench" => parsed.verbatim = true,
                "--format" | "--test-threads" | "--color" | "--logfile" | "--shuffle-seed" => {
                    if inline.is_none() {
                        rest.next();
                    }
                }
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" | "--shuffle" | "--report-time" => {
                }
                "--test" => {}
                "--skip" => {
                    parsed.choosing.push(word.clone());
                    if inline.is_none() {
                        parsed.choosing.extend(rest.next().cloned());
                    }
                }
                "--ignored" | "--include-ignored" => {
                    parsed.choosing.push(word.clone());
                    parsed.running.push(word.clone());
                }
                "--exact" => parsed.choosing.push(word.clone()),
                "-Z" => {
                    let value = rest.next().cloned();
                    for list in [&mut parsed.choosing, &mut parsed.running] {
                        list.push(word.clone());
                        list.extend(value.clone());
                    }
                }
                _ if word.starts_with('-') => {
                    parsed.choosing.push(word.clone());
                    parsed.running.push(word.clone());
                }
                _ => parsed.filters.push(word.clone()),
            }
        }
        parsed
    }

    /// The command lines that list the chosen tests, one `NAME: test` a line. One for each filter: libtest-mimic takes
    /// no more.
    #[must_use]
    pub fn to_list(&self) -> Vec<Vec<String>> {
        let line = |filter: Option<&String>| {
            let mut line: Vec<String> = filter.cloned().into_iter().collect();
            line.extend(self.choosing.iter().cloned());
            line.extend(["--list", "--format", "terse"].map(String::from));
            line
        };
        if self.filters.is_empty() {
            return vec![line(None)];
        }
        self.filters.iter().map(|filter| line(Some(filter))).collect()
    }

    /// The command line that runs the one test `name`. Two threads, so that the outcome stands on a line of its own
    /// behind whatever the test printed; no capture, so that what children of the test print is in its place.
    #[must_use]
    pub fn to_run(&self, name: &str) -> Vec<String> {
        let mut line = vec!["--exact".to_owned(), name.to_owned()];
        line.extend(self.running.iter().cloned());
        line.extend(["--nocapture", "--test-threads", "2", "--color", "never"].map(String::from));
        line
    }
}

/// The names in the answer to [`Arguments::to_list`].
#[must_use]
pub fn listed(output: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// What a process that ran one test said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// One test passed.
    Passed,
    /// One test failed.
    Failed,
    /// The test was ignored, with its reason (empty if it gave none).
    Ignored(String),
    /// No closing line, or one that does not speak of exactly one test.
    Nothing,
}

/// Reads the closing line of a run of the test `name`, and its own line in front of that, which must agree: a closing
/// line alone may be another harness's, which the test ran itself.
#[must_use]
pub fn said(output: &str, name: &str) -> Said {
    let Some((before, summary)) = output.rfind("test result: ").and_then(|at| output.split_at_checked(at)) else {
        return Said::Nothing;
    };
    let count = |what: &str| -> Option<u64> {
        let end = summary.find(what)?;
        summary.get(..end)?.split_whitespace().next_back()?.parse().ok()
    };
    let word = verdict(before, name).unwrap_or_default();
    match (count(" passed"), count(" failed"), count(" ignored")) {
        (Some(1), Some(0), Some(0)) if word.starts_with("ok") => Said::Passed,
        (Some(0), Some(1), Some(0)) => Said::Failed,
        (Some(0), Some(0), Some(1)) => word.strip_prefix("ignored").map_or(Said::Nothing, |rest| {
            // libtest-mimic puts the reason in parentheses.
            let reason = rest.trim_start_matches(',').trim();
            let bare = reason.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
            Said::Ignored(bare.unwrap_or(reason).to_owned())
        }),
        _ => Said::Nothing,
    }
}

/// What stands behind `test NAME ... `: on the same line, or, where the test printed in between, on the last one.
fn verdict<'t>(before: &'t str, name: &str) -> Option<&'t str> {
    let start = before.rfind(&format!("test {name}"))?;
    let line = before.get(start..)?.lines().next()?;
    let (_, word) = line.split_once(" ...")?;
    let word = word.trim();
    let known = ["ok", "ignored", "FAILED"].iter().any(|verdict| word.starts_with(verdict));
    if known { Some(word) } else { before.lines().map(str::trim).rfind(|line| !line.is_empty()) }
}

/// A test's name without the `[KIND] ` that libtest-mimic lists in front of it, and the kind.
///
/// Some binaries put the reason of an ignored test there, decided when they list their tests; the same test must have
/// the same name on every kernel.
#[must_use]
pub fn without_kind(name: &str) -> (&str, Option<&str>) {
    match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((kind, name)) => (name, Some(kind)),
        None => (name, None),
    }
}

/// Whether an executable holds a test harness, by the words that both known ones close with.
#[must_use]
pub fn is_harness(executable: &[u8]) -> bool {
    memchr::memmem::find(executable, b"test result: ").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn sorts_a_command_line() {
        let parsed = Arguments::parse(&words(
            "perf --skip slow --test-threads 1 --nocapture --include-ignored --format=terse -Z unstable-options --color always",
        ));
        assert_eq!(parsed.filters, ["perf"]);
        assert_eq!(parsed.choosing, words("--skip slow --include-ignored -Z unstable-options"));
        assert_eq!(parsed.running, words("--include-ignored -Z unstable-options"));
        assert!(!parsed.verbatim);
        assert!(Arguments::parse(&words("--list")).verbatim);
        let two = Arguments::parse(&words("a b --skip c")).to_list();
        assert_eq!(two, ["a --skip c --list --format terse", "b --skip c --list --format terse"].map(words));
        assert_eq!(Arguments::default().to_list(), [words("--list --format terse")]);
        assert_eq!(
            Arguments::default().to_run("a::b"),
            words("--exact a::b --nocapture --test-threads 2 --color never")
        );
    }

    #[test]
    fn lists_tests_and_not_benchmarks() {
        assert_eq!(
            listed("a::b: test\nslow: benchmark\nsrc/lib.rs - f (line 3): test\n\n"),
            ["a::b", "src/lib.rs - f (line 3)"]
        );
    }

    #[test]
    fn believes_only_the_closing_line() {
        let line = |p, f, i| {
            format!(
                "test result: ok. {p} passed; {f} failed; {i} ignored; 0 measured; 9 filtered out; finished in 0.0s\n"
            )
        };
        let said = |text: &str, summary: String| said(&format!("{text}\n\n{summary}"), "a");
        assert_eq!(said("test a ... ok", line(1, 0, 0)), Said::Passed);
        assert_eq!(said("test a            ... ok", line(1, 0, 0)), Said::Passed, "libtest-mimic");
        assert_eq!(said("no end of linetest a - should panic ... ok", line(1, 0, 0)), Said::Passed);
        assert_eq!(said("test a ... FAILED", line(0, 1, 0)), Said::Failed);
        let reason = |text: &str| Said::Ignored(text.to_owned());
        assert_eq!(said("test a ... ignored, needs 5.15: links", line(0, 0, 1)), reason("needs 5.15: links"));
        assert_eq!(said("test a ... noise\nignored, needs 6.1", line(0, 0, 1)), reason("needs 6.1"));
        assert_eq!(said("test a ... ignored, (needs 6.1: f(x))", line(0, 0, 1)), reason("needs 6.1: f(x)"));
        assert_eq!(said("test a ... ignored", line(0, 0, 1)), reason(""));
        assert_eq!(said("test a ... ok", String::new()), Said::Nothing, "a process that left early proves nothing");
        assert_eq!(said("test b ... ok", line(1, 0, 0)), Said::Nothing, "what another harness said of another test");
        assert_eq!(said("test b ... ignored", line(0, 0, 1)), Said::Nothing);
        assert_eq!(said("", line(0, 0, 0)), Said::Nothing);
        assert_eq!(said("test a ... ok", line(2, 0, 0)), Said::Nothing);
    }

    #[test]
    fn kinds_are_no_part_of_a_name() {
        assert_eq!(without_kind("[needs Linux 6.6] a::b"), ("a::b", Some("needs Linux 6.6")));
        assert_eq!(without_kind("a::b"), ("a::b", None));
        assert_eq!(without_kind("[odd"), ("[odd", None));
    }

    #[test]
    fn knows_itself_for_a_harness() {
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(is_harness(&me));
        assert!(!is_harness(b"\x7fELF plain program"));
    }
}
